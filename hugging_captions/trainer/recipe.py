"""The preparation of a training: defaults by kind of training, the model and the batches; and how much memory and time it will take.

benchmarks/RESULTS.md has the measurements behind the defaults, and their limits.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import console, dataset, models
from ..dataset.batches import Row, TokenBatches, collate
from ..dataset.corpus import Corpus
from ..errors import UsageError
from ..models import CausalModel, LoadedModel, dtype_of
from ..options import CLASSIC_BLOCK, HardwareOptions, TrainOptions

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Defaults of one kind of training.

    ``schedule`` is one of transformers' names, ``warmup`` a share of all steps, ``width`` the model
    width for the learning rate (0: any), ``batch_tokens`` 0 until ``fit`` sets it, ``lora`` the rank of the trained
    adapters (0: all weights), ``min_batch`` the fewest tokens of a step that ``fit`` chooses.
    """

    epochs: int
    learning_rate: float
    batch_tokens: int
    schedule: str = "linear"
    warmup: float = 0.05
    weight_decay: float = 0.01
    width: int = 0
    lora: int = 0
    min_batch: int = 512


#: A pretrained model needs one or two passes, random weights many. The first two were chosen with smollm2 and are
#: used for gpt2 and others, the rate of all weights scaled by width. Adapters have one rate for every width and rank
#: (Schulman et al. 2025, LoRA Without Regret).
RECIPES = {
    "adapters": Recipe(epochs=2, learning_rate=2e-3, batch_tokens=0, lora=16, min_batch=256),
    "all weights": Recipe(epochs=2, learning_rate=1.5e-4, batch_tokens=0, width=768),
    "scratch": Recipe(epochs=60, learning_rate=2e-3, batch_tokens=0),
    # the recipe of the 2020 scripts: blocks of 1,024 tokens one at a time, Adam without decay or warm-up, 8 epochs, no stopping
    "classic": Recipe(epochs=8, learning_rate=1e-4, batch_tokens=CLASSIC_BLOCK, warmup=0.0, weight_decay=0.0),
}
#: Target number of steps in an epoch, and the most tokens of a step, which keeps GPT-2 under 8 GB.
STEPS, MAX_BATCH = 100, 4096
#: Bytes per parameter in training: float32 weight, gradient and two moments of AdamW.
TRAINED_BYTES = 16
#: Bytes per logit at the start of the backward pass: float32 softmax and gradient, and the gradient of the product before.
LOGIT_BYTES = 12
#: Most tokens of the pass in ``estimate_memory``: under a second for 100 M parameters on two cores.
PROBE_TOKENS = 128
#: With at most this many epochs and fewer captions than this, each epoch is evaluated twice, because the best point may lie in between.
FEW_EPOCHS, SMALL_CORPUS = 4, 2000
#: Bytes of English in a token, if the tokenizer isn't available.
BYTES_PER_TOKEN = 4
#: Cost of an evaluation relative to a training step on the same tokens: one of three passes.
EVALUATION_SHARE = 1 / 3
#: Seconds after which ``measure_speed`` takes no larger part of a step.
ENOUGH_SECONDS = 0.5


def choose(options: TrainOptions) -> Recipe:
    """Return the recipe for the base model with the values from ``options``; ``fit`` then adapts it to model and corpus."""
    name = "classic" if options.recipe == "classic" else "scratch" if options.base_model == "scratch" else "adapters"
    recipe = RECIPES["all weights" if name == "adapters" and options.lora == 0 else name]
    return replace(
        recipe,
        lora=options.lora or recipe.lora,
        epochs=options.epochs or recipe.epochs,
        batch_tokens=options.batch_tokens or recipe.batch_tokens,
        width=0 if options.learning_rate else recipe.width,
        learning_rate=options.learning_rate or recipe.learning_rate,
    )


