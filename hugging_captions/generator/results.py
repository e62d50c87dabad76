"""The results of a generation: the settings with their figures, as text, tables, a page and files.

Writes text/generated_text/<corpus>_gen.txt, .jsonl, .csv, .json and .html, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import console, pages, storage
from ..pages import Marked
from ..storage import Store, corpus_name
from ..text import folded_words, word_count, word_places
from .novelty import MEANINGS, N_GRAMS, Figures, shown, table
from .selection import REASONS, Caption, count_reasons

#: The sampling options that vary, by name.
Values = dict[str, Any]
#: The suffixes of the files; an old .compare.txt must not stay next to new captions.
_SUFFIXES = (".txt", ".jsonl", ".csv", ".json", ".html", ".compare.txt")
#: The figures that compare settings.
COMPARED = ("novelty_4", "distinct_2")
#: Text that a spreadsheet may read as a formula, also after spaces and in full-width forms, and such text after apostrophes.
_FORMULA = re.compile(r"'*(?:[\t\r\n]|[\s\x00-\x1f\ufeff]*[=+\-@＝＋－＠])")
#: Rejected attempts that are shown for each reason.
SAMPLES = 200
#: Characters of a training caption that are shown, those around the copied words.
NEAREST = 300
#: Shorter runs of words are not marked: nearly every caption has one.
LEAST = N_GRAMS[0]
#: The reasons for which a sample is shown with the training caption that it copies.
COPIES = ("exact_copy", "folded_copy", "near_copy", "copied_span")
#: Keys of a run's record that the page shows elsewhere.
_ELSEWHERE = ("options", "versions", "figures", "rejected", "note", "settings", "tags")


@dataclass(frozen=True)
class Setting:
    """The result of one combination of the sampling options.

    ``values`` has the options that vary, by name; it is empty for one combination. ``captions`` are the kept ones, by prompt and
    best first; ``attempts`` all evaluated ones with their reasons.
    """

    values: Values
    captions: Sequence[Caption]
    attempts: Sequence[Caption]
    figures: dict[str, Figures] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return the values as text: ``temperature 0.7, top_p 0.9``."""
        return ", ".join(f"{name} {value}" for name, value in self.values.items())

    @property
    def heading(self) -> str:
        """Return the label as a heading of the page."""
        return self.label or "All prompts"

    def counts(self) -> dict[str, Any]:
        """Return this setting's part of the .json file."""
        kept, attempts, rejected = len(self.captions), len(self.attempts), count_reasons(self.attempts)
        return {"kept": kept, "attempts": attempts, "rejected": rejected} | ({"figures": self.figures} if self.figures else {})


def joined(settings: Sequence[Setting]) -> Setting:
    """Return the captions and attempts of all ``settings`` as one, in the order of the files."""
    captions = [caption for setting in settings for caption in setting.captions]
    return Setting({}, captions, [caption for setting in settings for caption in setting.attempts])


@dataclass(frozen=True)
class GenerateResult:
    """The result of each setting, and the path of the captions."""

    path: Path
    settings: Sequence[Setting]
    note: str

    @property
    def captions(self) -> Sequence[Caption]:
        """Return the kept captions of all settings, in the order of the files."""
        return joined(self.settings).captions

    def summary(self, verbose: bool = False) -> str:
        """Return, for stdout, the best ten captions, the rejected ones by reason and the novelty figures (all with ``verbose``), or a
        table of the settings."""
        head, rows = comparison(self.settings)
        parts = _one(self.settings[0], verbose) if len(self.settings) == 1 else [console.table(rows, head)]
        parts[-1] += f"\n{console.wrap(self.note)}" if self.note else ""
        every = joined(self.settings)
        kept = f"{console.count(len(every.captions), 'caption')} of {console.count(len(every.attempts), 'attempt')}"
        return "\n\n".join([*parts, console.wrap(f"{kept} -> {console.short_path(self.path)}")])


def _one(setting: Setting, verbose: bool) -> list[str]:
    best = sorted(setting.captions, key=lambda caption: -(caption.score or 0.0))[:10]
    parts = ["\n".join(console.wrap(f"{number:3}. {console.shorten(caption.text, 200)}", 5) for number, caption in enumerate(best, 1))]
    if rejected := count_reasons(setting.attempts):
        shares = [[REASONS[name], count, f"{count / len(setting.attempts):.0%}"] for name, count in rejected.items()]
        parts.append(console.table(shares, ("why captions were rejected", "captions", "of attempts")))
    return [*parts, table(setting.figures, verbose)]


def comparison(settings: Sequence[Setting]) -> tuple[list[str], list[list[str]]]:
    """Return a header, a row for each setting, and one for the held-out captions if there are any."""
    rows = []
    for setting in settings:
        scores = [caption.score for caption in setting.captions if caption.score is not None]
        cells = [len(setting.captions), len(setting.attempts), sum(scores) / len(scores) if scores else None]
        rows.append([setting.label, *map(shown, cells), *(shown(setting.figures["kept"].get(name)) for name in COMPARED)])
    if people := settings[0].figures.get("held out"):
        rows.append(["held out", shown(people["captions"]), "", "", *(shown(people.get(name)) for name in COMPARED)])
    return ["setting", "kept", "attempts", "mean score", *COMPARED], rows


# -- the files


