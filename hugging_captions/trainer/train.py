"""Fine-tune a base model on a corpus and publish a complete checkpoint.

Reads text/<tag>/captions.txt; writes trained_models/<corpus>.training/, which becomes trained_models/<corpus>/ in
one rename. Torch and transformers are imported after the checks that need neither.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import console, dataset, models
from ..dataset.batches import Encoded, TokenBatches
from ..dataset.corpus import MIN_CAPTIONS_FOR_SPLIT, Corpus
from ..errors import HuggingCaptionsError, InputError, UsageError, is_out_of_memory
from ..models import LoadedModel, Sample
from ..options import HardwareOptions, TrainOptions, as_json
from ..storage import Store, corpus_name, refuse_loss, write_json
from . import record
from .recipe import CLASSIC_BLOCK, Recipe, choose, estimate_memory, fit
from .record import Clock, Line

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from .callbacks import Evaluation
    from .checkpoints import Checkpoints, Saving

log = logging.getLogger(__name__)

#: Options that change when or where something is written, never the weights.
_NO_EFFECT = ("resume", "save_minutes", "report_to")
#: torch.compile takes a minute or more: --compile auto is for trainings of more steps than this, and only on a GPU.
COMPILE_STEPS = 3000
#: What measures a finished model for its card: model, captions that it was trained on, captions held out.
Sampler = Callable[[LoadedModel, Sequence[str], Sequence[str], HardwareOptions], Sample | None]


@dataclass(frozen=True)
class TrainResult:
    """A finished training: the checkpoint's folder and the figures of run.json's ``metrics``."""

    folder: Path
    metrics: Line

    def summary(self) -> str:
        """Return the result in two lines for stdout."""
        captions, steps = console.count(self.metrics["train_captions"], "caption"), console.count(self.metrics["steps"], "step")
        done = f"trained {self.folder} on {captions} in {steps}"
        if self.metrics["val_loss"] is None:
            return f"{done}\nno held-out figures: fewer than {MIN_CAPTIONS_FOR_SPLIT} captions, or --val-fraction 0"
        return (
            f"{done}\nheld-out loss {self.metrics['val_loss_before']:.3f} -> {self.metrics['val_loss']:.3f} "
            f"(perplexity {self.metrics['perplexity']:.1f}, {self.metrics['bits_per_byte']:.3f} bits per byte, "
            f"best of epoch {self.metrics['best_epoch']:g})"
        )


@dataclass(frozen=True)
class Setup:
    """Everything that a training begins with; ``model`` is on its device, with adapters if there are any."""

    tags: Sequence[str]
    options: TrainOptions
    hardware: HardwareOptions
    store: Store
    clock: Clock
    corpus: Corpus
    data: Encoded
    base: LoadedModel
    model: Any
    device: str
    precision: str
    recipe: Recipe
    batches: TokenBatches

    @property
    def folder(self) -> Path:
        """The folder of the unfinished training."""
        return self.store.training(corpus_name(self.tags))

    @property
    def tokens(self) -> int:
        """The tokens that an epoch trains."""
        return sum(len(row) - 1 for row in self.data.train)


def train(
    tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store, sample: Sampler | None = None
) -> TrainResult:
    """Fine-tune on the captions of ``tags`` and save the weights with the best held-out loss.

    An unfinished training of the same options and captions is continued. The checkpoint appears in
    one rename when it is complete; one that was there is kept as .previous.

    Args:
        sample: called with the finished model if captions were held out; its figures go into history.jsonl, its
            captions into the model card. If it fails, that is a warning.

    Raises:
        InputError: captions or the base model are missing or unusable, or the loss became NaN.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the step was finished and saved.
        NothingLeftError: the corpus is empty.
        ResourceError: not enough memory or disk; the last checkpoint is kept.
        UsageError: an earlier model or an unfinished training would be lost, or an optional package is not installed.
    """
    if not console.is_main_process():
        logging.getLogger("hugging_captions").setLevel(logging.ERROR)
    clock, name = Clock(), corpus_name(tags)
    _require("--report-to", options.report_to if options.report_to != "none" else None)
    _require("--lora", "peft" if options.lora else None)
    store.recover_model(name)
    refuse_loss([store.model(name)], hardware.overwrite)
    corpus = dataset.load(tags, store, options.val_fraction, hardware.seed)
    setup = _set_up(tags, options, hardware, store, clock, corpus)
    metrics, history = _fit(setup)
    if console.is_main_process():
        _publish(setup, metrics, history, sample)
    _wait_for_everyone()
    return TrainResult(store.model(name), metrics)


def _require(option: str, package: str | None) -> None:
    if package and find_spec(package) is None:
        raise UsageError(f"{option} needs the package {package}, which is not installed", f"pip install {package}")


def _wait_for_everyone() -> None:
    from accelerate import PartialState

    PartialState().wait_for_everyone()


# -- before the first step


def _set_up(tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store, clock: Clock, corpus: Corpus) -> Setup:
    """Load the base model, encode the corpus and choose the recipe."""
    log.info("loading base model %s", options.base_model)
    from accelerate import PartialState
    from transformers import set_seed

    models.quiet_transformers()
    device = models.choose_device(hardware.device)
    PartialState(cpu=device == "cpu")  # several processes meet here, each on its own card
    precision = models.choose_precision(device, hardware.precision)
    base = models.load_base(options.base_model, corpus.captions, hardware.seed)
    fuse_activations(base.model)
    data = dataset.encode(corpus, base, block=CLASSIC_BLOCK if options.recipe == "classic" else None)
    width = getattr(base.model.config, "hidden_size", 768)
    recipe = fit(choose(options), width, sum(map(len, data.train)))
    batches = TokenBatches([len(row) for row in data.train], recipe.batch_tokens, hardware.seed)
    set_seed(hardware.seed)  # of the adapters
    model = (_with_adapters(base.model, options.lora) if options.lora else base.model).to(device)
    return Setup(tags, options, hardware, store, clock, corpus, data, base, model, device, precision, recipe, batches)


def fuse_activations(model: Any) -> None:
    """Replace GPT-2's GELU, eight operations in transformers, by torch's single kernel of the same function.

    The same to rounding (Hendrycks and Gimpel 2016, the tanh form), and half the activations to keep.
    The config still names the original.
    """
    import torch
    from transformers.activations import NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def _with_adapters(model: Any, rank: int) -> Any:
    """Return ``model`` with trainable adapters on every linear layer but the head, all else frozen (LoRA, Hu et al. 2021)."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    transposed = any(isinstance(module, Conv1D) for module in model.modules())  # GPT-2 keeps its weights so
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=transposed)
    return get_peft_model(model, config)


