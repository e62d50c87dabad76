"""The decode loop against transformers' generate, over several architectures."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
)

from hugging_captions import models
from hugging_captions.generator import decoder
from hugging_captions.generator.decoder import Decoder, Prompt, Row
from hugging_captions.models import LoadedModel
from hugging_captions.options import GenerateOptions

EOS, START, VOCABULARY = 0, 1, 60
GREEDY = GenerateOptions(top_k=1, min_length=0, max_length=29)
PROMPTS = [[START], [START, 7, 8, 9], [START, 11], [START, 5, 5, 21, 40, 2]]


def _gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=EOS, eos_token_id=EOS, **shape)).eval()
    with torch.no_grad():
        model.transformer.wpe.weight.mul_(20)  # varied texts instead of one repeated token
        model.transformer.wte.weight.mul_(6)
    return model


COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "bos_token_id": EOS,
    "eos_token_id": EOS,
    "tie_word_embeddings": False,
}
HEADS = {"intermediate_size": 64, "num_attention_heads": 4, "max_position_embeddings": 64}
GROUPED = COMMON | HEADS | {"num_key_value_heads": 2, "pad_token_id": None}
OPT = {"ffn_dim": 64, "num_attention_heads": 4, "max_position_embeddings": 64, "word_embed_proj_dim": 32}
LOCAL = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 64, "window_size": 8}
#: The configuration and whether the slots can be used.
ARCHITECTURES: dict[str, tuple[PreTrainedConfig, bool]] = {
    "llama": (LlamaConfig(**GROUPED), True),
    "gptneox": (GPTNeoXConfig(**COMMON, **HEADS), True),
    "gemma2": (Gemma2Config(**GROUPED, head_dim=8), True),
    "gemma2-window": (Gemma2Config(**GROUPED, head_dim=8, sliding_window=6), False),
    "mistral-window": (MistralConfig(**GROUPED, sliding_window=6), False),
    "gptneo-window": (GPTNeoConfig(**COMMON, **LOCAL), False),
    "opt": (OPTConfig(**COMMON, **OPT), True),
    "bloom": (BloomConfig(**COMMON, n_layer=2, n_head=4), False),
    "mamba": (MambaConfig(**COMMON, state_size=4), False),
}  # fmt: skip


def _model(name: str) -> Any:
    torch.manual_seed(0)
    if name == "gpt2":
        return _gpt2()
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name][0]).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(8)  # some tokens are likelier than others
    return model


class Chain(torch.nn.Module):
    """A causal model without keys and values: the next token follows from the last by a table of logits."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(logits)
        self.config = GPT2Config(vocab_size=len(logits), n_layer=1, n_head=1, n_embd=1)

    def forward(self, input_ids: torch.Tensor, **_: object) -> object:
        return SimpleNamespace(logits=self.table[input_ids], past_key_values=None)


def _decoder(model: Any, prompts: list[list[int]], options: GenerateOptions) -> Decoder:
    loaded = LoadedModel(model, SimpleNamespace(eos_token_id=EOS), START)  # type: ignore[arg-type]
    return Decoder(loaded, [Prompt(str(ids), tuple(ids)) for ids in prompts], options, 3)


def _decode(model: Any, prompts: list[list[int]], options: GenerateOptions, rows: int, slots: int = 8) -> dict[tuple[int, int], Row]:
    waiting = iter([Row(prompt, number) for number in range(rows) for prompt in range(len(prompts))])

    def next_rows(free: int) -> list[Row]:
        assert 0 < free <= slots
        return list(islice(waiting, free))

    loop = _decoder(model, prompts, replace(options, decode_rows=slots))
    found = {(row.prompt, row.number): row for finished in loop.run(next_rows) for row in finished}
    assert len(found) == rows * len(prompts)
    return found


def _generate(model: Any, prompt: list[int], **settings: Any) -> list[int]:
    ids = torch.tensor([prompt])
    found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_length=30, pad_token_id=EOS, **settings)
    return list(found[0].tolist())


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize(("penalty", "min_length"), [(1.0, 0), (1.4, 0), (1.0, 20), (1.3, 12)])
def test_greedy_decoding_is_that_of_generate(name: str, penalty: float, min_length: int) -> None:
    model = _model(name)
    found = _decode(model, PROMPTS, replace(GREEDY, min_length=min_length, repetition_penalty=penalty), 1, slots=2)
    for number, prompt in enumerate(PROMPTS):
        expected = _generate(model, prompt, min_length=min_length + 1, repetition_penalty=penalty)
        assert [*prompt, *found[number, 0].ids] == expected
        assert found[number, 0].ended == (expected[-1] == EOS)


