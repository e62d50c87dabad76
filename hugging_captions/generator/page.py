"""The page of generated captions: <corpus>_gen.html.

``page`` renders the captions and attempts of one run, or of several settings side by side.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .. import console, pages
from ..pages import Marked
from ..text import folded_words, word_count, word_places
from .candidates import REASONS, Caption
from .novelty import N_GRAMS, shown
from .results import Setting, comparison, label

#: Rejected attempts that are shown for each reason.
SAMPLES = 200
#: Characters of a training caption that are shown, those around the copied words.
NEAREST = 300
#: Shorter runs of words are not marked: nearly every caption has one.
LEAST = N_GRAMS[0]
#: The reasons for which a sample is shown with the training caption that it copies.
COPIES = ("exact_copy", "folded_copy", "near_copy", "copied_span")
MEANINGS = {
    "captions": "number of captions",
    "mean_words": "words in a caption, mean",
    **{f"novelty_{n}": f"share of runs of {n} words that no training caption has" for n in N_GRAMS},
    "mean_copied_span": "longest run of words that is also in one training caption, mean",
    "longest_copied_span": "longest such run in any caption",
    "copied_share": "share of a caption's words in that run, mean",
    "exact_copies": "captions that are training captions",
    "folded_copies": "the same except for case, punctuation, emoji and tags",
    "near_copies": "captions that share most of their words with a training caption",
    "distinct_1": "share of distinct words",
    "distinct_2": "share of distinct pairs of words",
    "distinct_3": "share of distinct runs of 3 words",
    "compression_ratio": "high where captions repeat themselves or each other",
    "emoji_share": "share of captions with an emoji",
    "tag_share": "share of captions with a tag",
}
#: Keys of a run's record that the page shows elsewhere.
_ELSEWHERE = ("options", "versions", "figures", "rejected", "note", "settings", "tags")


def page(
    tags: Sequence[str], prompts: Sequence[str], settings: Sequence[Setting], training: Sequence[str], record: Mapping[str, Any]
) -> str:
    """Return the page of one run, or of several side by side, as HTML; the same arguments give the same bytes.

    Args:
        training: the training captions by their number in ``Caption.copied``; empty where they are not known.
        record: the run, as in <corpus>_gen.json; its options, versions and single values are shown.
    """
    kept, attempts = (sum(map(len, found)) for found in zip(*((setting.captions, setting.attempts) for setting in settings)))
    several = len(settings) > 1
    base = f", tuned from {record['base_model']}" if record.get("base_model") else ""
    many = f" with {len(settings)} settings" if several else ""
    return pages.render(
        "generated.html",
        title="Captions for " + " ".join(f"#{tag}" for tag in tags),
        summary=f"{console.count(kept, 'caption')} kept of {console.count(attempts, 'attempt')}{many}, by a model of these tags{base}.",
        note=record.get("note"),
        least=LEAST,
        comparison=dict(zip(("head", "rows"), comparison(settings))) if several else None,
        prompts=_by_prompt(prompts, settings, training),
        rejections=_rejections(settings),
        samples=_samples(settings, training),
        figures=[_figures(setting) for setting in settings],
        run=pages.rows({key: value for key, value in record.items() if key not in _ELSEWHERE}),
        options=pages.rows(record.get("options", {})),
        versions=pages.rows(record.get("versions", {})),
    )


def _name(setting: Setting) -> str:
    return label(setting.values) or "All prompts"


def _by_prompt(prompts: Sequence[str], settings: Sequence[Setting], training: Sequence[str]) -> list[dict[str, object]]:
    """Return each prompt with its captions by setting, as shown on the page."""
    found: dict[tuple[str, int], list[dict[str, object]]] = defaultdict(list)
    for number, setting in enumerate(settings):
        for caption in setting.captions:
            found[caption.prompt, number].append(_item(caption, training))
    shown_prompts: list[dict[str, object]] = []
    for prompt in prompts:
        columns = [{"name": _name(setting), "captions": found[prompt, number]} for number, setting in enumerate(settings)]
        shown_prompts.append({"name": f"“{prompt}”" if prompt else "Without a prompt", "columns": columns})
    return shown_prompts


def _item(caption: Caption, training: Sequence[str], setting: str = "") -> dict[str, object]:
    """Return a caption as shown on the page: its text and the nearest training caption with copied words marked, and figures."""
    copied, text, nearest, number = caption.copied, Marked(caption.text), None, ""
    score = None if caption.score is None else f"score {caption.score:.2f}"
    facts = [setting, score, console.count(word_count(caption.text), "word"), console.count(caption.tokens, "token")]
    if copied is not None and copied.span >= LEAST and copied.nearest is not None:
        run = copied.span_words.split()
        text = _mark(caption.text, run)
        facts.append(f"{copied.span} words copied")
        if copied.nearest < len(training):
            nearest, number = _mark(training[copied.nearest], run, NEAREST), f"caption {copied.nearest + 1:,}"
    return {"text": text, "facts": " · ".join(filter(None, facts)), "nearest": nearest, "number": number}


def _mark(text: str, run: Sequence[str], most: int | None = None) -> Marked:
    """Return ``text`` with its first ``run`` of folded words marked, and about ``most`` characters around them."""
    words, places = folded_words(text), word_places(text)
    start = next(number for number in range(len(words)) if words[number : number + len(run)] == run)
    begin, end = places[start][0], places[start + len(run) - 1][1]
    margin = len(text) if most is None else max(0, most - (end - begin)) // 2
    left, right = max(0, begin - margin), end + margin
    return Marked("…" * (left > 0) + text[left:begin], text[begin:end], text[end:right] + "…" * (right < len(text)))


def _rejections(settings: Sequence[Setting]) -> dict[str, object]:
    """Return a table of the attempts that were rejected for each reason under each setting."""
    reasons = sum((Counter(setting.rejected) for setting in settings), Counter[str]()).most_common()
    attempts = [max(1, len(setting.attempts)) for setting in settings]
    counts = {reason: [setting.rejected.get(reason, 0) for setting in settings] for reason, _ in reasons}
    rows = [[reason, *(f"{count:,} ({count / all_:.0%})" for count, all_ in zip(found, attempts))] for reason, found in counts.items()]
    names = [_name(setting) for setting in settings] if len(settings) > 1 else ["attempts (share of all)"]
    return {"head": ["reason", *names], "rows": rows}


def _samples(settings: Sequence[Setting], training: Sequence[str]) -> list[dict[str, object]]:
    """Return rejected attempts of each reason, from all prompts and settings; copies with their training captions."""
    found: dict[str, list[tuple[Setting, Caption]]] = defaultdict(list)
    for setting in settings:
        for caption in setting.attempts:
            if caption.reason is not None:
                found[caption.reason].append((setting, caption))
    samples: list[dict[str, object]] = []
    for reason, all_ in sorted(found.items(), key=lambda item: -len(item[1])):
        some = pages.evenly(all_, SAMPLES)
        copied_from = training if reason in COPIES else ()
        items = [_item(caption, copied_from, _name(setting) if len(settings) > 1 else "") for setting, caption in some]
        number = f"{len(some)} of them, evenly spaced" if len(some) < len(all_) else "all of them"
        samples.append(
            {"name": f"{reason}, {console.count(len(all_), 'attempt')}", "means": REASONS[reason], "shown": number, "captions": items}
        )
    return samples


def _figures(setting: Setting) -> dict[str, object]:
    columns = list(setting.figures.values())
    rows = [[key, *(shown(figures.get(key)) for figures in columns), MEANINGS.get(key, "")] for key in columns[0]]
    return {"name": _name(setting), "head": ["figure", *setting.figures, "meaning"], "rows": rows}
