"""Fine-tune a base model on a corpus and publish a complete checkpoint.

Reads text/<tag>/captions.txt; writes trained_models/<corpus>.training/, which becomes trained_models/<corpus>/ in
one rename. Torch and transformers are imported after the checks that need neither.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import console, dataset, models
from ..dataset.batches import TokenBatches
from ..dataset.corpus import MIN_CAPTIONS_FOR_SPLIT, Corpus
from ..errors import HuggingCaptionsError, InputError, UsageError, is_out_of_memory
from ..models import LoadedModel, Sample
from ..options import HardwareOptions, TrainOptions, as_arguments, as_json
from ..storage import OWNER, Store, corpus_name, refuse_foreign, refuse_loss, write_json
from . import record
from .recipe import CLASSIC_BLOCK, choose, count_parameters, estimate_memory, fit, measure_speed
from .record import Clock, Line

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from .callbacks import Evaluation
    from .checkpoints import Checkpoints, Saving

log = logging.getLogger(__name__)

SCRIPT = "tune_transformer.py"
#: Options without an effect on the weights.
_NO_EFFECT = ("resume", "save_minutes", "report_to", "sample_every_epoch")
#: torch.compile takes a minute or more: --compile auto uses it only on a GPU and for more steps than this.
COMPILE_STEPS = 3000
#: With at most this many epochs and fewer captions than this, each epoch is evaluated twice, because the best point may lie in between.
FEW_EPOCHS, SMALL_CORPUS = 4, 2000
#: Bytes of English in a token, if the tokenizer isn't available.
BYTES_PER_TOKEN = 4
#: Cost of an evaluation relative to a training step on the same tokens: one of three passes.
EVALUATION_SHARE = 1 / 3
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
        facts += Training(corpus, options, hardware, store.training(folder), {}, offline=True).facts()
    else:
        facts += _facts_without_model(corpus, options)
    kept = "; the model there now is kept as .previous" if store.model(folder).exists() else ""
    facts.append(("write", console.short_path(store.model(folder), 60) + kept))
    return console.rows(f"would train on {console.listed([f'#{tag}' for tag in tags])}", facts)


def _facts_without_model(corpus: Corpus, options: TrainOptions) -> list[tuple[str, str]]:
    tokens = sum(len(text.encode()) // BYTES_PER_TOKEN + 1 for text in corpus.training)
    recipe = fit(choose(options), 768, tokens)
    steps = math.ceil(tokens / recipe.batch_tokens)
    return [
        ("base", f"{options.base_model}: not on this machine, would be downloaded or converted first"),
        ("tokens", f"about {tokens:,}, at {BYTES_PER_TOKEN} bytes of text each"),
        ("steps", f"about {steps * recipe.epochs:,}: at most {console.count(recipe.epochs, 'epoch')} of {steps:,}"),
        ("memory", "can be measured once the base model is available; DOCS.md (Memory) has a table"),
        ("time", "can be measured once the base model is available"),
    ]


def _load_corpus(tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store, name: str) -> Corpus:
    """Return the captions to train on, after the checks that need no model."""
    if options.report_to != "none" and find_spec(options.report_to) is None:
        raise UsageError(f"--report-to needs the package {options.report_to}, which is not installed", f"pip install {options.report_to}")
    folder = corpus_name(tags, name)
    for path in (store.model(folder), store.training(folder)):
        refuse_foreign(path, tags, name)
    refuse_loss([store.model(folder)], hardware.overwrite)
    return dataset.load(tags, store, options.val_fraction, hardware.seed)


class Training:
    """One training from its loaded base model to its record.

    ``folder`` is the folder of the unfinished training, ``about`` the known part of run.json: tags, name, command.
    """

    def __init__(
        self, corpus: Corpus, options: TrainOptions, hardware: HardwareOptions, folder: Path, about: Line, offline: bool = False
    ) -> None:
        log.info("loading base model %s", options.base_model)
        from accelerate import PartialState
        from transformers import set_seed

        models.quiet_transformers()
        self.clock = Clock()
        self.corpus, self.options, self.hardware, self.folder, self.about = corpus, options, hardware, folder, about
        self.device = models.choose_device(hardware.device)
        self.precision = models.choose_precision(self.device, hardware.precision)
        self.processes = PartialState(cpu=self.device == "cpu")  # several processes connect here, each with its own GPU
        self.base = models.load_base(options.base_model, corpus.captions, hardware.seed, offline)
        fuse_activations(self.base.model)
        self.data = dataset.encode(corpus, self.base, block=CLASSIC_BLOCK if options.recipe == "classic" else None)
        width = getattr(self.base.model.config, "hidden_size", 768)
        self.recipe = fit(choose(options), width, sum(map(len, self.data.train)))
        set_seed(hardware.seed)  # for the adapters
        self.model: Any = self.base.model
        if self.recipe.lora:
            try:
                self.model = _with_adapters(self.base.model, self.recipe.lora)
            except ValueError as error:  # peft has no adapters for Mamba
                if options.lora:
                    problem = f"--lora {options.lora} doesn't work with {self.base.model.config.model_type} models: {error}"
                    raise UsageError(problem, "give --lora 0, which trains all weights") from error
                log.warning("there are no adapters for %s models: all weights are trained", self.base.model.config.model_type)
                self.base = models.load_base(
                    options.base_model, corpus.captions, hardware.seed, offline
                )  # some layers have adapters already
                self.model = self.base.model
                self.recipe = fit(choose(replace(options, lora=0)), width, sum(map(len, self.data.train)))
        self.model = self.model.to(self.device)
        self.batches = TokenBatches([len(row) for row in self.data.train], self.recipe.batch_tokens, hardware.seed)
        self.tokens = sum(len(row) - 1 for row in self.data.train)

    @property
    def evaluations_per_epoch(self) -> int:
        """The number of evaluations in an epoch."""
        return 2 if self.recipe.epochs <= FEW_EPOCHS and len(self.corpus.split.train) < SMALL_CORPUS else 1

    def checkpoints(self) -> Checkpoints:
        """Return the checkpoints of this training."""
        from .checkpoints import Checkpoints, fingerprint

        settings = {key: value for key, value in as_json(self.options).items() if key not in _NO_EFFECT}
        settings |= asdict(self.recipe) | {"seed": self.hardware.seed, "precision": self.precision, "device": self.device}
        return Checkpoints(self.folder / "checkpoints", fingerprint(settings, [*self.data.train, *self.data.held_out.rows]))

    def memory(self) -> int:
        """Return about how many bytes training needs, beyond the process itself."""
        parts = self.options.gradient_accumulation_steps * self.processes.num_processes
        largest = self.batches.largest(parts)
        return estimate_memory(self.model, -(-len(largest) // parts), self.batches.lengths[largest[0]], self.precision)

    def facts(self) -> list[tuple[str, str]]:
        """Return what --dry-run prints of this training; the time is measured on part of a step without an update."""
        resumed = self.checkpoints().find(self.options.resume, self.hardware.overwrite)
        recipe, batches, memory = self.recipe, self.batches, self.memory()
        every, trained = count_parameters(self.model)
        step = sorted(batches, key=batches.positions)[len(batches) // 2]
        tokens, seconds = measure_speed(self.model, [self.data.train[i] for i in step], self.precision)
        held_out = sum(map(len, self.data.held_out.rows)) * (recipe.epochs * self.evaluations_per_epoch + 1)
        whole = seconds / tokens * (recipe.epochs * sum(map(batches.positions, batches)) + held_out * EVALUATION_SHARE)
        measured = f"{console.count(tokens, 'token')} took {seconds:.2f} s just now"
        facts = [
            ("base", f"{self.options.base_model}: {every:,} parameters, {trained:,} of them trained"),
            ("tokens", f"{self.tokens:,} an epoch, at most {recipe.batch_tokens:,} a step"),
            ("steps", f"at most {recipe.epochs * len(batches):,}: {console.count(recipe.epochs, 'epoch')} of {len(batches):,}"),
            ("memory", f"about {memory / 1e6:,.0f} MB beyond the process, on {models.describe_device(self.device)}"),
            ("time", f"at most about {console.duration(whole)} with all evaluations: {measured}"),
            ("disk", f"about {every * 4 / 1e6:,.0f} MB"),
        ]
        return facts + ([("resume", f"from {console.short_path(resumed, 60)}")] if resumed else [])

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

        model = self.model.merge_and_unload() if self.recipe.lora else self.model
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


def fuse_activations(model: Any) -> None:
    """Replace GPT-2's GELU, eight operations in transformers, by torch's single kernel of the same function.

    Equal up to rounding (Hendrycks and Gimpel 2016, the tanh form), with half the stored activations.
    The config still has the original name.
    """
    import torch
    from transformers.activations import NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def _with_adapters(model: Any, rank: int) -> Any:
    """Return ``model`` with trainable adapters on every linear layer except the head, everything else frozen (LoRA, Hu et al. 2021)."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    transposed = any(isinstance(module, Conv1D) for module in model.modules())  # GPT-2 stores transposed weights
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=transposed)
    return get_peft_model(model, config)