def result_paths(tags: Sequence[str], name: str, store: Store, overwrite: bool) -> dict[str, Path]:
    """Return the path of each file of a generation by the end of its name.

    Raises:
        UsageError: the existing files belong to another tag or name, or a .previous would be lost without ``overwrite``.
    """
    paths = {suffix: store.generated(corpus_name(tags, name), suffix) for suffix in _SUFFIXES}
    storage.refuse_foreign(paths[".json"], tags, name)
    storage.refuse_loss(list(paths.values()), overwrite)
    return paths


def write(
    paths: dict[str, Path],
    settings: Sequence[Setting],
    record: dict[str, Any],
    training: Sequence[str],
    compared: str | None,
    overwrite: bool,
    again: bool,
) -> None:
    """Replace the files together, once all are on disk; earlier ones are kept as .previous unless this session wrote them (``again``).

    Rows include the setting if there are several. The page shows the copied ``training`` captions.
    """
    records = [setting.values | caption.record() for setting in settings for caption in setting.captions]
    texts = {
        ".txt": "".join(storage.escape_caption(caption.text) + "\n" for caption in joined(settings).captions),
        ".jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in records),
        ".csv": as_csv(records),
        ".json": storage.json_bytes(record).decode(),
        ".html": page(record["tags"], record["prompts"], settings, training, record),
    }
    if compared is not None:
        texts[".compare.txt"] = compared
    with storage.atomic_writes([paths[suffix] for suffix in texts]) as handles:
        for handle, text in zip(handles, texts.values()):
            handle.write(text)
            handle.flush()  # a full disk must be found before the earlier files are moved
        if not again:
            storage.keep_previous(list(paths.values()), overwrite)


def as_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Return a table with a row for each record.

    A text that a spreadsheet could read as a formula gets an additional apostrophe at its beginning (OWASP, CSV injection).
    """
    import pandas as pd

    cells = [{key: f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for key, cell in row.items()} for row in records]
    # every text is quoted: for some readers a bare carriage return would end the row
    return str(pd.DataFrame(cells, dtype=object).to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC))


# -- the page


def page(
    tags: Sequence[str], prompts: Sequence[str], settings: Sequence[Setting], training: Sequence[str], record: Mapping[str, Any]
) -> str:
    """Return the page of one run, or of several settings side by side, as HTML; the same arguments give the same bytes.

    Args:
        training: the training captions by their number in ``Caption.copied``; empty where they are not known.
        record: the run, as in <corpus>_gen.json; its options, versions and single values are shown.
    """
    every, several = joined(settings), len(settings) > 1
    base = f", tuned from {record['base_model']}" if record.get("base_model") else ""
    many = f" with {len(settings)} settings" if several else ""
    attempts = console.count(len(every.attempts), "attempt")
    return pages.render(
        "generated.html",
        title="Captions for " + " ".join(f"#{tag}" for tag in tags),
        summary=f"{console.count(len(every.captions), 'caption')} kept of {attempts}{many}, by a model of these tags{base}.",
        note=record.get("note"),
        least=LEAST,
        comparison=dict(zip(("head", "rows"), comparison(settings))) if several else None,
        prompts=[_prompt(prompt, settings, training) for prompt in prompts],
        rejections=_rejections(settings),
        samples=_samples(settings, training),
        figures=[_figures(setting) for setting in settings],
        run=pages.rows({key: value for key, value in record.items() if key not in _ELSEWHERE}),
        options=pages.rows(record.get("options", {})),
        versions=pages.rows(record.get("versions", {})),
    )


def _prompt(prompt: str, settings: Sequence[Setting], training: Sequence[str]) -> dict[str, object]:
    """Return a prompt with its captions by setting, as shown on the page."""
    own = [[_item(caption, training) for caption in setting.captions if caption.prompt == prompt] for setting in settings]
    columns = [{"name": setting.heading, "captions": captions} for setting, captions in zip(settings, own)]
    return {"name": f"“{prompt}”" if prompt else "Without a prompt", "columns": columns}


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
    rejected = [Counter(count_reasons(setting.attempts)) for setting in settings]
    rows = [
        [reason, *(f"{own[reason]:,} ({own[reason] / max(1, len(setting.attempts)):.0%})" for setting, own in zip(settings, rejected))]
        for reason, _ in sum(rejected, Counter[str]()).most_common()
    ]
    names = [setting.heading for setting in settings] if len(settings) > 1 else ["attempts (share of all)"]
    return {"head": ["reason", *names], "rows": rows}


def _samples(settings: Sequence[Setting], training: Sequence[str]) -> list[dict[str, object]]:
    """Return rejected attempts of each reason, from all prompts and settings; copies with their training captions."""
    found: dict[str, list[tuple[str, Caption]]] = defaultdict(list)
    for setting in settings:
        for caption in setting.attempts:
            if caption.reason is not None:
                found[caption.reason].append((setting.heading if len(settings) > 1 else "", caption))
    samples: list[dict[str, object]] = []
    for reason, all_ in sorted(found.items(), key=lambda item: -len(item[1])):
        some = pages.evenly(all_, SAMPLES)
        items = [_item(caption, training if reason in COPIES else (), name) for name, caption in some]
        number = f"{len(some)} of them, evenly spaced" if len(some) < len(all_) else "all of them"
        heading = f"{reason}, {console.count(len(all_), 'attempt')}"
        samples.append({"name": heading, "means": REASONS[reason], "shown": number, "captions": items})
    return samples


def _figures(setting: Setting) -> dict[str, object]:
    columns = list(setting.figures.values())
    rows = [[key, *(shown(figures.get(key)) for figures in columns), MEANINGS.get(key, "")] for key in columns[0]]
    return {"name": setting.heading, "head": ["figure", *setting.figures, "meaning"], "rows": rows}
