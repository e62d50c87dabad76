"""The result of a cleaning: a table, a page, a picture, samples of dropped and changed captions, and one post explained.

``report`` reads text/<tag>/captions.txt, dropped.jsonl and cleaning.json and writes cleaning.html and cleaning.png next to them;
``review`` reads posts.jsonl and dropped.jsonl.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from .. import console, pages
from ..errors import InputError, from_os_error
from ..options import CleanOptions
from ..posts import Post, read_posts
from ..storage import Store, atomic_writes, read_captions, read_json
from ..text import word_count
from . import promotion, rules
from .sentences import Sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")

SCRIPT = "pull_and_clean.py"

#: Bars of languages; one more shows the rest.
LANGUAGES = 8
#: Words at which the histogram of lengths ends; its last bar has all longer captions.
MOST_WORDS = 80
#: Kept captions on the page, and dropped posts per reason.
SAMPLES = 20
#: The percentiles of length on the page.
QUANTILES = {"shortest": 0.0, "lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "longest": 1.0}
#: Most posts that are cleaned again for each changed caption shown.
LOOKED_AT = 40
#: Seed of the samples: the same cleaning shows the same captions.
SEED = 0
#: The letters in ``explain``, by the rule that removed the sentence: credit, not repairable, other language, plea or pitch; k is kept.
LETTERS = {"credits": "c", "tags": "h", "emails": "h", "urls": "h", "phones": "h", "handles": "h", "language": "o", "promotion": "p"}


@dataclass
class CleanResult:
    """The counts of one tag's cleaning; ``kept + sum(dropped.values()) == posts`` always holds.

    ``dropped`` and ``changed`` count posts by rule, ``languages`` the posts whose language was detected;
    ``examples`` are the first three captions that each rule dropped.
    """

    tag: str
    posts: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    damaged_lines: int = 0
    superseded_lines: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def put_in_order(self) -> None:
        """Order the counts: rules as they run, languages by number of posts."""
        names = rules.rule_names()
        self.dropped = Counter({name: self.dropped[name] for name in names if name in self.dropped})
        self.changed = Counter({name: self.changed[name] for name in names if name in self.changed})
        self.languages = Counter(dict(sorted(self.languages.items(), key=lambda item: (-item[1], item[0]))))
        self.examples = {name: self.examples[name] for name in self.dropped}

    def summary(self, verbose: bool = False) -> str:
        """Return the table for stdout: posts, dropped by reason, kept; with ``verbose`` three examples each."""
        rows: list[tuple[object, ...]] = [("posts", self.posts, "")]
        rows += [(f"  {reason}", count, share(count, self.posts)) for reason, count in self.dropped.items()]
        rows.append(("kept", self.kept, share(self.kept, self.posts)))
        evaluated = sum(self.languages.values())
        languages = ", ".join(f"{code} {share(count, evaluated)}" for code, count in list(self.languages.items())[:6])
        changed = ", ".join(f"{name} {count:,}" for name, count in self.changed.items())
        lines = [
            console.table(rows, (f"#{console.shorten(self.tag, 40)}", "posts", "of posts")),
            console.wrap(f"posts changed by rule: {changed or 'none'}"),
            console.wrap(f"languages of {console.count(evaluated, 'evaluated caption')}: {languages or 'none'}"),
            f"about {console.count(self.tokens, 'token')} to train on",
        ]
        for reason, texts in self.examples.items() if verbose else ():
            lines += [f"{reason}:", *(f"    {console.shorten(text)}" for text in texts)]
        return "\n".join(lines)


def share(count: int, of: int) -> str:
    """Return ``count`` as a percentage of ``of``."""
    return f"{count / max(1, of):.1%}"


def explain(post: Post, options: CleanOptions) -> str:
    """Return one line for each sentence of ``post``: its letter (``LETTERS``), its score, and the deciding words.

    Raises:
        UsageError, InputError: ``rules.refuse_unknown``.
    """
    rules.refuse_unknown(options)
    draft, result = rules.examine(post, replace(options, min_likes=0, unknown_likes="keep")), rules.examine(post, options)
    lines = [f"{console.printable(post.shortcode)}: {console.shorten((post.caption or '').strip(), 400)}"]
    for sentence in draft.sentences:
        letter = "c" if sentence.reason == "tags" and not promotion.word_count(sentence.source) else LETTERS.get(sentence.reason, "k")
        why = f"  <- {sentence.reason}: {console.shorten(_detail(sentence), 80)}" if sentence.reason else ""
        if sentence.text and sentence.text != sentence.source:
            why = f"  -> {console.shorten(sentence.text, 200)}"
        lines.append(f"  {letter} {sentence.score:.2f}  {console.shorten(sentence.source, 200)}{why}")
    if draft.score:
        lines.append(f"  caption {draft.score:.2f}, dropped at {draft.options.promotion_threshold:.2f}")
    ending = f"dropped: {result.reason} ({result.detail})" if result.reason else "kept, unless a duplicate has more likes"
    return "\n".join([*lines, f"  {ending}"])


def _detail(sentence: Sentence) -> str:
    """Return why a sentence was removed: the match of the rule, or the words that decided the model."""
    if sentence.reason != "promotion" or sentence.detail != sentence.source:
        return sentence.detail
    return ", ".join(promotion.model().deciding_words(sentence.source)) or "its place in the caption"


def review(tag: str, count: int, options: CleanOptions, store: Store) -> str:
    """Return a random sample of up to ``count`` captions dropped by each rule, and of as many that were changed and kept.

    Raises:
        InputError: the tag was not cleaned yet, or its files can't be read.
        UsageError: ``rules.refuse_unknown``.
    """
    rules.refuse_unknown(options)
    if not store.dropped(tag).exists():
        raise InputError(f"cannot review tag {tag!r}: it was not cleaned yet", f"run  {store.command(SCRIPT, '--tag', tag, '--skip-pull')}")
    lines = []
    for reason, (number, rows) in _dropped(tag, count, store).items():
        lines.append(f"dropped by {reason}: {number:,}")
        for row in rows:
            lines += [f"  {row['shortcode']}  ({row['detail']})", *_indented(row.get("caption", ""))]
    lines.append("changed and kept")
    for before, after in islice(_changed(tag, count * LOOKED_AT, options, store), count):
        lines += [f"  {before.shortcode}", *_indented(before.caption or ""), "  becomes", *_indented(after)]
    return "\n".join(lines)


def _dropped(tag: str, most: int, store: Store) -> dict[str, tuple[int, list[dict[str, str]]]]:
    """Return for each reason, in rule order, the number of posts in dropped.jsonl and a random sample of up to ``most``."""
    rng, seen = random.Random(SEED), Counter[str]()
    samples: dict[str, list[dict[str, str]]] = {name: [] for name in rules.rule_names()}
    try:
        with open(store.dropped(tag), "rb") as handle:
            for number, line in enumerate(handle, start=1):  # noqa: B007 - for the error
                row = orjson.loads(line)
                _draw_one(samples[row["reason"]], row, seen[row["reason"]], most, rng)
                seen[row["reason"]] += 1
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{store.dropped(tag)}, line {number} is damaged, or of another version"
        raise InputError(problem, f"run  {store.command(SCRIPT, '--tag', tag, '--skip-pull')}") from error
    except OSError as error:
        raise from_os_error(error, "read", store.dropped(tag)) from error
    return {name: (seen[name], rows) for name, rows in samples.items() if rows}


def _draw_one(sample: list[T], item: T, seen: int, most: int, rng: random.Random) -> None:
    """Add ``item`` to a uniform ``sample`` of at most ``most`` items; ``seen`` items came before it (reservoir sampling)."""
    if seen < most:
        sample.append(item)
    elif (place := rng.randrange(seen + 1)) < most:
        sample[place] = item


def _changed(tag: str, most: int, options: CleanOptions, store: Store) -> Iterable[tuple[Post, str]]:
    """Yield, in random order, posts whose captions the rules change and keep, with the results."""
    rng = random.Random(SEED)
    sample: list[Post] = []
    for number, post in enumerate(read_posts(store.posts(tag), lambda number, reason: None)):
        _draw_one(sample, post, number, most, rng)
    rng.shuffle(sample)
    for post in sample:
        draft = rules.examine(post, options)
        if draft.changed and not draft.reason:
            yield post, draft.text


def _indented(text: str) -> list[str]:
    return [f"      {console.printable(line)}" for line in text.splitlines() if line.strip()]


def report(result: CleanResult, store: Store) -> Path:
    """Write text/<tag>/cleaning.html and cleaning.png, which the page embeds, and return the page's path.

    Raises:
        InputError: a file of the cleaning can't be read.
        ResourceError: they can't be written.
    """
    captions = read_captions(store.captions(result.tag))
    words = sorted(map(word_count, captions))
    png = _draw(result, words)
    page = pages.render("cleaning.html", picture=pages.picture(png), **_figures(result, words), **_samples(captions, result, store))
    with atomic_writes([store.cleaning_picture(result.tag), store.cleaning_page(result.tag)], binary=True) as [picture, html]:
        picture.write(png)
        html.write(page.encode())
    return store.cleaning_page(result.tag)


def _figures(result: CleanResult, words: Sequence[int]) -> dict[str, Any]:
    """Return the figures on the page; ``words`` are the sorted lengths of the kept captions."""
    counts = {"posts": result.posts, **result.dropped, "kept": result.kept}
    kept = f"{console.count(result.kept, 'caption')} kept ({share(result.kept, result.posts)})"
    return {
        "title": f"Cleaning of #{result.tag}",
        "summary": f"{console.count(result.posts, 'post')}, {kept}, about {result.tokens:,} tokens to train on.",
        "posts": _shares(counts, result.posts),
        "changed": _shares(result.changed, result.posts),
        "languages": _shares(_commonest(result.languages), sum(result.languages.values())),
        "lengths": [(name, words[round(place * (len(words) - 1))]) for name, place in QUANTILES.items()] if words else [],
    }


def _shares(counts: Mapping[str, int], of: int) -> list[tuple[str, str, str]]:
    return [(name, f"{count:,}", share(count, of)) for name, count in counts.items()]


def _samples(captions: Sequence[str], result: CleanResult, store: Store) -> dict[str, Any]:
    """Return samples of kept captions and of posts dropped by each rule, and the options and versions of the cleaning."""
    means = {rule.name: rule.description for rule in rules.RULES}
    record = read_json(store.cleaning(result.tag))
    named = ("cleaned_with", "damaged_lines", "posts_sha256", "captions_sha256", "command")
    return {
        "kept": random.Random(SEED).sample(captions, min(SAMPLES, len(captions))),
        "dropped": [
            {"name": name, "means": means[name], "count": console.count(count, "post"), "posts": rows}
            for name, (count, rows) in _dropped(result.tag, SAMPLES, store).items()
        ],
        "run": pages.rows({name: record[name] for name in named if name in record}),
        "options": pages.rows(record["options"]),
        "versions": pages.rows(record["versions"]),
    }


def _draw(result: CleanResult, words: Sequence[int]) -> bytes:
    """Return the picture of a cleaning as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    waterfall, lengths, languages = figure.subplots(1, 3, width_ratios=(3, 2, 2))
    figure.suptitle(f"#{result.tag}: {result.posts:,} posts, {result.kept:,} captions kept")
    _draw_waterfall(waterfall, result)
    lengths.hist([min(count, MOST_WORDS) for count in words], bins=range(0, MOST_WORDS + 5, 4), color="tab:green")
    lengths.set(xlabel=f"words in a kept caption\n(last bar: {MOST_WORDS} and more)", ylabel="captions")
    _draw_languages(languages, result.languages)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120, metadata={"Software": None})
    return png.getvalue()


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


def _commonest(languages: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of the ``LANGUAGES`` commonest languages, and of all others together."""
    shown = dict(list(languages.items())[:LANGUAGES])
    rest = sum(languages.values()) - sum(shown.values())
    return shown | ({"others": rest} if rest else {})


def _draw_languages(axes: Axes, counts: dict[str, int]) -> None:
    shown = _commonest(counts)
    axes.bar(range(len(shown)), list(shown.values()), color="tab:blue")
    axes.set_xticks(range(len(shown)), list(shown), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlabel("language of the evaluated captions")
    axes.set_ylabel("posts")
