"""The GPU part of benchmarks/train.py: utilization of the GPU, and time of the whole command.

The model has GPT-2's shape (124 M parameters) and tokenizer and random weights; speed does not depend on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from hugging_captions import models
from hugging_captions.storage import write_captions

#: Dense bf16 FLOP/s from the data sheets, by a word of the GPU's name.
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40": 181e12, "4090": 165e12, "3090": 71e12}
SCRIPT = Path(__file__).resolve().parent.parent / "tune_transformer.py"


def measure(captions: Sequence[str], tokenizer_folder: Path) -> dict[str, Any]:
    """Return MFU of a long run, wall time of the whole command (ours and classic), and peak memory."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_captions(root / "text/bench/captions.txt", captions)
        model = _save_gpt2(root / "gpt2", tokenizer_folder)
        ours, seconds = _command(root, "--overwrite")
        _, classic_seconds = _command(root, "--overwrite", "--recipe", "classic")
        long, _ = _command(root, "--overwrite", "--epochs", "40", "--patience", "40", "--batch-tokens", "32768")
    mfu = long["tokens_per_second"] * _flops_per_token(model, captions) / _peak()
    return {"mfu": mfu, "seconds": seconds, "classic_seconds": classic_seconds, "peak_gb": ours["peak_memory_gb"]}


def _save_gpt2(folder: Path, tokenizer_folder: Path) -> GPT2LMHeadModel:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.eos_token = tokenizer.eos_token or models.END_OF_TEXT
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def _command(root: Path, *options: str) -> tuple[dict[str, Any], float]:
    """Return the metrics of run.json and the seconds of one whole command, imports and saving included."""
    command = [sys.executable, str(SCRIPT), "--root", str(root), "--tag", "bench", "--train", "--base-model", str(root / "gpt2"), *options]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    return json.loads((root / "trained_models/bench/run.json").read_text())["metrics"], seconds


def _flops_per_token(model: GPT2LMHeadModel, captions: Sequence[str]) -> float:
    """Return 6 N + 12 L w T (PaLM, appendix B): N without the position table, T about the tokens of a mean caption."""
    config = model.config
    parameters = sum(p.numel() for p in model.parameters()) - model.transformer.wpe.weight.numel()
    length = sum(map(len, captions)) / len(captions) / 3  # about three characters a token in captions
    return 6 * parameters + 12 * config.n_layer * config.n_embd * length


def _peak() -> float:
    name = torch.cuda.get_device_name()
    return next((peak for word, peak in PEAK.items() if word in name), float("nan"))
