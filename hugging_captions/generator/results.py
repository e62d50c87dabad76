"""What a generation gave: one or several settings, the table that compares them, and the files.

Writes text/generated_text/<corpus>_gen.txt, .jsonl, .csv and .json, and with --compare-base .compare.txt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import console, storage
from ..storage import Store, corpus_name

if TYPE_CHECKING:  # imports torch: a usage error is reported before that
    from .candidates import Caption
    from .novelty import Figures


#: The sampling options that vary, by name.
Values = dict[str, float | int | str]


def label(values: Values) -> str:
    """Return the values for people: ``temperature 0.7, top_p 0.9``."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


@dataclass(frozen=True)
class Setting:
    """What one combination of the sampling options gave.

    ``values`` are those of the options that vary, by name: empty where there is one combination. ``captions`` are the kept ones,
    by prompt and best first; ``attempts`` all that were evaluated, each with its reason; ``rejected`` counts the reasons.
    """

    values: Values
    captions: tuple[Caption, ...]
    attempts: tuple[Caption, ...]
    rejected: dict[str, int]
    figures: dict[str, Figures]

    def counts(self) -> dict[str, object]:
        """Return what the .json file says of this setting alone."""
        return {"kept": len(self.captions), "attempts": len(self.attempts), "rejected": self.rejected, "figures": self.figures}


@dataclass(frozen=True)
class GenerateResult:
    """What each setting gave, and where it is."""

    path: Path
    settings: tuple[Setting, ...]
    note: str

    @property
    def captions(self) -> list[Caption]:
        """Return the kept captions of all settings, in the order of the files."""
        return [caption for setting in self.settings for caption in setting.captions]

    def summary(self) -> str:
        """Return for stdout the best ten captions, the rejected ones by reason and the novelty table, or a table of the settings."""
        parts = self._one(self.settings[0]) if len(self.settings) == 1 else [_comparison_table(self.settings)]
        parts[-1] += f"\n{self.note}" if self.note else ""
        attempts = sum(len(setting.attempts) for setting in self.settings)
        kept = f"{console.count(len(self.captions), 'caption')} of {console.count(attempts, 'attempt')} -> {self.path}"
        return "\n\n".join([*parts, kept])

    def _one(self, setting: Setting) -> list[str]:
        from .candidates import REASONS
        from .novelty import table

        best = sorted(setting.captions, key=lambda caption: -(caption.score or 0.0))[:10]
        parts = ["\n".join(f"{number:3}. {console.shorten(caption.text, 200)}" for number, caption in enumerate(best, 1))]
        if setting.rejected:
            attempts = len(setting.attempts)
            shares = [[REASONS[name], count, f"{count / attempts:.0%}"] for name, count in setting.rejected.items()]
            parts.append(console.table(shares, (f"rejected of {console.count(attempts, 'attempt')}", "captions", "share")))
        return [*parts, table(setting.figures)]


def _comparison_table(settings: Sequence[Setting]) -> str:
    """Return a row for each setting, and one for the held-out captions where there are some."""
    rows: list[list[object]] = []
    for setting in settings:
        scores = [caption.score for caption in setting.captions if caption.score is not None]
        figures = setting.figures["kept"]
        mean = sum(scores) / len(scores) if scores else None
        cells = [None if value is None else f"{value:.3f}" for value in (mean, figures["novelty_4"], figures["distinct_2"])]
        rows.append([label(setting.values), len(setting.captions), len(setting.attempts), *cells])
    if people := settings[0].figures.get("held out"):
        rows.append(["held out", people["captions"], None, None, f"{people['novelty_4']:.3f}", f"{people['distinct_2']:.3f}"])
    header = ("setting", "kept", "attempts", "mean score", "novelty_4", "distinct_2")
    return console.table([["-" if cell is None else cell for cell in row] for row in rows], header)


def result_paths(tags: Sequence[str], name: str, store: Store) -> dict[str, Path]:
    """Return the path of each file of a generation by the end of its name.

    Raises:
        UsageError: what is there belongs to another tag or name.
    """
    # .compare.txt of an earlier run must not stay next to other captions
    paths = {suffix: store.generated(corpus_name(tags, name), suffix) for suffix in (".txt", ".jsonl", ".csv", ".json", ".compare.txt")}
    storage.refuse_foreign(paths[".json"], tags, name)
    return paths


def write(
    paths: dict[str, Path],
    settings: Sequence[Setting],
    record: dict[str, object],
    comparison: str | None,
    overwrite: bool,
    again: bool = False,
) -> None:
    """Replace the files together, once all are on disk; earlier ones are kept as .previous, unless they are this session's (``again``).

    A row names its setting where there are several.
    """
    import pandas as pd

    captions = [caption for setting in settings for caption in setting.captions]
    records = [setting.values | caption.record() for setting in settings for caption in setting.captions]
    cells = [{key: _as_text(cell) for key, cell in line.items()} for line in records]
    texts = {
        ".txt": "".join(storage.escape_caption(caption.text) + "\n" for caption in captions),
        ".jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in records),
        ".csv": pd.DataFrame(cells, dtype=object).to_csv(index=False, lineterminator="\n"),
        ".json": storage.json_bytes(record).decode(),
    }
    if comparison is not None:
        texts[".compare.txt"] = comparison
    with storage.atomic_writes([paths[suffix] for suffix in texts]) as handles:
        for handle, text in zip(handles, texts.values()):
            handle.write(text)
            handle.flush()  # a full disk must be found before the earlier files are moved
        if not again:
            storage.keep_previous(list(paths.values()), overwrite)


def _as_text(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