# -- the steps


def _fit(setup: Setup) -> tuple[Line, list[Line]]:
    """Train, put the best weights into the model, and return run.json's metrics and the history."""
    from .callbacks import Evaluation
    from .checkpoints import Checkpoints, Interrupts, Saving, fingerprint, read

    options, folder = setup.options, setup.folder
    settings = {key: value for key, value in as_json(options).items() if key not in _NO_EFFECT}
    settings |= asdict(setup.recipe) | {"seed": setup.hardware.seed, "precision": setup.precision, "device": setup.device}
    checkpoints = Checkpoints(folder / "checkpoints", fingerprint(settings, [*setup.data.train, *setup.data.held_out.rows]))
    resumed = _open_folder(checkpoints, options.resume, setup.hardware.overwrite)
    patience = options.patience if options.recipe != "classic" else setup.recipe.epochs
    evaluates = bool(setup.data.held_out.rows)
    evaluation = Evaluation(setup.model, evaluates, patience, len(setup.batches), folder / "history.jsonl", setup.clock)
    with Interrupts() as interrupts:
        saving = Saving(checkpoints, evaluation, options.save_minutes, interrupts, setup.clock)
        if resumed:
            log.info("resuming the unfinished training from %s", resumed)
            progress, best_weights = read(resumed)
            evaluation.resume(progress["history"], best_weights)
            setup.clock.add("train", progress["seconds"])
        taken_before = _peak_memory(setup) - sum(p.numel() * p.element_size() for p in setup.model.parameters())
        estimated = _announce(setup)
        steps = _run(setup, evaluation, saving, resumed)
        gc.collect()  # the Trainer and its optimizer, which hold each other
    if saving.stopped:
        raise KeyboardInterrupt(f"training stopped at step {steps} and was saved; the same command resumes it")
    _refuse_trouble(evaluation, setup.recipe)
    evaluation.restore_best()
    memory = {"peak_memory_gb": round((_peak_memory(setup) - taken_before) / 1e9, 3), "estimated_memory_gb": round(estimated / 1e9, 3)}
    return _metrics(setup, evaluation, steps) | memory, evaluation.history


