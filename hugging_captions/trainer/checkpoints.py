"""What an unfinished training can go on from: checkpoints, complete or not there at all.

Reads and writes trained_models/<corpus>.training/checkpoints/. A checkpoint is what transformers'
Trainer writes (weights, optimizer, scheduler, random numbers, position; all of it loaded as plain
tensors), with our best weights and history; complete.json comes last and marks it as whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import InputError, UsageError
from ..storage import read_json, sync_folder, write_json

log = logging.getLogger(__name__)

COMPLETE, BEST = "complete.json", "best.safetensors"


def fingerprint(settings: dict[str, Any], rows: Sequence[Sequence[int]]) -> str:
    """Return a hash of all that decides the weights: ``settings``, and the token rows of both sides of the split."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8"))
    for row in rows:
        digest.update(repr(row).encode("ascii"))
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint, whoever's it is, or None."""
        complete = [path.parent for path in self.folder.glob(f"checkpoint-*/{COMPLETE}")]
        return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def to_resume(self, resume: str, overwrite: bool) -> Path | None:
        """Return the checkpoint to go on from, or None to begin.

        Args:
            resume: ``auto``, ``always`` or ``never``, as in --resume.
            overwrite: whether an unfinished training of another kind may be lost.

        Raises:
            UsageError: an unfinished training of another kind would be lost, or there is none and one must be.
        """
        latest = self.latest() if resume != "never" else None
        same = latest is not None and _progress(latest)["fingerprint"] == self.fingerprint
        if resume == "always" and not same:
            why = "there is none" if latest is None else "its options or captions were others"
            raise UsageError(f"cannot resume the training in {self.folder.parent}: {why}", "repeat the command with --resume auto")
        if latest is not None and not same and not overwrite:
            raise UsageError(
                f"{self.folder.parent} holds an unfinished training with other options or captions",
                "repeat that command to finish it, or give --resume never to begin this one",
            )
        return latest if same else None

    def complete(self, step: int, progress: dict[str, Any], best: dict[str, torch.Tensor] | None) -> None:
        """Add ``progress`` and the ``best`` weights to the checkpoint of ``step``, mark it, and delete the others."""
        path = self.folder / f"checkpoint-{step}"
        if best is not None:
            save_file(best, path / BEST)
        (path / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing reads
        for file in path.iterdir():
            _sync(file)
        write_json(path / COMPLETE, {"fingerprint": self.fingerprint, **progress})
        sync_folder(self.folder)
        for other in self.folder.glob("checkpoint-*"):
            if other != path:
                shutil.rmtree(other, ignore_errors=True)

    def discard_incomplete(self) -> None:
        """Delete what a killed or failed save left behind."""
        for path in self.folder.glob("checkpoint-*"):
            if not (path / COMPLETE).exists():
                shutil.rmtree(path, ignore_errors=True)


def read(checkpoint: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor] | None]:
    """Return the progress and the best weights that ``Checkpoints.complete`` wrote.

    Raises:
        InputError: they are damaged.
    """
    best = checkpoint / BEST
    try:
        return _progress(checkpoint), load_file(best) if best.exists() else None
    except SafetensorError as error:
        raise damaged(checkpoint, error) from error


def damaged(checkpoint: Path, error: Exception) -> InputError:
    """Return the error to raise where ``checkpoint`` can't be gone on from."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"cannot resume from {checkpoint}: {reason}", "it is damaged: repeat the command with --resume never")


def _progress(checkpoint: Path) -> dict[str, Any]:
    try:
        return read_json(checkpoint / COMPLETE)
    except InputError as error:
        raise damaged(checkpoint, error) from error


def _sync(file: Path) -> None:
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


class Interrupts:
    """While entered, Ctrl-C and SIGTERM are noted in ``asked`` instead of raised; the second one is raised.

    So a step is never torn: training saves after it, then stops.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt("interrupted again; training resumes from the checkpoint before")
        self.asked = True
        log.warning("interrupted: saving after this step (once more to stop at once)")
