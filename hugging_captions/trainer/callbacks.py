"""The parts inside transformers' training loop: steps, held-out figures, best weights, early stopping.

Writes history.jsonl, one line for each logged or evaluated step. The saving callback is in ``checkpoints``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from .. import console
from ..dataset import batches as dataset
from ..dataset.batches import HeldOut, Row, TokenBatches
from ..errors import is_out_of_memory
from ..models import CausalModel, ModelOutput, first_line
from .record import Clock, Line, append_history

log = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]


# -- held-out figures


def evaluate(model: CausalModel, held_out: HeldOut, batch_tokens: int) -> Line:
    """Return ``val_loss`` (nats per token), ``perplexity`` and ``bits_per_byte`` under ``model``.

    The loss is a sum over tokens divided by their number, not a mean of batch means, so it is the same for any
    number of processes and any batch size. Bits per byte divides the same sum by the bytes of the text, so it is
    comparable across tokenizers. For several tags, ``val_loss_by_tag`` has the loss of each.
    """
    nats = _row_losses(model, held_out.rows, batch_tokens)
    tokens = [len(row) - 1 for row in held_out.rows]
    loss = sum(nats) / sum(tokens)
    figures: Line = {
        "val_loss": loss,
        "perplexity": math.exp(min(loss, 700)),
        "bits_per_byte": sum(nats) / math.log(2) / sum(held_out.bytes),
    }
    tags = list(dict.fromkeys(held_out.tags))
    if len(tags) > 1:
        of_tag = {tag: [i for i, other in enumerate(held_out.tags) if other == tag] for tag in tags}
        figures["val_loss_by_tag"] = {tag: sum(nats[i] for i in own) / sum(tokens[i] for i in own) for tag, own in of_tag.items()}
    return figures


def _row_losses(model: CausalModel, rows: Sequence[Row], batch_tokens: int) -> list[float]:
    """Return the negative log-likelihood of each row, in nats; each process computes its share of the batches."""
    device = next(model.parameters()).device
    state, was_training = PartialState(), model.training
    model.eval()
    nats = torch.zeros(len(rows), dtype=torch.float64)
    batches = list(TokenBatches([len(row) for row in rows], batch_tokens, seed=0, shuffle=False))
    with torch.no_grad():
        share = batches[state.process_index :: state.num_processes]
        for batch in console.progress(share, unit="batch", label="evaluating"):
            tensors = dataset.collate([rows[i] for i in batch])
            logits = model(input_ids=tensors["input_ids"].to(device), use_cache=False).logits
            nats[batch] = token_losses(logits, tensors["labels"].to(device)).sum(-1).cpu().double()
    model.train(was_training)
    return [float(value) for value in total(nats)]


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of each token but the first, float32 ``[rows, length - 1]``; 0 where the label is ignored."""
    targets = labels[:, 1:]
    flat = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), targets.flatten(), ignore_index=dataset.IGNORED, reduction="none"
    )
    return flat.view(targets.shape)


