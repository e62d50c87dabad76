"""Posts to clean captions: named rules in order, and for each post that is not kept one reason.

Reads text/<tag>/posts.jsonl; writes captions.txt, dropped.jsonl and cleaning.json beside it.
Posts are streamed in chunks through worker processes; only hashes of all of them are held.
"""

from __future__ import annotations

import logging
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

import orjson

from .. import __version__, console
from ..errors import InputError, NothingLeftError
from ..options import CleanOptions, as_json
from ..posts import Post, read_posts
from ..storage import Store, atomic_write, escape_caption, sha256, write_json
from . import duplicates as near_duplicates
from . import rules
from .examination import Examined, Survivors, examine_file

log = logging.getLogger(__name__)

#: Bytes of English in a GPT-2 token, for the rough count of tokens to be.
BYTES_PER_TOKEN = 4

#: The packages that play a part in what is kept.
_DECIDE = ("emoji", "ftfy", "pycld2", "fasttext-predict")

RELAX = {
    "unknown-likes": "--unknown-likes keep",
    "too-few-likes": "--min-likes 0",
    "language": "--language any",
    "too-few-words": "--min-words 1",
    "too-long": "--max-chars 10000",
    "near-duplicate": "--near-threshold 1",
}


@dataclass(frozen=True)
class CleanResult:
    """The counts of one tag's cleaning; ``kept + sum(dropped.values()) == posts`` always holds."""

    tag: str
    posts: int
    kept: int
    dropped: dict[str, int]
    changed: dict[str, int]
    languages: dict[str, int]
    tokens: int
    damaged_lines: int
    examples: dict[str, list[str]]

    def summary(self, verbose: bool = False) -> str:
        """Return the table for stdout: posts, dropped by reason, kept; with ``verbose`` three examples each."""
        share = lambda count, of=self.posts: f"{100 * count / max(1, of):.1f} %"  # noqa: E731
        rows: list[tuple[object, ...]] = [("posts", self.posts, "")]
        rows += [(f"  {reason}", count, share(count)) for reason, count in self.dropped.items()]
        rows.append(("kept", self.kept, share(self.kept)))
        lines = [console.table(rows, (f"#{self.tag}", "posts", "share"))]
        lines.append("changed by rule: " + (", ".join(f"{name} {count:,}" for name, count in self.changed.items()) or "none"))
        judged = sum(self.languages.values())
        lines.append("languages: " + ", ".join(f"{code} {share(count, judged)}" for code, count in list(self.languages.items())[:6]))
        lines.append(f"about {self.tokens:,} tokens to train on")
        if verbose:
            for reason, texts in self.examples.items():
                lines += [f"{reason}:", *(f"    {console.shorten(text)}" for text in texts)]
        return "\n".join(lines)


def clean(tags: Sequence[str], options: CleanOptions, store: Store) -> list[CleanResult]:
    """Clean the posts of each of ``tags`` and return what became of them.

    Rules run in their order and a post is charged to the first that it fails. Duplicates are looked
    for across all ``tags``; the post with the most likes stays. The same posts, options and versions
    give the same bytes, whatever the number of workers.

    Raises:
        InputError: a posts.jsonl is missing or holds no readable post.
        NothingLeftError: no caption is kept in any of them; the reasons are on disk.
        UsageError: --skip-rule names no rule, or --language no language.
    """
    rules.refuse_unknown(options)
    for tag in tags:
        if not store.posts(tag).exists():
            raise InputError(f"cannot clean tag {tag!r}: {store.posts(tag)} does not exist", "pull it, or import posts with --from PATH")
    with ExitStack() as stack:
        spills = [stack.enter_context(tempfile.TemporaryFile()) for _ in tags]
        tallies = [_Tally(tag, options) for tag in tags]
        survivors = Survivors()
        for tally, spill in zip(tallies, spills):
            _first_pass(tally, spill, survivors, options, store)
        fates = iter(_duplicates(survivors, options))
        results = [_second_pass(tally, spill, fates, options, store, tags) for tally, spill in zip(tallies, spills)]
    if not any(result.kept for result in results):
        raise _nothing_left(results)
    return results


class _Tally:
    """The counts of one tag while its posts stream by."""

    def __init__(self, tag: str, options: CleanOptions) -> None:
        self.tag = tag
        self.posts = self.kept = self.tokens = 0
        self.dropped: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.damaged = 0
        self.examples: dict[str, list[str]] = {}

    def add(self, examined: Examined) -> None:
        """Count a chunk of posts; name the first damaged line."""
        if examined.damaged and not self.damaged:
            number, reason = examined.damaged[0]
            log.warning("posts.jsonl of tag %r, line %d is damaged and was skipped: %s", self.tag, number, reason)
        self.damaged += len(examined.damaged)
        self.posts += examined.posts
        self.changed += examined.changed
        self.languages += examined.languages

    def drop(self, reason: str, text: str) -> None:
        self.dropped[reason] += 1
        texts = self.examples.setdefault(reason, [])
        if len(texts) < 3:
            texts.append(text)

    def result(self) -> CleanResult:
        dropped = {reason: self.dropped[reason] for reason in rules.DROPS if self.dropped[reason]}
        changed = {change.name: self.changed[change.name] for change in rules.CHANGES if self.changed[change.name]}
        languages = dict(sorted(self.languages.items(), key=lambda item: (-item[1], item[0])))
        examples = {reason: self.examples[reason] for reason in dropped}
        return CleanResult(self.tag, self.posts, self.kept, dropped, changed, languages, self.tokens, self.damaged, examples)


