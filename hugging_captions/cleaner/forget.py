"""Take posts out of a corpus for good, and name the models that were trained on them.

Rewrites text/<tag>/posts.jsonl without them and cleans again as it was cleaned, so captions.txt,
dropped.jsonl and cleaning.json are without them too. A model can't forget: it has to be trained again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, NothingLeftError, from_os_error
from ..options import CleanOptions
from ..posts import parse_post
from ..storage import Store, atomic_write, read_json, write_json
from . import pipeline as cleaner


@dataclass(frozen=True)
class ForgetResult:
    """What was taken out: shortcodes by tag, those that no tag had, and the folders of models that may have learned them."""

    taken: dict[str, int]
    missing: tuple[str, ...]
    models: tuple[Path, ...]

    def summary(self) -> str:
        """Return the lines for stdout."""
        lines = [f"#{tag}: {count:,} posts forgotten" for tag, count in self.taken.items()]
        if self.missing:
            lines.append("not here: " + " ".join(self.missing))
        for folder in self.models:
            lines.append(f"{folder} was trained on this corpus: train it again, or remove it")
        return "\n".join(lines)


def read_shortcodes(given: Sequence[str]) -> tuple[str, ...]:
    """Return the shortcodes among ``given``, each once; one that is a file's name stands for the shortcodes in it, one a line.

    Raises:
        InputError: a file can't be read, or there is no shortcode at all.
    """
    found: dict[str, None] = {}
    for word in given:
        path = Path(word)
        try:
            lines = path.read_text(encoding="utf-8").split() if path.is_file() else [word]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {path}: {error}", "give shortcodes, or a text file with one a line") from error
        found.update(dict.fromkeys(lines))
    if not found:
        raise InputError(f"{' '.join(given)} holds no shortcode", "write one shortcode a line")
    return tuple(found)


def forget(shortcodes: Sequence[str], tags: Sequence[str], store: Store) -> ForgetResult:
    """Take ``shortcodes`` out of each of ``tags`` that has them, then clean those again with the options they were cleaned with.

    Safe to repeat: a run that was killed half-way is finished by the next one.

    Raises:
        InputError: a tag has no posts.jsonl, or a file is damaged.
        ResourceError: a file can't be written; it is as it was.
    """
    for tag in tags:
        if not store.posts(tag).exists():
            raise InputError(f"cannot forget in tag {tag!r}: {store.posts(tag)} does not exist", "tags are given with --tag")
    wanted = set(shortcodes)
    for tag in tags:
        _expect_fewer(tag, store)
    found = {tag: _without(wanted, store.posts(tag)) for tag in tags}
    for tag in tags:
        _clean_again(tag, store)
        for index in store.novelty_indices(tag):  # it holds the words of the captions
            index.unlink(missing_ok=True)
    seen = set().union(*found.values())
    missing = tuple(code for code in shortcodes if code not in seen)
    return ForgetResult({tag: len(codes) for tag, codes in found.items()}, missing, tuple(_models_that_saw(tags, store)))


def _expect_fewer(tag: str, store: Store) -> None:
    """Take the count of posts out of pull.json, by which the next pull would think that they were lost."""
    with suppress(InputError, AttributeError):  # a damaged one counts nothing
        state = read_json(store.pull_state(tag))
        write_json(store.pull_state(tag), {key: value for key, value in state.items() if key != "posts"})


def _without(wanted: set[str], path: Path) -> set[str]:
    """Rewrite a posts.jsonl without the posts in ``wanted`` and the damaged lines that name one; return which were there."""
    found: set[str] = set()
    try:
        with open(path, "rb") as lines, atomic_write(path) as kept:
            for line in lines:
                named = _names(line, wanted)
                found |= named
                if not named:
                    kept.write(line.decode("utf-8", "replace"))
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    return found


def _names(line: bytes, wanted: set[str]) -> set[str]:
    try:
        return {parse_post(line).shortcode} & wanted
    except (ValueError, TypeError, KeyError):
        return {code for code in wanted if f'"{code}"'.encode() in line}


def _clean_again(tag: str, store: Store) -> None:
    if not store.cleaning(tag).exists():
        return
    record = read_json(store.cleaning(tag))
    tags = [other for other in record.get("cleaned_with", [tag]) if store.posts(other).exists()]
    try:
        cleaner.clean(tags, _options(record, store.cleaning(tag)), store)
    except NothingLeftError:
        return  # the files are written: no caption is left in them
    except InputError:  # not one post is left
        for path in (store.captions(tag), store.dropped(tag), store.cleaning(tag)):
            path.unlink(missing_ok=True)


def _options(record: dict[str, Any], path: Path) -> CleanOptions:
    try:
        chosen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record["options"].items()}
        return CleanOptions(**chosen)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} does not say how the tag was cleaned: {error}", "clean it again with --skip-pull, then forget") from error


def _models_that_saw(tags: Sequence[str], store: Store) -> list[Path]:
    """Return the folders below trained_models whose run.json names one of ``tags``, and unfinished trainings of them."""
    found = []
    for folder in store.model_folders():
        try:
            trained_on = set(json.loads((folder / "run.json").read_text(encoding="utf-8"))["tags"])
        except (OSError, ValueError, KeyError, TypeError):
            trained_on = set(folder.name.split(".")[0].split("+"))
        if trained_on & set(tags):
            found.append(folder)
    return found
