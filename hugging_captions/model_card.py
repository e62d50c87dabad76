"""The model card and the loss curve that go with a checkpoint.

Writes README.md and loss.png into the checkpoint's folder, from run.json's values and the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .storage import atomic_write


def write(folder: Path, run: dict[str, Any], history: Sequence[dict[str, Any]]) -> None:
    """Write README.md and loss.png for a training run."""
    draw_loss(folder / "loss.png", history)
    with atomic_write(folder / "README.md") as handle:
        handle.write(_card(run))


def draw_loss(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Draw train_loss and val_loss (nats per token) over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("train_loss", "training", "-"), ("val_loss", "held out", "o-")):
        points = [(line["step"], line[key]) for line in history if key in line]
        if points:
            axes.plot(*zip(*points), style, label=label, markersize=3, linewidth=1.2)
    axes.set_xlabel("step (optimizer updates)")
    axes.set_ylabel("loss (nats per token)")
    if axes.get_lines():
        axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _card(run: dict[str, Any]) -> str:
    tags = ", ".join(f"#{tag}" for tag in run["tags"])
    metrics = run["metrics"]
    figures = "There was no held-out split: the corpus was too small, or none was asked for.\n"
    if metrics["val_loss"] is not None:
        figures = (
            "| held out | before | best |\n|---|---|---|\n"
            f"| loss (nats per token) | {metrics['val_loss_before']:.4f} | {metrics['val_loss']:.4f} |\n"
            f"| bits per byte | {metrics['bits_per_byte_before']:.4f} | {metrics['bits_per_byte']:.4f} |\n\n"
            f"Perplexity {metrics['perplexity']:.2f} at step {metrics['best_step']} (epoch {metrics['best_epoch']:g}), "
            f"on {metrics['val_captions']} captions that were not trained on.\n"
        )
    return f"""---
base_model: {run["options"]["base_model"]}
pipeline_tag: text-generation
tags: [hugging-captions]
---
# Captions in the voice of {tags}

`{run["options"]["base_model"]}` ({run["parameters"]:,} parameters, {run["model_type"]}) fine-tuned by Hugging Captions
{run["versions"]["hugging_captions"]} on {metrics["train_captions"]:,} public captions tagged {tags}.

## Figures
{figures}
![loss](loss.png)

## How it was made
Learning rate {run["options"]["learning_rate"]:g}, {run["options"]["batch_tokens"]:,} tokens a batch,
at most {run["options"]["epochs"]} epochs, {metrics["steps"]:,} steps on {run["hardware"]}, seed {run["seed"]}.
run.json holds every option, version and checksum;
history.jsonl every logged step.

## Intended use and limits
For research. The captions were written by people who did not write them for this purpose: the model
repeats their habits and prejudices, may repeat their words, and states things that are not so. Don't publish
its output as a person's, and don't use it to advertise or to impersonate. The licence of the base model applies to
these weights; the captions themselves are not part of this folder.
"""