def test_the_repetition_penalty_leaves_the_end_token_alone() -> None:
    """The end token is in each row as its start token (GPT-2) or padding, so it must not be penalized."""
    logits = torch.randn(2, VOCABULARY, generator=torch.Generator().manual_seed(0))
    seen = torch.tensor([[EOS, 7, 8], [START, 7, EOS]])
    options = GenerateOptions(repetition_penalty=1.7, top_k=0, top_p=1.0, temperature=1.0, min_length=0)
    found = decoder.survivors(logits, options, EOS, seen, torch.tensor([3, 3]))
    weights = torch.diff(found.sums, prepend=torch.zeros(2, 1, dtype=torch.float64)).float()
    expected = logits.clone()
    for row, tokens in enumerate(([7, 8], [START, 7])):
        for token in tokens:
            expected[row, token] *= 1.7 if logits[row, token] < 0 else 1 / 1.7
    shares = (weights / found.sums[:, -1:]).float()
    assert torch.allclose(shares, torch.softmax(expected, -1), atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_the_same_text_as_generate_and_as_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("hugging_captions").propagate = True
    model, in_slots = _model(name), ARCHITECTURES[name][1]
    found = _decode(model, PROMPTS, GREEDY, 1, slots=3)
    for number, prompt in enumerate(PROMPTS):
        assert [*prompt, *found[number, 0].ids] == _generate(model, prompt)
    slowly = f"{model.config.model_type} models are decoded without a cache, which is slower" in caplog.text
    assert slowly != in_slots
    sampled = GenerateOptions(min_length=3, max_length=15, temperature=1.3)
    alone = _decode(model, PROMPTS, sampled, 4, slots=1)
    assert len({tuple(row.ids) for row in alone.values()}) > 10
    for slots in (3, 16):
        assert {key: row.ids for key, row in _decode(model, PROMPTS, sampled, 4, slots=slots).items()} == {
            key: row.ids for key, row in alone.items()
        }


def test_log_probabilities_are_those_of_the_plain_model() -> None:
    model = _gpt2()
    options = replace(GREEDY, top_k=9, top_p=0.8, temperature=1.5, min_length=5, repetition_penalty=1.2)
    for (prompt, _), row in _decode(model, PROMPTS, options, 6).items():
        ids = torch.tensor([[*PROMPTS[prompt], *row.ids]])
        with torch.no_grad():
            plain = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        assert row.logprobs == pytest.approx(plain[len(PROMPTS[prompt]) - 1 :].tolist(), abs=2e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0, "top_p": 1.0},
        {"top_k": 12, "top_p": 1.0},
        {"top_k": 0, "top_p": 0.6},
        {"top_k": 20, "top_p": 0.9, "temperature": 0.7, "repetition_penalty": 1.5},
        {"top_k": 20, "top_p": 0.9, "temperature": 1.6, "min_length": 10},
    ],
)
def test_the_next_token_has_the_distribution_of_generate(options: dict) -> None:
    """The probabilities equal those of transformers' processors; a chi-square test checks the sampled tokens."""
    from transformers import (
        LogitsProcessorList,
        MinLengthLogitsProcessor,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )  # fmt: skip

    ours = GenerateOptions(**({"min_length": 0} | options))
    ids = torch.tensor([PROMPTS[3]])
    with torch.no_grad():
        logits = _gpt2()(input_ids=ids).logits[:, -1]
    chain = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(ours.repetition_penalty)])
    if ours.min_length:
        chain.append(MinLengthLogitsProcessor(ours.min_length + 1, EOS, device="cpu"))
    chain.append(TemperatureLogitsWarper(ours.temperature))
    if ours.top_k:
        chain.append(TopKLogitsWarper(ours.top_k))
    if ours.top_p < 1:
        chain.append(TopPLogitsWarper(ours.top_p))
    expected = torch.softmax(chain(ids, logits.clone()).double(), -1)[0].numpy()
    found = decoder.survivors(logits, ours, EOS, ids, torch.tensor([ids.shape[1]]))
    weights = np.zeros(VOCABULARY)
    weights[found.tokens[0].numpy()] = np.diff(found.sums[0].numpy(), prepend=0) / found.sums[0, -1].item()
    assert weights == pytest.approx(expected, abs=1e-6)
    draws = 4000
    uniform = torch.tensor([decoder.uniforms(0, "", row, 1)[0] for row in range(draws)])
    counts = np.bincount(decoder.draw(found, uniform)[0].numpy(), minlength=VOCABULARY)
    likely = expected * draws >= 5
    assert counts[expected == 0].sum() == 0
    chi_square = ((counts[likely] - expected[likely] * draws) ** 2 / (expected[likely] * draws)).sum()
    freedom = max(1, likely.sum() - 1)
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5 + 4  # four standard deviations


