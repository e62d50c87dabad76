"""Checkpoints for resuming an interrupted training, and when they are saved.

Reads and writes trained_models/<corpus>.training/checkpoints/. A checkpoint is what transformers'
Trainer writes (weights, optimizer, scheduler, random numbers, position; all of it loaded as plain
tensors), plus the best weights and the history; complete.json is written last and marks it as complete.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..dataset.batches import Row
from ..errors import InputError, ResourceError, UsageError
from ..models import first_line
from ..storage import read_json, sync_folder, write_json
from .callbacks import Evaluation, any_process
from .record import Clock, Line

log = logging.getLogger(__name__)

COMPLETE, BEST = "complete.json", "best.safetensors"


def fingerprint(settings: dict[str, object], rows: Sequence[Row]) -> str:
    """Return a hash of everything that determines the weights: ``settings``, and the token rows of both parts of the split."""
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
        """Return the result of ``find``, and empty the folder if that is None; only the main process changes it."""
        found = self.find(resume, overwrite)
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            if found is None:
                if [*self.folder.glob(f"checkpoint-*/{COMPLETE}")]:
                    log.warning("the unfinished training in %s is deleted: this one starts again", self.folder.parent)
                shutil.rmtree(self.folder.parent, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.discard_incomplete()
        return found

    def find(self, resume: str, overwrite: bool) -> Path | None:
        """Return the checkpoint to resume from, or None; nothing is changed.

        Args:
            resume: ``auto``, ``always`` or ``never``, as in --resume.
            overwrite: whether an unfinished training with other settings may be deleted.

        Raises:
            UsageError: an unfinished training with other settings would be deleted, or ``always`` finds none to resume.
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
                "repeat that command to finish it, or give --resume never to start this one",
            )
        return latest if same else None

    def complete(self, step: int, progress: Line, best: dict[str, torch.Tensor] | None) -> None:
        """Add ``progress`` and the ``best`` weights to the checkpoint of ``step``, mark it, and delete the others."""
        path = self.folder / f"checkpoint-{step}"
        if best is not None:
            save_file(best, path / BEST)
        (path / "training_args.bin").unlink(missing_ok=True)  # an unused pickle
        for file in path.iterdir():
            _sync(file)
        write_json(path / COMPLETE, {"fingerprint": self.fingerprint, **progress})
        sync_folder(self.folder)
        for other in self.folder.glob("checkpoint-*"):
            if other != path:
                shutil.rmtree(other, ignore_errors=True)

    def discard_incomplete(self) -> None:
        """Delete the files of a killed or failed save."""
        for path in self.folder.glob("checkpoint-*"):
            if not (path / COMPLETE).exists():
                shutil.rmtree(path, ignore_errors=True)


def damaged(checkpoint: Path, error: Exception) -> InputError:
    """Return the error to raise if training can't resume from ``checkpoint``."""
    return InputError(f"cannot resume from {checkpoint}: {first_line(error)}", "it is damaged: repeat the command with --resume never")


def disk_error(folder: Path, error: Exception) -> ResourceError:
    """Return the error to raise if a save below ``folder`` failed; safetensors and torch raise their own errors for a full disk."""
    return ResourceError(f"cannot write {folder}: {error}", "free some space and repeat the command; earlier checkpoints are unchanged")


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
    """Request a checkpoint every ``save_minutes``; after an interrupt request one and stop the training.

    Several processes save together: a request of one applies to all.
    """

    def __init__(self, checkpoints: Checkpoints, evaluation: Evaluation, save_minutes: float, asked: threading.Event, clock: Clock) -> None:
        self.checkpoints, self._evaluation, self._asked, self._clock = checkpoints, evaluation, asked, clock
        self._save_seconds, self._last_save = save_minutes * 60, time.monotonic()
        self._stops = False
        #: Whether a step was finished in this run, so that a checkpoint was read completely.
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

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self.stepped = True
        self._stops = any_process(self._asked.is_set())
        due = any_process(time.monotonic() - self._last_save > self._save_seconds)
        if (due or self._stops) and not control.should_training_stop:
            control.should_save = control.should_log = self.saving = True
            self._clock.switch("save")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            progress = {"history": self._evaluation.history, "seconds": self._clock.elapsed("train")}
            self.checkpoints.complete(state.global_step, progress, self._evaluation.best_weights)
        PartialState().wait_for_everyone()
        self.saving, self._last_save = False, time.monotonic()
        self._clock.switch("train")
        control.should_training_stop = self.stopped = self._stops


@contextmanager
def noting_interrupts() -> Iterator[threading.Event]:
    """Set the event at Ctrl-C and SIGTERM instead of raising them, so that the step is finished and saved; the second one is raised."""
    asked = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt("interrupted again; training resumes from the last checkpoint")
        asked.set()
        log.warning("interrupted: saving after this step (interrupt again to stop immediately)")

    is_main = threading.current_thread() is threading.main_thread()  # the only one that may set handlers
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM) if is_main}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
