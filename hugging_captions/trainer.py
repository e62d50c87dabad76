"""Fine-tune a base model on a corpus and save a complete checkpoint.

Reads text/<tag>/captions.txt; writes trained_models/<corpus>/: a plain Hugging Face folder with
run.json, history.jsonl, loss.png and a model card. Runs on transformers' Trainer; ours are the
batches, the held-out split, when to stop and what to keep.
"""

from __future__ import annotations

import json
import logging
import math
import platform
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from . import __version__, dataset, model_card, models
from .errors import InputError, ResourceError
from .options import HardwareOptions, TrainOptions, as_json
from .storage import Store, corpus_name, refuse_loss, write_json

log = logging.getLogger(__name__)

#: (epochs, learning rate) where neither is given: a pretrained model needs few careful passes, noise many bold ones.
DEFAULTS = {"pretrained": (8, 1e-4), "scratch": (60, 2e-3)}
#: Epochs without a better held-out loss before training stops.
PATIENCE = 3


@dataclass(frozen=True)
class TrainResult:
    """A finished training: the checkpoint's folder and the figures of run.json's ``metrics``."""

    folder: Path
    metrics: dict[str, Any]

    def summary(self) -> str:
        """Return the result in two lines for stdout."""
        done = f"trained {self.folder} on {self.metrics['train_captions']:,} captions in {self.metrics['steps']:,} steps"
        if self.metrics["val_loss"] is None:
            return f"{done}\nno held-out figures: fewer than {dataset.MIN_CAPTIONS_FOR_SPLIT} captions, or --val-fraction 0"
        return (
            f"{done}\nheld-out loss {self.metrics['val_loss_before']:.3f} -> {self.metrics['val_loss']:.3f} "
            f"(perplexity {self.metrics['perplexity']:.1f}, {self.metrics['bits_per_byte']:.3f} bits per byte, "
            f"best of epoch {self.metrics['best_epoch']:g})"
        )


@dataclass(frozen=True)
class Data:
    """The token rows of both sides of the split and the bytes of the held-out captions."""

    train: dataset.Encoded
    val: dataset.Encoded
    val_bytes: int


def train(tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store) -> TrainResult:
    """Fine-tune on the captions of ``tags`` and save the weights with the best held-out loss.

    The checkpoint appears in one rename when it is complete; one that was there is kept as .previous.

    Raises:
        InputError: captions or the base model are missing or unusable, or the loss became NaN.
        NothingLeftError: the corpus is empty.
        ResourceError: not enough memory or disk.
        UsageError: a .previous would be lost and ``hardware.overwrite`` is false.
    """
    name = corpus_name(tags)
    store.recover_model(name)
    refuse_loss([store.model(name)], hardware.overwrite)
    clock = _Clock()
    corpus = dataset.load_corpus(tags, store)
    device = models.choose_device(hardware.device)
    options = _with_defaults(options)
    base = models.load_base(options.base_model, corpus.captions, hardware.seed)
    clock.lap("load")
    data = _prepare(corpus, base, options, hardware.seed)
    folder = store.training(name)
    _empty(folder)
    trainer, watcher = _build_trainer(base, data, options, hardware, device, folder)
    trainer.train()
    clock.lap("train")
    counts = {"train_captions": len(data.train.rows), "val_captions": len(data.val.rows), "cut_captions": data.train.cut}
    metrics = watcher.metrics() | counts
    watcher.restore_best()
    _save(base, folder)
    run = _run_json(tags, corpus, options, hardware, device, base, metrics)
    model_card.write(folder, run, watcher.history)
    write_json(folder / "run.json", run | {"seconds": clock.laps("save")})
    return TrainResult(store.publish_model(name, hardware.overwrite), metrics)


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self._start, self._laps = time.perf_counter(), dict[str, float]()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self._laps[phase], self._start = round(now - self._start, 3), now

    def laps(self, phase: str) -> dict[str, float]:
        self.lap(phase)
        return self._laps


def _with_defaults(options: TrainOptions) -> TrainOptions:
    from dataclasses import replace

    epochs, learning_rate = DEFAULTS["scratch" if options.base_model == "scratch" else "pretrained"]
    return replace(options, epochs=options.epochs or epochs, learning_rate=options.learning_rate or learning_rate)


