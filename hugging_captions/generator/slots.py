"""Key/value memory in slots: each row of the batch has a place of its own, at a position of its own.

A cache that transformers' models fill like their own. Rows may stand at different positions, one may
take the place of another at any step, and nothing is copied as rows grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class SlotLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, ``[slots, heads, positions, width]`` each."""

    def __init__(self, cache: SlotCache, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self._cache = cache
        self.keys = keys.new_zeros(cache.slots, keys.shape[1], cache.length, keys.shape[3])
        self.values = values.new_zeros(cache.slots, values.shape[1], cache.length, values.shape[3])
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one position of each row in use and return what is known of them so far."""
        rows, positions, until = self._cache.rows, self._cache.positions, self._cache.until
        self.keys[rows, :, positions] = key_states[:, :, 0]
        self.values[rows, :, positions] = value_states[:, :, 0]
        return self.keys[: len(rows), :, :until], self.values[: len(rows), :, :until]

    def get_seq_length(self) -> int:
        """Return the longest row, the position that is being written not counted."""
        return self._cache.until - 1


class SlotCache(Cache):  # type: ignore[misc]
    """The slots of all layers. Rows in use are always the first ones."""

    def __init__(self, prefix: Any, slots: int, length: int) -> None:
        """Make room for ``slots`` rows of ``length`` positions, shaped like the layers of ``prefix``."""
        self.slots, self.length, self.until = slots, length, 1
        super().__init__(layers=[SlotLayer(self, layer.keys, layer.values) for layer in prefix.layers])

    def aim(self, positions: torch.Tensor, until: int) -> torch.Tensor:
        """Say where the next token of each of the first rows goes; return the mask that goes with it.

        Args:
            positions: int64 ``[rows]``.
            until: the greatest of them plus one.

        Returns:
            float ``[rows, 1, 1, until]``: 0 for what a row may see, the least number for what it may not.
        """
        self.rows, self.positions, self.until = torch.arange(len(positions), device=positions.device), positions, until
        layer = self.layers[0]
        hidden = torch.arange(until, device=positions.device)[None] > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=layer.dtype, device=positions.device)
        return mask.masked_fill_(hidden, torch.finfo(layer.dtype).min)[:, None, None]

    def fill(self, slots: Sequence[int], prefix: Any) -> None:
        """Begin the rows of ``slots`` with the keys and values of a prompt that was read once."""
        for own, layer in zip(self.layers, prefix.layers):
            known = layer.keys.shape[2]
            own.keys[list(slots), :, :known] = layer.keys
            own.values[list(slots), :, :known] = layer.values

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows into the slots of others."""
        if sources:
            for layer in self.layers:
                layer.keys[list(targets)] = layer.keys[list(sources)]
                layer.values[list(targets)] = layer.values[list(sources)]


def row_bytes(model: Any, length: int) -> int:
    """Return the memory that one row of ``length`` positions takes: keys, values, and its logits on the way to a token."""
    config, parameter = model.config, next(model.parameters())
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * length * parameter.element_size() + 4 * 4 * config.vocab_size)
