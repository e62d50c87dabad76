"""Held-out figures: how likely a model finds captions that it was not trained on.

The loss is a sum over tokens divided by their number, never a mean of batch means, and the same
for any number of processes and any batch size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..dataset import corpus as dataset
from . import ranks


@dataclass(frozen=True)
class HeldOut:
    """Token rows of the held-out captions, the tag and the UTF-8 bytes (with one for the end) of each."""

    rows: tuple[Sequence[int], ...]
    tags: tuple[str, ...]
    bytes: tuple[int, ...]


def evaluate(model: Any, held_out: HeldOut, batch_tokens: int) -> dict[str, Any]:
    """Return ``val_loss`` (nats per token), ``perplexity`` and ``bits_per_byte`` under ``model``.

    Bits per byte divides the same sum by the bytes of the text, so it compares across tokenizers.
    Where the captions are of several tags, ``val_loss_by_tag`` has the loss of each.
    """
    nats = row_losses(model, held_out.rows, batch_tokens)
    loss = sum(nats) / sum(len(row) - 1 for row in held_out.rows)
    figures: dict[str, Any] = {
        "val_loss": loss,
        "perplexity": math.exp(min(loss, 700)),
        "bits_per_byte": sum(nats) / math.log(2) / sum(held_out.bytes),
    }
    if len(set(held_out.tags)) > 1:
        figures["val_loss_by_tag"] = {tag: _loss_of(tag, nats, held_out) for tag in dict.fromkeys(held_out.tags)}
    return figures


def row_losses(model: Any, rows: Sequence[Sequence[int]], batch_tokens: int) -> list[float]:
    """Return the negative log-likelihood of each row, in nats; each process computes its share of the batches."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    nats = torch.zeros(len(rows), dtype=torch.float64)
    batches = list(dataset.TokenBatches([len(row) for row in rows], batch_tokens, seed=0, shuffle=False))
    with torch.no_grad():
        for batch in batches[ranks.rank() :: ranks.ranks()]:
            tensors = dataset.collate([rows[i] for i in batch])
            logits = model(input_ids=tensors["input_ids"].to(device), use_cache=False).logits
            losses = token_losses(logits, tensors["labels"].to(device))
            nats[batch] = losses.sum(-1).cpu().double()
    model.train(was_training)
    return ranks.total(nats, device).tolist()


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of each token but the first, float32 ``[rows, length - 1]``; 0 where the label is ignored."""
    targets = labels[:, 1:]
    flat = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), targets.flatten(), ignore_index=dataset.IGNORED, reduction="none"
    )
    return flat.view(targets.shape)


def _loss_of(tag: str, nats: Sequence[float], held_out: HeldOut) -> float:
    own = [i for i, other in enumerate(held_out.tags) if other == tag]
    return sum(nats[i] for i in own) / sum(len(held_out.rows[i]) - 1 for i in own)
