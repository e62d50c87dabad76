"""The decode loop against transformers' generate, and the whole of --generate through the script."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import tune_transformer
from hugging_captions import models
from hugging_captions.dataset import corpus as dataset
from hugging_captions.dataset.batches import encode_captions
from hugging_captions.generator import candidates, decoder, sampling
from hugging_captions.generator.decoder import Decoder, Row
from hugging_captions.generator.generate import prepare, sample
from hugging_captions.generator.novelty import Reference
from hugging_captions.options import GenerateOptions, HardwareOptions
from hugging_captions.storage import Store, read_captions, write_captions

GOLDEN = ROOT / "tests" / "golden"
EOS, VOCABULARY = 0, 60
GREEDY = GenerateOptions(top_k=1, min_length=0)


def _gpt2(seed: int = 0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=EOS, eos_token_id=EOS, **shape)).eval()
    with torch.no_grad():
        model.transformer.wpe.weight.mul_(20)  # texts that go somewhere instead of repeating one token
        model.transformer.wte.weight.mul_(6)
    return model


def _llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, bos_token_id=EOS, eos_token_id=EOS, **shape)).eval()


class Chain(torch.nn.Module):
    """A causal model without keys and values: the next token follows from the last by a table of logits."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(logits)
        self.config = GPT2Config(vocab_size=len(logits), n_layer=1, n_head=1, n_embd=1)
        self.calls = 0

    def forward(self, input_ids: torch.Tensor, **_: object) -> object:
        self.calls += 1
        return type("Output", (), {"logits": self.table[input_ids], "past_key_values": None})


def _decode(model: object, prompts: list[list[int]], options: GenerateOptions, rows: int, limit: int = 30, slots: int = 8) -> dict:
    loop = Decoder(model, EOS, prompts, [str(prompt) for prompt in prompts], options, 3, limit, slots)
    todo = [Row(prompt, number) for number in range(rows) for prompt in range(len(prompts))]

    def take(free: int) -> list[Row]:
        assert 0 < free <= slots
        now, todo[:] = todo[:free], todo[free:]
        return now

    found = {(row.prompt, row.number): row for rows in loop.run(take) for row in rows}
    assert not todo
    return found


PROMPTS = [[EOS], [EOS, 7, 8, 9], [EOS, 11], [EOS, 5, 5, 21, 40, 2]]


@pytest.mark.parametrize("make", [_gpt2, _llama])
@pytest.mark.parametrize(("penalty", "min_length"), [(1.0, 0), (1.4, 0), (1.0, 20), (1.3, 12)])
def test_greedy_decoding_is_that_of_generate(make: object, penalty: float, min_length: int) -> None:
    model = make()  # type: ignore[operator]
    options = GenerateOptions(top_k=1, min_length=min_length, repetition_penalty=penalty)
    found = _decode(model, PROMPTS, options, 1, slots=2)
    for number, prompt in enumerate(PROMPTS):
        expected = model.generate(
            torch.tensor([prompt]), do_sample=False, max_length=30, min_length=min_length + 1, repetition_penalty=penalty, pad_token_id=EOS
        )[0].tolist()
        assert [*prompt, *found[number, 0].ids] == expected
        assert found[number, 0].ended == (expected[-1] == EOS)


def test_log_probabilities_are_those_of_the_plain_model() -> None:
    model = _gpt2()
    options = GenerateOptions(top_k=9, top_p=0.8, temperature=1.5, min_length=5, repetition_penalty=1.2)
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
    """Exactly: the probabilities that transformers' own processors leave; and by chi-square: the tokens drawn."""
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
    found = sampling.survivors(logits, ours, torch.tensor([ids.shape[1] - 1 < ours.min_length]), EOS, ids)
    weights = np.zeros(VOCABULARY)
    weights[found.tokens[0].numpy()] = np.diff(found.sums[0].numpy(), prepend=0) / found.sums[0, -1].item()
    assert weights == pytest.approx(expected, abs=1e-6)
    draws = 4000
    uniform = torch.tensor([sampling.uniforms(0, "", row, 1)[0] for row in range(draws)])
    counts = np.bincount(sampling.draw(found, uniform)[0].numpy(), minlength=VOCABULARY)
    likely = expected * draws >= 5
    assert counts[expected == 0].sum() == 0
    chi_square = ((counts[likely] - expected[likely] * draws) ** 2 / (expected[likely] * draws)).sum()
    freedom = max(1, likely.sum() - 1)
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5 + 4  # four standard deviations


