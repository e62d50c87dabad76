"""What watches a training: held-out figures, the best weights, when to stop, when to save, the bar.

Writes history.jsonl, one line for each logged or evaluated step, and asks for checkpoints.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from .. import console
from ..errors import from_os_error
from . import ranks
from .checkpoints import Checkpoints, Interrupts, read
from .evaluation import HeldOut, evaluate

log = logging.getLogger(__name__)

#: What is to be done after a step; of several processes the greatest wish counts.
GO_ON, SAVE, SAVE_AND_STOP = 0, 1, 2


@dataclass
class Seconds:
    """Wall time inside ``Trainer.train`` that is not training."""

    evaluate: float = 0.0
    save: float = 0.0


class Watcher(TrainerCallback):  # type: ignore[misc]
    """Evaluates before training and after each epoch, keeps the best weights, saves by the clock and on interrupts.

    ``report``, if set, is called with the held-out figures: Trainer's log, which passes them on to --report-to.
    """

    def __init__(
        self, model: Any, held_out: HeldOut, eval_tokens: int, patience: int, steps_per_epoch: int, tokens_per_step: float,
        checkpoints: Checkpoints, save_minutes: float, interrupts: Interrupts, history_path: Path,
    ) -> None:  # fmt: skip
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.trouble = ""
        self.report: Callable[[dict[str, float]], Any] | None = None
        self.seconds = Seconds()
        self.saving = self.stopped = False
        self.earlier_seconds = 0.0
        self._model, self._held_out, self._eval_tokens = model, held_out, eval_tokens
        self._patience, self._steps_per_epoch, self._tokens_per_step = patience, steps_per_epoch, tokens_per_step
        self._checkpoints, self._save_seconds, self._interrupts = checkpoints, save_minutes * 60, interrupts
        self._path = history_path
        self._device = next(model.parameters()).device
        self._start = self._last_save = time.monotonic()
        self._first_step = 0
        #: Whether a step was finished in this session, so that all of a checkpoint has been read.
        self.stepped = False
        self._bar: Any = None

    def resume(self, checkpoint: Path) -> None:
        """Go on with the history and the best weights of ``checkpoint``."""
        progress, self.best = read(checkpoint)
        self.history, self.earlier_seconds = progress["history"], progress["seconds"]
        self._write("w", self.history)

    # -- Trainer's events

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._device, self._first_step = args.device, state.global_step
        self._bar = console.progress(total=state.max_steps, unit="step", label="training") if ranks.rank() == 0 else None
        if self._bar is not None:
            self._bar.update(state.global_step)
        self._start = self._last_save = time.monotonic()
        if not self.history:
            self._evaluate(state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.stepped = True
        if state.global_step % self._steps_per_epoch == 0:
            self._evaluate(state, control)
        if self._bar is not None:
            shown = f"epoch {state.epoch:.1f}, {self.tokens_per_second(state):,.0f} tokens/s{self._loss()}"
            self._bar.set_postfix_str(shown, refresh=False)
            self._bar.update()
        due = time.monotonic() - self._last_save > self._save_seconds
        wish = ranks.greatest(SAVE_AND_STOP if self._interrupts.asked else SAVE if due else GO_ON, self._device)
        if wish != GO_ON and not (control.should_training_stop or self.trouble):
            control.should_save = control.should_log = self.saving = True
            self._last_save = time.monotonic()
            control.should_training_stop = self.stopped = wish == SAVE_AND_STOP

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self._record(state, train_loss=logs["loss"], learning_rate=logs["learning_rate"])
            self._stop_if_not_finite("the loss", logs["loss"], state, control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        ranks.wait()
        if ranks.rank() == 0:
            self._checkpoints.complete(state.global_step, {"history": self.history, "seconds": self._trained_seconds()}, self.best)
        ranks.wait()
        self.saving = False
        self.seconds.save += time.monotonic() - self._last_save

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    # -- results

    def tokens_per_second(self, state: Any) -> float:
        """Return the real tokens trained on in this session by the seconds spent on them."""
        tokens = (state.global_step - self._first_step) * self._tokens_per_step
        return tokens / max(self._trained_seconds() - self.earlier_seconds, 1e-9)

    def metrics(self, steps: int) -> dict[str, Any]:
        """Return the figures of the best evaluation, and those before training."""
        evaluations = self._evaluations()
        if not evaluations:
            return {"steps": steps, "val_loss": None, "perplexity": None, "bits_per_byte": None}
        best = evaluations[self._best_index()]
        figures = {key: value for key, value in best.items() if key not in ("step", "epoch", "seconds")}
        return {
            "steps": steps, "best_step": best["step"], "best_epoch": best["epoch"],
            "val_loss_before": evaluations[0]["val_loss"], "bits_per_byte_before": evaluations[0]["bits_per_byte"],
        } | figures  # fmt: skip

    def restore_best(self) -> None:
        """Put the weights with the best held-out loss back into the model."""
        if self.best is not None:
            with torch.no_grad():
                for name, parameter in _trained(self._model).items():
                    parameter.copy_(self.best[name])

    # -- inside

    def _trained_seconds(self) -> float:
        """Return the seconds of training so far, former sessions included, evaluating and saving not."""
        return self.earlier_seconds + time.monotonic() - self._start - self.seconds.evaluate - self.seconds.save

    def _evaluations(self) -> list[dict[str, Any]]:
        return [line for line in self.history if "val_loss" in line]

    def _best_index(self) -> int:
        losses = [line["val_loss"] for line in self._evaluations()]
        return min(range(len(losses)), key=lambda i: losses[i] if math.isfinite(losses[i]) else math.inf)

    def _evaluate(self, state: Any, control: Any) -> None:
        """Measure the held-out loss; keep the weights if it is the best so far, stop if it has not been for long."""
        if not self._held_out.rows:
            return
        start = time.monotonic()
        figures = evaluate(self._model, self._held_out, self._eval_tokens)
        self.seconds.evaluate += time.monotonic() - start
        self._record(state, **figures)
        if self.report:
            self.report({key: value for key, value in figures.items() if isinstance(value, float)})
        shown = (figures[key] for key in ("val_loss", "perplexity", "bits_per_byte"))
        log.info("epoch %g: val_loss %.4f, perplexity %.2f, bits_per_byte %.4f", round(state.epoch or 0, 2), *shown)
        self._stop_if_not_finite("the held-out loss", figures["val_loss"], state, control)
        since = len(self._evaluations()) - 1 - self._best_index()
        if since == 0 and ranks.rank() == 0:
            self.best = {name: value.detach().to("cpu", copy=True) for name, value in _trained(self._model).items()}
        control.should_training_stop |= since >= self._patience

    def _stop_if_not_finite(self, what: str, loss: float, state: Any, control: Any) -> None:
        if not math.isfinite(loss):
            self.trouble = self.trouble or f"training stopped at step {state.global_step}: {what} is {loss}"
            control.should_training_stop = True
            control.should_save = False  # the checkpoint before this step is a good one

    def _loss(self) -> str:
        return next((f", loss {line['train_loss']:.3f}" for line in reversed(self.history) if "train_loss" in line), "")

    def _record(self, state: Any, **figures: Any) -> None:
        place = {"step": state.global_step, "epoch": round(state.epoch or 0, 4), "seconds": round(self._trained_seconds(), 3)}
        self.history.append(place | figures)
        self._write("a", self.history[-1:])

    def _write(self, mode: str, lines: list[dict[str, Any]]) -> None:
        if ranks.rank() == 0:
            try:
                with open(self._path, mode, encoding="utf-8") as handle:
                    handle.writelines(json.dumps(line) + "\n" for line in lines)
            except OSError as error:
                raise from_os_error(error, "write", self._path) from error


def _trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that training changes, tied ones once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
