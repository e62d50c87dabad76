"""The record of a training: run.json and history.jsonl, from which ``card`` makes the model card.

run.json has everything needed to repeat the training, and its result.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import from_os_error
from ..models import LoadedModel, describe_device
from ..options import HardwareOptions, TrainOptions, as_json
from ..text import hash64

if TYPE_CHECKING:
    from ..dataset.corpus import Corpus
    from .recipe import Recipe

#: A line of history.jsonl or an object of run.json.
Line = dict[str, Any]

#: Packages whose release can change the result.
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "peft")


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
