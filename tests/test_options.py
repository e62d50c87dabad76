"""What the command line refuses, through both scripts: ignored options, contradictions, limits, misspelt options."""

from __future__ import annotations

from pathlib import Path

import pytest

import pull_and_clean
import tune_transformer
from hugging_captions import __version__


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--skip-pull", "--max-posts", "1"], "--max-posts does nothing with --skip-pull: leave it out"),
        (["--skip-pull", "--since", "2024-01-01", "--login", "x"], "--login and --since do nothing with --skip-pull: leave them out"),
        (["--from", "posts.jsonl", "--cookies", "c.txt"], "--cookies does nothing with --from: leave it out"),
        (["--from", "posts.jsonl", "--caption-queries", "60"], "--caption-queries does nothing with --from: leave it out"),
        (["--explain", "Cabc", "--report"], "--report does nothing with --explain: leave it out"),
        (["--forget", "Cabc", "--min-likes", "3"], "--min-likes does nothing with --forget: leave it out"),
        (["--from", "posts.jsonl", "--skip-pull"], "--from and --skip-pull can't be combined: give one at a time"),
        (["--explain", "a", "--forget", "b"], "--explain and --forget can't be combined: give one at a time"),
        (["--cookies", "c", "--session-file", "s"], "--session-file and --cookies are alternatives: choose one"),
        (["--cookies", "c", "--login", "x"], "--login does nothing with cookies: leave it out"),
        (["--skip-rule", "language", "--language", "es"], "--language does nothing with --skip-rule language: leave it out"),
        (["--language", "any", "--min-language-score", "0.5"], "--min-language-score does nothing with --language any: leave it out"),
        (["--since", "2024-1-1"], "--since must be a day such as 2024-06-30, not '2024-1-1'"),
        (["--since", "2024-02-01", "--until", "2024-01-01"], "--since 2024-02-01 is after --until 2024-01-01"),
        (["--near-threshold", "nan"], "--near-threshold must be above 0, not nan"),
        (["--skip-pul"], "unrecognized arguments: --skip-pul (did you mean --skip-pull?)"),
        (["--tag", "two", "tags", "--from", "posts.jsonl"], "--from fills one tag at a time: give one --tag"),
    ],
)
def test_pull_and_clean_refuses(argv: list[str], says: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", *argv]) == 2
    assert capsys.readouterr().err == f"error: {says}\nhint: run  python pull_and_clean.py --help  for every option\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "nothing to do: give --train, --generate or --interactive"),
        (["--generate", "--lora", "8", "--epochs", "3"], "--epochs and --lora do nothing without --train: leave them out"),
        (["--generate", "--compile", "on"], "--compile does nothing without --train: leave it out"),
        (["--train", "--prompt", "x"], "--prompt does nothing without --generate: leave it out"),
        (["--train", "--recipe", "classic", "--patience", "2"], "--patience does nothing with --recipe classic: leave it out"),
        (["--train", "--val-fraction", "0", "--patience", "2"], "--patience does nothing with --val-fraction 0: leave it out"),
        (["--generate", "--keep-all", "--attempts-per-caption", "2"], "--attempts-per-caption does nothing with --keep-all: leave it out"),
        (
            ["--generate", "--rank", "none", "--attempts-per-caption", "2"],
            "--attempts-per-caption does nothing with --rank none, which takes the first: leave it out",
        ),
        (
            ["--train", "--recipe", "classic", "--lora", "8"],
            "--lora 8 and --recipe classic can't be combined: the latter trains all weights",
        ),
        (
            ["--train", "--base-model", "scratch", "--lora", "8"],
            "--lora 8 and --base-model scratch can't be combined: the latter trains all weights",
        ),
        (["--generate", "--min-length", "60"], "--min-length 60 is too high: captions could not end before --max-length 60"),
        (
            ["--generate", "--top-k", "1", "--top-p", "0.5"],
            "--top-p does nothing with --top-k 1, which always takes the likeliest token: leave it out",
        ),
        (["--generate", "--num-caption", "3"], "unrecognized arguments: --num-caption 3 (did you mean --num-captions?)"),
    ],
)
def test_tune_transformer_refuses(argv: list[str], says: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_transformer.main(["--root", str(root), "--tag", "rmnp", *argv]) == 2
    assert capsys.readouterr().err == f"error: {says}\nhint: run  python tune_transformer.py --help  for every option\n"


def test_one_tag_spelled_in_several_ways_is_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "#RMNP", "--from", "nowhere.jsonl"]) == 3
    assert "cannot import nowhere.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("main", [pull_and_clean.main, tune_transformer.main])
def test_both_scripts_print_one_version(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0  # type: ignore[operator]
    assert capsys.readouterr().out == f"Hugging Captions {__version__}\n"
