"""The quality part of benchmarks/train.py: held-out loss against training time, three recipes from the same base model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from hugging_captions import models
from hugging_captions.console import table
from hugging_captions.dataset import corpus as dataset
from hugging_captions.trainer import hardware
from hugging_captions.trainer.callbacks import Watcher
from hugging_captions.trainer.checkpoints import Checkpoints, Interrupts
from hugging_captions.trainer.recipe import CLASSIC_BLOCK, RECIPES, Recipe, fit

#: run_clm.py's own defaults: 3 epochs at 5e-5, blocks of 1,024 tokens, 8 in a step.
RUN_CLM = Recipe(epochs=3, learning_rate=5e-5, batch_tokens=8 * 1024, warmup=0.0, weight_decay=0.0)
#: The third is for fairness: what remains of the gap when the recipe of 2020 gets our learning rate.
CONTENDERS = ("ours", "classic (2020)", "classic, our rate", "run_clm grouping")


def recipe_of(name: str, base_model: str) -> Recipe:
    """Return what a contender does with ``base_model``."""
    ours, classic = RECIPES["builtin" if base_model == "builtin" else "pretrained"], RECIPES["classic"]
    return {
        "ours": ours,
        "classic (2020)": classic,
        "classic, our rate": replace(classic, learning_rate=ours.learning_rate, width=ours.width),
        "run_clm grouping": RUN_CLM,
    }[name]


def fine_tune(name: str, base_model: str, captions: Sequence[str], seed: int) -> dict[str, Any]:
    """Return the curve of one training: (seconds of training, epoch, val_loss), and its best."""
    models.quiet_transformers()
    recipe, base = recipe_of(name, base_model), models.load_base(base_model, (), seed)
    if name == "ours":
        hardware.fuse_activations(base.model)
        hardware.keep_freed_memory(models.choose_device("auto"))
    split = dataset.split_captions(len(captions), 0.1, seed)
    train, val = ([captions[i] for i in side] for side in (split.train, split.val))
    rows = dataset.encode_captions(train, base.tokenizer, base.max_positions).rows
    val_rows = dataset.encode_captions(val, base.tokenizer, base.max_positions).rows
    held_out = HeldOut(val_rows, ("",) * len(val), tuple(dataset.byte_count([caption]) for caption in val))
    if name != "ours":
        rows = dataset.blocks(rows, min(CLASSIC_BLOCK, base.max_positions))
    recipe = fit(recipe, base.model.config.hidden_size, sum(map(len, rows)))
    batches = dataset.TokenBatches([len(row) for row in rows], recipe.batch_tokens, seed)
    with tempfile.TemporaryDirectory() as folder:
        watcher = Watcher(
            base.model, held_out, 2048, 3 if name == "ours" else recipe.epochs, len(batches), sum(map(len, rows)) / len(batches),
            Checkpoints(Path(folder), ""), 1e6, Interrupts(), Path(folder) / "history.jsonl",
        )  # fmt: skip
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=recipe.epochs, learning_rate=recipe.learning_rate, warmup_steps=recipe.warmup,
            lr_scheduler_type=recipe.schedule, weight_decay=recipe.weight_decay, save_strategy="no", report_to="none", seed=seed,
            disable_tqdm=True, use_cpu=not torch.cuda.is_available(), dataloader_pin_memory=False,
        )  # fmt: skip
        CaptionTrainer(model=base.model, args=arguments, callbacks=[watcher], rows=rows, batches=batches).train()
    curve = [(line["seconds"], line["epoch"], line["val_loss"]) for line in watcher.history if "val_loss" in line]
    best = min(curve, key=lambda point: point[2])
    return {"name": name, "seed": seed, "curve": curve, "best": best[2], "best_seconds": best[0], "best_epoch": best[1]}


def seconds_to(run: dict[str, Any], loss: float) -> float:
    """Return the seconds after which ``run`` was first at ``loss`` or under it, or infinity."""
    return next((seconds for seconds, _, val_loss in run["curve"] if val_loss <= loss), float("inf"))


def print_table(by_name: dict[str, list[dict[str, Any]]]) -> None:
    """Print one row a recipe: the means over the seeds."""
    rows = []
    for name, runs in by_name.items():
        before, best = ([run[key] if key else run["curve"][0][2] for run in runs] for key in ("", "best"))
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
