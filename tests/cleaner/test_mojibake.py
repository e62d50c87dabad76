"""Repair of text that was decoded with a wrong encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SHARED
from ftfy import fixes

import pull_and_clean
from hugging_captions.cleaner import normalize
from hugging_captions.storage import Store, read_captions

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
def test_text_decoded_with_a_wrong_encoding_is_repaired(caption: str, encodings: list[str]) -> None:
    """Decoded like in browsers: a byte that the encoding doesn't define is unchanged."""
    damaged = caption
    for encoding in encodings:
        damaged = damaged.encode("utf-8").decode(encoding)
    assert damaged != caption
    assert normalize.repair_encoding(damaged) == caption
    assert normalize.repair_encoding(caption) == caption


@pytest.mark.parametrize(
    ("caption", "repaired"),
    [
        ("We came back at nine â\x9c\x85", "We came back at nine ✅"),
        ("Santa came by boat this year ð\x9f\x8e\x85", "Santa came by boat this year 🎅"),
        ("On est dÃ©jÃ\xa0 lÃ\xa0", "On est déjà là"),
        ("Scania KÃ¥mp oil on everything, says the driver", "Scania Kåmp oil on everything, says the driver"),
        ("There are a lot of Ã’s in mojibake text", "There are a lot of Ã’s in mojibake text"),
    ],
)
def test_a_caption_is_repaired_to_its_last_byte(caption: str, repaired: str, root: Path, tmp_path: Path) -> None:
    """Unicode spaces and line breaks can be bytes of mojibake, so nothing is stripped before the repair."""
    source = tmp_path / "posts.jsonl"
    source.write_text(json.dumps({"shortcode": "CaseMMMMM00", "caption": caption, "likes": 100}), encoding="utf-8")
    argv = ["--root", str(root), "--tag", "rmnp", "--from", str(source), "--language", "any"]
    assert pull_and_clean.main(argv) == 0
    assert read_captions(Store(root).captions("rmnp")) == [repaired]


def test_every_pair_that_ftfy_expects_to_repair_is_repaired() -> None:
    if not PAIRS.exists():
        pytest.skip(f"{PAIRS} is not there")
    with open(PAIRS, encoding="utf-8") as handle:
        pairs = [pair for pair in map(json.loads, handle) if pair["expect"] == "pass"]
    repaired = [_as_by_default(normalize.repair_encoding(pair["raw"])) for pair in pairs]
    expected = [pair["fixed"].replace("DrÃ¥ber", "Dråber") for pair in pairs]  # not repaired by ftfy
    assert [pair for pair in zip(repaired, expected) if pair[0] != pair[1]] == []
    assert len(pairs) > 100


def _as_by_default(text: str) -> str:
    """Return ``text`` with ftfy's default changes that are off here or in another rule: quotes, ligatures, control characters."""
    return fixes.uncurl_quotes(fixes.fix_latin_ligatures(fixes.remove_control_chars(text)))
