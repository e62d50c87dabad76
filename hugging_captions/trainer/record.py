"""run.json: everything that is needed to run a training again, and what came out of it."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..dataset.corpus import Corpus
from ..models import describe_device
from ..options import HardwareOptions, TrainOptions, as_json
from . import ranks
from .recipe import Recipe

#: Packages whose release can change the result.
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "peft")


def build(
    tags: Sequence[str], corpus: Corpus, options: TrainOptions, recipe: Recipe, hardware: HardwareOptions, device: str, model: Any
) -> dict[str, Any]:
    """Return run.json without the results: ``options`` are the command's, ``recipe`` is what they came to."""
    return {
        "tags": list(tags),
        "corpus_sha256": corpus.sha256,
        "captions": len(corpus.captions),
        "options": as_json(options) | as_json(hardware),
        "recipe": asdict(recipe),
        "seed": hardware.seed,
        "device": device,
        "hardware": describe_device(device),
        "processes": ranks.ranks(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "model_type": model.config.model_type,
        "versions": {"hugging_captions": __version__, "python": platform.python_version()} | _versions(),
        "git_commit": _git_commit(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Return the commit that this code is from, ``-dirty`` if it was changed since, or None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