def _open_folder(checkpoints: Checkpoints, resume: str, overwrite: bool) -> Path | None:
    """Return the checkpoint to resume from, or empty the folder; the main process alone changes it."""
    resumed = checkpoints.to_resume(resume, overwrite)
    _wait_for_everyone()
    if console.is_main_process():
        if resumed is None:
            shutil.rmtree(checkpoints.folder.parent, ignore_errors=True)
        checkpoints.folder.mkdir(parents=True, exist_ok=True)
        checkpoints.discard_incomplete()
    return resumed


def _announce(setup: Setup) -> int:
    """Log what is about to be trained, and return the bytes of memory that it will take, about."""
    from accelerate import PartialState

    batches, epochs = setup.batches, setup.recipe.epochs
    parts = setup.options.gradient_accumulation_steps * PartialState().num_processes
    if setup.options.gradient_checkpointing:
        _checkpoint_activations(setup.model)
    largest = batches.largest(parts)
    memory = estimate_memory(setup.model, -(-len(largest) // parts), len(setup.data.train[largest[0]]), setup.precision)
    trained, all_ = (sum(p.numel() for p in setup.model.parameters() if p.requires_grad or every) for every in (False, True))
    log.info(
        "training %s of %s parameters on %s captions, %s tokens (%.0f %% of the batches is not padding), on %s in %s",
        f"{trained:,}", f"{all_:,}", f"{len(setup.corpus.split.train):,}", f"{setup.tokens:,}", 100 * batches.useful_share(),
        models.describe_device(setup.device), setup.precision,
    )  # fmt: skip
    steps = console.count(epochs * len(batches), "step")
    log.info("at most %s (%s of %d), about %s MB of memory", steps, console.count(epochs, "epoch"), len(batches), f"{memory / 1e6:,.0f}")
    return memory


def _checkpoint_activations(model: Any) -> None:
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:  # its name before transformers 5.20 or so
        model.gradient_checkpointing_enable({"use_reentrant": False})


def _run(setup: Setup, evaluation: Evaluation, saving: Saving, resumed: Path | None) -> int:
    """Train until the end, an interrupt or a loss that isn't finite; return the number of steps.

    A failed save becomes a one-line error and leaves nothing behind, a checkpoint that can't be read another one.
    """
    from .callbacks import CaptionTrainer, ProgressBar
    from .checkpoints import damaged, disk_error

    checkpoints = saving.checkpoints
    trainer = CaptionTrainer(
        model=setup.model, args=_arguments(setup, checkpoints.folder, evaluates=bool(setup.data.held_out.rows) and not resumed),
        callbacks=[evaluation, saving, ProgressBar(setup.clock, setup.tokens / len(setup.batches))],
        rows=setup.data.train, batches=setup.batches, held_out=setup.data.held_out, clock=setup.clock,
        parts=setup.options.gradient_accumulation_steps,
    )  # fmt: skip
    try:
        with setup.clock.measure("train"):
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except HuggingCaptionsError:
        raise
    except Exception as error:
        if resumed and not saving.stepped and not is_out_of_memory(error):
            raise damaged(resumed, error) from error
        if not saving.saving:
            raise
        checkpoints.discard_incomplete()
        raise disk_error(checkpoints.folder, error) from error
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return int(trainer.state.global_step)


def _arguments(setup: Setup, folder: Path, evaluates: bool) -> TrainingArguments:
    import torch
    from transformers import TrainingArguments

    on_gpu, recipe, asked = setup.device == "cuda", setup.recipe, setup.hardware.compile
    if on_gpu and torch.cuda.get_device_capability()[0] >= 8:
        torch.set_float32_matmul_precision("high")  # the tensor cores of Ampere and later, 10 bits of mantissa
    compiles = asked == "on" or (asked == "auto" and on_gpu and recipe.epochs * len(setup.batches) > COMPILE_STEPS)
    if compiles:
        log.info("torch.compile compiles the model during the first steps; on a CPU that takes minutes")
    if setup.options.report_to == "tensorboard":
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(setup.folder / "runs"))
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup,  # below 1 this is a share of all steps
        lr_scheduler_type=recipe.schedule,
        weight_decay=recipe.weight_decay,
        optim="adamw_torch_fused",
        eval_on_start=evaluates,
        logging_steps=10,
        logging_nan_inf_filter=False,
        save_strategy="no",  # the callbacks ask for evaluations and checkpoints
        report_to=setup.options.report_to,
        seed=setup.hardware.seed,
        use_cpu=setup.device == "cpu",
        bf16=setup.precision == "bf16",
        fp16=setup.precision == "fp16",
        torch_compile=compiles,
        disable_tqdm=True,
        dataloader_pin_memory=on_gpu,
        ddp_find_unused_parameters=False,
    )
    arguments._n_gpu = 1  # with several cards and one process Trainer would take DataParallel, slower and with another loss
    return arguments


