"""What a training leaves next to its weights: run.json, history.jsonl, the model card and the loss curve.

Writes into the folder of the checkpoint. run.json has everything that is needed to repeat the training, and its result.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..console import count, printable
from ..errors import from_os_error
from ..gguf_files import HUB_NAME
from ..models import LoadedModel, describe_device
from ..options import HardwareOptions, TrainOptions, as_json
from ..storage import atomic_write
from ..text import hash64

if TYPE_CHECKING:
    from ..dataset.corpus import Corpus
    from .recipe import Recipe

#: A line of history.jsonl or an object of run.json.
Line = dict[str, Any]

#: Packages whose release can change the result.
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "peft")
#: Licences of the base models that people name most, as their cards on the hub state them.
LICENCES = {"gpt2": "mit", "gpt2-medium": "mit", "gpt2-large": "mit", "gpt2-xl": "mit", "distilgpt2": "apache-2.0"}


class Clock:
    """Wall time by phase, in seconds, from the first one, ``load``; while an inner phase is measured, the outer one stands still."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._phase, self._since = "load", time.perf_counter()

    def switch(self, phase: str) -> str:
        """Begin ``phase`` and return the one that ends."""
        ended, now = self._phase, time.perf_counter()
        self._seconds[ended] += now - self._since
        self._phase, self._since = phase, now
        return ended

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Count the time of the block as ``phase``."""
        outer = self.switch(phase)
        try:
            yield
        finally:
            self.switch(outer)

    def elapsed(self, phase: str) -> float:
        """Return the seconds of ``phase`` until now."""
        self.switch(self._phase)
        return self._seconds[phase]

    def add(self, phase: str, seconds: float) -> None:
        """Add what an earlier session took for ``phase``."""
        self._seconds[phase] += seconds

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each phase until now."""
        return {phase: round(self.elapsed(phase), 3) for phase in ("load", "train", "evaluate", "save", "sample")}


def run_json(corpus: Corpus, options: TrainOptions, recipe: Recipe, hardware: HardwareOptions, device: str, base: LoadedModel) -> Line:
    """Return run.json without tags and results: ``options`` are those of the command, ``recipe`` is what follows from them.

    ``document`` names the tokens before and after a caption; ``held_out`` has a hash (``text.hash64``, hexadecimal) of each
    held-out caption.
    """
    from accelerate import PartialState

    return {
        "corpus_sha256": corpus.sha256,
        "captions": len(corpus.captions),
        "options": as_json(options) | as_json(hardware),
        "recipe": asdict(recipe),
        "seed": hardware.seed,
        "device": device,
        "hardware": describe_device(device),
        "processes": PartialState().num_processes,
        "base_model_origin": None if base.origin is None else dict(base.origin),
        "document": {"start": base.tokenizer.decode([base.start]), "end": base.tokenizer.decode([base.end])},
        "parameters": sum(p.numel() for p in base.model.parameters()),
        "model_type": base.model.config.model_type,
        "versions": {"hugging_captions": __version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES if find_spec(package)},
        "git_commit": _git_commit(),
        "held_out": [f"{hash64(caption):016x}" for caption in corpus.held_out],
    }


def _git_commit() -> str | None:
    """Return the commit that this code is from, ``-dirty`` if it was changed since, or None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def append_history(path: Path, lines: Iterable[Line]) -> None:
    """Append ``lines`` to a history.jsonl.

    Raises:
        ResourceError: it can't be written.
    """
    try:
        with open(path, "a", encoding="utf-8") as handle:
            handle.writelines(json.dumps(line) + "\n" for line in lines)
    except OSError as error:
        raise from_os_error(error, "write", path) from error


def write_card(folder: Path, run: Line, history: Sequence[Line], samples: Sequence[str]) -> None:
    """Write README.md and loss.png.

    Args:
        run: the value of run.json.
        samples: captions that the model wrote; without any the card has no such section.
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
        warnings.simplefilter("ignore")  # a tag may have letters that the font lacks
        figure.savefig(handle, format="png", dpi=120)


