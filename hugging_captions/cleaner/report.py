"""cleaning.png: from posts to kept captions, how long those are, and which languages the posts are in.

Reads what cleaning wrote to text/<tag>/; writes the picture beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..storage import Store, atomic_write, read_captions
from ..text import word_count
from .pipeline import CleanResult

#: Bars of languages; the rest is one more.
LANGUAGES = 8
#: Words at which the distribution of lengths ends; longer captions are in its last bar.
MOST_WORDS = 80


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


def _draw_waterfall(axes: Any, result: CleanResult) -> None:
    names, left, widths = ["posts"], [0], [result.posts]
    remaining = result.posts
    for reason, count in result.dropped.items():
        remaining -= count
        names.append(reason)
        left.append(remaining)
        widths.append(count)
    names, left, widths = [*names, "kept"], [*left, 0], [*widths, result.kept]
    colours = ["0.5", *["tab:red"] * len(result.dropped), "tab:green"]
    bars = axes.barh(names, widths, left=left, color=colours)
    axes.bar_label(bars, labels=[f"{width:,}" for width in widths], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("posts")


def _draw_lengths(axes: Any, words: list[int]) -> None:
    axes.hist([min(count, MOST_WORDS) for count in words], bins=range(0, MOST_WORDS + 5, 4), color="tab:green")
    axes.set_xlabel(f"words in a kept caption ({MOST_WORDS} and more in the last bar)")
    axes.set_ylabel("captions")


def _draw_languages(axes: Any, counts: dict[str, int]) -> None:
    shown = list(counts.items())[:LANGUAGES]
    rest = sum(counts.values()) - sum(count for _, count in shown)
    shown += [("others", rest)] if rest else []
    axes.bar(range(len(shown)), [count for _, count in shown], color="tab:blue")
    axes.set_xticks(range(len(shown)), [code for code, _ in shown], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlabel("language of the caption")
    axes.set_ylabel("posts")
