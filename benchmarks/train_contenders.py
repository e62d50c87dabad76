"""The speed part of benchmarks/train.py: six ways to feed the same captions to the same GPT-2."""

from __future__ import annotations

import itertools
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from processes import alone
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from hugging_captions import models
from hugging_captions.dataset import batches as dataset
from hugging_captions.trainer.callbacks import CaptionTrainer
from hugging_captions.trainer.recipe import RECIPES, fit, fuse_activations

#: Optimizer steps of a contender in a round, after an uncounted first one, which creates the optimizer state and allocates memory.
STEPS = {"ours": 4, "packed rows": 4, "bare loop": 4, "classic (2020)": 4, "run_clm grouping": 2, "padded to 128": 4}
#: The contenders with this project's fused GELU.
OURS = ("ours", "packed rows", "bare loop")
Batch = dict[str, torch.Tensor]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class SpeedTest:
    """Real tokens and seconds of each contender, summed over rounds."""

    def __init__(self, captions: Sequence[str], tokenizer_folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        if tokenizer.eos_token_id is None:
            tokenizer.eos_token = models.END_OF_TEXT
        self.vocabulary = len(tokenizer)
        shape: Any = SimpleNamespace(config=SimpleNamespace(n_positions=1024))
        self.rows = dataset.encode_captions(captions, models.LoadedModel(shape, tokenizer, tokenizer.eos_token_id))[0]
        self.blocks = dataset.blocks(self.rows, 1024)
        self.eos = tokenizer.eos_token_id
        self.batch_tokens = fit(RECIPES["all weights"], 768, sum(map(len, self.rows))).batch_tokens
        self.measured: dict[str, list[tuple[int, int, float, float]]] = {name: [] for name in STEPS}

    def round(self, number: int) -> None:
        """Run the steps of each contender; captions and the first contender change with each round."""
        names = list(STEPS)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            first, *batches = itertools.islice(self._batches(name, number), 1 + STEPS[name])
            seconds, gigabytes = alone(run, name, [first, *batches], self.vocabulary)
            real = sum(int((batch["labels"][:, 1:] != dataset.IGNORED).sum()) for batch in batches)
            self.measured[name].append((real, sum(batch["labels"].numel() for batch in batches), seconds, gigabytes))

    def totals(self, name: str) -> tuple[float, float, float]:
        """Return real tokens a second, the useful share and the peak memory (GB) of a contender."""
        real, positions, seconds, memory = zip(*self.measured[name])
        return sum(real) / sum(seconds), sum(real) / sum(positions), max(memory)

    def table_rows(self) -> list[dict[str, str]]:
        """Return the table: one row a contender; ``ratio`` is our rate by its rate, ``range`` the lowest and highest in a round."""
        ours, found = self.totals("ours")[0], []
        for name in STEPS:
            rate, useful, memory = self.totals(name)
            ratios = [(o[0] / o[2]) / (x[0] / x[2]) for o, x in zip(self.measured["ours"], self.measured[name])]
            found.append({
                "name": name, "rate": f"{rate:.0f}", "ratio": f"{ours / rate:.2f}", "range": f"{min(ratios):.2f}-{max(ratios):.2f}",
                "useful": f"{100 * useful:.0f}", "memory": f"{memory:.2f}",
            })  # fmt: skip
        return found

    def _batches(self, name: str, number: int) -> Any:
        if name in OURS:
            order = dataset.TokenBatches([len(row) for row in self.rows], self.batch_tokens, seed=number)
            build = pack if name == "packed rows" else dataset.collate
            return (build([self.rows[i] for i in batch]) for batch in order)
        if name == "padded to 128":
            start = 8 * (1 + STEPS[name]) * number  # eight rows, the default of Trainer
            return (self._padded(self.rows[i : i + 8]) for i in range(start, len(self.rows), 8))
        size = 1 if name == "classic (2020)" else 2
        start = size * (1 + STEPS[name]) * number
        return (dataset.collate(self.blocks[i : i + size]) for i in range(start, len(self.blocks), size))

    def _padded(self, rows: Sequence[Sequence[int]]) -> Batch:
        batch = dataset.collate([*(row[:128] for row in rows), [self.eos] * 128])
        return {key: value[:-1] for key, value in batch.items()}


def pack(rows: Sequence[Sequence[int]]) -> Batch:
    """Return ``rows`` concatenated into a single row without padding.

    Positions restart with each, from which transformers makes a mask of blocks (and variable-length attention
    where flash-attn is installed): no caption sees another. The first token of each is not trained.
    """
    flat = [token for row in rows for token in row]
    labels = [dataset.IGNORED if i == 0 else token for row in rows for i, token in enumerate(row)]
    positions = [i for row in rows for i in range(len(row))]
    return {"input_ids": torch.tensor([flat]), "labels": torch.tensor([labels]), "position_ids": torch.tensor([positions])}


def run(name: str, batches: list[Batch], vocabulary: int) -> tuple[float, float]:
    """Return the seconds of a contender for ``batches``, the first not counted, and its peak memory over the model in GB."""
    models.quiet_transformers()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=6, vocab_size=vocabulary))
    if name in OURS:
        fuse_activations(model)
    before = _peak_gigabytes()
    if name == "bare loop":
        return bare_loop(model, batches), _peak_gigabytes() - before
    return trainer_loop(model, batches, _Given if name == "ours" else _GivenAsTheyAre), _peak_gigabytes() - before


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # of this process, which measures one contender


def trainer_loop(model: Any, batches: list[Batch], kind: type[_Given]) -> float:
    """Return the seconds that a Trainer of this ``kind`` takes for ``batches``, the first not counted."""

    class Stopwatch(TrainerCallback):
        start = end = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                self.start = time.perf_counter()
            self.end = time.perf_counter()

    watch = Stopwatch()
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # unused
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=DEVICE == "cpu",
        bf16=DEVICE == "cuda",
    )
    trainer = kind(model=model, args=arguments, callbacks=[watch], rows=batches, batches=None)
    trainer.train()
    return watch.end - watch.start


class _Given(CaptionTrainer):
    """The project's Trainer over given batches."""

    def get_train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self._rows, batch_size=None)


class _GivenAsTheyAre(_Given):
    """Trainer's own step for all but ours, which would trim the padding and drop the positions of packed rows."""

    def training_step(self, *inputs: Any) -> torch.Tensor:
        return Trainer.training_step(self, *inputs)


def bare_loop(model: Any, batches: list[Batch]) -> float:
    """Return the seconds of a plain loop over ``batches``, the first not counted: only Trainer's operations on the weights."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=len(batches))
    model.to(DEVICE).train()
    start = 0.0
    for number, batch in enumerate(batches):
        if number == 1:
            start = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16, enabled=DEVICE == "cuda"):
            loss = model(**{key: value.to(DEVICE) for key, value in batch.items()}, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return time.perf_counter() - start
