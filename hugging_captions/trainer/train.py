"""Fine-tune a base model on a corpus and publish a complete checkpoint.

Reads text/<tag>/captions.txt; writes trained_models/<corpus>.training/, which becomes trained_models/<corpus>/ in
one rename. Torch and transformers are imported after the checks that need neither.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .. import console, dataset, models
from ..dataset.corpus import MIN_CAPTIONS_FOR_SPLIT, Corpus
from ..errors import HuggingCaptionsError, InputError, UsageError, is_out_of_memory
from ..models import LoadedModel, Sample
from ..options import HardwareOptions, TrainOptions, as_arguments, as_json
from ..storage import OWNER, Store, corpus_name, refuse_foreign, refuse_loss, write_json
from . import record
from .recipe import Preparation, count_parameters, facts_without_model
from .record import Clock, Line

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import TrainingArguments

    from .callbacks import Evaluation
    from .checkpoints import Checkpoints, Saving

log = logging.getLogger(__name__)

SCRIPT = "tune_transformer.py"
#: Options without an effect on the weights.
_NO_EFFECT = ("resume", "save_minutes", "report_to", "sample_every_epoch")
#: torch.compile takes a minute or more: --compile auto uses it only on a GPU and for more steps than this.
COMPILE_STEPS = 3000
#: A function that samples from a finished model for its card: model, training captions, held-out captions.
Sampler = Callable[[LoadedModel, Sequence[str], Sequence[str], HardwareOptions], Sample | None]
#: A function that generates the captions of --sample-every-epoch.
Writer = Callable[[LoadedModel], Sequence[str]]


@dataclass(frozen=True)
class TrainResult:
    """A finished training: the checkpoint's folder and the figures of run.json's ``metrics``."""

    folder: Path
    metrics: Line

    def summary(self) -> str:
        """Return the result for stdout."""
        captions, steps = console.count(self.metrics["train_captions"], "caption"), console.count(self.metrics["steps"], "step")
        done = console.wrap(f"trained {console.short_path(self.folder)} on {captions} in {steps}")
        if self.metrics["val_loss"] is None:
            return f"{done}\nno held-out figures: fewer than {MIN_CAPTIONS_FOR_SPLIT} captions, or --val-fraction 0"
        figures = (
            f"held-out loss {self.metrics['val_loss_before']:.3f} -> {self.metrics['val_loss']:.3f} "
            f"(perplexity {self.metrics['perplexity']:.1f}, {self.metrics['bits_per_byte']:.3f} bits per byte, "
            f"best of epoch {self.metrics['best_epoch']:g})"
        )
        return f"{done}\n{console.wrap(figures)}"


def train(
    tags: Sequence[str],
    options: TrainOptions,
    hardware: HardwareOptions,
    store: Store,
    sample: Sampler | None = None,
    write: Writer | None = None,
    name: str = "",
) -> TrainResult:
    """Fine-tune on the captions of ``tags`` and save the weights with the best held-out loss.

    An unfinished training with the same options and captions is continued. The complete checkpoint
    appears in one rename; an existing one is kept as .previous.

    Args:
        sample: called with the finished model if captions were held out; its figures go into history.jsonl, its
            captions into the model card. A failure is only a warning.
        write: called with the model after each epoch if ``options.sample_every_epoch``; its captions go into history.jsonl.
        name: name of this run: the model's folder is called <corpus>_<name>.

    Raises:
        InputError: captions or the base model are missing or unusable, or the loss became NaN.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the step was finished and saved.
        NothingLeftError: the corpus is empty.
        ResourceError: not enough memory or disk; the last checkpoint is kept.
        UsageError: an earlier model or an unfinished training would be lost, or an optional package is not installed.
    """
    if not console.is_main_process():
        logging.getLogger("hugging_captions").setLevel(logging.ERROR)
    folder = corpus_name(tags, name)
    store.recover_model(folder)
    corpus = _load_corpus(tags, options, hardware, store, name)
    command = store.command(SCRIPT, "--tag", *tags, "--train", *["--name", name] * bool(name), *as_arguments(options, hardware))
    about: Line = {"tags": list(tags), "name": name or None, "command": command}
    training = Training(corpus, options, hardware, store.training(folder), about)
    metrics, history = training.fit(write if options.sample_every_epoch else None)
    if console.is_main_process():
        model = training.save()
        drawn: Sample | None = None
        try:
            drawn = training.sample(model, sample)
        finally:  # also after Ctrl-C during the publishing
            training.write_record(metrics, history, drawn)
            store.publish_model(folder, hardware.overwrite)
    training.processes.wait_for_everyone()
    return TrainResult(store.model(folder), metrics)


def plan(tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store, name: str) -> str:
    """Return what ``train`` would do, for stdout; nothing is written and no request is sent.

    Raises:
        HuggingCaptionsError: any error of ``train`` before the first step.
    """
    corpus, folder = _load_corpus(tags, options, hardware, store, name), corpus_name(tags, name)
    facts = [(f"read {i + 1}" if i else "read", console.short_path(store.captions(tag), 60)) for i, tag in enumerate(tags)]
    facts.append(("captions", f"{console.count(len(corpus.training), 'caption')} to train on, {len(corpus.held_out):,} held out"))
    if models.is_here(options.base_model):
        training = Training(corpus, options, hardware, store.training(folder), {}, offline=True)
        resumed = training.checkpoints().find(options.resume, hardware.overwrite)
        facts += training.facts() + ([("resume", f"from {console.short_path(resumed, 60)}")] if resumed else [])
    else:
        facts += facts_without_model(corpus, options)
    kept = "; the model there now is kept as .previous" if store.model(folder).exists() else ""
    facts.append(("write", console.short_path(store.model(folder), 60) + kept))
    return console.rows(f"would train on {console.listed([f'#{tag}' for tag in tags])}", facts)


def _load_corpus(tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store, name: str) -> Corpus:
    """Return the captions to train on, after the checks that need no model."""
    if options.report_to != "none" and find_spec(options.report_to) is None:
        raise UsageError(f"--report-to needs the package {options.report_to}, which is not installed", f"pip install {options.report_to}")
    folder = corpus_name(tags, name)
    for path in (store.model(folder), store.training(folder)):
        refuse_foreign(path, tags, name)
    refuse_loss([store.model(folder)], hardware.overwrite)
    return dataset.load(tags, store, options.val_fraction, hardware.seed)


class Training(Preparation):
    """One training from its loaded base model to its record.

    ``folder`` is the folder of the unfinished training, ``about`` the known part of run.json: tags, name, command.
    """

    def __init__(
        self, corpus: Corpus, options: TrainOptions, hardware: HardwareOptions, folder: Path, about: Line, offline: bool = False
    ) -> None:
        self.clock, self.folder, self.about = Clock(), folder, about
        super().__init__(corpus, options, hardware, offline)

    def checkpoints(self) -> Checkpoints:
        """Return the checkpoints of this training."""
        from .checkpoints import Checkpoints, fingerprint

        settings = {key: value for key, value in as_json(self.options).items() if key not in _NO_EFFECT}
        settings |= asdict(self.recipe) | {"seed": self.hardware.seed, "precision": self.precision, "device": self.device}
        return Checkpoints(self.folder / "checkpoints", fingerprint(settings, [*self.data.train, *self.data.held_out.rows]))

    def fit(self, write: Writer | None = None) -> tuple[Line, list[Line]]:
        """Train, put the best weights into the model, and return run.json's metrics and the history."""
        from .callbacks import Evaluation
        from .checkpoints import Saving, noting_interrupts

        checkpoints = self.checkpoints()
        resumed = checkpoints.open(self.options.resume, self.hardware.overwrite)
        if console.is_main_process():
            write_json(checkpoints.folder / OWNER, self.about)
        patience = self.options.patience if self.options.recipe != "classic" else self.recipe.epochs
        evaluation = Evaluation(
            self.model, self.batches, bool(self.corpus.held_out), patience, self.evaluations_per_epoch,
            self.folder / "history.jsonl", self.clock, partial(write, replace(self.base, model=self.model)) if write else None,
        )  # fmt: skip
        with noting_interrupts() as asked:
            saving = Saving(checkpoints, evaluation, self.options.save_minutes, asked, self.clock)
            if resumed:
                log.info("resuming the unfinished training from %s", resumed)
                saving.resume(resumed)
            self._announce()
            steps = self._run(evaluation, saving, resumed)
            gc.collect()  # frees the Trainer and its optimizer, which reference each other
        if saving.stopped:
            raise KeyboardInterrupt(f"training stopped at step {steps} and was saved; the same command resumes it")
        best = evaluation.best()
        if evaluation.trouble and not (best and best["step"]):
            raise InputError(evaluation.trouble, f"lower --learning-rate, now {self.recipe.learning_rate:g}")
        if evaluation.trouble:
            log.warning("%s; the best weights so far are kept", evaluation.trouble)
        if best and not best["step"] and not evaluation.trouble:
            log.warning("no step improved the held-out loss: the model is the base model; lower --learning-rate or add captions")
        evaluation.restore_best()
        return self._metrics(evaluation, steps), evaluation.history

    def _announce(self) -> None:
        """Log the plan of the training, with an estimate of its memory."""
        batches, epochs = self.batches, self.recipe.epochs
        every, trained = count_parameters(self.model)
        log.info(
            "training %s of %s parameters on %s, %s tokens, on %s in %s; at most %s (%s of %d), about %s MB of memory",
            f"{trained:,}", f"{every:,}", console.count(len(self.corpus.split.train), "caption"), f"{self.tokens:,}",
            models.describe_device(self.device), self.precision, console.count(epochs * len(batches), "step"),
            console.count(epochs, "epoch"), len(batches), f"{self.memory() / 1e6:,.0f}",
        )  # fmt: skip

    def _run(self, evaluation: Evaluation, saving: Saving, resumed: Path | None) -> int:
        """Train until the end, an interrupt or a loss that isn't finite; return the number of steps.

        A failed save is a one-line error and leaves no files; an unreadable checkpoint is another one.
        """
        from .callbacks import CaptionTrainer
        from .checkpoints import damaged, disk_error

        trainer = CaptionTrainer(
            model=self.model, args=self._arguments(saving.checkpoints.folder, evaluates=bool(self.corpus.held_out) and not resumed),
            callbacks=[evaluation, saving], rows=self.data.train, batches=self.batches, held_out=self.data.held_out, clock=self.clock,
            parts=self.options.gradient_accumulation_steps,
        )  # fmt: skip
        try:
            with self.clock.measure("train"):
                trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except HuggingCaptionsError:
            raise
        except Exception as error:
            if resumed and not saving.stepped and not is_out_of_memory(error):
                raise damaged(resumed, error) from error
            if not saving.saving:
                raise
            saving.checkpoints.discard_incomplete()
            raise disk_error(saving.checkpoints.folder, error) from error
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        return int(trainer.state.global_step)

    def _arguments(self, folder: Path, evaluates: bool) -> TrainingArguments:
        import torch
        from transformers import TrainingArguments

        on_gpu, recipe, asked = self.device == "cuda", self.recipe, self.hardware.compile
        if on_gpu and torch.cuda.get_device_capability()[0] >= 8:
            torch.set_float32_matmul_precision("high")  # the tensor cores of Ampere and later, 10 bits of mantissa
        compiles = asked == "on" or (asked == "auto" and on_gpu and recipe.epochs * len(self.batches) > COMPILE_STEPS)
        if compiles:
            log.info("torch.compile compiles the model during the first steps; on a CPU that takes minutes")
        if self.options.report_to == "tensorboard":
            os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(self.folder / "runs"))
        arguments = TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            warmup_steps=recipe.warmup,  # below 1 this is a share of all steps
            lr_scheduler_type=recipe.schedule,
            weight_decay=recipe.weight_decay,
            optim="adamw_torch_fused",
            gradient_checkpointing=self.options.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            eval_on_start=evaluates,
            logging_steps=10,
            logging_nan_inf_filter=False,
            save_strategy="no",  # the callbacks ask for evaluations and checkpoints
            report_to=self.options.report_to,
            seed=self.hardware.seed,
            use_cpu=self.device == "cpu",
            bf16=self.precision == "bf16",
            fp16=self.precision == "fp16",
            torch_compile=compiles,
            disable_tqdm=True,
            dataloader_pin_memory=on_gpu,
            ddp_find_unused_parameters=False,
        )
        arguments._n_gpu = 1  # with several GPUs and one process Trainer would use DataParallel, which is slower and has another loss
        return arguments

    def _metrics(self, evaluation: Evaluation, steps: int) -> Line:
        """Return the figures of the best evaluation, those before training, of the corpus and of the speed."""
        figures: Line = {"steps": steps, "val_loss": None, "perplexity": None, "bits_per_byte": None}
        if best := evaluation.best():
            before = evaluation.evaluations()[0]
            figures |= {"best_step": best["step"], "best_epoch": best["epoch"]}
            figures |= {"val_loss_before": before["val_loss"], "bits_per_byte_before": before["bits_per_byte"]}
            figures |= {key: value for key, value in best.items() if key not in ("step", "epoch", "seconds")}
        split, speed = self.corpus.split, steps * self.tokens / len(self.batches) / self.clock.elapsed("train")
        figures |= {"train_captions": len(split.train), "val_captions": len(split.val), "cut_captions": self.data.cut}
        if self.device == "cuda":
            import torch

            figures["peak_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
        return figures | {"tokens_per_second": round(speed, 1)}

    def save(self) -> LoadedModel:
        """Write weights, config, tokenizer and generation_config as a plain Hugging Face folder; return the plain model."""
        from transformers import GenerationConfig

        from .checkpoints import disk_error

        model = cast("PeftModel", self.model).merge_and_unload() if self.recipe.lora else self.model
        start, end = self.base.start, self.base.end
        model.config.use_cache = True  # Trainer turns it off, and a checkpoint without it generates slowly
        model.generation_config = GenerationConfig(bos_token_id=start, eos_token_id=end, pad_token_id=end, do_sample=True)
        try:
            with self.clock.measure("save"):
                model.save_pretrained(self.folder)
                self.base.tokenizer.save_pretrained(self.folder)
                for weights in self.folder.glob("*.safetensors"):  # safetensors makes them readable for their owner only
                    weights.chmod((self.folder / "config.json").stat().st_mode)
        except Exception as error:
            raise disk_error(self.folder, error) from error
        return LoadedModel(model, self.base.tokenizer, start)

    def sample(self, model: LoadedModel, sample: Sampler | None) -> Sample | None:
        """Return the result of ``sample``, None without held-out captions or if it fails."""
        if sample is None or not self.corpus.held_out:
            return None
        log.info("sampling captions for the model card")
        try:
            with self.clock.measure("sample"):
                return sample(model, self.corpus.training, self.corpus.held_out, self.hardware)
        except Exception as error:  # mostly out of memory; the model must be saved without a sample
            log.warning("the model card has no sample: %s", models.first_line(error))
            return None

    def write_record(self, metrics: Line, history: list[Line], drawn: Sample | None) -> None:
        """Write history.jsonl, the model card and, last, run.json, which marks the folder as complete."""
        if drawn:
            place = {"step": metrics["best_step"], "epoch": metrics["best_epoch"], "of_val_loss": metrics["val_loss"]}
            history.append(place | drawn.figures)
            record.append_history(self.folder / "history.jsonl", history[-1:])
        run = self.about | record.run_json(self.corpus, self.options, self.recipe, self.hardware, self.device, self.base)
        run |= {"metrics": metrics, "seconds": self.clock.seconds()}
        record.write_card(self.folder, run, history, drawn.captions if drawn else ())
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        write_json(self.folder / "run.json", run)
