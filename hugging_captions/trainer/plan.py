"""--dry-run of a training: what it would read, compute and write.

Reads text/<tag>/captions.txt and a local base model; writes nothing and sends no request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from .. import console, models
from ..dataset.batches import collate
from ..dataset.corpus import Corpus
from ..options import HardwareOptions, TrainOptions
from ..storage import Store, corpus_name
from .recipe import choose, fit
from .train import Training, _load_corpus

#: Tokens of the first time measurement, and seconds after which measuring ends.
LEAST_PROBED, ENOUGH_SECONDS = 16, 0.5
#: Bytes of English in a token, if the tokenizer isn't available.
BYTES_PER_TOKEN = 4
#: Cost of an evaluation relative to a training step on the same tokens: one of three passes.
EVALUATION_SHARE = 1 / 3


def plan(tags: Sequence[str], options: TrainOptions, hardware: HardwareOptions, store: Store, name: str) -> str:
    """Return what ``train`` would do, for stdout; the time is measured on part of a step without an update.

    Raises:
        HuggingCaptionsError: any error of ``train`` before the first step.
    """
    folder = corpus_name(tags, name)
    corpus = _load_corpus(tags, options, hardware, store, name)
    training, held_out = console.count(len(corpus.training), "caption"), f"{len(corpus.held_out):,}"
    facts = [(f"read {i + 1}" if i else "read", console.short_path(store.captions(tag), 60)) for i, tag in enumerate(tags)]
    facts.append(("captions", f"{training} to train on, {held_out} held out"))
    if models.is_here(options.base_model):
        found = Training(corpus, options, hardware, store.training(folder), {}, offline=True)
        facts += _measured(found, hardware)
    else:
        facts += _computed(corpus, options)
    kept = "; the model there now is kept as .previous" if store.model(folder).exists() else ""
    facts.append(("write", console.short_path(store.model(folder), 60) + kept))
    return console.rows(f"would train on {console.listed([f'#{tag}' for tag in tags])}", facts)


def _computed(corpus: Corpus, options: TrainOptions) -> list[tuple[str, str]]:
    """Return the facts of a training whose base model is not available."""
    tokens = sum(len(text.encode()) // BYTES_PER_TOKEN + 1 for text in corpus.training)
    recipe = fit(choose(options), 0, tokens) if options.learning_rate else fit(choose(options), 768, tokens)
    steps = math.ceil(tokens / recipe.batch_tokens)
    return [
        ("base", f"{options.base_model}: not on this machine, would be downloaded or converted first"),
        ("tokens", f"about {tokens:,}, at {BYTES_PER_TOKEN} bytes of text each"),
        ("steps", f"about {steps * recipe.epochs:,}: at most {console.count(recipe.epochs, 'epoch')} of {steps:,}"),
        ("memory", "can be measured once the base model is available; DOCS.md (Memory) has a table"),
        ("time", "can be measured once the base model is available"),
    ]


def _measured(training: Training, hardware: HardwareOptions) -> list[tuple[str, str]]:
    """Return the facts of a training whose base model is loaded."""
    recipe, batches = training.recipe, training.batches
    resumed = training.checkpoints().find(training.options.resume, hardware.overwrite)
    parameters = sum(p.numel() for p in training.model.parameters())
    trained = sum(p.numel() for p in training.model.parameters() if p.requires_grad)
    memory = training.memory()
    tokens, seconds = probe(training)
    held_out = sum(map(len, training.data.held_out.rows)) * (recipe.epochs * training.evaluations_per_epoch + 1)
    whole = seconds / tokens * (recipe.epochs * sum(map(batches.positions, batches)) + held_out * EVALUATION_SHARE)
    facts = [
        ("base", f"{training.options.base_model}: {parameters:,} parameters, {trained:,} of them trained"),
        ("tokens", f"{training.tokens:,} an epoch, at most {recipe.batch_tokens:,} a step"),
        ("steps", f"at most {recipe.epochs * len(batches):,}: {console.count(recipe.epochs, 'epoch')} of {len(batches):,}"),
        ("memory", f"about {memory / 1e6:,.0f} MB beyond the process, on {models.describe_device(training.device)}"),
        (
            "time",
            f"at most about {console.duration(whole)} with all evaluations: {console.count(tokens, 'token')} took {seconds:.2f} s just now",
        ),
        ("disk", f"about {parameters * 4 / 1e6:,.0f} MB"),
    ]
    return facts + ([("resume", f"from {console.short_path(resumed, 60)}")] if resumed else [])


def probe(training: Training) -> tuple[int, float]:
    """Return the tokens of a part of a step, and the seconds in which their gradients are computed.

    The part grows from ``LEAST_PROBED`` tokens to a whole step until it takes ``ENOUGH_SECONDS``.
    """
    batch = sorted(training.batches, key=training.batches.positions)[len(training.batches) // 2]
    rows = [training.data.train[i] for i in batch]
    tokens = LEAST_PROBED
    _time_step(training, [rows[0][:tokens]])  # the first pass also loads and selects kernels
    while True:
        part = [row[:tokens] for row in rows[: max(1, tokens // len(rows[0]))]]
        seconds, positions = _time_step(training, part), len(part) * len(part[0])
        if seconds > ENOUGH_SECONDS or len(part) == len(rows):
            return positions, seconds
        tokens *= 4


def _time_step(training: Training, rows: Sequence[Sequence[int]]) -> float:
    import torch

    from .callbacks import token_losses

    tensors = {key: value.to(training.device) for key, value in collate(rows).items()}
    start = time.perf_counter()
    with torch.autocast(training.device, models.dtype_of(training.precision), enabled=training.precision != "fp32"):
        logits = training.model(input_ids=tensors["input_ids"], use_cache=False).logits
    token_losses(logits, tensors["labels"]).sum().backward()
    if training.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
