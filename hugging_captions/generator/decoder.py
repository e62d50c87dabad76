"""The decode loop: rows in, token ids out, the batch always full.

Works on tensors and knows nothing of captions. Each prompt is read once and shared; a row that has
ended leaves its slot at once and a waiting one takes it, in the middle of whatever the others do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import models
from ..errors import is_out_of_memory
from ..options import GenerateOptions
from . import quantized, sampling
from .graphs import StepGraphs
from .slots import SlotCache, row_bytes

log = logging.getLogger(__name__)

#: Most rows decoded together. On two cores 128 rows are within 5 % of 256; a large card is filled by 1,024.
MOST_ROWS = {"cpu": 128, "mps": 128, "cuda": 1024}
#: Prompts whose keys and values are kept at a time.
KEPT_PREFIXES = 32
#: Share of the free memory that rows may take.
MEMORY_SHARE = 0.5
#: Logits from the slots may differ from those of a plain pass by rounding: this share of their spread.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}

#: 0.23 were measured: activations are rounded by their greatest value, which differs between the two passes.
INT8_TOLERANCE = 1.0


@dataclass
class Row:
    """One row: the prompt it continues, its number among the attempts, and what came of it.

    ``ids`` are the sampled tokens, the end sign included where ``ended``; ``logprobs`` theirs under the plain model (nats).
    Set ``dropped`` and the row leaves its slot at the next step, without being yielded.
    """

    prompt: int
    number: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False
    dropped: bool = False


@dataclass(frozen=True)
class _Prefix:
    cache: Any
    first: sampling.Survivors


class Decoder:
    """Samples rows from one model, as many at a time as fit."""

    def __init__(self, model: Any, eos: int, prompts: Sequence[Sequence[int]], texts: Sequence[str], options: GenerateOptions, seed: int,
                 limit: int, slots: int | None = None) -> None:  # fmt: skip
        """Prepare to continue ``prompts``.

        Args:
            prompts: token ids, the start signal first.
            texts: the same as text: what a row's random numbers follow from, with ``seed`` and its number.
            limit: most positions of a row, the start signal included; each prompt is shorter.
            slots: rows at a time; by default as many as the free memory allows, ``MOST_ROWS`` at most.
        """
        self.model, self.eos, self.prompts, self.texts = model, eos, prompts, texts
        self.options, self.seed, self.limit = options, seed, limit
        self.device = model.device
        self.slots = slots or choose_slots(model, limit)
        self.steps = self.tokens = 0
        self._prefixes: dict[int, _Prefix] = {}
        self._alive: list[Row] = []
        self._cache: SlotCache | None = None
        self._graphs: StepGraphs | None = None
        self._ids = torch.full((self.slots, limit), eos, device=self.device)
        self._uniform = torch.zeros(self.slots, limit, dtype=torch.float64)

    @torch.inference_mode()
    def run(self, take: Callable[[int], list[Row]]) -> Iterator[list[Row]]:
        """Yield the rows that ended, step by step.

        Args:
            take: called with the number of free slots before each step; returns the rows to begin, at most so many.
                No row from ``take`` and none under way ends the run.
        """
        while True:
            while len(self._alive) < self.slots and (rows := take(self.slots - len(self._alive))):
                if over := self._begin(rows):
                    yield over
            if not self._alive:
                return
            if over := self._step():
                yield over

    def _begin(self, rows: list[Row]) -> list[Row]:
        """Sample the first token of ``rows`` from their prompts and give a slot to those that go on; return the others."""
        over = []
        for prompt in dict.fromkeys(row.prompt for row in rows):
            group = [row for row in rows if row.prompt == prompt]
            prefix = self._prefix(prompt)
            room = self.limit - len(self.prompts[prompt])
            uniform = torch.stack([self._numbers(row, room) for row in group])
            tokens, logprobs = sampling.draw(prefix.first, uniform[:, 0])
            going = [i for i, ended in enumerate(self._note(group, tokens, logprobs)) if not ended]
            slots = list(range(len(self._alive), len(self._alive) + len(going)))
            if going:
                self._occupy(slots, prompt, tokens[going].to(self.device), uniform[going])
            self._alive += [group[i] for i in going]
            over += [row for i, row in enumerate(group) if i not in set(going)]
        return over

    def _numbers(self, row: Row, room: int) -> torch.Tensor:
        return torch.from_numpy(sampling.uniforms(self.seed, self.texts[row.prompt], row.number, room))

    def _occupy(self, slots: list[int], prompt: int, tokens: torch.Tensor, uniform: torch.Tensor) -> None:
        prefix, ids = self._prefix(prompt), self.prompts[prompt]
        if self._cache is not None:
            self._cache.fill(slots, prefix.cache)
        self._ids[slots] = self.eos
        self._ids[slots, : len(ids)] = torch.tensor(list(ids), device=self.device)
        self._ids[slots, len(ids)] = tokens
        self._uniform[slots, len(ids) :] = uniform

    def _prefix(self, prompt: int) -> _Prefix:
        """Return what the model made of a prompt; read on its first use and forgotten when many others had their turn."""
        if prompt not in self._prefixes:
            ids = torch.tensor([list(self.prompts[prompt])], device=self.device)
            output = self.model(input_ids=ids, use_cache=True)
            if not self._prefixes:
                self._choose_cache(output.past_key_values, ids)
            while len(self._prefixes) >= KEPT_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
            self._prefixes[prompt] = _Prefix(output.past_key_values, self._survivors(output.logits[:, -1], ids))
        return self._prefixes[prompt]

    def _survivors(self, logits: torch.Tensor, seen: torch.Tensor, lengths: torch.Tensor | None = None) -> sampling.Survivors:
        length = torch.tensor([seen.shape[1]], device=logits.device) if lengths is None else lengths
        penalised = seen if self.options.repetition_penalty != 1 else None
        # the start signal counts for neither side of min_length
        return sampling.survivors(logits, self.options, length - 1 < self.options.min_length, self.eos, penalised)

    def _step(self) -> list[Row]:
        """Give every row under way one more token; return those that ended with it."""
        count = len(self._alive)
        lengths = torch.tensor([len(self.prompts[row.prompt]) + len(row.ids) for row in self._alive], device=self.device)
        longest = int(max(len(self.prompts[row.prompt]) + len(row.ids) for row in self._alive))
        logits = self._logits(lengths - 1, longest)
        found = self._survivors(logits, self._ids[:count, :longest], lengths)
        uniform = self._uniform[torch.arange(count), lengths.cpu()]
        tokens, logprobs = sampling.draw(found, uniform)
        over = self._note(self._alive, tokens, logprobs)
        going = [i for i, ended in enumerate(over) if not ended]
        self._ids[going, lengths[going]] = tokens[going].to(self.device)
        ended = [row for row, is_over in zip(self._alive, over) if is_over and not row.dropped]
        self._close_up(going)
        return ended

    def _logits(self, positions: torch.Tensor, longest: int) -> torch.Tensor:
        """Return the logits ``[rows, vocabulary]`` that follow each row's last token, which stands at ``positions``."""
        count, rows = len(positions), torch.arange(len(positions), device=self.device)
        self.steps += 1
        self.tokens += count
        if self._cache is None:
            return self.model(input_ids=self._ids[:count, :longest], use_cache=False).logits[rows, positions]
        return (self._graphs or self._forward)(self._ids[rows, positions], positions, longest)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, until: int) -> torch.Tensor:
        """Return the logits behind ``ids``, one for each of the first slots, which go to ``positions``, all below ``until``."""
        assert self._cache is not None
        mask = self._cache.aim(positions, until)
        return self.model(
            input_ids=ids[:, None], position_ids=positions[:, None], attention_mask=mask, past_key_values=self._cache, use_cache=True
        ).logits[:, -1]

    def _note(self, rows: Sequence[Row], tokens: torch.Tensor, logprobs: torch.Tensor) -> list[bool]:
        """Write the new tokens into their rows; return which of them are over."""
        for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist()):
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.ended = token == self.eos
        return [row.ended or row.dropped or len(self.prompts[row.prompt]) + len(row.ids) >= self.limit for row in rows]

    def _close_up(self, going: list[int]) -> None:
        """Move the last rows into the slots that ended ones left, so that rows in use are the first ones."""
        count = len(going)
        holes = sorted(set(range(count)) - set(going))
        last = [slot for slot in going if slot >= count]
        if self._cache is not None:
            self._cache.move(last, holes)
        self._ids[holes] = self._ids[last]
        self._uniform[holes] = self._uniform[last]
        for source, target in zip(last, holes):
            self._alive[target] = self._alive[source]
        del self._alive[count:]

    def _choose_cache(self, cache: Any, ids: torch.Tensor) -> None:
        """Use slots if this model's logits from them are those of a plain pass; otherwise compute every row from its beginning."""
        try:
            self._cache = SlotCache(cache, self.slots, self.limit)
            self._ids[0, : ids.shape[1]] = ids[0]
            self._cache.fill([0], cache)
            last = torch.tensor([ids.shape[1]], device=self.device)
            fast = self._logits(last, ids.shape[1] + 1).float()
            plain = self.model(input_ids=self._ids[:1, : ids.shape[1] + 1], use_cache=False).logits[:, -1].float()
            agree = float((fast - plain).abs().max()) <= self._tolerance() * float(plain.std() + 1e-6)
        except (AttributeError, TypeError, KeyError, RuntimeError, ValueError) as error:  # a cache of another kind: recurrent, hybrid
            if is_out_of_memory(error):
                raise
            log.debug("no slots for %s: %s", self.model.config.model_type, error)
            agree = False
        self.steps = self.tokens = 0
        if agree:
            if self.device.type == "cuda":
                self._graphs = StepGraphs(self._forward, self.slots, self.limit, self._tolerance())
        else:
            self._cache = None
            log.warning("%s keeps no keys and values in slots: each step reads its captions anew", self.model.config.model_type)

    def _tolerance(self) -> float:
        return INT8_TOLERANCE if quantized.is_quantized(self.model) else TOLERANCE[self.model.dtype]


def choose_slots(model: Any, limit: int) -> int:
    """Return how many rows of ``limit`` positions fit into ``MEMORY_SHARE`` of the free memory: a power of two, ``MOST_ROWS`` at most."""
    device = model.device
    most = MOST_ROWS.get(device.type, 64)
    fitting = max(1, int(models.free_memory(device) * MEMORY_SHARE) // row_bytes(model, limit))
    return min(most, 1 << (fitting.bit_length() - 1))
