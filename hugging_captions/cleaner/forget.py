"""Remove posts from a corpus, and list the models that were trained on it.

Rewrites text/<tag>/posts.jsonl without them and cleans again with the same options, which removes them from captions.txt,
dropped.jsonl and cleaning.json. Pages that quote the corpus are deleted. A model can't forget: it must be
trained again. A later pull or import that finds the posts stores them again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import console
from ..errors import BusyError, InputError, NothingLeftError, from_os_error
from ..options import CleanOptions
from ..posts import parse_post
from ..storage import Store, atomic_write, owner, read_json, write_json
from .pipeline import clean


@dataclass(frozen=True)
class ForgetResult:
    """The number of removed posts per tag, the deleted pages, and the folders of models that may have learned the posts."""

    removed: dict[str, int]
    pages: tuple[Path, ...]
    models: tuple[Path, ...]
    missing: tuple[str, ...]

    def summary(self) -> str:
        """Return the lines for stdout."""
        lines = [f"#{tag}: {console.count(count, 'post')} forgotten" for tag, count in self.removed.items()]
        lines += [f"{console.short_path(page)} quoted this corpus and was removed" for page in self.pages]
        lines += [f"{console.short_path(folder)} was trained on this corpus: train it again, or remove it" for folder in self.models]
        return "\n".join(map(console.wrap, lines))


def forget(given: Sequence[str], tags: Sequence[str], store: Store) -> ForgetResult:
    """Remove the posts in ``given`` from each of ``tags``, then repeat each cleaning that included one of ``tags``.

    Safe to repeat: the next run finishes one that was killed. Shortcodes that no tag has are listed in ``missing`` of the
    result; the others are removed.

    Args:
        given: shortcodes, or text files that list them, one a line.

    Raises:
        BusyError: another process is writing one of the tags that would change.
        InputError: a tag has no posts.jsonl, a file is damaged, or there is no shortcode; nothing was changed.
        ResourceError: a file can't be written; it is unchanged.
    """
    shortcodes = _read_shortcodes(given)
    for tag in tags:
        if not store.posts(tag).exists():
            raise InputError(f"cannot forget posts of tag {tag!r}: {store.posts(tag)} does not exist", "check --tag and --root")
    cleanings = _cleanings(tags, store)
    written = {*tags, *(tag for cleaning in cleanings for tag in cleaning[0])}
    with store.lock("text", sorted(written)):
        if _cleanings(tags, store) != cleanings:
            raise BusyError(f"cannot forget posts of tag {'+'.join(tags)!r}: it was cleaned a moment ago", "repeat the command")
        for tag in tags:
            _expect_fewer(tag, store)
        found = {tag: _remove(set(shortcodes), store.posts(tag)) for tag in tags}
        for cleaned_with, options in cleanings:
            _clean_again(cleaned_with, options, store)
        for tag in tags:
            for index in store.novelty_indices(tag):  # written by earlier versions; it contains the words of the captions
                index.unlink(missing_ok=True)
        pages = _remove_pages(tags, sorted(written), store)
    missing = tuple(code for code in shortcodes if not any(code in codes for codes in found.values()))
    models = tuple(folder for folder in store.model_folders() if _is_of(folder, tags))  # unfinished trainings as well
    return ForgetResult({tag: len(codes) for tag, codes in found.items()}, pages, models, missing)


def _read_shortcodes(given: Sequence[str]) -> tuple[str, ...]:
    """Return the shortcodes in ``given`` and its files, each once."""
    found: list[str] = []
    for word in given:
        path = Path(word)
        try:
            found += path.read_text(encoding="utf-8").split() if path.is_file() else [word]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {path}: {error}", "give shortcodes, or a text file with one a line") from error
    if not found:
        raise InputError(f"{' '.join(given)} holds no shortcode", "write one shortcode a line")
    return tuple(dict.fromkeys(found))


def _cleanings(tags: Sequence[str], store: Store) -> list[tuple[tuple[str, ...], CleanOptions]]:
    """Return the cleanings that included one of ``tags``, oldest first: the tags cleaned together, and the options."""
    found: dict[tuple[tuple[str, ...], CleanOptions], float] = {}
    for tag in dict.fromkeys((*tags, *store.tags_with_captions())):
        path = store.cleaning(tag)
        if not path.exists():
            continue
        try:
            cleaning = _cleaning(path, tag)
        except InputError:
            if tag in tags:
                raise
            continue
        if set(tags) & set(cleaning[0]):
            found[cleaning] = max(path.stat().st_mtime, found.get(cleaning, 0.0))
    return sorted(found, key=lambda cleaning: found[cleaning])


def _cleaning(path: Path, tag: str) -> tuple[tuple[str, ...], CleanOptions]:
    record = read_json(path)
    try:
        chosen: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in record["options"].items()}
        return tuple(record.get("cleaned_with", [tag])), CleanOptions(**chosen)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} has no usable cleaning options: {error}", "clean it again with --skip-pull, then forget") from error


def _expect_fewer(tag: str, store: Store) -> None:
    """Remove the count of posts from pull.json, because the next pull would treat the removed posts as lost."""
    with suppress(InputError, AttributeError):  # a damaged pull.json has no count
        state = read_json(store.pull_state(tag))
        write_json(store.pull_state(tag), {key: value for key, value in state.items() if key != "posts"})


def _remove(shortcodes: set[str], path: Path) -> set[str]:
    """Rewrite a posts.jsonl without the posts in ``shortcodes`` and without damaged lines that contain one; return those found."""
    found: set[str] = set()
    try:
        with open(path, "rb") as lines, atomic_write(path, binary=True) as kept:
            for line in lines:
                named = _named(line, shortcodes)
                found |= named
                if not named:
                    kept.write(line)
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    return found


def _named(line: bytes, shortcodes: set[str]) -> set[str]:
    try:
        return {parse_post(line).shortcode} & shortcodes
    except (ValueError, TypeError, KeyError):
        return {code for code in shortcodes if f'"{code}"'.encode() in line}


def _clean_again(tags: Sequence[str], options: CleanOptions, store: Store) -> None:
    """Repeat a cleaning; if no post or caption is left, delete its files, which still contain the removed posts."""
    filled = [tag for tag in tags if store.posts(tag).exists() and store.posts(tag).stat().st_size]
    try:
        if filled:
            clean(filled, options, store)
    except NothingLeftError:
        filled = []
    for tag in set(tags) - set(filled):
        for path in (store.captions(tag), store.dropped(tag), store.cleaning(tag)):
            path.unlink(missing_ok=True)


def _remove_pages(tags: Sequence[str], cleaned: Sequence[str], store: Store) -> tuple[Path, ...]:
    """Delete the cleaning reports of ``cleaned`` and the pages of generated captions that quote captions of ``tags``."""
    found = [path for tag in cleaned if (path := store.cleaning_page(tag)).exists()]
    found += [page for page, record in store.generated_pages() if _is_of(record, tags)]
    for path in found:
        path.unlink()
    return tuple(found)


def _is_of(result: Path, tags: Sequence[str]) -> bool:
    """Return whether ``result`` (a model's folder or a _gen.json) is of some of ``tags``, by its record or else its name."""
    known = owner(result)
    made_of = re.split(r"_gen\.|\.", result.name)[0].split("+") if known is None else known[0]
    return not set(made_of).isdisjoint(tags)
