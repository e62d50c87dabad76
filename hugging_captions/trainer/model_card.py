"""The model card and the loss curve that go with a checkpoint.

Writes README.md and loss.png into the checkpoint's folder, from run.json's values and the history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..console import printable
from ..models import BUILTIN
from ..storage import atomic_write

#: Licences of the base models that people name most, as their cards on the hub state them.
LICENCES = {"gpt2": "mit", "gpt2-medium": "mit", "gpt2-large": "mit", "gpt2-xl": "mit", "distilgpt2": "apache-2.0"}


def write(folder: Path, run: dict[str, Any], history: Sequence[dict[str, Any]], samples: Sequence[str] = ()) -> None:
    """Write README.md and loss.png for a training run.

    Args:
        run: the value of run.json.
        samples: captions that the model wrote; without any the card has no such section. Calling
            this again once there are some rewrites the card.
    """
    draw_loss(folder / "loss.png", history)
    with atomic_write(folder / "README.md") as handle:
        handle.write(_card(run, history, samples))


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
    with atomic_write(path, binary=True) as handle:
        figure.savefig(handle, format="png", dpi=120)


def licence(base_model: str) -> str | None:
    """Return the licence of ``base_model`` as far as known: from its own card if that is here, or from ``LICENCES``."""
    if base_model == "scratch":
        return None
    card = (BUILTIN.parent if base_model == "builtin" else Path(base_model)) / "README.md"
    if card.is_file():
        match = re.match(r"---\n.*?^license: *(\S+)", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL | re.MULTILINE)
        return match[1] if match else None
    return LICENCES.get(base_model.removeprefix("openai-community/").removeprefix("distilbert/"))


def _card(run: dict[str, Any], history: Sequence[dict[str, Any]], samples: Sequence[str]) -> str:
    tags = ", ".join(f"#{tag}" for tag in run["tags"])
    base, recipe, metrics = run["options"]["base_model"], run["recipe"], run["metrics"]
    known = licence(base)
    head = ["base_model: " + base] * (base != "scratch") + [f"license: {known}"] * bool(known)
    rights = "These weights were made from nothing but the captions."
    if base != "scratch":
        rights = f"The licence of the base model ({known or 'unknown here: see its own card'}) applies to these weights."
    return (
        "\n".join(["---", *head, "pipeline_tag: text-generation", "tags: [hugging-captions]", "---"])
        + f"""
# Captions in the voice of {tags}

`{base}` ({run["parameters"]:,} parameters, {run["model_type"]}) fine-tuned by Hugging Captions
{run["versions"]["hugging_captions"]} on {metrics["train_captions"]:,} public captions tagged {tags}.

## Figures
{_figures(metrics)}
![loss](loss.png)

{_novelty(history)}{_samples(samples)}## How it was made
Learning rate {recipe["learning_rate"]:g} ({recipe["schedule"]}), {recipe["batch_tokens"]:,} tokens a step, at most
{recipe["epochs"]} epochs, {metrics["steps"]:,} steps at {metrics["tokens_per_second"]:,.0f} tokens a second on {run["hardware"]},
seed {run["seed"]}. The corpus has {run["captions"]:,} captions, {metrics["val_captions"]:,} of them held out
(SHA-256 {run["corpus_sha256"][:16]}…); {metrics["cut_captions"]:,} were cut to the model's length.
run.json holds every option, version and checksum; history.jsonl every logged step.

## Intended use and limits
For research. The captions were written by people who did not write them for this purpose: the model
repeats their habits and prejudices, may repeat their words, and states things that are not so. Don't publish
its output as a person's, and don't use it to advertise or to impersonate. {rights}
The captions themselves are not part of this folder.
"""
    )


def _figures(metrics: dict[str, Any]) -> str:
    if metrics["val_loss"] is None:
        return "There was no held-out split: the corpus was too small, or none was asked for.\n"
    by_tag = "".join(f"| loss on #{tag} | | {loss:.4f} |\n" for tag, loss in metrics.get("val_loss_by_tag", {}).items())
    return (
        "| held out | before | best |\n|---|---|---|\n"
        f"| loss (nats per token) | {metrics['val_loss_before']:.4f} | {metrics['val_loss']:.4f} |\n"
        f"| bits per byte | {metrics['bits_per_byte_before']:.4f} | {metrics['bits_per_byte']:.4f} |\n{by_tag}\n"
        f"Perplexity {metrics['perplexity']:.2f} at step {metrics['best_step']} (epoch {metrics['best_epoch']:g}), "
        f"on {metrics['val_captions']} captions that were not trained on.\n"
    )


def _novelty(history: Sequence[dict[str, Any]]) -> str:
    """Return what the sample at the end of the training copied, beside what held-out people did."""
    line = next((line for line in history if "sampled" in line), None)
    if line is None:
        return ""
    keys = [key for key in line if f"held_out_{key}" in line]
    rows = "".join(f"| {key} | {line[key]} | {line[f'held_out_{key}']} |\n" for key in keys)
    return (
        f"## Novelty\nOf {line['sampled']} captions written unprompted, {line['ended_share']:.0%} ended by themselves. What they share "
        f"with the training captions, and what the held-out ones do:\n\n| | written | held out |\n|---|---|---|\n{rows}\n"
    )


def _samples(samples: Sequence[str]) -> str:
    if not samples:
        return ""
    return "## What it writes\n" + "".join(f"    {printable(line)}\n" for text in samples for line in [*text.split("\n"), ""]) + "\n"
