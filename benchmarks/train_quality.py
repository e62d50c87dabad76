"""The quality part of benchmarks/train.py: held-out loss against training time, four recipes from the same base model."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hugging_captions.console import table
from hugging_captions.options import TrainOptions
from hugging_captions.storage import write_captions
from hugging_captions.trainer.recipe import choose

ROOT = Path(__file__).resolve().parent.parent
#: The third shows the gap that remains when the recipe of 2020 gets our learning rate. The fourth has
#: run_clm.py's own defaults: 3 epochs at 5e-5, blocks of 1,024 tokens, 8 in a step.
CONTENDERS = ("ours", "classic (2020)", "classic, our rate", "run_clm grouping")


def options_of(name: str, base_model: str) -> list[str]:
    """Return the options of tune_transformer.py for a contender."""
    our_rate = str(choose(TrainOptions(base_model=base_model)).learning_rate)
    return {
        "ours": [],
        "classic (2020)": ["--recipe", "classic"],
        "classic, our rate": ["--recipe", "classic", "--learning-rate", our_rate],
        "run_clm grouping": ["--recipe", "classic", "--epochs", "3", "--learning-rate", "5e-5", "--batch-tokens", "8192"],
    }[name]


def fine_tune(name: str, base_model: str, captions: Sequence[str], seed: int, repository: Path = ROOT) -> dict[str, Any]:
    """Return the curve of one training: (seconds of training, epoch, val_loss), and its best.

    Args:
        repository: the checkout of this project to measure.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_captions(Path(folder) / "text/bench/captions.txt", captions)
        command = [sys.executable, str(repository / "tune_transformer.py"), "--root", folder, "--tag", "bench", "--train"]
        command += ["--base-model", base_model, "--seed", str(seed), *options_of(name, base_model)]
        subprocess.run(command, check=True, capture_output=True)
        history = (Path(folder) / "trained_models/bench/history.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [line for line in map(json.loads, history) if "val_loss" in line]
    curve = [(line["seconds"], line["epoch"], line["val_loss"]) for line in lines]
    best = min(curve, key=lambda point: point[2])
    return {"name": name, "seed": seed, "curve": curve, "best": best[2], "best_seconds": best[0], "best_epoch": best[1]}


def seconds_to(run: dict[str, Any], loss: float) -> float:
    """Return the seconds after which ``run`` first reached ``loss``, or infinity."""
    return next((seconds for seconds, _, val_loss in run["curve"] if val_loss <= loss), float("inf"))


def print_table(by_name: dict[str, list[dict[str, Any]]]) -> None:
    """Print one row a recipe: the means over the seeds."""
    rows = []
    for name, runs in by_name.items():
        before, best = [run["curve"][0][2] for run in runs], [run["best"] for run in runs]
        times, epochs = [run["best_seconds"] for run in runs], [run["best_epoch"] for run in runs]
        spread = f"{min(best):.3f}-{max(best):.3f}"
        rows.append([name, f"{_mean(before):.3f}", f"{_mean(best):.3f}", spread, f"{_mean(epochs):.1f}", f"{_mean(times):.0f}"])
    print(table(rows, ("means over the seeds", "val_loss before", "best", "by seed", "at epoch", "after s")), "\n")


def draw(path: Path, by_name: dict[str, list[dict[str, Any]]]) -> None:
    """Draw val_loss over the seconds of training, one line a seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, runs) in enumerate(by_name.items()):
        for run in runs:
            seconds, _, losses = zip(*run["curve"])
            axes.plot(seconds, losses, "o-", color=f"C{colour}", label=name if run is runs[0] else None, markersize=3, linewidth=1.2)
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("val_loss (nats per token)")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
