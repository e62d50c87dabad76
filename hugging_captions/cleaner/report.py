"""A cleaning to look at: cleaning.png, and samples of what was dropped or changed.

``draw`` reads text/<tag>/captions.txt and writes the picture next to it; ``review`` reads posts.jsonl and dropped.jsonl.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from .. import console
from ..errors import InputError, from_os_error
from ..options import CleanOptions
from ..posts import Post, read_posts
from ..storage import Store, atomic_write, read_captions
from ..text import word_count
from . import rules
from .pipeline import SCRIPT, CleanResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bars of languages; the rest is one more.
LANGUAGES = 8
#: Words at which the distribution of lengths ends; longer captions are in its last bar.
MOST_WORDS = 80


#: Posts that are cleaned again for each changed caption that is shown, at most.
LOOKED_AT = 40
#: The seed of the samples: the same cleaning shows the same captions.
SEED = 0


def review(tag: str, count: int, options: CleanOptions, store: Store) -> str:
    """Return up to ``count`` captions that each rule dropped, and as many that were changed and kept, drawn at random, to be read.

    Raises:
        InputError: the tag was not cleaned yet, or its files can't be read.
        UsageError: ``rules.refuse_unknown``.
    """
    rules.refuse_unknown(options)
    if not store.dropped(tag).exists():
        raise InputError(f"cannot review tag {tag!r}: it was not cleaned yet", f"run  {store.command(SCRIPT, '--tag', tag, '--skip-pull')}")
    by_reason: dict[str, list[dict[str, str]]] = {}
    try:
        with open(store.dropped(tag), "rb") as handle:
            for line in handle:
                row = orjson.loads(line)
                by_reason.setdefault(row["reason"], []).append(row)
    except OSError as error:
        raise from_os_error(error, "read", store.dropped(tag)) from error
    lines = []
    for reason in (name for name in rules.rule_names() if name in by_reason):
        rows = by_reason[reason]
        lines.append(f"dropped by {reason}: {len(rows):,}")
        for row in random.Random(SEED).sample(rows, min(count, len(rows))):
            lines += [f"  {row['shortcode']}  ({row['detail']})", *_indented(row.get("caption", ""))]
    lines.append("changed and kept")
    for before, after in islice(_changed(tag, count * LOOKED_AT, options, store), count):
        lines += [f"  {before.shortcode}", *_indented(before.caption or ""), "  becomes", *_indented(after)]
    return "\n".join(lines)


def _changed(tag: str, most: int, options: CleanOptions, store: Store) -> Iterable[tuple[Post, str]]:
    """Yield posts in a random order whose captions the rules change and keep, with what they become."""
    rng = random.Random(SEED)
    sample: list[Post] = []
    for number, post in enumerate(read_posts(store.posts(tag), lambda number, reason: None)):
        if len(sample) < most:
            sample.append(post)
        elif (place := rng.randrange(number + 1)) < most:
            sample[place] = post
    rng.shuffle(sample)
    for post in sample:
        verdict = rules.examine(post, options)
        if verdict.changed and not verdict.reason:
            yield post, verdict.text


def _indented(text: str) -> list[str]:
    return [f"      {console.printable(line)}" for line in text.splitlines() if line.strip()]


def draw(result: CleanResult, store: Store) -> Path:
    """Draw the cleaning of one tag as text/<tag>/cleaning.png and return its path.

    Raises:
        ResourceError: it can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    waterfall, lengths, languages = figure.subplots(1, 3, width_ratios=(3, 2, 2))
    figure.suptitle(f"#{result.tag}: {result.posts:,} posts, {result.kept:,} captions kept")
    _draw_waterfall(waterfall, result)
    _draw_lengths(lengths, [word_count(caption) for caption in read_captions(store.captions(result.tag))])
    _draw_languages(languages, result.languages)
    path = store.cleaning_picture(result.tag)
    with atomic_write(path, binary=True) as handle:
        figure.savefig(handle, format="png", dpi=120, metadata={"Software": None})
    return path


def _draw_waterfall(axes: Axes, result: CleanResult) -> None:
    import pandas as pd

    counts = pd.Series({"posts": result.posts, **result.dropped, "kept": result.kept})
    left = result.posts - counts.cumsum() + result.posts
    left[["posts", "kept"]] = 0
    colours = ["0.5", *["tab:red"] * len(result.dropped), "tab:green"]
    bars = axes.barh(list(counts.index), counts, left=left, color=colours)
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("posts")


def _draw_lengths(axes: Axes, words: list[int]) -> None:
    axes.hist([min(count, MOST_WORDS) for count in words], bins=range(0, MOST_WORDS + 5, 4), color="tab:green")
    axes.set_xlabel(f"words in a kept caption\n(last bar: {MOST_WORDS} and more)")
    axes.set_ylabel("captions")


def _draw_languages(axes: Axes, counts: dict[str, int]) -> None:
    shown = dict(list(counts.items())[:LANGUAGES])
    if rest := sum(counts.values()) - sum(shown.values()):
        shown["others"] = rest
    axes.bar(range(len(shown)), list(shown.values()), color="tab:blue")
    axes.set_xticks(range(len(shown)), list(shown), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlabel("language of the evaluated captions")
    axes.set_ylabel("posts")