def _prepare(corpus: dataset.Corpus, base: models.LoadedModel, options: TrainOptions, seed: int) -> Data:
    """Split and encode the corpus, and say what is unusual about it."""
    split = dataset.split_captions(len(corpus.captions), options.val_fraction, seed)
    if not split.val:
        log.warning("%d captions are too few to hold some out: no early stopping, no held-out figures", len(corpus.captions))
    train_captions = [corpus.captions[i] for i in split.train]
    val_captions = [corpus.captions[i] for i in split.val]
    data = Data(
        dataset.encode_captions(train_captions, base.tokenizer, base.max_positions),
        dataset.encode_captions(val_captions, base.tokenizer, base.max_positions),
        dataset.byte_count(val_captions),
    )
    if cut := data.train.cut + data.val.cut:
        log.warning("%d captions are longer than the model's %d positions and were cut at a word", cut, base.max_positions)
    return data


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _build_trainer(
    base: models.LoadedModel, data: Data, options: TrainOptions, hardware: HardwareOptions, device: str, folder: Path
) -> tuple[CaptionTrainer, Watcher]:
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        warmup_steps=0.05,  # below 1 this is a share of all steps
        lr_scheduler_type="linear",
        weight_decay=0.01,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        seed=hardware.seed,
        use_cpu=device == "cpu",
        bf16=device == "cuda" and torch.cuda.is_bf16_supported(),
        disable_tqdm=True,
        dataloader_pin_memory=device == "cuda",
    )
    batches = dataset.TokenBatches([len(row) for row in data.train.rows], options.batch_tokens, hardware.seed)
    watcher = Watcher(base.model, data, batches, folder / "history.jsonl")
    trainer = CaptionTrainer(model=base.model, args=arguments, callbacks=[watcher], rows=data.train.rows, batches=batches)
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    log.info(
        "training %s parameters on %s captions, %s tokens (%.0f %% of the batches is not padding), %s steps at most, on %s",
        f"{sum(p.numel() for p in base.model.parameters()):,}",
        f"{len(data.train.rows):,}",
        f"{sum(map(len, data.train.rows)):,}",
        100 * batches.useful_share(),
        f"{len(batches) * (options.epochs or 0):,}",
        device,
    )
    return trainer, watcher


class CaptionTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer over our own token batches."""

    def __init__(self, *, rows: Sequence[Sequence[int]], batches: dataset.TokenBatches, **settings: Any) -> None:
        self._rows, self._batches = rows, batches
        super().__init__(train_dataset=rows, **settings)

    def get_train_dataloader(self) -> DataLoader:
        """Return batches as ``dataset.collate`` makes them; Trainer moves them to the device."""
        return DataLoader(self._rows, batch_sampler=self._batches, collate_fn=dataset.collate, pin_memory=self.args.dataloader_pin_memory)


class Watcher(TrainerCallback):  # type: ignore[misc]
    """Evaluates before training and after each epoch, keeps the best weights, writes history.jsonl."""

    def __init__(self, model: Any, data: Data, batches: dataset.TokenBatches, history_path: Path) -> None:
        self.history: list[dict[str, Any]] = []
        self._model, self._data, self._batches, self._path = model, data, batches, history_path
        self._best: dict[str, torch.Tensor] | None = None
        self._steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._evaluate(state, control)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._batches.epoch = round(state.epoch or 0)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise InputError(f"training stopped at step {state.global_step}: the loss is {logs['loss']}", "lower --learning-rate")
            self._record(state, train_loss=logs["loss"], learning_rate=logs["learning_rate"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._evaluate(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._steps = state.global_step

    def metrics(self) -> dict[str, Any]:
        """Return the figures of the best evaluation, and those before training."""
        evaluations = self._evaluations()
        if not evaluations:
            return {"steps": self._steps, "val_loss": None, "perplexity": None, "bits_per_byte": None}
        best = min(evaluations, key=lambda line: line["val_loss"])
        return {
            "steps": self._steps,
            "best_step": best["step"],
            "best_epoch": best["epoch"],
            "val_loss_before": evaluations[0]["val_loss"],
            "bits_per_byte_before": evaluations[0]["bits_per_byte"],
        } | {key: best[key] for key in ("val_loss", "perplexity", "bits_per_byte")}

    def restore_best(self) -> None:
        """Put the weights with the best held-out loss back into the model."""
        if self._best is not None:
            self._model.load_state_dict(self._best)

    def _evaluations(self) -> list[dict[str, Any]]:
        return [line for line in self.history if "val_loss" in line]

    def _evaluate(self, state: Any, control: Any) -> None:
        """Measure the held-out loss; keep the weights if it is the best so far, stop if it has not been for long."""
        if not self._data.val.rows:
            return
        figures = evaluate(self._model, self._data.val.rows, self._batches.batch_tokens, self._data.val_bytes)
        losses = [line["val_loss"] for line in self._evaluations()] + [figures["val_loss"]]
        self._record(state, **figures)
        log.info("epoch %g: val_loss %.4f, perplexity %.2f, bits_per_byte %.4f", round(state.epoch or 0, 2), *figures.values())
        best = losses.index(min(losses))
        if best == len(losses) - 1:
            self._best = {key: value.detach().to("cpu", copy=True) for key, value in self._model.state_dict().items()}
        control.should_training_stop |= len(losses) - 1 - best >= PATIENCE

    def _record(self, state: Any, **figures: float) -> None:
        line = {"step": state.global_step, "epoch": round(state.epoch or 0, 4), **figures}
        self.history.append(line)
        with open(self._path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")


def evaluate(model: Any, rows: Sequence[Sequence[int]], batch_tokens: int, bytes_: int) -> dict[str, float]:
    """Return ``val_loss`` (nats per token), ``perplexity`` and ``bits_per_byte`` of ``rows`` under ``model``.

    The loss is the sum of the negative log-likelihood over all tokens divided by their number,
    never a mean of batch means; bits per byte divides the same sum by ``bytes_``, so it compares
    across tokenizers.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    half = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" and torch.cuda.is_bf16_supported() else nullcontext()
    with torch.no_grad(), half:
        for batch in dataset.TokenBatches([len(row) for row in rows], batch_tokens, seed=0, shuffle=False):
            tensors = dataset.collate([rows[i] for i in batch])
            logits = model(input_ids=tensors["input_ids"].to(device), use_cache=False).logits[:, :-1].float()
            targets = tensors["labels"][:, 1:].to(device)
            total += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=dataset.IGNORED, reduction="sum"
            ).item()
            count += int((targets != dataset.IGNORED).sum())
    model.train(was_training)
    loss = total / count
    return {"val_loss": loss, "perplexity": math.exp(min(loss, 700)), "bits_per_byte": total / math.log(2) / bytes_}


def _save(base: models.LoadedModel, folder: Path) -> None:
    """Write weights, config, tokenizer and generation_config as a plain Hugging Face folder."""
    eos = base.tokenizer.eos_token_id
    base.model.config.use_cache = True  # Trainer turns it off, and a checkpoint without it generates slowly
    base.model.generation_config = transformers.GenerationConfig(bos_token_id=eos, eos_token_id=eos, pad_token_id=eos, do_sample=True)
    try:
        base.model.save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    except Exception as error:  # safetensors reports a full disk as an error of its own
        if isinstance(error, OSError) or "os error" in str(error).lower() or "no space" in str(error).lower():
            raise ResourceError(f"cannot write {folder}: {error}", "free some space; an earlier model is unchanged") from error
        raise


def _run_json(
    tags: Sequence[str],
    corpus: dataset.Corpus,
    options: TrainOptions,
    hardware: HardwareOptions,
    device: str,
    base: models.LoadedModel,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """Return everything that is needed to run this training again, and what came out."""
    return {
        "tags": list(tags),
        "corpus_sha256": corpus.sha256,
        "captions": len(corpus.captions),
        "options": as_json(options),
        "seed": hardware.seed,
        "device": device,
        "hardware": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads",
        "parameters": sum(p.numel() for p in base.model.parameters()),
        "model_type": base.model.config.model_type,
        "versions": {
            "hugging_captions": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "metrics": metrics,
    }
