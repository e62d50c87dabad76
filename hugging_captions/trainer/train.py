"""Fine-tune a base model on a corpus and save a complete checkpoint.

Reads text/<tag>/captions.txt; writes trained_models/<corpus>/: a plain Hugging Face folder with
run.json, history.jsonl, loss.png and a model card. Runs on transformers' Trainer; ours are the
batches, the held-out split, when to stop and what to keep.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, TrainingArguments, set_seed

from .. import models
from ..dataset import corpus as dataset
from ..errors import HuggingCaptionsError, InputError, ResourceError, UsageError, is_out_of_memory
from ..options import HardwareOptions, TrainOptions, as_json
from ..storage import Store, corpus_name, refuse_loss, write_json
from . import adapters, hardware, model_card, ranks, recipe, selfchecks
from . import record as run_record
from .callbacks import Watcher
from .caption_trainer import CaptionTrainer
from .checkpoints import Checkpoints, Interrupts, damaged, fingerprint
from .training_data import prepare

log = logging.getLogger(__name__)

#: Options that change when or where something is written, never the weights.
_NO_EFFECT = ("resume", "save_minutes", "report_to")


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


def train(tags: Sequence[str], options: TrainOptions, machine: HardwareOptions, store: Store, import_seconds: float = 0.0) -> TrainResult:
    """Fine-tune on the captions of ``tags`` and save the weights with the best held-out loss.

    An unfinished training of the same options and captions is continued. The checkpoint appears in
    one rename when it is complete; one that was there is kept as .previous.

    Args:
        import_seconds: what importing this module took, for run.json's wall time by phase.

    Raises:
        InputError: captions or the base model are missing or unusable, or the loss became NaN.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the step was finished and saved.
        NothingLeftError: the corpus is empty.
        ResourceError: not enough memory or disk; the last checkpoint is kept.
        UsageError: an earlier model or an unfinished training would be lost, or an optional package is not installed.
    """
    if ranks.rank() > 0:
        logging.getLogger("hugging_captions").setLevel(logging.ERROR)
    if options.report_to != "none" and find_spec(options.report_to) is None:
        raise UsageError(f"--report-to {options.report_to} needs a package that is not installed", f"pip install {options.report_to}")
    clock = time.perf_counter()
    name = corpus_name(tags)
    store.recover_model(name)
    refuse_loss([store.model(name)], machine.overwrite)
    corpus = dataset.load_corpus(tags, store)
    run = _Run(tags, corpus, options, machine, store.training(name))
    loaded = time.perf_counter()
    steps = run.train()
    trained = time.perf_counter()
    if ranks.rank() > 0:
        ranks.wait()  # for the first process to write the model
        return TrainResult(store.model(name), run.metrics(steps))
    metrics = run.metrics(steps)
    run.save()
    watched = run.watcher.seconds
    seconds = {
        "import": import_seconds, "load": loaded - clock, "train": trained - loaded - watched.evaluate - watched.save,
        "evaluate": watched.evaluate, "save": watched.save + time.perf_counter() - trained,
    }  # fmt: skip
    record = run.record | {"metrics": metrics, "seconds": {phase: round(value, 3) for phase, value in seconds.items()}}
    model_card.write(run.folder, record, run.watcher.history)
    write_json(run.folder / "run.json", record)  # last: it marks the folder as complete
    folder = store.publish_model(name, machine.overwrite)
    ranks.wait()
    return TrainResult(folder, metrics)


class _Run:
    """One training from its loaded base model to its saved weights."""

    def __init__(self, tags: Sequence[str], corpus: dataset.Corpus, options: TrainOptions, machine: HardwareOptions, folder: Path) -> None:
        self.options, self.machine, self.folder = options, machine, folder
        self.device = models.choose_device(machine.device)
        ranks.join(self.device)
        self.precision = models.choose_precision(self.device, machine.precision)
        base = models.load_base(options.base_model, corpus.captions, machine.seed)
        hardware.fuse_activations(base.model)
        hardware.keep_freed_memory(self.device)
        set_seed(machine.seed)
        self.tokenizer = base.tokenizer
        self.model = (adapters.add(base.model, options.lora) if options.lora else base.model).to(self.device)
        self.data = prepare(corpus, base, options, machine.seed)
        width = getattr(base.model.config, "hidden_size", 768)
        self.recipe = recipe.fit(recipe.choose(options), width, sum(map(len, self.data.train)))
        self.batches = dataset.TokenBatches([len(row) for row in self.data.train], self.recipe.batch_tokens, machine.seed)
        selfchecks.check(self.model, self.data.train, self.batches, base.tokenizer.eos_token_id)
        self.record = run_record.build(tags, corpus, options, self.recipe, machine, self.device, base.model)
        settings = {key: value for key, value in as_json(options).items() if key not in _NO_EFFECT}
        settings |= asdict(self.recipe) | {"seed": machine.seed, "precision": self.precision, "device": self.device}
        self.checkpoints = Checkpoints(folder / "checkpoints", fingerprint(settings, self.data.train + self.data.held_out.rows))

    def train(self) -> int:
        """Train until the end, an interrupt or trouble; return the number of steps."""
        resumed = self._open_folder()
        self.estimate = self._announce()
        self.memory_before = hardware.reset_peak_memory(self.device)
        with Interrupts() as interrupts:
            self.watcher = self._watcher(interrupts)
            if resumed:
                log.info("resuming the unfinished training from %s", resumed)
                self.watcher.resume(resumed)
            self.trainer = self._trainer()
            self._guarded_train(resumed)
        if self.watcher.stopped:
            step = self.trainer.state.global_step
            raise KeyboardInterrupt(f"training stopped at step {step} and was saved; the same command resumes it")
        if self.watcher.trouble:
            if self.watcher.best is None or not self.watcher.metrics(0)["best_step"]:
                raise InputError(self.watcher.trouble, f"lower --learning-rate, now {self.recipe.learning_rate:g}")
            log.warning("%s; the best weights so far are kept", self.watcher.trouble)
        return int(self.trainer.state.global_step)

    def metrics(self, steps: int) -> dict[str, Any]:
        """Return the figures of run.json: held-out, corpus, speed, and what was estimated beside what it took."""
        data = self.data
        counts = {"train_captions": data.train_captions, "val_captions": len(data.held_out.rows), "cut_captions": data.cut}
        peak = hardware.peak_memory(self.device) - self.memory_before
        speed = {
            "tokens_per_second": round(self.watcher.tokens_per_second(self.trainer.state), 1),
            "useful_share": round(self.batches.useful_share(), 4),
            "peak_memory_gb": round(peak / 1e9, 3),
        }
        log.info("took %s GB of memory (estimated %.1f)", speed["peak_memory_gb"], self.estimate["memory_gb"])
        return self.watcher.metrics(steps) | counts | speed | {"estimated": self.estimate}

    def save(self) -> None:
        """Write the best weights, config, tokenizer and generation_config as a plain Hugging Face folder."""
        self.watcher.restore_best()
        model = adapters.merge(self.model) if self.options.lora else self.model
        eos = self.tokenizer.eos_token_id
        model.config.use_cache = True  # Trainer turns it off, and a checkpoint without it generates slowly
        model.generation_config = GenerationConfig(bos_token_id=eos, eos_token_id=eos, pad_token_id=eos, do_sample=True)
        try:
            model.save_pretrained(self.folder)
            self.tokenizer.save_pretrained(self.folder)
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        except Exception as error:
            raise _disk_error(self.folder, error) from error

    def _open_folder(self) -> Path | None:
        """Return the checkpoint to resume from, or empty the folder; the first process alone touches it."""
        resumed = self.checkpoints.to_resume(self.options.resume, self.machine.overwrite)
        ranks.wait()
        if ranks.rank() == 0:
            if resumed is None and self.folder.exists():
                shutil.rmtree(self.folder)
            self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
            self.checkpoints.discard_incomplete()
        return resumed

    def _announce(self) -> dict[str, Any]:
        """Say what is about to be trained, and return the estimates."""
        tokens = sum(len(row) - 1 for row in self.data.train)
        largest = max(len(batch) * max(len(self.data.train[i]) for i in batch) for batch in self.batches)  # with its padding
        at_once = largest // self.options.gradient_accumulation_steps // ranks.ranks()
        memory = hardware.estimate_memory(self.model, at_once, self.precision, self.options.gradient_checkpointing)
        batch = dataset.collate([self.data.train[i] for i in next(iter(self.batches))])
        seconds = hardware.seconds_per_token(self.model, batch, self.precision) * tokens * self.recipe.epochs / ranks.ranks()
        log.info(
            "training %s of %s parameters on %s captions, %s tokens (%.0f %% of the batches is not padding), at most %s epochs of "
            "%s steps, on %s in %s; estimated at most %s and %.1f GB",
            f"{sum(p.numel() for p in self.model.parameters() if p.requires_grad):,}", f"{self.record['parameters']:,}",
            f"{self.data.train_captions:,}", f"{tokens:,}", 100 * self.batches.useful_share(), self.recipe.epochs,
            f"{len(self.batches):,}", self.record["hardware"], self.precision, _duration(seconds), memory / 1e9,
        )  # fmt: skip
        return {"seconds": round(seconds, 1), "memory_gb": round(memory / 1e9, 3)}

    def _watcher(self, interrupts: Interrupts) -> Watcher:
        tokens_per_step = sum(len(row) - 1 for row in self.data.train) / len(self.batches)
        return Watcher(
            self.model, self.data.held_out, self.recipe.batch_tokens // self.options.gradient_accumulation_steps,
            self.options.patience if self.options.recipe != "classic" else self.recipe.epochs, len(self.batches), tokens_per_step,
            self.checkpoints, self.options.save_minutes, interrupts, self.folder / "history.jsonl",
        )  # fmt: skip

    def _trainer(self) -> CaptionTrainer:
        hardware.allow_tf32(self.device)
        if self.options.report_to == "tensorboard":
            os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(self.folder / "runs"))
        arguments = TrainingArguments(
            output_dir=str(self.checkpoints.folder),
            num_train_epochs=self.recipe.epochs,
            learning_rate=self.recipe.learning_rate,
            warmup_steps=self.recipe.warmup,  # below 1 this is a share of all steps
            lr_scheduler_type=self.recipe.schedule,
            weight_decay=self.recipe.weight_decay,
            optim="adamw_torch_fused",
            logging_steps=10,
            logging_nan_inf_filter=False,
            save_strategy="no",  # the watcher asks for checkpoints
            report_to=self.options.report_to,
            seed=self.machine.seed,
            use_cpu=self.device == "cpu",
            bf16=self.precision == "bf16",
            fp16=self.precision == "fp16",
            torch_compile=hardware.compile_pays(self.machine.compile, self.device, self.estimate["seconds"]),
            disable_tqdm=True,
            dataloader_pin_memory=self.device == "cuda",
            ddp_find_unused_parameters=False,
        )
        arguments._n_gpu = 1  # with several cards and one process Trainer would take DataParallel, slower and with another loss
        if self.options.gradient_checkpointing:
            _checkpoint_activations(self.model)
        parts = self.options.gradient_accumulation_steps
        built = CaptionTrainer(
            model=self.model, args=arguments, callbacks=[self.watcher], rows=self.data.train, batches=self.batches, parts=parts
        )
        if self.options.report_to != "none":
            self.watcher.report = built.log
        return built

    def _guarded_train(self, resumed: Path | None) -> None:
        """Train; turn a failed save into one line and remove what it left, and a checkpoint that can't be read into another."""
        try:
            self.trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except HuggingCaptionsError:
            raise
        except Exception as error:
            if resumed and not self.watcher.stepped and not is_out_of_memory(error):
                raise damaged(resumed, error) from error
            if not self.watcher.saving:
                raise
            self.checkpoints.discard_incomplete()
            raise _disk_error(self.checkpoints.folder, error) from error


def _checkpoint_activations(model: Any) -> None:
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:  # its name before transformers 5.20 or so
        model.gradient_checkpointing_enable({"use_reentrant": False})


def _disk_error(folder: Path, error: Exception) -> ResourceError:
    # safetensors and torch.save report a full disk as errors of their own
    return ResourceError(f"cannot write {folder}: {error}", "free some space and repeat the command; what was saved before is unchanged")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