@pytest.mark.parametrize("slots", [1, 2, 7, 64])
def test_a_row_depends_on_its_own_numbers_alone(slots: int) -> None:
    model, options = _gpt2(), GenerateOptions(min_length=3, temperature=1.3)
    alone = _decode(model, PROMPTS, options, 12, slots=48)
    found = _decode(model, PROMPTS[::-1], options, 9, slots=slots)
    assert {key: row.ids for key, row in found.items()} == {(p, n): alone[3 - p, n].ids for p, n in found}


def test_rows_end_and_are_refilled_at_every_possible_step() -> None:
    """A model whose row n is over after exactly ``lengths[n]`` tokens, whoever sits beside it."""
    limit = 12
    logits = torch.full((limit + 2, limit + 2), -30.0)
    for token in range(1, limit + 1):
        logits[token, token - 1] = 30.0  # counts down, and 0 ends
    model = Chain(logits)
    prompts = [[EOS, first] for first in range(1, limit - 1)]
    for slots in (1, 2, 3, 5, 40):
        found = _decode(model, prompts, GREEDY, 3, limit, slots)
        assert {key: row.ids for key, row in found.items()} == {
            (p, n): list(range(p, -1, -1)) for p in range(len(prompts)) for n in range(3)
        }
        assert all(row.ended for row in found.values())


def test_the_batch_is_always_full_while_rows_wait() -> None:
    model, options = _gpt2(), GenerateOptions(min_length=0, temperature=1.5)
    loop = Decoder(model, EOS, [[EOS, 7]], ["a"], options, 0, 25, 8)
    todo = [Row(0, number) for number in range(100)]
    sizes: list[tuple[int, int]] = []
    plain = loop._logits

    def watched(positions: torch.Tensor, longest: int) -> torch.Tensor:
        sizes.append((len(positions), len(todo)))
        return plain(positions, longest)

    loop._logits = watched  # type: ignore[method-assign]

    def take(free: int) -> list[Row]:
        now, todo[:] = todo[:free], todo[free:]
        return now

    rows = [row for rows in loop.run(take) for row in rows]
    assert len(rows) == 100
    assert len({len(row.ids) for row in rows}) > 5
    assert {size for size, waiting in sizes[1:] if waiting} == {8}
    assert loop.tokens == sum(size for size, _ in sizes[1:])  # the first call is the check of the slots


def test_a_model_without_keys_and_values_is_read_anew_and_said(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("hugging_captions").propagate = True
    model = Chain(torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(1)))
    found = _decode(model, [[EOS, 3]], GREEDY, 2, 10)
    expected, token = [], 3
    while token != EOS and len(expected) < 8:
        token = int(model.table[token].argmax())
        expected.append(token)
    assert [row.ids for row in found.values()] == [expected, expected]
    assert "keeps no keys and values in slots" in caplog.text


def test_memory_bounds_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _gpt2()
    monkeypatch.setattr(models, "free_memory", lambda device: 2 * 5 * decoder.row_bytes(model, 30))
    assert decoder.choose_slots(model, 30) == 4
    monkeypatch.setattr(models, "free_memory", lambda device: 1)
    assert decoder.choose_slots(model, 30) == 1
    monkeypatch.setattr(models, "free_memory", lambda device: 1 << 50)
    assert decoder.choose_slots(model, 30) == decoder.MOST_ROWS["cpu"]


# -- through the script