def _first_pass(tally: _Tally, spill: IO[bytes], survivors: Survivors, options: CleanOptions, store: Store) -> None:
    """Examine each post, write its verdict to ``spill``, and add what duplicates are found by to ``survivors``."""
    for examined in examine_file(store.posts(tally.tag), options):
        tally.add(examined)
        spill.write(examined.lines)
        survivors.extend(examined.survivors)
    if tally.damaged:
        log.warning("%d damaged lines of tag %r were skipped", tally.damaged, tally.tag)
    if not tally.posts:
        raise InputError(
            f"cannot clean tag {tally.tag!r}: {store.posts(tally.tag)} holds no readable post", "pull or import its posts again"
        )


def _duplicates(survivors: Survivors, options: CleanOptions) -> list[tuple[str, str]]:
    """Return for each survivor the reason and the shortcode of the post that stays instead, both empty where it stays itself.

    Not by shortcode: one post may come under several tags, and has to stay with one of them.
    """
    order = sorted(range(len(survivors)), key=lambda i: (-survivors.likes[i], i))
    found: dict[int, tuple[str, int]] = {}
    for reason, hashes in (("exact-duplicate", survivors.exact), ("folded-duplicate", survivors.folded)):
        if reason in options.skip_rule:
            continue
        seen: dict[int, int] = {}
        for i in order:
            if i not in found and (first := seen.setdefault(hashes[i], i)) != i:
                found[i] = (reason, first)
    if "near-duplicate" not in options.skip_rule:
        twins = near_duplicates.find(survivors.shingles, [i for i in order if i not in found], options.near_threshold)
        found |= {i: ("near-duplicate", j) for i, j in twins.items()}
    fates = [("", "")] * len(survivors)
    for i, (reason, j) in found.items():
        fates[i] = (reason, survivors.shortcodes[j])
    return fates


def _second_pass(
    tally: _Tally, spill: IO[bytes], fates: Iterator[tuple[str, str]], options: CleanOptions, store: Store, tags: Sequence[str]
) -> CleanResult:
    """Write captions.txt, dropped.jsonl and cleaning.json of one tag from its spilled verdicts and the ``fates`` of its survivors."""
    spill.seek(0)
    with atomic_write(store.captions(tally.tag)) as captions, atomic_write(store.dropped(tally.tag)) as dropped:
        for line in spill:
            shortcode, text, reason, detail = orjson.loads(line)
            if not reason:
                reason, detail = next(fates)
            if reason:
                tally.drop(reason, text)
                row = {"shortcode": shortcode, "reason": reason, "detail": detail}
                dropped.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE).decode())
            else:
                tally.kept += 1
                tally.tokens += len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 2
                captions.write(escape_caption(text) + "\n")
    result = tally.result()
    write_json(store.cleaning(tally.tag), _cleaning_json(result, options, store) | {"cleaned_with": list(tags)})
    return result


def _cleaning_json(result: CleanResult, options: CleanOptions, store: Store) -> dict[str, Any]:
    from importlib.metadata import version

    counted = {key: getattr(result, key) for key in ("posts", "kept", "dropped", "changed", "languages", "tokens", "damaged_lines")}
    # how many processes did it plays no part in what came out
    chosen = {key: value for key, value in as_json(options).items() if key != "workers"}
    versions = {"hugging_captions": __version__, "python": platform.python_version()} | {name: version(name) for name in _DECIDE}
    checksums = {"posts_sha256": sha256(store.posts(result.tag)), "captions_sha256": sha256(store.captions(result.tag))}
    return {"tag": result.tag, **counted, "options": chosen, **checksums, "versions": versions}


def _nothing_left(results: Sequence[CleanResult]) -> NothingLeftError:
    total = sum((Counter(result.dropped) for result in results), Counter())
    biggest = total.most_common(3)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in biggest)
    ways = ", ".join(RELAX.get(reason, f"--skip-rule {reason}") for reason, _ in biggest)
    tags = ", ".join(result.tag for result in results)
    return NothingLeftError(f"no caption of tag {tags!r} is left: {reasons}", f"clean again with --skip-pull and one of: {ways}")


def find_post(shortcode: str, tags: Sequence[str], store: Store) -> Post:
    """Return the post called ``shortcode``.

    Raises:
        InputError: no tag has it.
    """
    for tag in tags:
        if store.posts(tag).exists():
            for post in read_posts(store.posts(tag), lambda number, reason: None):
                if post.shortcode == shortcode:
                    return post
    raise InputError(f"no post {shortcode!r} in tag {', '.join(tags)!r}", "dropped.jsonl and posts.jsonl have the shortcodes")
