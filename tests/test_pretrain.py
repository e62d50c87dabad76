"""base_model/pretrain.py: stops in the middle, goes on, and leaves a folder that anything can load."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from hugging_captions.errors import InputError

sys.path.insert(0, str(ROOT / "base_model"))

import pretrain

SMALL = ["--steps", "8", "--vocabulary", "400", "--positions", "32", "--width", "64", "--layers", "1", "--batch-tokens", "512", "--device", "cpu"]  # fmt: skip


def _history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_that_was_cut_in_slices_goes_on_to_its_end(tmp_path: Path) -> None:
    animals, places = ("A moose", "An elk", "Some marmots", "The jay"), ("lake", "ridge", "pass", "valley", "meadow")
    lines = [f"{who} by the {where}, number {i}" for i in range(12) for who in animals for where in places]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("\n".join(lines[::9]) + "\n", encoding="utf-8")
    argv = ["--text", f"{tmp_path / 'text.txt'}:1.5", "--val", str(tmp_path / "val.txt"), "--out", str(tmp_path / "weights"), *SMALL]
    pretrain.main([*argv, "--slice-minutes", "0"])
    first = _history(tmp_path / "weights")
    assert [line["step"] for line in first] == [1]
    pretrain.main(argv)
    history = _history(tmp_path / "weights")
    assert history[0] == first[0]
    assert [line["step"] for line in history] == [1, 8]
    assert history[1]["bits_per_byte"] < history[0]["bits_per_byte"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "weights")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "weights")
    assert (model.config.resid_pdrop, len(tokenizer)) == (0.1, model.config.vocab_size)
    assert {weight.dtype for weight in load_file(tmp_path / "weights" / "model.safetensors").values()} == {torch.float16}
    assert tokenizer.decode(tokenizer("A moose 🏔️ by the lake")["input_ids"]) == "A moose 🏔️ by the lake"


@pytest.mark.parametrize("text", ["nowhere.txt:1", "text.txt", "text.txt:often"])
def test_text_that_cannot_be_read_is_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write --text FILE:WEIGHT|cannot read"):
        pretrain.read_mix([str(tmp_path / text)], 0)
