"""The main job through both scripts, on the example posts, with a real small model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, SHARED

import pull_and_clean
import tune_transformer
from hugging_captions.storage import Store, read_captions

EXAMPLE = ROOT / "examples" / "rmnp_posts.jsonl"
CHECKPOINT_FILES = {
    "README.md", "config.json", "generation_config.json", "history.jsonl", "loss.png", "model.safetensors", "run.json",
    "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
# all weights of a model of 46,000 parameters, fast: it then ends its captions
QUICK = ["--epochs", "2", "--lora", "0", "--learning-rate", "1e-2", "--device", "cpu", "--num-captions", "3", "--min-length", "5"]

TRAIN = ["--train", "--generate", "--prompt", "The view", *QUICK]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Store:
    """Return the store after the whole job on the example posts."""
    root = tmp_path_factory.mktemp("done")
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--from", str(EXAMPLE)]) == 0
    assert tune_transformer.main(["--root", str(root), "--tag", "rmnp", *TRAIN, "--base-model", str(tiny_base)]) == 0
    return Store(root)


def test_the_corpus_adds_up(done: Store) -> None:
    posts = done.posts("rmnp").read_bytes().splitlines()
    assert len(posts) == len(EXAMPLE.read_bytes().splitlines()) >= 400
    kept = len(read_captions(done.captions("rmnp")))
    dropped = [json.loads(line) for line in done.dropped("rmnp").read_bytes().splitlines()]
    assert kept + len(dropped) == len(posts)
    assert kept > 250


def test_the_checkpoint_is_a_plain_hugging_face_folder(done: Store) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = done.model("rmnp")
    assert {path.name for path in folder.iterdir()} == CHECKPOINT_FILES
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.use_cache is True
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.decode(tokenizer("Snow in June 🏔️\nagain")["input_ids"]) == "Snow in June 🏔️\nagain"


def test_run_and_history_hold_the_figures(done: Store) -> None:
    run = json.loads((done.model("rmnp") / "run.json").read_text(encoding="utf-8"))
    history = [json.loads(line) for line in (done.model("rmnp") / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluations = [line for line in history if "val_loss" in line]
    assert {"step", "epoch", "val_loss", "perplexity", "bits_per_byte"} <= set(evaluations[0])
    assert run["metrics"]["val_loss"] == min(line["val_loss"] for line in evaluations) < evaluations[0]["val_loss"]
    assert run["tags"] == ["rmnp"]
    card = (done.model("rmnp") / "README.md").read_text(encoding="utf-8")
    assert f"{run['metrics']['val_loss']:.4f}" in card
    assert (done.model("rmnp") / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_each_caption_begins_with_the_prompt_and_both_files_agree(done: Store) -> None:
    captions = read_captions(done.generated("rmnp", ".txt"))
    lines = [json.loads(line) for line in done.generated("rmnp", ".jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == captions
    assert len(captions) == 3
    assert all(caption.startswith("The view") for caption in captions)
    assert json.loads(done.generated("rmnp", ".json").read_text(encoding="utf-8"))["tags"] == ["rmnp"]


def test_the_same_command_gives_the_same_bytes(done: Store, tmp_path: Path, tiny_base: Path) -> None:
    again = Store(tmp_path)
    for store_path in (again.captions("rmnp").parent, again.model("rmnp").parent):
        store_path.mkdir(parents=True)
    shutil.copy(done.captions("rmnp"), again.captions("rmnp"))
    assert tune_transformer.main(["--root", str(tmp_path), "--tag", "rmnp", *TRAIN, "--base-model", str(tiny_base)]) == 0
    for path in (again.model("rmnp") / "model.safetensors", again.generated("rmnp", ".txt"), again.generated("rmnp", ".jsonl")):
        assert path.read_bytes() == (done.root / path.relative_to(again.root)).read_bytes(), path.name


def _write_captions(root: Path, data: bytes) -> None:
    path = Store(root).captions("corgi")
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("data", "argv", "code", "says"),
    [
        (None, ["--train"], 3, "cannot train on tag 'corgi': {root}/text/corgi/captions.txt does not exist"),
        (b"", ["--train"], 5, "captions.txt holds no caption"),
        (b"\xff\xd8\xff\xe0\0\0", ["--train"], 3, "captions.txt is not UTF-8 text"),
        (b"one two\n", ["--train", "--base-model", "gpt2"], 3, "the hub can't be reached, and the model is not in the local cache"),
        (b"one two\n", ["--train", "--base-model", "./nowhere"], 3, "base model ./nowhere is neither a folder nor a file"),
        (b"one two\n", ["--train", "--device", "cuda", "--base-model", "scratch"], 2, "--device cuda is not available here"),
        (None, ["--generate"], 3, "cannot generate for tag 'corgi'"),
        (None, ["--generate", "--min-length", "80"], 2, "--min-length 80 is too high: captions could not end before --max-length 60"),
        (None, ["--train", "--seed", "4294967296"], 2, "--seed must be at most 4294967295, not 4294967296"),
        (None, ["--train", "--save-minutes", "inf"], 2, "--save-minutes must be at most 1000000, not inf"),
        (None, ["--generate", "--prompt", "\udcff"], 2, "argument --prompt: not UTF-8 text: ['\\udcff']"),
    ],
)
def test_bad_input_gives_one_line_a_hint_and_an_exit_code(
    data: bytes | None, argv: list[str], code: int, says: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if data is not None:
        _write_captions(root, data)
    if argv[-1] == "cuda" and __import__("torch").cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert tune_transformer.main(["--root", str(root), "--tag", "corgi", *argv]) == code
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith("error: ")
    assert says.format(root=root) in error
    assert hint.startswith("hint: ")


def test_three_captions_train_without_a_split_with_a_warning(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_captions(root, "One small dog.\nTwo small dogs.\nThree small dogs 🐶\n".encode())
    assert (
        tune_transformer.main(
            ["--root", str(root), "--tag", "corgi", "--train", "--generate", "--base-model", "scratch", "--keep-all", *QUICK]
        )
        == 0
    )
    captured = capsys.readouterr()
    assert "3 captions: none is held out, so there is no early stopping" in captured.err
    assert "no held-out figures" in captured.out


@pytest.mark.parametrize(("name", "at"), [("model.safetensors", 5000), ("config.json", 20), ("tokenizer.json", 3000)])
def test_a_damaged_checkpoint_is_named(done: Store, name: str, at: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(done.model("rmnp"), Store(tmp_path).model("rmnp"))
    path = Store(tmp_path).model("rmnp") / name
    path.write_bytes(path.read_bytes()[:at])
    assert tune_transformer.main(["--root", str(tmp_path), "--tag", "rmnp", "--generate"]) == 3
    assert "cannot load the checkpoint of tag 'rmnp' from" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded payloads are not next to this checkout")
@pytest.mark.parametrize(
    ("path", "posts"),
    [
        ("payloads/apify_instagram_scraper_2025.json", 83),
        ("payloads/graphql_hashtag_food_2019.json", 146),
        ("payloads/tags_sections_naturephotography_2021.json", 30),
        ("payloads/web_info_fastapi_2022.json", 33),
        ("payloads/web_info_naturephotography_2021.json", 39),
        ("instaloader_folder", 40),
    ],
)
def test_real_exports_are_read_to_the_last_post(path: str, posts: int, root: Path) -> None:
    argv = ["--root", str(root), "--tag", "test", "--from", str(SHARED / path), "--min-likes", "0", "--min-words", "1"]
    assert pull_and_clean.main(argv) in (0, 5)  # the Japanese account has no English captions
    assert len(Store(root).posts("test").read_bytes().splitlines()) == posts
