"""--dry-run of both scripts: it prints what the command would do, and changes nothing."""

from __future__ import annotations

import json
import re
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT, unwrapped

import pull_and_clean
import tune_transformer
from hugging_captions.storage import Store, write_captions

EXAMPLE = str(ROOT / "examples" / "rmnp_posts.jsonl")
CAPTIONS = [f"The {what} near {where} number {number}" for number in range(10) for what in ("elk", "fog", "lake") for where in "abcdefgh"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a dry run connects")

    monkeypatch.setattr(socket.socket, "connect", refused)


def files(root: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (
            ["--caption-queries", "200"],
            [
                "feeds search, search-graphql, sections, web-info, graphql: the first that returns posts",
                "at most 200 pages",
                "about 31 min: instaloader allows 75",
                "session none",
                "at the top",
            ],
        ),
        (["--feed", "graphql", "--caption-queries", "1"], ["feeds graphql", "at most 1 page,", "instaloader allows 200 such requests"]),
        (["--tag", "a", "b", "--caption-queries", "100"], ["would pull #a, #b", "at most 200 pages", "start #b at the top"]),
        (
            ["--from", EXAMPLE, "--skip-rule", "language"],
            ["1 file, 913 posts", "new 913 posts; 0 already here", "handles, runs, emoji, promotion"],
        ),
    ],
)
def test_pulling_and_importing(argv: list[str], says: list[str], root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", *argv, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert not root.exists()
    assert [words for words in says if words not in unwrapped(out)] == []
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"feeds": {"sections": {"cursor": {"a": 1}, "pages": 3, "finished": False}}}, "in sections after the 3 pages of the last pulls"),
        (
            {"feeds": {"sections": {"cursor": None, "pages": 1, "finished": True}}},
            "in sections at the top, for what is new: the last pull ended after 1 page",
        ),
        ({"feed": "sections", "cursor": {"a": 1}, "pages": 2, "finished": False}, "in sections after the 2 pages"),
        ({"feeds": {"graphql": {"cursor": {"a": 1}, "pages": 3, "finished": False}}}, "start #rmnp in graphql after the 3 pages"),
        ([], "start #rmnp at the top write"),
        (
            {"feeds": {"sections": {"cursor": {"a": 1}, "pages": 3, "finished": False}}, "posts": 5},  # five posts that are lost
            "start #rmnp at the top write",
        ),
        ({"feed": "sections", "pages": 2, "finished": False}, "start #rmnp at the top write"),  # without its cursor
    ],
)
def test_a_dry_run_shows_where_a_pull_would_resume(state: object, says: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Store(root).pull_state("rmnp")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(state), encoding="utf-8")
    before = files(root)
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--dry-run"]) == 0
    assert says in unwrapped(capsys.readouterr().out)
    assert files(root) == before


def test_training_and_generating(tiny_base: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, tag = Store(root), ["--tag", "rmnp", "--device", "cpu"]
    train = ["--train", "--base-model", str(tiny_base), "--epochs", "3"]
    write_captions(store.captions("rmnp"), CAPTIONS)
    before = files(root)
    assert tune_transformer.main(["--root", str(root), *tag, *train, "--generate", "--num-captions", "5", "--dry-run"]) == 0
    planned = unwrapped(capsys.readouterr().out)
    assert files(root) == before
    assert "216 captions to train on, 24 held out" in planned
    assert "the best of 40 attempts" in planned
    assert "time known after the training" in planned
    assert tune_transformer.main(["--root", str(root), *tag, *train]) == 0
    run = json.loads((store.model("rmnp") / "run.json").read_text(encoding="utf-8"))
    steps, tokens = (
        re.findall(r"at most ([\d,]+): 3 epochs", planned),
        re.findall(r"tokens ([\d,]+) an epoch, at most ([\d,]+) a step", planned),
    )
    assert int(steps[0]) == run["metrics"]["steps"]
    assert tokens[0][1] == f"{run['recipe']['batch_tokens']:,}"
    assert re.search(r"memory about [\d,]+ MB .* time at most about \d+ s with all evaluations: [\d,]+ tokens took", planned)
    after = files(root)
    capsys.readouterr()
    generate = ["--generate", "--min-length", "0", "--prompt", "The elk", "--prompt", "A"]
    assert tune_transformer.main(["--root", str(root), *tag, *generate, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert files(root) == after
    assert "prompts 2: 'The elk', 'A'" in unwrapped(out)
    assert "8 attempts took" in unwrapped(out)
    assert "replace" not in out
    assert tune_transformer.main(["--root", str(root), *tag, *train, "--dry-run"]) == 0
    assert "kept as .previous" in unwrapped(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("main", "argv", "code", "says"),
    [
        (pull_and_clean.main, ["--skip-pull"], 3, "posts.jsonl does not exist"),
        (pull_and_clean.main, ["--from", "nowhere"], 3, "cannot import nowhere"),
        (pull_and_clean.main, ["--cookies", "nowhere.txt"], 3, "cannot read nowhere.txt"),
        (pull_and_clean.main, ["--skip-rule", "nosuch"], 2, "nosuch"),
        (pull_and_clean.main, ["--forget", "abc"], 2, "--dry-run does nothing with --forget"),
        (tune_transformer.main, ["--train"], 3, "captions.txt does not exist"),
        (tune_transformer.main, ["--generate"], 3, "holds no trained model"),
        (tune_transformer.main, ["--train", "--tag", "full"], 2, "already keeps an earlier one"),
        (tune_transformer.main, ["--train", "--report-to", "wandb"], 2, "--report-to needs the package wandb, which is not installed"),
        (
            tune_transformer.main,
            ["--train", "--tag", "full", "--overwrite", "--device", "cpu", "--base-model", "./nowhere"],
            3,
            "neither a folder",
        ),
        (
            tune_transformer.main,
            ["--train", "--tag", "full", "--overwrite", "--base-model", "no/such"],
            0,
            "no/such: not on this machine",
        ),
    ],
)
def test_a_dry_run_reports_the_errors_of_the_run(
    main: object, argv: list[str], code: int, says: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "wandb" in argv and find_spec("wandb"):
        pytest.skip("wandb is installed")
    store = Store(root)
    write_captions(store.captions("full"), CAPTIONS)
    for name in ("full", "full.previous"):
        store.model(name).mkdir(parents=True)
    before = files(root)
    assert main(["--root", str(root), "--tag", "rmnp", *argv, "--dry-run"]) == code  # type: ignore[operator]
    captured = capsys.readouterr()
    assert says in captured.out + captured.err
    assert files(root) == before


def test_what_generating_refuses_is_refused_before_the_training(root: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_captions(Store(root).captions("rmnp"), CAPTIONS)
    argv = ["--root", str(root), "--tag", "rmnp", "--train", "--generate", "--base-model", str(tiny_base), "--device", "cpu"]
    assert tune_transformer.main([*argv, "--prompt-file", str(root / "nowhere")]) == 3
    assert not Store(root).model("rmnp").exists()
    assert tune_transformer.main([*argv, "--prompt", "thanks @someone"]) == 2
    assert not Store(root).model("rmnp").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--interactive", "--dry-run"], "--dry-run does nothing with --interactive"),
        (["--train", "--recipe", "classic", "--batch-tokens", "512"], "--batch-tokens 512 is less than a block of --recipe classic, 1,024"),
    ],
)
def test_options_that_would_do_nothing_are_refused(argv: list[str], says: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_transformer.main(["--root", str(root), "--tag", "rmnp", *argv]) == 2
    assert says in capsys.readouterr().err