# -- after the last step


def _refuse_trouble(evaluation: Evaluation, recipe: Recipe) -> None:
    """Raise an ``InputError`` if a loss was not finite before any epoch ended well; all processes agree on it."""
    best = evaluation.best()
    if evaluation.trouble and (best is None or not best["step"]):
        raise InputError(evaluation.trouble, f"lower --learning-rate, now {recipe.learning_rate:g}")
    if evaluation.trouble:
        log.warning("%s; the best weights so far are kept", evaluation.trouble)


def _metrics(setup: Setup, evaluation: Evaluation, steps: int) -> Line:
    """Return the figures of the best evaluation, those before training, of the corpus and of the speed."""
    figures: Line = {"steps": steps, "val_loss": None, "perplexity": None, "bits_per_byte": None}
    if best := evaluation.best():
        before = evaluation.evaluations()[0]
        figures |= {"best_step": best["step"], "best_epoch": best["epoch"]}
        figures |= {"val_loss_before": before["val_loss"], "bits_per_byte_before": before["bits_per_byte"]}
        figures |= {key: value for key, value in best.items() if key not in ("step", "epoch", "seconds")}
    split = setup.corpus.split
    return figures | {
        "train_captions": len(split.train),
        "val_captions": len(split.val),
        "cut_captions": setup.data.cut,
        "tokens_per_second": round(steps * setup.tokens / len(setup.batches) / setup.clock.elapsed("train"), 1),
        "useful_share": round(setup.batches.useful_share(), 4),
    }


def _peak_memory(setup: Setup) -> int:
    """Return the most bytes that this process took so far: on the card, or all of it on a CPU (0 on Windows)."""
    if setup.device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes but on macOS


def _publish(setup: Setup, metrics: Line, history: Sequence[Line], sample: Sampler | None) -> None:
    """Write the model, what it writes unprompted and its record, and give the folder its name."""
    with setup.clock.measure("save"):
        model = _save(setup)
    drawn: Sample | None = None
    try:
        with setup.clock.measure("sample"):
            drawn = _sampled(setup, model, sample)
    finally:  # after Ctrl-C too: the training is finished
        lines = list(history)
        if drawn:
            place = {"step": metrics["best_step"], "epoch": metrics["best_epoch"], "of_val_loss": metrics["val_loss"]}
            lines.append(place | drawn.figures)
            record.append_history(setup.folder / "history.jsonl", lines[-1:])
        run = record.run_json(setup.tags, setup.corpus, setup.options, setup.recipe, setup.hardware, setup.device, setup.base.model)
        run |= {"metrics": metrics, "seconds": setup.clock.seconds()}
        record.write_card(setup.folder, run, lines, drawn.captions if drawn else ())
        shutil.rmtree(setup.folder / "checkpoints", ignore_errors=True)
        write_json(setup.folder / "run.json", run)  # last: it marks the folder as complete
        setup.store.publish_model(corpus_name(setup.tags), setup.hardware.overwrite)


def _save(setup: Setup) -> LoadedModel:
    """Write weights, config, tokenizer and generation_config as a plain Hugging Face folder; return the plain model."""
    from transformers import GenerationConfig

    from .checkpoints import disk_error

    model = setup.model.merge_and_unload() if setup.options.lora else setup.model
    eos = setup.base.tokenizer.eos_token_id
    model.config.use_cache = True  # Trainer turns it off, and a checkpoint without it generates slowly
    model.generation_config = GenerationConfig(bos_token_id=eos, eos_token_id=eos, pad_token_id=eos, do_sample=True)
    try:
        model.save_pretrained(setup.folder)
        setup.base.tokenizer.save_pretrained(setup.folder)
        for weights in setup.folder.glob("*.safetensors"):  # safetensors makes them readable for their owner only
            weights.chmod((setup.folder / "config.json").stat().st_mode)
    except Exception as error:
        raise disk_error(setup.folder, error) from error
    return LoadedModel(model, setup.base.tokenizer)


def _sampled(setup: Setup, model: LoadedModel, sample: Sampler | None) -> Sample | None:
    if sample is None or not setup.corpus.held_out:
        return None
    log.info("sampling captions for the model card")
    try:
        return sample(model, setup.corpus.training, setup.corpus.held_out, setup.hardware)
    except Exception as error:  # out of memory above all; the model must not be lost for its card
        log.warning("the model card has no sample: %s", (str(error).splitlines() or [type(error).__name__])[0])
        return None
