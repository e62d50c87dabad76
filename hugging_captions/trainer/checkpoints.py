"""What an interrupted training resumes from, and when it is saved.

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
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..dataset.batches import Row
from ..errors import InputError, ResourceError, UsageError
from ..storage import read_json, sync_folder, write_json
from .callbacks import Evaluation, any_process
from .record import Clock, Line

log = logging.getLogger(__name__)

COMPLETE, BEST = "complete.json", "best.safetensors"


def fingerprint(settings: dict[str, object], rows: Sequence[Row]) -> str:
    """Return a hash of everything that the weights depend on: ``settings``, and the token rows of both sides of the split."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8"))
    for row in rows:
        digest.update(repr(row).encode("ascii"))
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def open(self, resume: str, overwrite: bool) -> Path | None:
        """Return what ``find`` does, and an empty folder where that is None; the main process alone changes it."""
        found = self.find(resume, overwrite)
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            if found is None:
                shutil.rmtree(self.folder.parent, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.discard_incomplete()
        return found

    def find(self, resume: str, overwrite: bool) -> Path | None:
        """Return the checkpoint to resume from, or None; nothing is changed.

        Args:
            resume: ``auto``, ``always`` or ``never``, as in --resume.
            overwrite: whether an unfinished training of another kind may be lost.

        Raises:
            UsageError: an unfinished training of another kind would be lost, or there is none and one must be.
        """
        complete = [path.parent for path in self.folder.glob(f"checkpoint-*/{COMPLETE}") if resume != "never"]
        latest = max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
        same = latest is not None and _progress(latest)["fingerprint"] == self.fingerprint
        if resume == "always" and not same:
            why = "there is none" if latest is None else "it has other options or captions"
            raise UsageError(f"cannot resume the training in {self.folder.parent}: {why}", "repeat the command with --resume auto")
        if latest is not None and not same and not overwrite:
            raise UsageError(
                f"{self.folder.parent} holds an unfinished training with other options or captions",
                "repeat that command to finish it, or give --resume never to begin this one",
            )
        return latest if same else None

    def complete(self, step: int, progress: Line, best: dict[str, torch.Tensor] | None) -> None:
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


def damaged(checkpoint: Path, error: Exception) -> InputError:
    """Return the error to raise if training can't resume from ``checkpoint``."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"cannot resume from {checkpoint}: {reason}", "it is damaged: repeat the command with --resume never")


def disk_error(folder: Path, error: Exception) -> ResourceError:
    """Return the error to raise if a save below ``folder`` failed; safetensors and torch report a full disk as errors of their own."""
    return ResourceError(f"cannot write {folder}: {error}", "free some space and repeat the command; what was saved before is unchanged")


def _progress(checkpoint: Path) -> Line:
    try:
        progress: Line = read_json(checkpoint / COMPLETE)
        return progress
    except InputError as error:
        raise damaged(checkpoint, error) from error


def _sync(file: Path) -> None:
    with open(file, "rb") as handle:
        os.fsync(handle.fileno())


class Saving(TrainerCallback):
    """Asks for a checkpoint every ``save_minutes``, and for one and the end of the training after an interrupt.

    Several processes save together: what one asks for, all do.
    """

    def __init__(self, checkpoints: Checkpoints, evaluation: Evaluation, save_minutes: float, interrupts: Interrupts, clock: Clock) -> None:
        self.checkpoints, self._evaluation, self._interrupts, self._clock = checkpoints, evaluation, interrupts, clock
        self._save_seconds, self._last_save = save_minutes * 60, time.monotonic()
        self._stops = False
        #: Whether a step was finished in this session, so that all of a checkpoint has been read.
        self.stepped = False
        #: Whether a checkpoint is being written.
        self.saving = False
        #: Whether training was interrupted and saved.
        self.stopped = False

    def resume(self, checkpoint: Path) -> None:
        """Continue the history, the best weights and the time of ``checkpoint``.

        Raises:
            InputError: it is damaged.
        """
        progress, best = _progress(checkpoint), checkpoint / BEST
        try:
            self._evaluation.resume(progress["history"], load_file(best) if best.exists() else None)
        except SafetensorError as error:
            raise damaged(checkpoint, error) from error
        self._clock.add("train", progress["seconds"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.stepped = True
        self._stops = any_process(self._interrupts.asked)
        due = any_process(time.monotonic() - self._last_save > self._save_seconds)
        if (due or self._stops) and not control.should_training_stop:
            control.should_save = control.should_log = self.saving = True
            self._clock.switch("save")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            progress = {"history": self._evaluation.history, "seconds": self._clock.elapsed("train")}
            self.checkpoints.complete(state.global_step, progress, self._evaluation.best_weights)
        PartialState().wait_for_everyone()
        self.saving, self._last_save = False, time.monotonic()
        self._clock.switch("train")
        control.should_training_stop = self.stopped = self._stops


class Interrupts:
    """While entered, Ctrl-C and SIGTERM are noted in ``asked`` instead of raised; the second one is raised.

    So every step is finished: training saves after it, then stops.
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
