"""Regression tests: recorded results of cleaning and training, through the scripts.

A difference is a change of behaviour: explain it in the commit that renews the figure.
``tests/golden`` has the files of the example; the generated captions of a fixed model are tested with the generator.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import ROOT, SHARED

import pull_and_clean
import tune_transformer
from hugging_captions.storage import Store

GOLDEN = json.loads((ROOT / "tests" / "golden" / "figures.json").read_text(encoding="utf-8"))
OPTIONS = {
    "defaults": [],
    "everything": [
        "--language",
        "any",
        "--emoji",
        "drop",
        "--inline-tags",
        "keep",
        "--min-likes",
        "0",
        "--skip-rule",
        "promotion",
    ],
}


@pytest.mark.timeout(300)  # 12,240 captions on a busy machine
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real captions are not next to this checkout")
@pytest.mark.parametrize("name", OPTIONS)
def test_real_captions_are_cleaned_as_before(name: str, root: Path) -> None:
    source = SHARED / "data" / "influencers_2017.jsonl"
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(source), *OPTIONS[name]]) == 0
    store = Store(root)
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in (store.captions("rmnp"), store.dropped("rmnp"))}
    assert found == GOLDEN["cleaning"][name]


@pytest.mark.parametrize("weights", ["adapters", "all weights"])
def test_a_seeded_training_has_the_same_losses(weights: str, root: Path, tiny_base: Path) -> None:
    captions = Store(root).captions("rmnp")
    captions.parent.mkdir(parents=True)
    captions.write_bytes((ROOT / "tests" / "golden" / "rmnp_captions.txt").read_bytes())
    argv = ["--train", "--base-model", str(tiny_base), "--epochs", "3", "--seed", "7", "--device", "cpu", "--precision", "fp32"]
    more = [] if weights == "adapters" else ["--lora", "0"]
    assert tune_transformer.main(["--root", str(root), "--tag", "rmnp", *argv, *more]) == 0
    history = map(json.loads, (Store(root).model("rmnp") / "history.jsonl").read_text(encoding="utf-8").splitlines())
    losses = [line["val_loss"] for line in history if "val_loss" in line]
    assert losses == pytest.approx(GOLDEN["training"][weights], abs=1e-4)
