"""Many processes, one training: which one this is, and what they tell each other.

``torchrun`` and ``accelerate launch`` set RANK and WORLD_SIZE; without them there is one process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def rank() -> int:
    """Return the number of this process, from 0; only 0 writes files and prints."""
    return int(os.environ.get("RANK", "0"))


def ranks() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: str) -> None:
    """Meet the other processes, each on its own card, before anything is decided together."""
    import torch

    if ranks() > 1 and not torch.distributed.is_initialized():
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")


def total(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the sum of ``values`` (on the CPU) over all processes; they talk through ``device``."""
    import torch

    if ranks() == 1:
        return values
    there = values.to(device)
    torch.distributed.all_reduce(there)
    return there.cpu()


def greatest(value: int, device: torch.device) -> int:
    """Return the greatest ``value`` that any process has."""
    import torch

    if ranks() == 1:
        return value
    there = torch.tensor(value, device=device)
    torch.distributed.all_reduce(there, op=torch.distributed.ReduceOp.MAX)
    return int(there)


def wait() -> None:
    """Return when every process has come here."""
    import torch

    if ranks() > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()
