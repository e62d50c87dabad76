"""The decode loop: prompts in, sampled rows out, with a batch that stays full.

Works on tensors, not on captions. Each prompt is read once and shared by its rows. Each row has a slot: its own place in the
key/value cache, with its own position. When a row ends, a waiting one gets its slot at the next step, and nothing is copied
as rows grow.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from .. import models
from ..errors import InputError, is_out_of_memory
from ..models import CausalModel, LoadedModel
from ..options import GenerateOptions

log = logging.getLogger(__name__)

#: Most rows decoded together. On two cores 128 rows are within 5 % of 256; 1,024 fill a large GPU.
MOST_ROWS = {"cpu": 128, "mps": 128, "cuda": 1024}
#: Prompts whose keys and values are cached at a time.
KEPT_PREFIXES = 32
#: Share of the free memory for rows.
MEMORY_SHARE = 0.5
#: Tolerance between the logits from slots and from a plain pass, as a share of their spread.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}
#: Logits differ by some 1e-5 between batch sizes; nearer ones count as equal, so that their order doesn't depend on that.
GRID = 16384
#: Candidates examined beyond top_k, to choose among equal ones.
SPARE = 16
#: A sum of likelihoods within this distance of top_p has reached it.
MARGIN = 1e-6


@dataclass(frozen=True)
class Prompt:
    """The beginning of rows: the text, which seeds their random numbers, and its token ids after the start token."""

    text: str
    ids: tuple[int, ...]


@dataclass
class Row:
    """One row: the index of its prompt, its number among the attempts for that prompt, and its sampled tokens.

    ``ids`` are the sampled tokens, with the end token if ``ended``; ``logprobs`` theirs under the plain model (nats).
    ``had_choice`` is true if any of them was one of several, ``finished`` if the row ended or reached its limit.
    A row that is set to ``cancelled`` leaves its slot at the next step and isn't yielded.
    """

    prompt: int
    number: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False
    finished: bool = False
    had_choice: bool = False
    cancelled: bool = False


@dataclass(frozen=True)
class Survivors:
    """The tokens that may come next.

    ``tokens`` int64, ``sums`` float64 cumulative weights, ``logprobs`` float32 under the plain model, each
    ``[rows, width]`` in ascending order of the token id. Likelihoods that differ only by rounding could change
    places, and the same random number would then select another token. ``several`` bool ``[rows]``: more than one token is left.
    """

    tokens: torch.Tensor
    sums: torch.Tensor
    logprobs: torch.Tensor
    several: torch.Tensor


def most_positions(loaded: LoadedModel, options: GenerateOptions) -> int:
    """Return the most positions of a row: start token, prompt, sampled tokens and end token."""
    return min(options.max_length + 1, loaded.max_positions)


class Decoder:
    """Sample rows from one model, as many at a time as fit into memory."""

    def __init__(self, loaded: LoadedModel, prompts: Sequence[Prompt], options: GenerateOptions, seed: int) -> None:
        """Prepare to continue ``prompts``; each must be shorter than ``most_positions``."""
        self.model, self.prompts, self.options, self.seed = loaded.model, prompts, options, seed
        self.eos, self.device = loaded.end, loaded.model.device
        self.limit = most_positions(loaded, options)
        probed = probe_slots(self.model, self.limit)
        if probed is None:
            log.warning("%s models are decoded without a cache, which is slower", self.model.config.model_type)
        self.slots = options.decode_rows or choose_slots(self.model, self.limit, probed)
        self.tokens = 0
        self._cache = SlotCache(probed, self.slots, self.limit) if probed else None
        self._prefix = lru_cache(KEPT_PREFIXES)(self._read)
        self._active: list[Row] = []
        self._ids = torch.full((self.slots, self.limit), self.eos, device=self.device)
        self._uniform = torch.zeros(self.slots, self.limit, dtype=torch.float64)

    @torch.inference_mode()
    def run(self, next_rows: Callable[[int], list[Row]]) -> Iterator[list[Row]]:
        """Yield the rows that finished, step by step, until ``next_rows`` returns none and no row is active.

        ``next_rows`` is called with the number of free slots before each step and returns the rows to start, at most that many.
        """
        while True:
            while len(self._active) < self.slots and (rows := next_rows(self.slots - len(self._active))):
                if finished := self._admit(rows):
                    yield finished
            if not self._active:
                return
            if finished := self._step():
                yield finished

    def _admit(self, rows: list[Row]) -> list[Row]:
        """Sample the first token of ``rows`` from their prompts and give a slot to those that continue; return the others."""
        for index in dict.fromkeys(row.prompt for row in rows):
            group = [row for row in rows if row.prompt == index]
            prompt, (prefix, first) = self.prompts[index], self._prefix(index)
            known = len(prompt.ids)
            uniform = torch.stack([torch.from_numpy(uniforms(self.seed, prompt.text, row.number, self.limit - known)) for row in group])
            tokens = self._append(group, first, uniform[:, 0])
            going = [i for i, row in enumerate(group) if not row.finished]
            slots = slice(len(self._active), len(self._active) + len(going))
            if self._cache is not None:
                self._cache.fill(slots, prefix)
            self._ids[slots] = self.eos
            self._ids[slots, :known] = torch.tensor(prompt.ids, device=self.device)
            self._ids[slots, known] = tokens[going].to(self.device)
            self._uniform[slots, known:] = uniform[going]
            self._active += [group[i] for i in going]
        return [row for row in rows if row.finished]

    def _read(self, prompt: int) -> tuple[Cache | None, Survivors]:
        """Return the keys and values of a prompt (None without slots) and the candidates for the first token after it."""
        ids = torch.tensor([self.prompts[prompt].ids], device=self.device)
        output = self.model(input_ids=ids, use_cache=self._cache is not None)
        first = survivors(output.logits[:, -1], self.options, self.eos, ids, torch.tensor([ids.shape[1]], device=self.device))
        return output.past_key_values if self._cache is not None else None, first

    def _step(self) -> list[Row]:
        """Append a token to each active row; return the rows that finished with it."""
        count = len(self._active)
        lengths = torch.tensor([len(self.prompts[row.prompt].ids) + len(row.ids) for row in self._active])
        longest, ends, rows = int(lengths.max()), lengths.to(self.device), torch.arange(count, device=self.device)
        if self._cache is None:
            logits = self.model(input_ids=self._ids[:count, :longest], use_cache=False).logits[rows, ends - 1]
        else:
            logits = self._cache.step(self.model, self._ids[rows, ends - 1], ends - 1, longest)
        self.tokens += count
        found = survivors(logits, self.options, self.eos, self._ids[:count, :longest], ends)
        tokens = self._append(self._active, found, self._uniform[torch.arange(count), lengths])
        finished = [row for row in self._active if row.finished and not row.cancelled]
        going = [i for i, row in enumerate(self._active) if not (row.finished or row.cancelled)]
        self._ids[going, ends[going]] = tokens[going].to(self.device)
        self._compact(going)
        return finished

    def _append(self, rows: Sequence[Row], found: Survivors, uniform: torch.Tensor) -> torch.Tensor:
        """Draw the next token of each of ``rows``, append it and return the tokens."""
        tokens, logprobs = draw(found, uniform)
        for row, token, logprob, several in zip(rows, tokens.tolist(), logprobs.tolist(), found.several.expand(len(rows)).tolist()):
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.had_choice |= several
            row.ended = token == self.eos
            row.finished = row.ended or len(self.prompts[row.prompt].ids) + len(row.ids) >= self.limit
        return tokens

    def _compact(self, going: list[int]) -> None:
        """Move the last rows into free slots, so that active rows always have the first slots."""
        count = len(going)
        free = sorted(set(range(count)) - set(going))
        last = [slot for slot in going if slot >= count]
        if self._cache is not None:
            self._cache.move(last, free)
        self._ids[free] = self._ids[last]
        self._uniform[free] = self._uniform[last]
        for source, target in zip(last, free):
            self._active[target] = self._active[source]
        del self._active[count:]


# -- slots


class SlotLayer(DynamicLayer):
    """Keys and values of one layer, ``[slots, heads, positions, width]`` each."""

    def __init__(self, cache: SlotCache, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self._cache = cache
        self.keys = keys.new_zeros(cache.slots, keys.shape[1], cache.length, keys.shape[3])
        self.values = values.new_zeros(cache.slots, values.shape[1], cache.length, values.shape[3])
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one position of each active row and return the keys and values of these rows so far."""
        rows, positions, until = self._cache.rows, self._cache.positions, self._cache.until
        self.keys[rows, :, positions] = key_states[:, :, 0]
        self.values[rows, :, positions] = value_states[:, :, 0]
        return self.keys[: len(rows), :, :until], self.values[: len(rows), :, :until]

    def get_seq_length(self) -> int:
        """Return the longest row, without the position that is being written."""
        return self._cache.until - 1