def fit(recipe: Recipe, width: int, tokens: int) -> Recipe:
    """Return ``recipe`` for a model of ``width`` and a corpus of ``tokens`` tokens.

    Wider models need a lower learning rate, as 1 / width (Yang et al. 2022, Tensor Programs V). A small
    corpus needs small steps to have enough of them: a power of two, about ``STEPS`` an epoch.
    """
    rate = float(f"{recipe.learning_rate * recipe.width / width:.2g}") if recipe.width else recipe.learning_rate
    fitting = 2 ** int(math.log2(max(tokens / STEPS, 1)))
    return replace(recipe, learning_rate=rate, batch_tokens=recipe.batch_tokens or min(max(fitting, recipe.min_batch), MAX_BATCH))


class Preparation:
    """The base model on its device, the corpus as batches of tokens, and the recipe that fits both.

    Raises:
        InputError: the base model is missing or unusable.
        UsageError: the device, the number format or adapters aren't available.
    """

    def __init__(self, corpus: Corpus, options: TrainOptions, hardware: HardwareOptions, offline: bool) -> None:
        log.info("loading base model %s", options.base_model)
        from accelerate import PartialState
        from transformers import set_seed

        models.quiet_transformers()
        self.corpus, self.options, self.hardware, self._offline = corpus, options, hardware, offline
        self.device = models.choose_device(hardware.device)
        self.precision = models.choose_precision(self.device, hardware.precision)
        self.processes = PartialState(cpu=self.device == "cpu")  # several processes connect here, each with its own GPU
        self.base = self._load_base()
        fuse_activations(self.base.model)
        self.data = dataset.encode(corpus, self.base, block=CLASSIC_BLOCK if options.recipe == "classic" else None)
        self.recipe = self._fitting(options)
        set_seed(hardware.seed)  # for the adapters
        self.model = (self._adapted() if self.recipe.lora else self.base.model).to(self.device)
        self.batches = TokenBatches([len(row) for row in self.data.train], self.recipe.batch_tokens, hardware.seed)
        self.tokens = sum(len(row) - 1 for row in self.data.train)

    def _load_base(self) -> LoadedModel:
        return models.load_base(self.options.base_model, self.corpus.captions, self.hardware.seed, self._offline)

    def _fitting(self, options: TrainOptions) -> Recipe:
        return fit(choose(options), getattr(self.base.model.config, "hidden_size", 768), sum(map(len, self.data.train)))

    def _adapted(self) -> CausalModel:
        """Return the base model with adapters, or without if it can have none and --lora wasn't given."""
        kind = self.base.model.config.model_type
        try:
            return with_adapters(self.base.model, self.recipe.lora)
        except ValueError as error:  # peft has no adapters for Mamba
            if self.options.lora:
                problem = f"--lora {self.options.lora} doesn't work with {kind} models: {error}"
                raise UsageError(problem, "give --lora 0, which trains all weights") from error
        log.warning("there are no adapters for %s models: all weights are trained", kind)
        self.base = self._load_base()  # some layers have adapters already
        self.recipe = self._fitting(replace(self.options, lora=0))
        return self.base.model

    @property
    def evaluations_per_epoch(self) -> int:
        """The number of evaluations in an epoch."""
        return 2 if self.recipe.epochs <= FEW_EPOCHS and len(self.corpus.split.train) < SMALL_CORPUS else 1

    def memory(self) -> int:
        """Return about how many bytes training needs, beyond the process itself."""
        parts = self.options.gradient_accumulation_steps * self.processes.num_processes
        largest = self.batches.largest(parts)
        return estimate_memory(self.model, -(-len(largest) // parts), self.batches.lengths[largest[0]], self.precision)

    def facts(self) -> list[tuple[str, str]]:
        """Return what --dry-run prints of this training; the time is measured on part of a step without an update."""
        recipe, batches, memory = self.recipe, self.batches, self.memory()
        every, trained = count_parameters(self.model)
        step = sorted(batches, key=batches.positions)[len(batches) // 2]
        tokens, seconds = measure_speed(self.model, [self.data.train[i] for i in step], self.precision)
        held_out = sum(map(len, self.data.held_out.rows)) * (recipe.epochs * self.evaluations_per_epoch + 1)
        whole = seconds / tokens * (recipe.epochs * sum(map(batches.positions, batches)) + held_out * EVALUATION_SHARE)
        measured = f"{console.count(tokens, 'token')} took {seconds:.2f} s just now"
        return [
            ("base", f"{self.options.base_model}: {every:,} parameters, {trained:,} of them trained"),
            ("tokens", f"{self.tokens:,} an epoch, at most {recipe.batch_tokens:,} a step"),
            ("steps", f"at most {recipe.epochs * len(batches):,}: {console.count(recipe.epochs, 'epoch')} of {len(batches):,}"),
            ("memory", f"about {memory / 1e6:,.0f} MB beyond the process, on {models.describe_device(self.device)}"),
            ("time", f"at most about {console.duration(whole)} with all evaluations: {measured}"),
            ("disk", f"about {every * 4 / 1e6:,.0f} MB"),
        ]


def facts_without_model(corpus: Corpus, options: TrainOptions) -> list[tuple[str, str]]:
    """Return what --dry-run prints of a training whose base model is not on this machine."""
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


def fuse_activations(model: CausalModel) -> None:
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


def with_adapters(model: CausalModel, rank: int) -> CausalModel:
    """Return ``model`` with trainable adapters on every linear layer except the head, everything else frozen (LoRA, Hu et al. 2021)."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    transposed = any(isinstance(module, Conv1D) for module in model.modules())  # GPT-2 stores transposed weights
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=transposed)
    adapted: CausalModel = get_peft_model(model, config)
    return adapted


# -- memory and time before the first step


def count_parameters(model: CausalModel) -> tuple[int, int]:
    """Return how many parameters ``model`` has, and how many of them are trained."""
    return sum(p.numel() for p in model.parameters()), sum(p.numel() for p in model.parameters() if p.requires_grad)


def estimate_memory(model: CausalModel, rows: int, length: int, precision: str) -> int:
    """Return about how many bytes training ``model`` on ``rows`` of ``length`` tokens at once needs, beyond the process itself.

    The bytes that autograd keeps per token are measured, not computed from a formula, because they differ between
    architectures, with adapters and with gradient checkpointing. Attention that keeps a score per token pair needs more.
    """
    every, trained = count_parameters(model)
    many = min(length, PROBE_TOKENS)
    few = many // 2
    kept = (_kept_bytes(model, many, precision) - _kept_bytes(model, few, precision)) / (many - few)
    return round(trained * TRAINED_BYTES + (every - trained) * 4 + rows * length * (kept + model.config.vocab_size * LOGIT_BYTES))


def _kept_bytes(model: CausalModel, tokens: int, precision: str) -> int:
    """Return the bytes that autograd keeps of a forward pass over ``tokens`` tokens."""
    import torch

    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.zeros(1, tokens, dtype=torch.long, device=model.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = _loss(model, ids, ids, precision)  # in a variable, because a graph that is freed early would be counted in part
    return sum(kept.values()) if loss.requires_grad else 0


def measure_speed(model: CausalModel, rows: Sequence[Row], precision: str) -> tuple[int, float]:
    """Return the tokens of a part of a step, and the seconds in which their gradients are computed.

    The part grows from the first of ``rows``, the longest, to all of them until it takes ``ENOUGH_SECONDS``.
    """
    _seconds(model, [rows[0][:16]], precision)  # the first pass also loads and selects kernels
    size = 1
    while (seconds := _seconds(model, rows[:size], precision)) < ENOUGH_SECONDS and size < len(rows):
        size = min(size * 4, len(rows))
    return size * len(rows[0]), seconds


def _seconds(model: CausalModel, rows: Sequence[Row], precision: str) -> float:
    import torch

    batch = {key: value.to(model.device) for key, value in collate(rows).items()}
    start = time.perf_counter()
    _loss(model, batch["input_ids"][:, :-1], batch["labels"][:, 1:], precision).backward()
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _loss(model: CausalModel, ids: torch.Tensor, targets: torch.Tensor, precision: str) -> torch.Tensor:
    """Return the mean loss of ``targets`` after ``ids``, which have the same shape, in the number format of the training."""
    import torch

    with torch.autocast(model.device.type, dtype_of(precision), enabled=precision != "fp32"):
        logits = model(input_ids=ids, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
