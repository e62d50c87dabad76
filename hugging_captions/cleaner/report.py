"""cleaning.png: from posts to kept captions, how long those are, and which languages the posts are in.

Reads text/<tag>/captions.txt; writes the picture next to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..storage import Store, atomic_write, read_captions
from ..text import word_count
from .pipeline import CleanResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