@pytest.mark.parametrize(("choice", "expected"), [({"top_k": 1}, False), ({"top_p": 1e-9}, False), ({}, True)])
def test_a_row_knows_whether_it_had_a_choice(choice: dict[str, Any], expected: bool) -> None:
    options = GenerateOptions(**({"min_length": 0, "max_length": 20} | choice))
    assert {row.had_choice for row in _decode(_gpt2(), PROMPTS, options, 2).values()} == {expected}


@pytest.mark.parametrize("slots", [1, 2, 7, 64])
def test_a_row_depends_on_its_own_numbers_alone(slots: int) -> None:
    model, options = _gpt2(), GenerateOptions(min_length=3, max_length=29, temperature=1.3)
    alone = _decode(model, PROMPTS, options, 12, slots=48)
    found = _decode(model, PROMPTS[::-1], options, 9, slots=slots)
    assert {key: row.ids for key, row in found.items()} == {(p, n): alone[3 - p, n].ids for p, n in found}


def test_rows_end_and_are_refilled_at_every_possible_step() -> None:
    """A model whose row n ends after exactly ``lengths[n]`` tokens, independent of the other rows."""
    limit = 12
    logits = torch.full((limit + 2, limit + 2), -30.0)
    for token in range(1, limit + 1):
        logits[token, token - 1] = 30.0  # counts down, and 0 ends
    model = Chain(logits)
    prompts = [[EOS, first] for first in range(1, limit - 1)]
    for slots in (1, 2, 3, 5, 40):
        found = _decode(model, prompts, replace(GREEDY, max_length=limit - 1), 3, slots)
        assert {key: row.ids for key, row in found.items()} == {
            (p, n): list(range(p, -1, -1)) for p in range(len(prompts)) for n in range(3)
        }
        assert all(row.ended for row in found.values())


def test_the_batch_is_always_full_while_rows_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = _decoder(_gpt2(), [[EOS, 7]], GenerateOptions(min_length=0, max_length=24, temperature=1.5, decode_rows=8))
    todo = [Row(0, number) for number in range(100)]
    sizes: list[tuple[int, int]] = []
    plain = GPT2LMHeadModel.forward

    def watched(self: GPT2LMHeadModel, *args: Any, **inputs: Any) -> Any:
        sizes.append((len(inputs["input_ids"]), len(todo)))
        return plain(self, *args, **inputs)

    def next_rows(free: int) -> list[Row]:
        now, todo[:] = todo[:free], todo[free:]
        return now

    monkeypatch.setattr(GPT2LMHeadModel, "forward", watched)
    rows = [row for rows in loop.run(next_rows) for row in rows]
    assert len(rows) == 100
    assert len({len(row.ids) for row in rows}) > 5
    assert {size for size, waiting in sizes[1:] if waiting} == {8}
    assert loop.tokens == sum(size for size, _ in sizes[1:])  # the first call reads the prompt


def test_memory_bounds_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _gpt2()
    cache = decoder.probe_slots(model, 30)
    assert cache is not None
    row = 2 * 2 * 32 * 4 * 30 + 16 * VOCABULARY  # keys and values of two layers, and logits
    monkeypatch.setattr(models, "free_memory", lambda device: 2 * 5 * row)
    assert decoder.choose_slots(model, 30, cache) == 4
    monkeypatch.setattr(models, "free_memory", lambda device: 2 * 9 * 30 * 2 * 4 * VOCABULARY)
    assert decoder.choose_slots(model, 30, None) == 8  # without a cache: the logits of all positions, twice
    monkeypatch.setattr(models, "free_memory", lambda device: 1)
    assert decoder.choose_slots(model, 30, cache) == 1
    monkeypatch.setattr(models, "free_memory", lambda device: 1 << 50)
    assert decoder.choose_slots(model, 30, cache) == decoder.MOST_ROWS["cpu"]