def licence(base_model: str) -> str | None:
    """Return the licence of ``base_model`` as far as known: from its own card if that is here, or from ``LICENCES``."""
    if base_model == "scratch":
        return None
    card = Path(base_model) / "README.md"
    if card.is_file():
        match = re.match(r"---\n.*?^license: *(\S+)", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL | re.MULTILINE)
        return match[1] if match else None
    return LICENCES.get(base_model.removeprefix("openai-community/").removeprefix("distilbert/"))


def _card(run: Line, history: Sequence[Line], samples: Sequence[str]) -> str:
    tags = ", ".join(f"#{tag}" for tag in run["tags"])
    base, recipe, metrics = run["options"]["base_model"], run["recipe"], run["metrics"]
    origin = run["base_model_origin"] or {}
    known = origin.get("license") or licence(base)
    # a card on the hub must name a model there
    hub = base if base != "smollm2" else "HuggingFaceTB/SmolLM2-135M-Instruct" if origin else HUB_NAME
    head = ["base_model: " + hub] * (base != "scratch") + [f"license: {known}"] * bool(known)
    rights = "These weights were made from nothing but the captions."
    if base != "scratch":
        rights = f"The licence of the base model ({known or 'unknown here: see its own card'}) applies to these weights."
    return (
        "\n".join(["---", *head, "pipeline_tag: text-generation", "tags: [hugging-captions]", "---"])
        + f"""
# Captions in the voice of {tags}

`{base}` ({run["parameters"]:,} parameters, {run["model_type"]}) fine-tuned by Hugging Captions
{run["versions"]["hugging_captions"]} on {metrics["train_captions"]:,} public captions tagged {tags}.
{_origin(origin)}
## Figures
{_figures(metrics)}
![loss](loss.png)

{_novelty(history)}{_samples(samples)}## How it was made
Learning rate {recipe["learning_rate"]:g} ({recipe["schedule"]}), {recipe["batch_tokens"]:,} tokens a step, {_trained(recipe)}, at most
{count(recipe["epochs"], "epoch")}, {metrics["steps"]:,} steps at {metrics["tokens_per_second"]:,.0f} tokens a second on {run["hardware"]},
seed {run["seed"]}. The corpus has {run["captions"]:,} captions, {metrics["val_captions"]:,} of them held out
(SHA-256 {run["corpus_sha256"][:16]}…); {metrics["cut_captions"]:,} were cut to the model's length.
run.json holds every option, version and checksum; history.jsonl every logged step.

## How to use it
A caption begins after `{run["document"]["start"]}` and ends with `{run["document"]["end"]}`:

    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained("."), AutoModelForCausalLM.from_pretrained(".")
    start = tokenizer.decode([model.generation_config.bos_token_id])
    ids = tokenizer(start + "The lake", add_special_tokens=False, return_tensors="pt")
    print(tokenizer.decode(model.generate(**ids, max_length=60)[0], skip_special_tokens=True))

## Intended use and limits
For research. The captions were written by people who did not write them for this purpose: the model
repeats their habits and prejudices, may repeat their words, and states things that are not so. Don't publish
its output as a person's, and don't use it to advertise or to impersonate. {rights}
The captions themselves are not part of this folder.
"""
    )


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
        return "There was no held-out split: the corpus was too small, or none was asked for.\n"
    by_tag = "".join(f"| loss on #{tag} | | {loss:.4f} |\n" for tag, loss in metrics.get("val_loss_by_tag", {}).items())
    return (
        "| held out | before | best |\n|---|---|---|\n"
        f"| loss (nats per token) | {metrics['val_loss_before']:.4f} | {metrics['val_loss']:.4f} |\n"
        f"| bits per byte | {metrics['bits_per_byte_before']:.4f} | {metrics['bits_per_byte']:.4f} |\n{by_tag}\n"
        f"Perplexity {metrics['perplexity']:.2f} at step {metrics['best_step']} (epoch {metrics['best_epoch']:g}), "
        f"on {metrics['val_captions']} captions that were not trained on.\n"
    )


def _novelty(history: Sequence[Line]) -> str:
    """Return what the sample of the trained model shares with the training captions, next to what held-out people do."""
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
