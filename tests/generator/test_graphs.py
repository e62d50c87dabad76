"""Captured decode steps. Without a GPU, capturing is replaced by repeating; the shapes and the buffers are the real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_generator import EOS, PROMPTS, _decode, _gpt2, _llama
from torch.fx.experimental.proxy_tensor import make_fx

from hugging_captions.generator import graphs
from hugging_captions.generator.decoder import Decoder
from hugging_captions.generator.graphs import StepGraphs
from hugging_captions.options import GenerateOptions

OPTIONS = GenerateOptions(top_k=0, top_p=0.9, min_length=0)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Callable[[graphs.Capture], list[StepGraphs]]:
    """Return a function that gives every decoder from then on steps recorded by a ``Capture``, and the list of their graphs."""

    def use(capture: graphs.Capture) -> list[StepGraphs]:
        made: list[StepGraphs] = []
        plain = Decoder._choose_cache

        def choose(self: Decoder, *rest: object) -> None:
            plain(self, *rest)
            self._graphs = StepGraphs(self._forward, self.slots, self.limit, 1e-3, capture)
            made.append(self._graphs)

        monkeypatch.setattr(Decoder, "_choose_cache", choose)
        monkeypatch.setattr(graphs, "WORTH_IT", 2)
        return made

    return use


@pytest.mark.parametrize("make", [_gpt2, _llama])
@pytest.mark.parametrize("slots", [1, 6, 32])
def test_replayed_steps_sample_the_same_rows(make: Callable[[], object], slots: int, replayed: Callable) -> None:
    plain = _decode(make(), PROMPTS, OPTIONS, 9, limit=50, slots=slots)
    made = replayed(lambda step: step)
    found = _decode(make(), PROMPTS, OPTIONS, 9, limit=50, slots=slots)
    assert made[0]._steps, "nothing was captured"
    assert {key: row.ids for key, row in found.items()} == {key: row.ids for key, row in plain.items()}


def test_shapes_are_few() -> None:
    steps = StepGraphs(lambda *_: torch.zeros(0), 96, 61, 0.1, lambda step: step)
    shapes = {steps._shape(rows, until) for rows in range(1, 97) for until in range(1, 62)}
    assert {rows for rows, _ in shapes} == {1, 2, 4, 8, 16, 32, 64, 96}
    assert {until for _, until in shapes} == {32, 61}


def test_what_cannot_be_captured_is_computed_plainly(replayed: Callable) -> None:
    def fail(step: object) -> Callable[[], torch.Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing")

    plain = _decode(_gpt2(), PROMPTS, OPTIONS, 5)
    made = replayed(fail)
    found = _decode(_gpt2(), PROMPTS, OPTIONS, 5)
    assert made[0]._given_up
    assert {key: row.ids for key, row in found.items()} == {key: row.ids for key, row in plain.items()}


def test_a_replay_that_differs_is_not_used(replayed: Callable) -> None:
    plain = _decode(_gpt2(), PROMPTS, OPTIONS, 5)
    made = replayed(lambda step: lambda: step() + torch.randn(()))
    found = _decode(_gpt2(), PROMPTS, OPTIONS, 5)
    assert made[0]._given_up
    assert not made[0]._steps
    assert {key: row.ids for key, row in found.items()} == {key: row.ids for key, row in plain.items()}


@pytest.mark.parametrize("make", [_gpt2, _llama])
def test_a_step_never_waits_for_a_value(make: Callable[[], object]) -> None:
    """What looks at a tensor's values on the way can't be captured; tracing with tensors that have none finds it."""
    loop = Decoder(make(), EOS, PROMPTS, [""] * 4, OPTIONS, 0, 30, 4)
    ids, positions = torch.tensor([5, 6, 7, 8]), torch.tensor([4, 5, 6, 9])
    with torch.no_grad():
        loop._prefix(1)  # makes the slots
        step = make_fx(lambda ids, positions: loop._forward(ids, positions, 30), tracing_mode="fake", _allow_non_fake_inputs=True)
        traced = step(ids, positions)
    assert not any("_local_scalar_dense" in str(node.target) or "nonzero" in str(node.target) for node in traced.graph.nodes)
