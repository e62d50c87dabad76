"""The result of a generation: one or several settings, the table that compares them, and the files.

Writes text/generated_text/<corpus>_gen.txt, .jsonl, .csv, .json and .html, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import console, storage
from ..storage import Store, corpus_name

if TYPE_CHECKING:  # imports torch, after usage errors are reported
    from .candidates import Caption
    from .novelty import Figures


#: The sampling options that vary, by name.
Values = dict[str, float | int | str]
#: The suffixes of the files; an old .compare.txt must not stay next to new captions.
_SUFFIXES = (".txt", ".jsonl", ".csv", ".json", ".html", ".compare.txt")
#: The figures that compare settings.
COMPARED = ("novelty_4", "distinct_2")
#: Text that a spreadsheet may read as a formula, also after spaces and in full-width forms, and such text after apostrophes.
_FORMULA = re.compile(r"'*(?:[\t\r\n]|[\s\x00-\x1f\ufeff]*[=+\-@＝＋－＠])")


def label(values: Values) -> str:
    """Return the values as text: ``temperature 0.7, top_p 0.9``."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


@dataclass(frozen=True)
class Setting:
    """The result of one combination of the sampling options.

    ``values`` has the options that vary, by name; it is empty for one combination. ``captions`` are the kept ones, by prompt and
    best first; ``attempts`` all evaluated ones with their reasons; ``rejected`` counts the reasons.
    """

    values: Values
    captions: tuple[Caption, ...]
    attempts: tuple[Caption, ...]
    rejected: dict[str, int]
    figures: dict[str, Figures]

    def counts(self) -> dict[str, object]:
        """Return this setting's part of the .json file."""
        return {"kept": len(self.captions), "attempts": len(self.attempts), "rejected": self.rejected, "figures": self.figures}


@dataclass(frozen=True)
class GenerateResult:
    """The result of each setting, and the path of the captions."""

    path: Path
    settings: tuple[Setting, ...]
    note: str

    @property
    def captions(self) -> list[Caption]:
        """Return the kept captions of all settings, in the order of the files."""
        return [caption for setting in self.settings for caption in setting.captions]

    def summary(self, verbose: bool = False) -> str:
        """Return, for stdout, the best ten captions, the rejected ones by reason and the novelty figures (all with ``verbose``), or a
        table of the settings."""
        head, rows = comparison(self.settings)
        parts = self._one(self.settings[0], verbose) if len(self.settings) == 1 else [console.table(rows, head)]
        parts[-1] += f"\n{console.wrap(self.note)}" if self.note else ""
        attempts = sum(len(setting.attempts) for setting in self.settings)
        kept = f"{console.count(len(self.captions), 'caption')} of {console.count(attempts, 'attempt')}"
        return "\n\n".join([*parts, console.wrap(f"{kept} -> {console.short_path(self.path)}")])

    def _one(self, setting: Setting, verbose: bool) -> list[str]:
        from .candidates import REASONS
        from .novelty import table

        best = sorted(setting.captions, key=lambda caption: -(caption.score or 0.0))[:10]
        parts = ["\n".join(console.wrap(f"{number:3}. {console.shorten(caption.text, 200)}", 5) for number, caption in enumerate(best, 1))]
        if setting.rejected:
            attempts = len(setting.attempts)
            shares = [[REASONS[name], count, f"{count / attempts:.0%}"] for name, count in setting.rejected.items()]
            parts.append(console.table(shares, ("why captions were rejected", "captions", "of attempts")))
        return [*parts, table(setting.figures, verbose)]


def comparison(settings: Sequence[Setting]) -> tuple[list[str], list[list[str]]]:
    """Return a header, a row for each setting, and one for the held-out captions if there are any."""
    from .novelty import shown

    rows = []
    for setting in settings:
        scores = [caption.score for caption in setting.captions if caption.score is not None]
        cells = [len(setting.captions), len(setting.attempts), sum(scores) / len(scores) if scores else None]
        rows.append([label(setting.values), *map(shown, cells), *(shown(setting.figures["kept"].get(name)) for name in COMPARED)])
    if people := settings[0].figures.get("held out"):
        rows.append(["held out", shown(people["captions"]), "", "", *(shown(people.get(name)) for name in COMPARED)])
    return ["setting", "kept", "attempts", "mean score", *COMPARED], rows


def result_paths(tags: Sequence[str], name: str, store: Store) -> dict[str, Path]:
    """Return the path of each file of a generation by the end of its name.

    Raises:
        UsageError: the existing files belong to another tag or name.
    """
    paths = {suffix: store.generated(corpus_name(tags, name), suffix) for suffix in _SUFFIXES}
    storage.refuse_foreign(paths[".json"], tags, name)
    return paths


def write(
    paths: dict[str, Path],
    settings: Sequence[Setting],
    record: dict[str, Any],
    training: Sequence[str],
    comparison: str | None,
    overwrite: bool,
    again: bool = False,
) -> None:
    """Replace the files together, once all are on disk; earlier ones are kept as .previous unless this session wrote them (``again``).

    Rows include the setting if there are several. The page shows the copied ``training`` captions.
    """
    from .page import page

    captions = [caption for setting in settings for caption in setting.captions]
    records = [setting.values | caption.record() for setting in settings for caption in setting.captions]
    texts = {
        ".txt": "".join(storage.escape_caption(caption.text) + "\n" for caption in captions),
        ".jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in records),
        ".csv": as_csv(records),
        ".json": storage.json_bytes(record).decode(),
        ".html": page(record["tags"], record["prompts"], settings, training, record),
    }
    if comparison is not None:
        texts[".compare.txt"] = comparison
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
