"""Decode steps of fixed shape, captured once and replayed as CUDA graphs.

A step of a small model takes a GPU less time than the launching of its hundreds of kernels takes the processor. A
graph launches them all at once, but knows one shape only: rows and positions are rounded up to few shapes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import torch

log = logging.getLogger(__name__)

#: ``forward(ids [rows], positions [rows], until) -> logits [rows, vocabulary]``
Forward = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
#: Makes of a call without arguments one that repeats it on whatever its tensors hold by then.
Capture = Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]]

#: A shape is captured when it was wanted so often: a capture takes about as long as ten steps, and forty captions need no more.
WORTH_IT = 16
#: Visible positions are rounded up to a multiple of this; rows to a power of two.
POSITIONS = 32
#: Steps before a capture, in which libraries choose their kernels and take their memory (torch's notes on CUDA graphs).
WARM_UP = 3


class StepGraphs:
    """The steps of one decoder, each computed plainly until its shape has come often enough to be captured."""

    def __init__(self, forward: Forward, slots: int, limit: int, tolerance: float, capture: Capture | None = None) -> None:
        """Prepare to compute steps by ``forward``, of ``slots`` rows and ``limit`` positions at most.

        Args:
            tolerance: how far a graph's logits may be from those of ``forward``, as a share of their spread.
            capture: how a step is recorded; by default as a CUDA graph.
        """
        self._forward, self._slots, self._limit, self._tolerance = forward, slots, limit, tolerance
        self._capture = capture or cuda_graph()
        self._wanted: Counter[tuple[int, int]] = Counter()
        self._steps: dict[tuple[int, int], _Step] = {}
        self._given_up = False

    def __call__(self, ids: torch.Tensor, positions: torch.Tensor, until: int) -> torch.Tensor:
        """Return ``forward(ids, positions, until)``."""
        shape = self._shape(len(ids), until)
        self._wanted[shape] += 1
        if shape not in self._steps and self._wanted[shape] > WORTH_IT and not self._given_up:
            self._record(shape, ids, positions, until)
        if shape in self._steps:
            return self._steps[shape](ids, positions)
        return self._forward(ids, positions, until)

    def _shape(self, rows: int, until: int) -> tuple[int, int]:
        return min(1 << (rows - 1).bit_length(), self._slots), min(-(-until // POSITIONS) * POSITIONS, self._limit)

    def _record(self, shape: tuple[int, int], ids: torch.Tensor, positions: torch.Tensor, until: int) -> None:
        """Capture the step of ``shape`` if it then computes what the plain one does; otherwise give graphs up."""
        try:
            step = _Step(self._forward, shape, ids.device, self._capture)
            plain, replayed = self._forward(ids, positions, until).float(), step(ids, positions).float()
            if float((replayed - plain).abs().max()) > self._tolerance * float(plain.std() + 1e-6):
                raise RuntimeError("a replayed step differs from a plain one")
        except (RuntimeError, ValueError) as error:  # something in this model can't be captured, or memory is short
            log.debug("no CUDA graphs: %s", error)
            self._given_up = True
            self._steps.clear()
            return
        self._steps[shape] = step


class _Step:
    """One captured step, with the tensors that it reads from and writes to."""

    def __init__(self, forward: Forward, shape: tuple[int, int], device: torch.device, capture: Capture) -> None:
        rows, until = shape
        self._ids = torch.zeros(rows, dtype=torch.long, device=device)
        self._positions = torch.zeros(rows, dtype=torch.long, device=device)
        self._replay = capture(lambda: forward(self._ids, self._positions, until))

    def __call__(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        # the rows behind these are in no slot in use: what they compute is neither read nor seen by others
        self._ids[: len(ids)] = ids
        self._positions[: len(ids)] = positions
        return self._replay()[: len(ids)].clone()  # the next replay writes to the same place


def cuda_graph() -> Capture:
    """Return a ``Capture`` that records CUDA graphs, which share their memory: only one of them runs at a time."""
    pool = torch.cuda.graph_pool_handle()

    def capture(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return logits

        return replay

    return capture