def total(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of ``values`` (on the CPU) over all processes."""
    state = PartialState()
    summed: torch.Tensor = reduce(values.to(state.device), "sum").cpu() if state.use_distributed else values
    return summed


def any_process(flag: bool) -> bool:
    """Return whether ``flag`` is true in any process."""
    return bool(total(torch.tensor(int(flag))))


# -- the steps


class CaptionTrainer(Trainer):
    """transformers' Trainer over token batches, with steps split into parts if memory is short.

    The loss is a sum over the step's tokens divided by their number over all parts and processes, so
    neither changes what is learned.

    Args:
        held_out: the captions for ``evaluate``.
        parts: parts of a step; increased if memory runs out.
    """

    def __init__(
        self,
        *,
        rows: Sequence[Row],
        batches: TokenBatches,
        held_out: HeldOut | None = None,
        clock: Clock | None = None,
        parts: int = 1,
        **settings: object,
    ) -> None:
        self._rows, self._batches, self.parts = rows, batches, parts
        self._held_out, self._clock = held_out or HeldOut((), (), ()), clock or Clock()
        super().__init__(train_dataset=rows, compute_loss_func=_mean_loss, **settings)
        self._state = PartialState()
        self._fits_everywhere = not self._state.use_distributed  # a single process repeats a step that doesn't fit
        self.remove_callback(PrinterCallback)
        if console.draws_progress():
            self.add_callback(_ProgressBar())

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Return this process's share of the batches, as ``dataset.collate`` makes them."""
        share = dataset.RankBatches(self._batches, self._state.process_index, self._state.num_processes)
        pin = self.args.dataloader_pin_memory
        return DataLoader(self._rows, batch_sampler=share, collate_fn=dataset.collate, pin_memory=pin)  # type: ignore[arg-type]

    def evaluate(self, *_: object, **settings: object) -> Line:
        """Return the held-out figures of the current weights, and pass them to the callbacks and to --report-to."""
        with self._clock.measure("evaluate"):
            figures = evaluate(self.model, self._held_out, max(self._batches.batch_tokens // self.parts, 1))
        self.log({key: value for key, value in figures.items() if isinstance(value, float)})
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
        return figures

    def training_step(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the gradients of one step; if memory runs out, repeat it and continue with twice as many parts.

        Several processes can't repeat a step: they try the largest one before the first.
        """
        if not self._fits_everywhere:
            self._fit_everywhere(model, num_items_in_batch)
        while True:
            try:
                return self._in_parts(model, inputs, num_items_in_batch)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if self._state.use_distributed or self.parts >= len(inputs["labels"]) or not is_out_of_memory(error):
                    raise
            self._halve(model)

    def _in_parts(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | None) -> torch.Tensor:
        found = dataset.parts(inputs, self.parts)
        losses = []
        for i, part in enumerate(found):
            last = i == len(found) - 1
            with nullcontext() if last else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        return torch.stack(losses).sum()

    def _fit_everywhere(self, model: torch.nn.Module, num_items_in_batch: torch.Tensor | None) -> None:
        """Compute the largest step and discard it, with more parts each time, until no process runs out of memory."""
        process, processes = self._state.process_index, self._state.num_processes
        while not self._fits_everywhere:
            rows = self._batches.largest(processes * self.parts)
            inputs = self._prepare_inputs(dataset.collate([self._rows[i] for i in rows[process::processes]]))
            trouble = self._try(model, inputs, num_items_in_batch)
            self._fits_everywhere = not any_process(trouble is not None)
            model.zero_grad()
            if not self._fits_everywhere:
                if self.parts >= len(rows):
                    raise torch.OutOfMemoryError(trouble or "out of memory in another process")
                self._halve(model)

    def _try(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | None) -> str | None:
        """Return why a step runs out of memory here, or None; the random state is unchanged."""
        device = self.args.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), self.accelerator.no_sync(model):
            try:
                self._in_parts(model, inputs, num_items_in_batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                return str(error)
        return None

    def _halve(self, model: torch.nn.Module) -> None:
        model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.parts *= 2
        log.warning("out of memory: from now on each step is computed in %d parts, with the same number of tokens", self.parts)


def _mean_loss(outputs: ModelOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor) -> torch.Tensor:
    """Return the loss per token, computed here because some architectures ignore ``num_items_in_batch``."""
    return token_losses(outputs.logits, labels).sum() / num_items_in_batch


# -- callbacks


class _ProgressBar(ProgressCallback):
    """transformers' progress bar, with the epoch and the last training loss."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **kwargs: object
    ) -> None:
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix_str(f"epoch {state.epoch:.1f}, loss {logs['loss']:.3f}")


class Evaluation(TrainerCallback):
    """Evaluate once or twice per epoch, write history.jsonl, keep the best weights, and stop early.

    Also sets the epoch of the batches from the number of steps, so that a resumed training takes the same steps.

    Args:
        evaluates: whether there are held-out captions; otherwise only training losses are recorded.
        patience: epochs without a better held-out loss after which training stops.
        per_epoch: evaluations in an epoch, the last of them at its end.
        write: returns captions for the log and history.jsonl after each epoch; called in the main process alone.
    """

    def __init__(
        self, model: CausalModel, batches: TokenBatches, evaluates: bool, patience: int, per_epoch: int,
        path: Path, clock: Clock, write: Callable[[], Sequence[str]] | None,
    ) -> None:  # fmt: skip
        self._model, self._batches, self._evaluates, self._patience = model, batches, evaluates, patience * per_epoch
        self._points = {len(batches) * (i + 1) // per_epoch % len(batches) for i in range(per_epoch)}
        self._path, self._clock, self._write_captions = path, clock, write
        self.history: list[Line] = []
        #: The best weights so far, on the CPU, in the first process only.
        self.best_weights: dict[str, torch.Tensor] | None = None
        #: Why training can't continue, if a loss isn't finite.
        self.trouble = ""

    def resume(self, history: list[Line], best_weights: dict[str, torch.Tensor] | None) -> None:
        """Continue the history and the best weights of a checkpoint."""
        self.history, self.best_weights = history, best_weights
        if PartialState().is_main_process:
            self._path.unlink(missing_ok=True)
        self._write(history)

    def evaluations(self) -> list[Line]:
        """Return the lines of the history that have held-out figures, the first from before training."""
        return [line for line in self.history if "val_loss" in line]

    def best(self) -> Line | None:
        """Return the first line with the lowest held-out loss, None without any; all processes agree on it."""
        return min(self.evaluations(), key=lambda line: line["val_loss"] if math.isfinite(line["val_loss"]) else math.inf, default=None)

    def restore_best(self) -> None:
        """Put the best weights back into the model."""
        with torch.no_grad():
            for name, parameter in _trained(self._model).items():
                if self.best_weights is not None:
                    parameter.copy_(self.best_weights[name])

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self._batches.epoch = state.global_step // len(self._batches)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if state.global_step % len(self._batches) in self._points:
            control.should_log, control.should_evaluate = True, self._evaluates

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        interrupted = state.global_step % len(self._batches)
        if self._write_captions is None or interrupted or not PartialState().is_main_process:
            return
        try:
            with self._clock.measure("sample"), torch.random.fork_rng([args.device] if args.device.type == "cuda" else []):
                captions = list(self._write_captions())
        except Exception as error:  # such as out of memory; the training must continue
            log.warning("no captions are sampled after this epoch: %s", first_line(error))
            return
        for caption in captions:
            log.info("epoch %g writes: %s", round(state.epoch or 0, 2), console.shorten(caption))
        self._record(state, {"samples": captions})

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **kwargs: object
    ) -> None:
        if logs and "loss" in logs:
            self._record(state, {"train_loss": logs["loss"], "learning_rate": logs["learning_rate"]})
            self._stop_if_not_finite("the loss", logs["loss"], state, control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Line, **kwargs: object) -> None:
        self._record(state, metrics)
        shown = (metrics[key] for key in ("val_loss", "perplexity", "bits_per_byte"))
        log.info("epoch %g: val_loss %.4f, perplexity %.2f, bits_per_byte %.4f", round(state.epoch or 0, 2), *shown)
        self._stop_if_not_finite("the held-out loss", metrics["val_loss"], state, control)
        evaluations, best = self.evaluations(), self.best()
        since = len(evaluations) - 1 - next(i for i, line in enumerate(evaluations) if line is best)
        if since == 0 and PartialState().is_main_process:
            self.best_weights = {name: value.detach().to("cpu", copy=True) for name, value in _trained(self._model).items()}
        if since >= self._patience:
            control.should_training_stop, control.should_save = True, False

    def _stop_if_not_finite(self, what: str, loss: float, state: TrainerState, control: TrainerControl) -> None:
        if not math.isfinite(loss):
            self.trouble = self.trouble or f"training stopped at step {state.global_step}: {what} is {loss}"
            # don't save: the checkpoint before this step is good
            control.should_training_stop, control.should_save = True, False

    def _record(self, state: TrainerState, figures: Line) -> None:
        seconds = round(self._clock.elapsed("train"), 3)
        self.history.append({"step": state.global_step, "epoch": round(state.epoch or 0, 4), "seconds": seconds} | figures)
        self._write(self.history[-1:])

    def _write(self, lines: list[Line]) -> None:
        if PartialState().is_main_process:
            append_history(self._path, lines)


def _trained(model: CausalModel) -> dict[str, torch.nn.Parameter]:
    """Return the trainable parameters, tied ones once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