WORDS = [f"w{i}" for i in range(40)]
CAPTIONS = [f"Hello {WORDS[i % 40]} {WORDS[(i * 7 + i // 40) % 40]} and {WORDS[(i * 3) % 40]} again" for i in range(240)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with captions and a checkpoint whose weights are laid down, not trained.

    One attention-free block of nothing: the next token follows from the last alone, by wide margins, so that the texts are
    the same on every machine.
    """
    store = Store(tmp_path_factory.mktemp("trained"))
    write_captions(store.captions("corgi"), CAPTIONS)
    tokenizer = models.train_tokenizer([*CAPTIONS, *CAPTIONS], 420)
    eos, size = tokenizer.eos_token_id, len(tokenizer)
    config = GPT2Config(vocab_size=size, n_positions=64, n_embd=512, n_layer=1, n_head=1, bos_token_id=eos, eos_token_id=eos)
    config.tie_word_embeddings = False
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.wte.weight[:, :size] = torch.eye(size)
        counts = torch.zeros(size, size)
        for row in encode_captions(CAPTIONS, tokenizer, 64)[0]:
            for last, following in itertools.pairwise(row):
                counts[last, following] += 1
        likelihoods = (counts + 1e-4) / (counts + 1e-4).sum(1, keepdim=True)
        # the layer norm turns a unit vector of n into (n - 1) / sqrt(n - 1) at one place and -1 / sqrt(n - 1) elsewhere
        peak = (512 - 1) ** 0.5 + (512 - 1) ** -0.5
        model.lm_head.weight[:, :size] = likelihoods.log().T / peak
    model.save_pretrained(store.model("corgi"))
    tokenizer.save_pretrained(store.model("corgi"))
    corpus = dataset.load_corpus(["corgi"], store)
    run = {"options": {"val_fraction": 0.1, "base_model": "scratch"}, "seed": 0, "corpus_sha256": corpus.sha256}
    (store.model("corgi") / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return store


BASICS = ["--prompt", "Hello", "--num-captions", "12", "--max-length", "30", "--min-length", "0", "--device", "cpu"]


def _main(store: Store, *argv: str) -> int:
    return tune_transformer.main(["--root", str(store.root), "--tag", "corgi", "--generate", "--overwrite", *argv])


def _files(store: Store) -> list[bytes]:
    return [store.generated("corgi", suffix).read_bytes() for suffix in (".txt", ".jsonl")]


def test_exactly_as_many_as_asked_for_all_different_all_ended(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--prompt", "", "--max-copied-span", "6") == 0
    captions = read_captions(trained.generated("corgi", ".txt"))
    lines = [json.loads(line) for line in trained.generated("corgi", ".jsonl").read_text(encoding="utf-8").splitlines()]
    record = json.loads(trained.generated("corgi", ".json").read_text(encoding="utf-8"))
    assert len(captions) == len(set(captions)) == 24
    assert [line["text"] for line in lines] == captions
    assert Counter(line["prompt"] for line in lines) == {"Hello": 12, "": 12}
    assert all(caption.startswith("Hello") for caption in captions[:12])
    assert all(line["ended"] and line["copied_span"] <= 6 for line in lines)
    assert not set(captions) & {CAPTIONS[i] for i in dataset.split_captions(len(CAPTIONS), 0.1, 0).train}
    for prompt in (lines[:12], lines[12:]):
        assert [line["score"] for line in prompt] == sorted((line["mean_logprob"] for line in prompt), reverse=True)
    assert record["kept"] + sum(record["rejected"].values()) == record["attempts"]
    assert set(record["figures"]) == {"kept", "attempts", "held out"}
    assert record["figures"]["kept"]["exact_copies"] == 0
    out = capsys.readouterr().out
    assert f"24 captions of {record['attempts']} attempts" in out
    assert "novelty_4" in out
    assert f" 10. {captions[9]}" in out
    assert f" 11. {captions[10]}" not in out


@pytest.mark.parametrize("extra", [["--decode-rows", "1"], ["--decode-rows", "5"], ["--decode-rows", "64"]])
def test_the_batch_size_changes_no_byte(extra: list[str], trained: Store) -> None:
    assert _main(trained, *BASICS) == 0
    before = _files(trained)
    assert _main(trained, *BASICS, *extra) == 0
    assert _files(trained) == before


def test_another_prompt_and_more_captions_leave_the_first_as_they_are(trained: Store) -> None:
    assert _main(trained, *BASICS, "--rank", "none") == 0
    before = read_captions(trained.generated("corgi", ".txt"))
    assert _main(trained, *BASICS, "--rank", "none", "--num-captions", "20", "--prompt", "Hello w1") == 0
    assert read_captions(trained.generated("corgi", ".txt"))[:12] == before


def test_golden(trained: Store) -> None:
    """The bytes for a fixed model: what a change of the decoding, the random numbers or the order would alter."""
    assert _main(trained, *BASICS, "--temperature", "0.8", "--seed", "5") == 0
    assert trained.generated("corgi", ".txt").read_text(encoding="utf-8") == (GOLDEN / "generated.txt").read_text(encoding="utf-8")


def test_prompts_from_a_file(trained: Store, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Hello w3\n\nHello w4\nHello w3\n", encoding="utf-8")
    argv = ["--prompt-file", str(tmp_path / "prompts.txt"), "--num-captions", "2", "--min-length", "0"]
    assert _main(trained, *argv, "--keep-all") == 0
    captions = read_captions(trained.generated("corgi", ".txt"))
    assert [caption[:8] for caption in captions] == ["Hello w3"] * 2 + ["Hello w4"] * 2


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--prompt", "Hello " * 30], 2, "tokens and --max-length allows 60"),
        (["--prompt", "<|endoftext|>"], 2, "holds something that this model's tokenizer cannot write"),
        (["--prompt-file", "nowhere.txt"], 3, "cannot read nowhere.txt"),
        (["--keep-all", "--keep-language", "en"], 2, "--keep-all leaves nothing out"),
        (["--prompt", "Hello", "--max-length", "2", "--min-length", "0"], 5, "none of 100 attempts was good enough (100 cut_off)"),
    ],
)
def test_what_cannot_be_done_is_said(argv: list[str], code: int, says: str, trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *argv) == code
    assert says in capsys.readouterr().err


def test_a_model_that_never_ends_stops_by_itself(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, "--max-length", "30", "--min-length", "30", "--num-captions", "500") == 5
    error = capsys.readouterr().err
    assert "gave up on the prompt 'My day': each of its attempts reached --max-length before it ended" in error
    assert "none of 100 attempts" in error


def test_too_few_are_written_with_a_warning(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--prompt", "Hello", "--max-attempts", "1", "--top-k", "1", "--max-copied-span", "30") in (0, 5)
    error = capsys.readouterr().err
    assert ("1 captions instead of 12 after 12 attempts" in error) or ("none of 12 attempts" in error)


def test_without_captions_it_generates_and_says_what_was_not_checked(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    path = trained.captions("corgi")
    hidden = path.rename(path.with_suffix(".away"))
    try:
        assert _main(trained, *BASICS) == 0
    finally:
        hidden.rename(path)
    captured = capsys.readouterr()
    assert f"copies and novelty could not be checked: {path} does not exist" in captured.err
    assert "could not be checked" in captured.out
    assert len(read_captions(trained.generated("corgi", ".txt"))) == 12


def test_the_base_model_beside_the_tuned_one(trained: Store, tmp_path: Path) -> None:
    run = trained.model("corgi") / "run.json"
    before = run.read_text(encoding="utf-8")
    run.write_text(json.dumps(json.loads(before) | {"options": {"val_fraction": 0.1, "base_model": str(trained.model("corgi"))}}))
    try:
        assert _main(trained, *BASICS, "--compare-base", "--rank", "contrast") == 0
    finally:
        run.write_text(before, encoding="utf-8")
    captions = read_captions(trained.generated("corgi", ".txt"))
    text = trained.generated("corgi", ".compare.txt").read_text(encoding="utf-8")
    # the model is its own base here, so both write the same
    assert text == "\n".join(f"{i}. tuned\n    {c}\n\n{i}. base\n    {c}\n" for i, c in enumerate(captions, start=1))
    scores = [json.loads(line)["score"] for line in trained.generated("corgi", ".jsonl").read_text(encoding="utf-8").splitlines()]
    assert scores == pytest.approx([0.0] * 12, abs=1e-3)
    assert _main(trained, *BASICS) == 0
    assert not trained.generated("corgi", ".compare.txt").exists()  # it was of other captions
    assert trained.generated("corgi", ".compare.txt.previous").read_text(encoding="utf-8") == text


def test_int8_writes_captions_too(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--quantize", "int8", "--keep-all") == 0
    assert "keeps no keys" not in capsys.readouterr().err
    assert len(read_captions(trained.generated("corgi", ".txt"))) == 12
    assert _main(trained, *BASICS, "--quantize", "int8", "--precision", "bf16") == 2
    assert "--quantize int8 leaves no room for --precision bf16" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["english", "any"])
def test_a_language_that_is_none_is_refused(code: str, trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--keep-language", code) == 2
    assert f"--keep-language {code}: no such language" in capsys.readouterr().err


def test_attempts_do_not_depend_on_what_was_under_way(trained: Store) -> None:
    loaded = prepare(models.load_checkpoint("corgi", trained), GenerateOptions(), HardwareOptions(device="cpu"))
    found = []
    for rows in (1, 50):
        options = GenerateOptions(num_captions=9, min_length=0, decode_rows=rows)
        run = candidates.Candidates(loaded, ["Hello", ""], options, 4, Reference(None))
        kept = run.collect()
        assert len(kept) == 18
        found.append(run.attempts)
    assert found[0] == found[1]


def test_a_sample_for_the_model_card_writes_no_file(trained: Store) -> None:
    loaded = models.load_checkpoint("corgi", trained)
    before = sorted(trained.root.rglob("*"))
    loaded.model.train()
    found = sample(loaded, CAPTIONS[:200], CAPTIONS[200:], HardwareOptions(device="cpu"))
    assert found is not None
    assert found.figures["sampled"] == 100
    assert 0 < float(str(found.figures["ended_share"])) <= 1
    assert {"novelty_4", "held_out_novelty_4", "exact_copies", "held_out_exact_copies"} <= set(found.figures)
    assert len(found.captions) == 3
    assert loaded.model.training
    assert sorted(trained.root.rglob("*")) == before
    assert sample(loaded, CAPTIONS, [], HardwareOptions(device="cpu")) is None