class SlotCache(Cache):
    """A cache for transformers' models with rows at different positions. Active rows come first."""

    def __init__(self, like: Cache, slots: int, length: int) -> None:
        """Allocate ``slots`` rows of ``length`` positions, with the layer shapes of the cache ``like``."""
        self.slots, self.length, self.until = slots, length, 1
        super().__init__(layers=[SlotLayer(self, layer.keys, layer.values) for layer in like.layers])

    def step(self, model: CausalModel, ids: torch.Tensor, positions: torch.Tensor, until: int) -> torch.Tensor:
        """Return the logits ``[rows, vocabulary]`` after one more token of each of the first rows.

        ``ids`` and ``positions`` are int64 ``[rows]``; ``until`` is the greatest position plus one.
        """
        self.rows, self.positions, self.until = torch.arange(len(positions), device=positions.device), positions, until
        layer = self.layers[0]
        hidden = torch.arange(until, device=positions.device)[None] > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=layer.dtype, device=positions.device)
        mask = mask.masked_fill_(hidden, torch.finfo(layer.dtype).min)[:, None, None]
        return model(
            input_ids=ids[:, None], position_ids=positions[:, None], attention_mask=mask, past_key_values=self, use_cache=True
        ).logits[:, -1]

    def fill(self, slots: slice, prefix: Cache) -> None:
        """Copy the keys and values of a prompt into the rows in ``slots``."""
        for own, layer in zip(self.layers, prefix.layers):
            known = layer.keys.shape[2]
            own.keys[slots, :, :known] = layer.keys
            own.values[slots, :, :known] = layer.values

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows into other slots."""
        if sources:
            for layer in self.layers:
                layer.keys[list(targets)] = layer.keys[list(sources)]
                layer.values[list(targets)] = layer.values[list(sources)]


@torch.inference_mode()
def probe_slots(model: CausalModel, limit: int) -> SlotCache | None:
    """Return a small ``SlotCache`` that works for ``model``, or None if rows of ``limit`` positions can't be decoded with one.

    Two rows of different lengths are continued by one token, in slots and by a plain pass, and the logits compared. This
    excludes other kinds of caches (recurrent, hybrid) and models that ignore the given positions or mask.
    A sliding window must be as long as the rows.

    Raises:
        InputError: the model's weights are not finite.
    """
    config = model.config
    ids = torch.arange(8, device=model.device).reshape(2, 4) * 7 % config.vocab_size
    lengths = torch.tensor([1, 3], device=model.device)
    plain = torch.stack([model(input_ids=ids[i : i + 1, : n + 1], use_cache=False).logits[0, -1] for i, n in enumerate(lengths)])
    if not torch.isfinite(plain).all():
        raise InputError("cannot generate: the weights of the model are not finite", "train it again")
    if limit > (getattr(config, "sliding_window", None) or getattr(config, "window_size", None) or limit):
        return None
    try:
        prefixes = [model(input_ids=ids[i : i + 1, :n], use_cache=True).past_key_values for i, n in enumerate(lengths)]
        cache = SlotCache(prefixes[0], len(ids), ids.shape[1])
        for i, prefix in enumerate(prefixes):
            cache.fill(slice(i, i + 1), prefix)
        difference = cache.step(model, ids[torch.arange(2), lengths], lengths, ids.shape[1]) - plain
    except Exception as error:  # models raise many types for an unknown cache
        if is_out_of_memory(error):
            raise
        log.debug("no slots for %s: %s", config.model_type, error)
        return None
    return cache if float(difference.abs().max()) <= TOLERANCE[model.dtype] * float(plain.float().std() + 1e-6) else None


def choose_slots(model: CausalModel, limit: int, cache: SlotCache | None) -> int:
    """Return how many rows of ``limit`` positions fit into ``MEMORY_SHARE`` of the free memory: a power of two, ``MOST_ROWS`` at most.

    A row needs its keys and values in ``cache`` and the logits of its next token; without a cache, the logits of all
    its positions.
    """
    logits = 4 * model.config.vocab_size
    if cache is None:
        row = 2 * logits * limit
    else:
        row = 4 * logits + limit * sum(tensor[0, :, 0].nbytes for layer in cache.layers for tensor in (layer.keys, layer.values))
    fitting = max(1, int(models.free_memory(model.device) * MEMORY_SHARE) // row)
    return min(MOST_ROWS.get(model.device.type, 64), 1 << (fitting.bit_length() - 1))


# -- sampling: the same distribution as transformers' logits processors and warpers in their order (repetition penalty,
# min_length, temperature, top_k, top_p), but faster: nothing is sorted or drawn over the whole vocabulary


def survivors(logits: torch.Tensor, options: GenerateOptions, eos: int, seen: torch.Tensor, lengths: torch.Tensor) -> Survivors:
    """Return the tokens of each row that top-k, then top-p (Holtzman et al. 2020) keep.

    Args:
        logits: ``[rows, vocabulary]`` from the model.
        seen: token ids ``[rows, any]`` that the repetition penalty (Keskar et al. 2019) applies to.
        lengths: int64 ``[rows]``, the tokens of each row, start token included.
    """
    scores = plain = torch.log_softmax(logits.float(), dim=-1)
    if options.repetition_penalty != 1:
        values = logits.float().gather(1, seen)
        values = torch.where(values < 0, values * options.repetition_penalty, values / options.repetition_penalty)
        scores = logits.float().scatter(1, seen, values)
        scores[:, eos] = logits[:, eos].float()  # in ``seen`` it is only the start token or padding
    banned = lengths - 1 < options.min_length  # the start token doesn't count
    if bool(banned.any()):
        scores = scores.clone()
        scores[banned, eos] = -torch.inf
    width = min(options.top_k or scores.shape[-1], scores.shape[-1])
    top, tokens = scores.topk(min(width + SPARE, scores.shape[-1]), dim=-1)
    if top.device.type == "mps":  # has no float64
        top, tokens, plain = top.cpu(), tokens.cpu(), plain.cpu()
    if width > 1:  # greedy decoding takes the first, as in transformers
        top, tokens = _ranked(top, tokens, width)
    top, tokens = top[:, :width], tokens[:, :width]
    weights = torch.softmax(top.double() / options.temperature, dim=-1)
    before = weights.cumsum(-1) - weights
    weights = weights.masked_fill(before >= options.top_p - MARGIN, 0.0)
    weights[:, 0] = weights[:, 0].clamp(min=MARGIN)  # the likeliest always stays
    several = weights[:, 1:2].sum(-1) > 0
    tokens, order = tokens.sort(dim=-1)
    return Survivors(tokens, weights.gather(1, order).cumsum(-1), plain.gather(1, tokens), several)


def _ranked(top: torch.Tensor, tokens: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ``width`` likeliest tokens; among those that differ only by rounding, the lower token ids."""
    tokens, order = tokens.sort(dim=-1)
    top = top.gather(1, order)
    order = (top * GRID).round().sort(dim=-1, descending=True, stable=True).indices[:, :width]
    return top.gather(1, order), tokens.gather(1, order)


def draw(found: Survivors, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one token per row by inverse CDF, and its log-probability under the plain model.

    ``uniform`` is float64 ``[rows]`` in [0, 1); ``found`` has as many rows, or one that is shared by all.
    """
    rows = len(uniform)
    sums = found.sums.expand(rows, -1)
    target = uniform.to(sums.device)[:, None] * sums[:, -1:]
    index = torch.searchsorted(sums.contiguous(), target, right=True)
    index = index.clamp(max=sums.shape[1] - 1)
    return found.tokens.expand(rows, -1).gather(1, index)[:, 0], found.logprobs.expand(rows, -1).gather(1, index)[:, 0]


def uniforms(seed: int, prompt: str, row: int, count: int) -> np.ndarray:
    """Return the ``count`` random numbers in [0, 1) of one row, float64.

    They depend only on the seed, the prompt's text, the row's number and the position (Philox, Salmon et al.
    2011), not on the batch size, other prompts or a larger ``count``.
    """
    key = int.from_bytes(hashlib.blake2b(prompt.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    bits = np.random.Philox(key=[seed % 2**64, key], counter=[0, row, 0, 0])
    return np.random.Generator(bits).random(count)
