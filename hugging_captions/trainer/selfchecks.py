"""Checks on the real data before the first step, in well under a second.

Each guards against a mistake that trains without an error and is seen only in the captions: an
end that is never learned, padding that is, or padding that other tokens see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..dataset import corpus as dataset
from ..errors import HuggingCaptionsError

#: Rows and tokens of the comparison: enough to see a leak, few enough for a slow CPU.
ROWS, TOKENS = 3, 24
#: Greatest difference of logits, as a share of the greatest logit. A mask that leaks is off by 10 % and more, float32 by 0.001 %.
TOLERANCE = 1e-3


class SelfCheckError(HuggingCaptionsError):
    """A check failed: training would go wrong in silence."""


def check(model: Any, rows: Sequence[Sequence[int]], batches: dataset.TokenBatches, eos: int) -> None:
    """Check the batch of ``batches`` that mixes lengths most, and the model on the beginnings of some of its rows.

    Raises:
        SelfCheckError: naming the check that failed.
    """
    mixed = max(batches, key=lambda batch: len(rows[batch[0]]) - len(rows[batch[-1]]))  # longest first
    batch = [rows[i] for i in mixed]
    check_labels(batch, dataset.collate(batch), eos)
    check_padding(model, [row[: TOKENS - 5 * i] for i, row in enumerate(batch[:ROWS])])


def check_labels(rows: Sequence[Sequence[int]], batch: dict[str, torch.Tensor], eos: int) -> None:
    """Check that the final eos of each caption is a label, and that no padding is."""
    for row, labels in zip(rows, batch["labels"].tolist()):
        if row[-1] == eos and len(row) > 1 and labels[len(row) - 1] != eos:
            raise SelfCheckError("self-check 'final eos is a label' failed: the model would never learn to stop")
        if any(label != dataset.IGNORED for label in labels[len(row) :]):
            raise SelfCheckError("self-check 'padding is no label' failed: the model would learn to write padding")


@torch.no_grad()
def check_padding(model: Any, rows: Sequence[Sequence[int]]) -> None:
    """Check that one padded forward pass gives each row the logits that it gets alone."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    together = model(input_ids=dataset.collate(rows)["input_ids"].to(device), use_cache=False).logits
    for row, logits in zip(rows, together):
        alone = model(input_ids=torch.tensor([list(row)], device=device), use_cache=False).logits[0]
        if not torch.allclose(logits[: len(row)], alone, rtol=0, atol=TOLERANCE * float(alone.abs().max())):
            raise SelfCheckError("self-check 'padded equals separate' failed: with this base model captions would see padding")
    model.train(was_training)
