"""Which token comes next: the survivors of top-k and top-p, and one of them by a given random number.

Pure tensor functions. The same distribution as transformers' logits processors and warpers in their
order (repetition penalty, min_length, temperature, top_k, top_p), at a fraction of the work: nothing
is sorted or drawn over the whole vocabulary.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from ..options import GenerateOptions

#: Logits of batches of different sizes differ by some 1e-5: the order of nearer ones must not follow from that.
GRID = 16384
#: So many candidates more than top_k are looked at, to see which of equal ones stay.
SPARE = 16
#: Sums of likelihoods nearer than this to top_p have reached it.
MARGIN = 1e-6


@dataclass(frozen=True)
class Survivors:
    """The tokens that may come next.

    ``tokens`` int64, ``sums`` float64 cumulative weights, ``logprobs`` float32 under the plain model, each
    ``[rows, width]`` in ascending order of the token. By token and not by likelihood: two likelihoods that differ
    by rounding alone may change places, and with them the meaning of a random number.
    """

    tokens: torch.Tensor
    sums: torch.Tensor
    logprobs: torch.Tensor


def survivors(logits: torch.Tensor, options: GenerateOptions, banned: torch.Tensor, eos: int, seen: torch.Tensor | None) -> Survivors:
    """Return what is left of each row after top-k, then top-p (Holtzman et al. 2020).

    Args:
        logits: ``[rows, vocabulary]`` as the model gave them.
        banned: bool ``[rows]``, where ``eos`` may not come yet.
        seen: token ids ``[rows, any]`` that the repetition penalty (Keskar et al. 2019) weighs down, or None.
    """
    plain = torch.log_softmax(logits.float(), dim=-1)
    scores = plain if seen is None else _penalised(logits.float(), seen, options.repetition_penalty)
    if bool(banned.any()):
        scores = scores.clone()
        scores[banned, eos] = -torch.inf
    width = min(options.top_k or scores.shape[-1], scores.shape[-1])
    top, tokens = scores.topk(min(width + SPARE, scores.shape[-1]), dim=-1)
    if top.device.type == "mps":  # has no float64
        top, tokens, plain = top.cpu(), tokens.cpu(), plain.cpu()
    if width > 1:  # greedy decoding takes the first, as everywhere
        top, tokens = _ranked(top, tokens, width)
    top, tokens = top[:, :width], tokens[:, :width]
    weights = torch.softmax(top.double() / options.temperature, dim=-1)
    before = weights.cumsum(-1) - weights
    weights = weights.masked_fill(before >= options.top_p - MARGIN, 0.0)
    weights[:, 0] = weights[:, 0].clamp(min=MARGIN)  # the likeliest always stays
    tokens, order = tokens.sort(dim=-1)
    return Survivors(tokens, weights.gather(1, order).cumsum(-1), plain.gather(1, tokens))


def _ranked(top: torch.Tensor, tokens: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ``width`` likeliest; of those that only rounding tells apart, the ones with the lower token."""
    tokens, order = tokens.sort(dim=-1)
    top = top.gather(1, order)
    order = (top * GRID).round().sort(dim=-1, descending=True, stable=True).indices[:, :width]
    return top.gather(1, order), tokens.gather(1, order)


def draw(survivors: Survivors, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one token per row by inverse CDF, and its log-probability under the plain model.

    Args:
        survivors: of as many rows, or of one row that all share.
        uniform: float64 ``[rows]`` in [0, 1).
    """
    rows = len(uniform)
    sums = survivors.sums.expand(rows, -1)
    target = uniform.to(sums.device)[:, None] * sums[:, -1:]
    index = torch.searchsorted(sums.contiguous(), target, right=True)
    index = index.clamp(max=sums.shape[1] - 1)
    return survivors.tokens.expand(rows, -1).gather(1, index)[:, 0], survivors.logprobs.expand(rows, -1).gather(1, index)[:, 0]


def _penalised(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    values = logits.gather(1, seen)
    return logits.scatter(1, seen, torch.where(values < 0, values * penalty, values / penalty))


def uniforms(seed: int, prompt: str, row: int, count: int) -> np.ndarray:
    """Return the ``count`` random numbers in [0, 1) of one row, float64.

    They follow from the seed, the prompt's text, the row's number and the position alone (Philox, Salmon et al.
    2011): neither the batch size, nor other prompts, nor a larger ``count`` change them.
    """
    key = int.from_bytes(hashlib.blake2b(prompt.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    bits = np.random.Philox(key=[seed % 2**64, key], counter=[0, row, 0, 0])
    return np.random.Generator(bits).random(count)
