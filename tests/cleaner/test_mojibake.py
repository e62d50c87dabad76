"""Text that was written in one encoding and read in another comes back."""

from __future__ import annotations

import json

import pytest
from conftest import SHARED
from ftfy import fixes

from hugging_captions.cleaner import normalize

PAIRS = SHARED / "data" / "mojibake_pairs.jsonl"


@pytest.mark.parametrize(
    ("caption", "encodings"),
    [
        ("It’s the best café on the coast", ["sloppy-windows-1252"]),
        ("Déjà vu: the same crêpe, the same corner table", ["latin-1"]),
        ("“Slow down,” said the lake – and we did…", ["sloppy-windows-1252"]),
        ("Zwei Stunden Stau, aber das Frühstück war es wert 🥐", ["sloppy-windows-1252"]),
        ("Sun’s out, so are we ☀️🏖️", ["sloppy-windows-1252"]),
        ("Señora Peña made 40 empanadas and we ate 41", ["latin-1"]),
        ("Наконец-то выходные на даче", ["sloppy-windows-1251"]),
        ("Źródło i jeszcze zimniejsza woda, brr", ["sloppy-windows-1250"]),
        ("Mañana we don’t set an alarm", ["sloppy-windows-1252", "sloppy-windows-1252"]),
        ("Güneş battı, çay demlendi, kimse eve gitmiyor", ["sloppy-windows-1254"]),
    ],
)
def test_what_was_read_in_another_encoding_is_repaired(caption: str, encodings: list[str]) -> None:
    """Sloppy as browsers read: a byte that the encoding leaves open stays as it is."""
    damaged = caption
    for encoding in encodings:
        damaged = damaged.encode("utf-8").decode(encoding)
    assert damaged != caption
    assert normalize.repair_encoding(damaged) == caption
    assert normalize.repair_encoding(caption) == caption


def test_every_pair_that_ftfy_expects_to_repair_is_repaired() -> None:
    if not PAIRS.exists():
        pytest.skip(f"{PAIRS} is not there")
    with open(PAIRS, encoding="utf-8") as handle:
        pairs = [pair for pair in map(json.loads, handle) if pair["expect"] == "pass"]
    repaired = [_as_by_default(normalize.repair_encoding(pair["raw"])) for pair in pairs]
    assert [(got, pair["fixed"]) for got, pair in zip(repaired, pairs) if got != pair["fixed"]] == []
    assert len(pairs) > 100


def _as_by_default(text: str) -> str:
    """Return ``text`` with what ftfy changes by default, and we leave alone or to another rule: quotes, ligatures, control characters."""
    return fixes.uncurl_quotes(fixes.fix_latin_ligatures(fixes.remove_control_chars(text)))
