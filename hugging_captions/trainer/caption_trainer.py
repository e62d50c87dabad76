"""transformers' Trainer, with our batches, and with steps that can be computed in parts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, ProgressCallback, Trainer

from ..dataset import corpus as dataset
from ..errors import is_out_of_memory
from . import ranks

log = logging.getLogger(__name__)


class CaptionTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer over our own token batches, computed in parts where memory is short.

    The loss is a sum over the step's tokens divided by their number over all parts and processes, so
    neither changes what is learned.
    """

    def __init__(self, *, rows: Sequence[Sequence[int]], batches: dataset.TokenBatches, parts: int = 1, **settings: Any) -> None:
        self._rows, self._batches, self.parts = rows, batches, parts
        self._fits_everywhere = ranks.ranks() == 1  # there a step that doesn't fit is simply taken again
        super().__init__(train_dataset=rows, **settings)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)

    def get_train_dataloader(self) -> DataLoader:
        """Return this process's share of the batches, as ``dataset.collate`` makes them."""
        share = dataset.RankBatches(self._batches, ranks.rank(), ranks.ranks())
        return DataLoader(self._rows, batch_sampler=share, collate_fn=dataset.collate, pin_memory=self.args.dataloader_pin_memory)

    def training_step(self, model: Any, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute the gradients of one step; if memory runs out, again in twice as many parts from then on.

        Several processes can't turn back in the middle of a step: they find out on the largest one, before the first.
        """
        if not self._fits_everywhere:
            self._fit_everywhere(model, num_items_in_batch)
        while True:
            try:
                return self._in_parts(model, inputs, num_items_in_batch)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if ranks.ranks() > 1 or self.parts >= len(inputs["labels"]) or not is_out_of_memory(error):
                    raise
            self._halve(model)

    def _fit_everywhere(self, model: Any, num_items_in_batch: Any) -> None:
        """Compute the largest step, and forget it, until no process runs out of memory."""
        device = self.args.device
        while not self._fits_everywhere:
            at_once = ranks.ranks() * self.parts  # a batch is shared and cut by rows
            rows = max(self._batches, key=lambda batch: -(-len(batch) // at_once) * max(len(self._rows[i]) for i in batch))
            inputs = self._prepare_inputs(dataset.collate([self._rows[i] for i in rows[ranks.rank() :: ranks.ranks()]]))
            trouble = None
            with torch.random.fork_rng([device] if device.type == "cuda" else []), self.accelerator.no_sync(model):
                try:
                    for part in dataset.parts(inputs, self.parts):
                        super().training_step(model, part, num_items_in_batch)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    trouble = str(error)
            self._fits_everywhere = not ranks.greatest(int(trouble is not None), device)
            model.zero_grad()
            if not self._fits_everywhere:
                if self.parts >= len(rows):
                    raise torch.OutOfMemoryError(trouble or "out of memory in another process")
                self._halve(model)

    def _halve(self, model: Any) -> None:
        model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.parts *= 2
        log.warning("out of memory: each step is computed in %d parts from here on, of the same tokens in all", self.parts)

    def _in_parts(self, model: Any, inputs: dict[str, torch.Tensor], num_items_in_batch: Any) -> torch.Tensor:
        found = dataset.parts(inputs, self.parts)
        losses = []
        for i, part in enumerate(found):
            last = i == len(found) - 1
            with nullcontext() if last else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        return torch.stack(losses).sum()
