"""The record of a training: history.jsonl, run.json, and the model card made of them, README.md and loss.png.

run.json has everything needed to repeat the training, and its result. The card is data/card.md; its front matter is made by
huggingface_hub, from run.json and the card and config of a base model that is a folder.
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

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from .. import __version__
from ..console import count, printable
from ..errors import from_os_error
from ..gguf_files import HUB_NAME
from ..models import LoadedModel, describe_device
from ..options import HardwareOptions, TrainOptions, as_json
from ..storage import atomic_write, data_file, read_json
from ..text import hash64

if TYPE_CHECKING:
    from ..dataset.corpus import Corpus
    from .recipe import Recipe

#: A line of history.jsonl or an object of run.json.
Line = dict[str, Any]

#: Packages whose release can change the result.
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "peft")
#: Base models with short names: their hub ids, and the licences on their hub cards.
KNOWN = {
    **{name: (f"openai-community/{name}", "mit") for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")},
    "distilgpt2": ("distilbert/distilgpt2", "apache-2.0"),
    "smollm2": (HUB_NAME, "apache-2.0"),
}
#: The held-out figures of the model card's model-index, with readable names.
CARD_FIGURES = {"val_loss": "loss (nats per token)", "perplexity": "perplexity", "bits_per_byte": "bits per byte"}


class Clock:
    """Wall time by phase in seconds, beginning with ``load``; an inner phase pauses the outer one."""

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
        """Add the seconds of an earlier run to ``phase``."""
        self._seconds[phase] += seconds

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each phase until now."""
        return {phase: round(self.elapsed(phase), 3) for phase in ("load", "train", "evaluate", "save", "sample")}


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


def run_json(corpus: Corpus, options: TrainOptions, recipe: Recipe, hardware: HardwareOptions, device: str, base: LoadedModel) -> Line:
    """Return run.json without tags and results: ``options`` are those of the command, ``recipe`` is derived from them.

    ``document`` has the tokens before and after a caption; ``held_out`` a hash (``text.hash64``, hexadecimal) of each
    held-out caption.
    """
    from accelerate import PartialState

    return {
        "corpus_sha256": corpus.sha256,
        "captions": len(corpus.captions),
        "languages": list(corpus.languages),
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
    """Return the commit of this code, with ``-dirty`` if it was changed since, or None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


# -- the model card


def write_card(folder: Path, run: Line, history: Sequence[Line], samples: Sequence[str]) -> None:
    """Write README.md and loss.png.

    Args:
        run: the value of run.json.
        samples: generated captions; without any the card has no such section.
    """
    from jinja2 import StrictUndefined, Template

    tags = ", ".join(f"#{tag}" for tag in run["tags"])
    _draw_loss(folder / "loss.png", history, run["metrics"], f"Loss on captions of {tags}")
    template = data_file("card.md").read_text(encoding="utf-8")
    text = Template(template, trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined).render(
        run=run, metrics=run["metrics"], recipe=run["recipe"], origin=run["base_model_origin"], data=_front_matter(run), tags=tags,
        from_scratch=run["options"]["base_model"] == "scratch", novelty=next((line for line in history if "sampled" in line), None),
        samples=samples, count=count, printable=printable,
    )  # fmt: skip
    with atomic_write(folder / "README.md") as handle:
        handle.write(text)


def _draw_loss(path: Path, history: Sequence[Line], metrics: Line, title: str) -> None:
    """Draw train_loss and val_loss (nats per token) over the steps, with a mark at the best held-out loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("train_loss", "training", ".-"), ("val_loss", "held out", "o-")):
        points = [(line["step"], line[key]) for line in history if key in line]
        if points:
            axes.plot(*zip(*points), style, label=label, markersize=3, linewidth=1.2)
    if metrics["val_loss"] is not None:
        label = f"saved: epoch {metrics['best_epoch']:g}, loss {metrics['val_loss']:.3f}"
        axes.plot(metrics["best_step"], metrics["val_loss"], "*", color="C3", markersize=11, label=label)
    axes.set_title(title)
    axes.set_xlabel("step (optimizer updates)")
    axes.set_ylabel("loss (nats per token)")
    if axes.get_lines():
        axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    with atomic_write(path, binary=True) as handle, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the font may lack letters of a tag
        figure.savefig(handle, format="png", dpi=120)


def _front_matter(run: Line) -> ModelCardData:
    """Return the front matter of the model card: what the hub sorts, filters and compares models by."""
    metrics, options = run["metrics"], run["options"]
    base, licence = (None, None)
    if options["base_model"] != "scratch":
        base, licence = base_on_hub(options["base_model"], run["base_model_origin"] or {})
    results = [
        EvalResult(
            task_type="text-generation", dataset_type="instagram-captions", dataset_split="validation",
            dataset_name="captions of " + ", ".join(f"#{tag}" for tag in run["tags"]) + ", held out",
            metric_type=key, metric_name=label, metric_value=round(metrics[key], 4),
        )
        for key, label in CARD_FIGURES.items() if metrics[key] is not None
    ]  # fmt: skip
    return ModelCardData(
        base_model=base, license=licence, language=[code for code in run["languages"] if re.fullmatch("[a-z]{2,3}", code)] or None,
        library_name="transformers", pipeline_tag="text-generation", tags=["hugging-captions", "instagram", "captions"],
        model_name="captions-" + "-".join(run["tags"]) if results else None, eval_results=results or None,
    )  # fmt: skip


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
