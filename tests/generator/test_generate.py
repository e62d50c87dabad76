"""--generate through the script, with a checkpoint of fixed weights."""

from __future__ import annotations

import csv
import errno
import html
import io
import itertools
import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT
from markupsafe import escape
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, MambaConfig, PreTrainedConfig

import tune_transformer
from hugging_captions import dataset, generator, models
from hugging_captions.dataset.batches import encode_captions
from hugging_captions.generator.candidates import Candidates
from hugging_captions.generator.novelty import Reference, shown
from hugging_captions.generator.results import as_csv
from hugging_captions.options import GenerateOptions, HardwareOptions
from hugging_captions.storage import Store, read_captions, write_captions
from hugging_captions.text import hash64, word_count

GOLDEN = ROOT / "tests" / "golden"

WORDS = [f"w{i}" for i in range(40)]
CAPTIONS = [f"Hello {WORDS[i % 40]} {WORDS[(i * 7 + i // 40) % 40]} and {WORDS[(i * 3) % 40]} again" for i in range(240)]
HELD_OUT = CAPTIONS[5::10]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with captions and a checkpoint whose weights are set, not trained.

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
        for row in encode_captions(CAPTIONS, models.LoadedModel(model, tokenizer, eos))[0]:
            for last, following in itertools.pairwise(row):
                counts[last, following] += 1
        likelihoods = (counts + 1e-4) / (counts + 1e-4).sum(1, keepdim=True)
        # the layer norm turns a unit vector of n into (n - 1) / sqrt(n - 1) at one place and -1 / sqrt(n - 1) elsewhere
        peak = (512 - 1) ** 0.5 + (512 - 1) ** -0.5
        model.lm_head.weight[:, :size] = likelihoods.log().T / peak
    model.save_pretrained(store.model("corgi"))
    tokenizer.save_pretrained(store.model("corgi"))
    corpus = dataset.load(["corgi"], store, 0.1, 0)
    held_out = [f"{hash64(caption):016x}" for caption in HELD_OUT]
    run = {"options": {"base_model": "scratch"}, "corpus_sha256": corpus.sha256, "held_out": held_out}
    (store.model("corgi") / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return store


BASICS = ["--prompt", "Hello", "--num-captions", "12", "--max-length", "30", "--min-length", "0", "--device", "cpu"]


def _main(store: Store, *argv: str) -> int:
    return tune_transformer.main(["--root", str(store.root), "--tag", "corgi", "--generate", "--overwrite", *argv])


def _files(store: Store) -> list[bytes]:
    return [store.generated("corgi", suffix).read_bytes() for suffix in (".txt", ".jsonl")]


@pytest.fixture
def run(trained: Store) -> Iterator[dict]:
    """Return the value of run.json to change for one test; ``save`` it with ``_save``."""
    path = trained.model("corgi") / "run.json"
    before = path.read_text(encoding="utf-8")
    yield json.loads(before)
    path.write_text(before, encoding="utf-8")


def _save(store: Store, run: dict) -> None:
    (store.model("corgi") / "run.json").write_text(json.dumps(run), encoding="utf-8")


def _records(store: Store) -> list[dict]:
    return [json.loads(line) for line in store.generated("corgi", ".jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_requested_number_of_captions_all_different_all_ended(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--prompt", "", "--max-copied-span", "6") == 0
    captions = read_captions(trained.generated("corgi", ".txt"))
    lines = _records(trained)
    record = json.loads(trained.generated("corgi", ".json").read_text(encoding="utf-8"))
    assert len(captions) == len(set(captions)) == 24
    assert [line["text"] for line in lines] == captions
    assert Counter(line["prompt"] for line in lines) == {"Hello": 12, "": 12}
    assert all(caption.startswith("Hello") for caption in captions[:12])
    assert all(line["ended"] and line["copied_span"] <= 6 for line in lines)
    assert not set(captions) & (set(CAPTIONS) - set(HELD_OUT))
    for prompt in (lines[:12], lines[12:]):
        scores = [line["score"] for line in prompt]
        assert scores == sorted(scores, reverse=True)
    assert record["attempts"] == 2 * 12 * 8
    assert record["rejected"]["outranked"] > 0
    assert record["kept"] + sum(record["rejected"].values()) == record["attempts"]
    assert set(record["figures"]) == {"kept", "attempts", "held out"}
    assert record["figures"]["kept"]["exact_copies"] == 0
    out = capsys.readouterr().out
    assert f"24 captions of {record['attempts']} attempts" in out
    figures = [line.split()[0] for line in out.split("\n\n")[2].splitlines()[2:]]
    assert figures == ["mean_words", "novelty_4", "longest_copied_span", "near_copies", "distinct_2"]
    assert "captions  of attempts\n" in out
    assert max(map(len, out.splitlines())) <= 80
    best = sorted(lines, key=lambda line: -line["score"])
    assert f" 10. {best[9]['text']}" in out
    assert " 11. " not in out


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
    """The bytes for a fixed model, which detect changes of decoding, random numbers or order."""
    assert _main(trained, *BASICS, "--temperature", "0.8", "--seed", "5", "--rank", "likelihood", "--attempts-per-caption", "1") == 0
    assert trained.generated("corgi", ".txt").read_text(encoding="utf-8") == (GOLDEN / "generated.txt").read_text(encoding="utf-8")


def test_verbose_shows_every_figure(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--verbose") == 0
    assert {"novelty_8", "compression_ratio", "tag_share"} <= {line.split(" ")[0] for line in capsys.readouterr().out.splitlines()}


def test_prompts_from_a_file(trained: Store, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Hello w3\n\nHello w4\nHello w3\n", encoding="utf-8")
    argv = ["--prompt-file", str(tmp_path / "prompts.txt"), "--num-captions", "2", "--min-length", "0"]
    assert _main(trained, *argv, "--keep-all") == 0
    captions = read_captions(trained.generated("corgi", ".txt"))
    assert [caption[:8] for caption in captions] == ["Hello w3"] * 2 + ["Hello w4"] * 2


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (
            ["--prompt", "Hello " * 30],
            2,
            "the prompt 'Hello Hello Hello Hello Hello Hello Hello Hello … has 60 tokens: --max-length 60 leaves no room",
        ),
        (
            ["--prompt", "Hello", "--max-length", "2", "--min-length", "0"],
            2,
            "the prompt 'Hello' has 1 token: --max-length 2 leaves no room",
        ),
        (["--prompt", "Hello " * 40, "--max-length", "900"], 2, "80 tokens: the model's 64 positions leave no room for a caption"),
        (["--prompt", "<|endoftext|>"], 2, "the tokenizer of this model can't encode the prompt '<|endoftext|>'"),
        (
            ["--prompt", "Hello", "--prompt", "with @kim"],
            2,
            "the prompt 'with @kim' holds a handle, a URL, an e-mail address or a phone number",
        ),
        (["--prompt", "see www.example.com"], 2, "the prompt 'see www.example.com' holds a handle, a URL"),
        (
            ["--prompt", "Heute ist ein Tag", "--keep-language", "en"],
            2,
            "the prompt 'Heute ist ein Tag' is in language 'de', not in --keep-language en",
        ),
        (
            ["--prompt", CAPTIONS[0], "--max-copied-span", "4"],
            2,
            "has 6 words in a row from a training caption, more than --max-copied-span 4",
        ),
        (["--max-length", "30", "--min-length", "30"], 2, "--min-length 30 is too high: captions could not end before --max-length 30"),
        (
            ["--max-length", "900", "--min-length", "63"],
            2,
            "--min-length 63 is too high: this model can write captions of at most 62 tokens",
        ),
        (["--prompt-file", "nowhere.txt"], 3, "cannot read nowhere.txt"),
        (["--prompt-file", "empty.txt"], 3, "empty.txt holds no prompt"),
        (["--keep-all", "--keep-language", "en"], 2, "--keep-language does nothing with --keep-all"),
        (["--keep-language", "english"], 2, "--keep-language english: no such language"),
        (["--keep-language", "any"], 2, "--keep-language any: no such language"),
    ],
)
def test_a_run_that_cannot_succeed_is_refused_in_one_line(
    argv: list[str],
    code: int,
    says: str,
    trained: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n \n", encoding="utf-8")
    store = Store(trained.root.resolve())
    assert _main(store, *argv) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert len(errors) == (1 if "nowhere" in says else 2)
    assert says in errors[0]


def test_a_model_that_never_ends_stops_by_itself(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, "--max-length", "30", "--min-length", "29", "--num-captions", "500", "--temperature", "0.3") == 5
    error = capsys.readouterr().err
    assert "gave up on the prompt 'My day': each of its attempts reached --max-length without a complete sentence" in error
    assert "none of 100 attempts" in error


def test_too_few_captions_give_a_warning(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--max-length", "5", "--num-captions", "40") == 0
    written = read_captions(trained.generated("corgi", ".txt"))
    captions = f"{len(written)} caption" + "s" * (len(written) != 1)
    assert f"warning: {captions} instead of 40 after 800 attempts: " in capsys.readouterr().err


@pytest.mark.parametrize("choice", [["--top-k", "1"], ["--top-p", "1e-9"], ["--top-k", "1", "--keep-all"]])
@pytest.mark.parametrize("rows", ["1", "8"])
def test_without_a_choice_each_prompt_is_tried_once(
    choice: list[str], rows: str, trained: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(trained, *BASICS, "--prompt", "Hello w1", *choice, "--decode-rows", rows) in (0, 5)
    captured = capsys.readouterr()
    assert "leave no choice of tokens: one caption for each of ['Hello', 'Hello w1']" in captured.err
    assert "of 2 attempts" in captured.out + captured.err


def test_the_csv_has_the_rows_of_the_jsonl_and_no_formula(trained: Store) -> None:
    prompts = ["=HYPERLINK(1)", "+1", "-1", "\tHello", "Hello"]
    options = [item for prompt in prompts for item in (f"--prompt={prompt}",)]
    assert _main(trained, *BASICS[2:], *options, "--num-captions", "1", "--keep-all") == 0
    records = _records(trained)
    with open(trained.generated("corgi", ".csv"), encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row.keys() for row in rows] == [record.keys() for record in records]
    for row, record, prompt in zip(rows, records, prompts):
        safe = "" if prompt == "Hello" else "'"
        assert (row["prompt"], row["text"]) == (safe + prompt, safe + record["text"])
        assert {key: str(record[key]) for key in ("tokens", "ended", "copied_span", "score", "seed", "row")}.items() <= row.items()
        assert row["nearest"] == ("" if record["nearest"] is None else str(record["nearest"]))


@pytest.mark.parametrize(
    ("text", "is_changed"),
    [
        *[(text, True) for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠x")],
        *[(text, True) for text in ("  =1", "\n\n+1", "\r\n @x", "\u3000＝1", "\x00=1", "\ufeff-1", "'=1", "' =", "''  =1")],
        *[(text, False) for text in ("", "x=1", "x\r=1", 'say "hi", then\n=1', "'tis", " x", "1-1", "🌲 = trees")],
    ],
)
def test_a_csv_cell_is_not_a_formula_and_can_be_restored(text: str, is_changed: bool) -> None:
    table = as_csv([{"text": text, "row": 0}, {"text": text, "row": 1}])
    rows = list(csv.reader(io.StringIO(table, newline="")))
    assert rows == [["text", "row"], ["'" * is_changed + text, "0"], ["'" * is_changed + text, "1"]]
    assert pd.read_csv(io.StringIO(table, newline=""), keep_default_na=False)["row"].tolist() == [0, 1]


def test_the_page_shows_the_run(trained: Store) -> None:
    prompts = ["Hello", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"]
    argv = [*BASICS[2:], *(f"--prompt={prompt}" for prompt in prompts), "--keep-all", "--max-length", "60"]
    assert _main(trained, *BASICS, "--max-copied-span", "5") == 0
    first = trained.generated("corgi", ".html").read_bytes()
    page, records = first.decode(), _records(trained)
    rows = [html.unescape(re.sub("<.*?>", "", row)) for row in re.findall('<p class="caption" dir="auto">(.*?)</p>', page)]
    assert rows[:12] == [record["text"] for record in records]
    for record in records:
        copied = f' · {record["copied_span"]} words copied</p><p class="near" dir="auto">caption {record["nearest"]}: '
        facts = f"score {record['score']:.2f} · {word_count(record['text'])} words · {record['tokens']} tokens"
        assert facts + (copied if record["copied_span"] >= 3 else "</p></li>") in page
    run = json.loads(trained.generated("corgi", ".json").read_text(encoding="utf-8"))
    for reason, count in run["rejected"].items():
        assert f'<th scope="row">{reason}</th><td>{count} ({count / run["attempts"]:.0%})</td>' in page
    for name in ("novelty_4", "mean_copied_span"):
        figures = [shown(run["figures"][column][name]) for column in ("kept", "attempts", "held out")]
        assert f'<th scope="row">{name}</th><td>{"</td><td>".join(figures)}</td>' in page
    assert set(run["versions"]) == {"hugging_captions", "python", "torch", "transformers"}
    for name, value in {**run["versions"], "model_sha256": run["model_sha256"], "temperature": 0.7, "base_model": "scratch"}.items():
        assert f'<th scope="row">{name}</th><td>{value}</td>' in page
    assert _main(trained, *BASICS, "--max-copied-span", "5") == 0
    assert trained.generated("corgi", ".html").read_bytes() == first
    assert _main(trained, *argv) == 0
    assert trained.generated("corgi", ".html.previous").read_bytes() == first
    page = trained.generated("corgi", ".html").read_text(encoding="utf-8")
    assert not re.search("<script|<img", page)
    assert all(f"<bdi>“{escape(prompt)}”</bdi></h3>" in page for prompt in prompts)


def test_the_nearest_caption_is_a_line_of_captions_txt(trained: Store) -> None:
    assert _main(trained, *BASICS) == 0
    lines = trained.captions("corgi").read_text(encoding="utf-8").splitlines()
    found = _records(trained)
    assert all(record["copied_words"] in lines[record["nearest"] - 1].lower() for record in found)
    assert not {lines[record["nearest"] - 1] for record in found} & set(HELD_OUT)


def test_without_captions_it_generates_with_a_note_on_the_skipped_checks(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    path = trained.captions("corgi")
    hidden = path.rename(path.with_suffix(".away"))
    try:
        assert _main(trained, *BASICS) == 0
    finally:
        hidden.rename(path)
    captured = capsys.readouterr()
    assert f"copies and novelty could not be checked: cannot read {path}: No such file or directory" in captured.err
    assert "could not be checked" in captured.out
    assert len(read_captions(trained.generated("corgi", ".txt"))) == 12


def test_a_checkpoint_of_an_earlier_version_has_no_held_out_captions(trained: Store, run: dict, capsys: pytest.CaptureFixture[str]) -> None:
    del run["held_out"]
    _save(trained, run)
    assert _main(trained, *BASICS) == 0
    note = "the model was trained by an earlier version: its held-out captions are unknown, so all captions count as training captions"
    captured = capsys.readouterr()
    assert f"warning: {note}" in captured.err
    assert note in " ".join(captured.out.split())
    record = json.loads(trained.generated("corgi", ".json").read_text(encoding="utf-8"))
    assert record["note"] == note
    assert set(record["figures"]) == {"kept", "attempts"}


def test_captions_that_were_added_count_as_training_captions(trained: Store, run: dict, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS) == 0
    assert "has changed since the training" not in capsys.readouterr().err
    written = read_captions(trained.generated("corgi", ".txt"))
    path = trained.captions("corgi")
    before = path.read_bytes()
    write_captions(path, [*CAPTIONS, written[0]])
    try:
        assert _main(trained, *BASICS) == 0
    finally:
        path.write_bytes(before)
    assert "captions.txt has changed since the training: added captions count as training captions" in capsys.readouterr().err
    record = json.loads(trained.generated("corgi", ".json").read_text(encoding="utf-8"))
    assert record["rejected"]["exact_copy"] >= 1
    assert record["figures"]["held out"]["captions"] == len(HELD_OUT)
    assert written[0] not in read_captions(trained.generated("corgi", ".txt"))


def test_the_base_model_next_to_the_tuned_one(trained: Store, run: dict, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS, "--compare-base") == 0
    assert "no comparison with the base model: it was trained from scratch" in capsys.readouterr().err
    _save(trained, run | {"options": {"base_model": str(trained.model("corgi"))}})
    assert _main(trained, *BASICS, "--compare-base", "--rank", "contrast") == 0
    captions = read_captions(trained.generated("corgi", ".txt"))
    text = trained.generated("corgi", ".compare.txt").read_text(encoding="utf-8")
    # the model is its own base here, so both write the same
    assert text == "\n".join(f"{i}. tuned\n    {c}\n\n{i}. base\n    {c}\n" for i, c in enumerate(captions, start=1))
    assert [record["score"] for record in _records(trained)] == pytest.approx([0.0] * 12, abs=1e-3)
    assert _main(trained, *BASICS) == 0
    assert not trained.generated("corgi", ".compare.txt").exists()  # it belonged to other captions
    assert trained.generated("corgi", ".compare.txt.previous").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("architecture", [MambaConfig, LlamaConfig])
def test_other_architectures_write_the_same_bytes_for_every_batch_size(
    architecture: type[PreTrainedConfig], tiny_base: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    store, eos = Store(root), tokenizer.eos_token_id
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4}
    config = architecture(vocab_size=len(tokenizer), bos_token_id=eos, eos_token_id=eos, pad_token_id=eos, **shape)
    AutoModelForCausalLM.from_config(config).save_pretrained(store.model("corgi"))
    tokenizer.save_pretrained(store.model("corgi"))
    found = set()
    for rows in ("1", "3", "16"):
        assert _main(store, *BASICS, "--prompt", "", "--keep-all", "--max-length", "12", "--decode-rows", rows) == 0
        found.add(tuple(_files(store)))
    assert len(found) == 1
    slowly = "warning: mamba models are decoded without a cache, which is slower" in capsys.readouterr().err
    assert slowly == (architecture is MambaConfig)


def test_weights_that_are_not_finite_are_one_error_line(tiny_base: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    with torch.no_grad():
        model.transformer.h[0].ln_1.weight[3] = float("nan")
    model.save_pretrained(Store(root).model("corgi"))
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained(Store(root).model("corgi"))
    assert _main(Store(root), *BASICS) == 3
    assert "error: cannot generate: the weights of the model are not finite\nhint: " in capsys.readouterr().err


def test_a_failed_write_leaves_the_last_result(trained: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, *BASICS) == 0
    folder = trained.generated("corgi", ".txt").parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(self: object, *_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    assert _main(trained, *BASICS, "--seed", "9") == 6
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_attempts_do_not_depend_on_which_rows_were_active(trained: Store) -> None:
    loaded = models.load_checkpoint("corgi", trained)
    found = []
    for rows in (1, 50):
        options = GenerateOptions(num_captions=9, min_length=0, decode_rows=rows, rank="none")
        run = Candidates(loaded, ["Hello", ""], options, 4, Reference(None))
        assert len(run.collect()) == 18
        found.append(run.attempts)
    assert found[0] == found[1]


def test_a_sample_for_the_model_card_writes_no_file(trained: Store) -> None:
    loaded = models.load_checkpoint("corgi", trained)
    before = sorted(trained.root.rglob("*"))
    loaded.model.train()
    found = generator.sample(loaded, CAPTIONS[:200], CAPTIONS[200:], HardwareOptions(device="cpu"))
    assert found is not None
    assert found.figures["sampled"] == 100
    assert 0 < float(str(found.figures["ended_share"])) <= 1
    assert {"novelty_4", "held_out_novelty_4", "exact_copies", "held_out_exact_copies"} <= set(found.figures)
    assert len(found.captions) == 3
    assert loaded.model.training
    assert sorted(trained.root.rglob("*")) == before
    assert generator.sample(loaded, CAPTIONS, [], HardwareOptions(device="cpu")) is None


def test_a_caption_that_reaches_the_limit_is_cut_after_its_last_whole_sentence(tiny_base: Path, root: Path) -> None:
    """The same random numbers with and without a limit: what ended before it is unchanged, the rest ends with a sentence."""
    store, tokenizer = Store(root), models.train_tokenizer(["We went up. It rained a lot! Then we drove home. "] * 9, 300)
    write_captions(store.captions("corgi"), CAPTIONS)
    eos, size = tokenizer.eos_token_id, len(tokenizer)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_positions=64, n_embd=512, n_layer=1, n_head=1, tie_word_embeddings=False))
    ids = [eos, *tokenizer(" It rained a lot! Then we drove home. We went up.")["input_ids"]]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.wte.weight[:, :size] = torch.eye(size)
        for last, following in itertools.pairwise([*ids, ids[1]]):
            model.lm_head.weight[following, last] += 0.5
        model.lm_head.weight[eos, ids[-1]] += 0.5  # ends here as often as it continues
    model.generation_config.bos_token_id = eos
    model.save_pretrained(store.model("corgi"))
    tokenizer.save_pretrained(store.model("corgi"))
    basics = ["--prompt", "", "--num-captions", "40", "--min-length", "3", "--top-p", "0.9", "--rank", "none"]
    assert _main(store, *basics, "--max-length", "50", "--keep-all") == 0
    whole = {line["row"]: line for line in _records(store)}
    assert _main(store, *basics, "--max-length", "22", "--num-captions", "4") in (0, 5)
    kept = _records(store)
    assert {line["shortened"] for line in kept} == {False, True}
    for line in kept:
        assert line["ended"] != line["shortened"]
        assert 3 <= line["tokens"] <= 22
        assert whole[line["row"]]["text"].startswith(line["text"])
        assert line["text"].endswith((".", "!"))
        if line["ended"]:
            assert whole[line["row"]] == line


def _json(store: Store, corpus: str = "corgi") -> dict:
    return json.loads(store.generated(corpus, ".json").read_text(encoding="utf-8"))


def test_every_combination_of_several_values_in_one_set_of_files(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--prompt", "Hello", "--prompt", "", "--num-captions", "3", "--max-length", "30", "--min-length", "0", "--device", "cpu"]
    assert _main(trained, *few, "--temperature", "0.5", "0.9", "--top-k", "20", "40") == 0
    printed = capsys.readouterr().out
    rows, record = _records(trained), _json(trained)
    combined = [(0.5, 20), (0.5, 40), (0.9, 20), (0.9, 40)]
    assert [(row["temperature"], row["top_k"]) for row in rows] == [pair for pair in combined for _ in range(6)]
    assert read_captions(trained.generated("corgi", ".txt")) == [row["text"] for row in rows]
    with open(trained.generated("corgi", ".csv"), encoding="utf-8", newline="") as handle:
        assert [(float(row["temperature"]), int(row["top_k"])) for row in csv.DictReader(handle)] == [
            pair for pair in combined for _ in range(6)
        ]
    assert [(setting["temperature"], setting["top_k"], setting["kept"]) for setting in record["settings"]] == [
        (*pair, 6) for pair in combined
    ]
    assert record["options"]["temperature"] == [0.5, 0.9]
    assert record["kept"] == 24
    for line, (temperature, top_k) in zip(printed.splitlines()[2:], combined):
        assert line.startswith(f"temperature {temperature}, top_k {top_k} ")
    assert {len(line) <= 80 for line in printed.splitlines()[:7]} == {True}
    assert printed.splitlines()[6].startswith("held out ")
    for temperature, top_k in combined:  # the same as in separate runs, with the same random numbers
        assert _main(trained, *few, "--temperature", str(temperature), "--top-k", str(top_k)) == 0
        own = [{**row, "temperature": temperature, "top_k": top_k} for row in _records(trained)]
        assert own == [row for row in rows if (row["temperature"], row["top_k"]) == (temperature, top_k)]


def test_a_setting_that_keeps_nothing_is_a_warning(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """At a high temperature nearly every token is as likely as the end token, so captions end too late."""
    argv = [*BASICS, "--max-length", "12", "--min-length", "9", "--num-captions", "2", "--top-k", "0", "--top-p", "1"]
    assert _main(trained, *argv, "--temperature", "0.1", "10") == 0
    captured = capsys.readouterr()
    assert "warning: temperature 10.0: 0 captions instead of 2 after " in captured.err
    assert [setting["kept"] for setting in _json(trained)["settings"]] == [2, 0]
    assert [line.split()[2] for line in captured.out.splitlines()[2:4]] == ["2", "0"]


def test_a_name_separates_results_and_leaves_those_of_others(trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    few = [*BASICS, "--num-captions", "2"]
    assert _main(trained, *few, "--name", "warm") == 0
    warm = trained.generated("corgi_warm", ".txt").read_bytes()
    assert _main(trained, *few, "--name", "cold", "--seed", "9") == 0
    assert trained.generated("corgi_warm", ".txt").read_bytes() == warm
    assert trained.generated("corgi_cold", ".txt").read_bytes() != warm
    assert (_json(trained, "corgi_warm")["name"], _json(trained, "corgi_warm")["model"]) == ("warm", "corgi")
    shutil.copytree(trained.model("corgi"), trained.model("corgi_warm"))
    run = json.loads((trained.model("corgi") / "run.json").read_text(encoding="utf-8"))
    try:
        for model, owner in (("corgi_warm", {"tags": ["corgi"], "name": "warm"}), ("corgi", {"tags": ["corgi_warm"]})):
            (trained.model("corgi_warm") / "run.json").write_text(json.dumps(run | owner), encoding="utf-8")
            assert _main(trained, *few, "--name", "warm") == 0
            assert _json(trained, "corgi_warm")["model"] == model
        before = {path: path.read_bytes() for path in trained.generated("x", "").parent.glob("corgi_warm_gen.*")}
        argv = ["--root", str(trained.root), "--tag", "corgi_warm", "--generate", "--overwrite"]
        assert tune_transformer.main(argv) == 2
        belongs = (
            f"error: {trained.generated('corgi_warm', '.json')} belongs to tag 'corgi' with --name warm\nhint: give that tag and name\n"
        )
        assert capsys.readouterr().err.endswith(belongs)
        assert {path: path.read_bytes() for path in before} == before
        (trained.model("corgi_warm") / "run.json").write_text(json.dumps(run | {"tags": ["corgi"], "name": "warm"}), encoding="utf-8")
        assert tune_transformer.main([*argv, "--name", "x"]) == 2  # the model of another tag isn't this one's
        assert f"{trained.model('corgi_warm')} belongs to tag 'corgi' with --name warm" in capsys.readouterr().err
    finally:
        shutil.rmtree(trained.model("corgi_warm"))


@pytest.mark.parametrize("name", ["a/b", "..", "a.b", "x" * 61, "a b", "a+b", "\\", "é" * 31])
def test_an_invalid_name_is_refused_in_one_line(name: str, trained: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(trained, f"--name={name}") == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {name!r} can't be used as a name: ")
    assert hint.startswith("hint: ")


def test_the_record_repeats_the_run_to_the_byte(trained: Store) -> None:
    argv = [
        *BASICS[2:],
        "--prompt=-x",
        "--prompt",
        'Hello "w1"',
        "--temperature",
        "0.5",
        "0.9",
        "--seed",
        "4",
        "--keep-all",
        "--name",
        "again",
    ]
    assert _main(trained, *argv) == 0
    folder = trained.generated("x", "").parent

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.glob("corgi_again_gen.*") if path.suffix != ".previous"}

    before = files()
    assert len(before) == 5
    _main(trained, *BASICS, "--name", "again")
    assert files() != before
    assert tune_transformer.main(shlex.split(json.loads(before["corgi_again_gen.json"])["command"])[2:]) == 0
    assert files() == before
    record = folder / "record.json"
    record.write_bytes(before["corgi_again_gen.json"])
    _main(trained, *BASICS, "--name", "again")
    assert tune_transformer.main(["--root", str(trained.root), "--overwrite", "--options-from", str(record)]) == 0
    assert files() == before
    assert _main(trained, "--options-from", str(record), "--temperature", "0.7", "--prompt", "Hello") == 0
    rows = [json.loads(line) for line in files()["corgi_again_gen.jsonl"].splitlines()]
    assert (len(rows), {row["prompt"] for row in rows}, {row["seed"] for row in rows}) == (12, {"Hello"}, {4})
