"""console and options: exit codes, two-line errors, nothing raw on the terminal, answers without heavy imports."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import pull_and_clean
import tune_transformer
from hugging_captions import console, errors, options

MAINS = {"pull_and_clean.py": pull_and_clean.main, "tune_transformer.py": tune_transformer.main}


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (errors.UsageError("a", "b"), 2, "error: a\nhint: b\n"),
        (errors.BusyError("a"), 2, "error: a\n"),
        (errors.InputError("a"), 3, "error: a\n"),
        (errors.InstagramError("a"), 4, "error: a\n"),
        (errors.NothingLeftError("a"), 5, "error: a\n"),
        (errors.ResourceError("a"), 6, "error: a\n"),
        (
            MemoryError(),
            6,
            "error: not enough memory\nhint: try a smaller --batch-tokens (training), --decode-rows (generating) or --base-model\n",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            6,
            "error: not enough memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes\n"
            "hint: try a smaller --batch-tokens (training), --decode-rows (generating) or --base-model\n",
        ),
        (KeyboardInterrupt(), 130, "error: interrupted; what was written so far is kept\n"),
        (ZeroDivisionError("x"), 1, "error: unexpected ZeroDivisionError: x (this is a bug; --verbose shows where)\n"),
        (errors.InputError("red \x1b[31m\u202etext\nmore"), 3, "error: red \\x1b[31m\\u202etext\\nmore\n"),
    ],
)
def test_every_end_has_its_exit_code_and_lines(error: BaseException, code: int, stderr: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(lambda arguments: _raise(error), _parser(), []) == code
    assert capsys.readouterr().err == stderr


def test_verbose_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(lambda arguments: _raise(errors.InputError("a")), _parser(), ["--verbose"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_error_of_the_system_names_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "text/rmnp/posts.jsonl")
    assert console.run(lambda arguments: _raise(full), _parser(), []) == 6
    assert capsys.readouterr().err.startswith("error: cannot use text/rmnp/posts.jsonl: No space left on device\nhint: ")


def test_sigterm_ends_like_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(lambda arguments: os.kill(os.getpid(), signal.SIGTERM), _parser(), []) == 130
    assert capsys.readouterr().err == "error: stopped by SIGTERM; what was written so far is kept\n"


def _parser() -> argparse.ArgumentParser:
    parser = console.Parser(prog="x.py")
    options.add_options(parser, options.RunOptions)
    return parser


def test_captions_cannot_drive_the_terminal() -> None:
    assert console.printable("a\x1b]0;b\x07\x9b\u2028\u200e é😀") == "a\\x1b]0;b\\x07\\x9b\\u2028\\u200e é😀"
    assert console.shorten("one\ntwo " + "x" * 100, 20) == "one / two xxxxxxxxx…"


def test_a_table_is_aligned() -> None:
    rows = [("kept", 1234, "99.9 %"), ("too few likes", 5, "")]
    assert console.table(rows, ("what", "posts", "share")).splitlines() == [
        "what           posts   share",
        "-------------  -----  ------",
        "kept           1,234  99.9 %",
        "too few likes      5",
    ]


def test_log_lines_say_their_level(capsys: pytest.CaptureFixture[str]) -> None:
    console.set_up_logging(verbose=False)
    logger = logging.getLogger("hugging_captions.any")
    logger.debug("unseen")
    logger.info("plain")
    logger.warning("careful \x07")
    assert capsys.readouterr().err == "plain\nwarning: careful \\x07\n"


@pytest.mark.parametrize(
    ("script", "argv", "complaints"),
    [
        ("pull_and_clean.py", [], ["--tag is missing"]),
        ("pull_and_clean.py", ["--tag", "../x"], ["'../x' can't be used as a hashtag"]),
        ("pull_and_clean.py", ["--tag", "a b"], ["'a b' can't be used as a hashtag"]),
        ("pull_and_clean.py", ["--tag", ""], ["'' can't be used as a hashtag"]),
        ("pull_and_clean.py", ["--tag", "x", "--min-lik", "3"], ["unrecognized arguments: --min-lik 3"]),
        ("pull_and_clean.py", ["--tag", "x", "--min-likes", "many"], ["argument --min-likes: invalid int value: 'many'"]),
        ("pull_and_clean.py", ["--tag", "x", "--min-likes", "-1"], ["--min-likes must be at least 0, not -1"]),
        (
            "pull_and_clean.py",
            ["--tag", "x", "y", "--from", "z", "--skip-pull", "--caption-queries", "0"],
            ["--caption-queries must be at least 1, not 0", "--from and --skip-pull are commands of their own", "one --tag"],
        ),
        (
            "pull_and_clean.py",
            ["--tag", "x", "--from", "y", "--max-posts", "3", "--since", "2024-01-01", "--explain", "a", "--forget", "b"],
            [
                "--explain and --forget and --from are commands of their own: give one at a time",
            ],
        ),
        ("tune_transformer.py", ["--tag", "x"], ["nothing to do: give --train, --generate or both"]),
        ("tune_transformer.py", [], ["--tag is missing", "nothing to do"]),
        (
            "tune_transformer.py",
            ["--tag", "x", "--generate", "--min-length", "70", "--temperature", "nan", "--attempts-per-caption", "inf"],
            [
                "--min-length 70 leaves no caption room to end before --max-length 60",
                "--temperature must be above 0, not nan",
                "--attempts-per-caption must be at most 1000000, not inf",
            ],
        ),
    ],
)
def test_a_usage_error_reports_every_complaint_at_once(
    script: str, argv: list[str], complaints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert MAINS[script](argv) == 2
    captured = capsys.readouterr()
    first, hint = captured.err.splitlines()
    assert first.startswith("error: ")
    assert hint.startswith("hint: ")
    assert captured.out == ""
    for complaint in complaints:
        assert complaint in first


@pytest.mark.parametrize("script", MAINS)
@pytest.mark.parametrize("argv", [["--help"], ["--no-such-option"]])
def test_help_and_usage_errors_import_nothing_heavy(script: str, argv: list[str]) -> None:
    code = "import sys, runpy\nsys.argv = sys.argv[1:]\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\nexcept SystemExit: pass\n"
    code += "print('HEAVY', *sorted({'torch', 'transformers', 'pandas', 'numpy', 'instaloader', 'emoji', 'requests'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / script), *argv], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "HEAVY"
    assert ("usage:" in done.stdout) if argv == ["--help"] else done.stderr.startswith("error: unrecognized arguments")


def test_the_defaults_of_2020_stay_but_for_those_that_ratings_chose() -> None:
    clean, generate = options.CleanOptions(), options.GenerateOptions()
    assert (options.PullOptions().caption_queries, clean.min_likes) == (60, 10)
    assert (generate.prompt, generate.max_length, generate.min_length, generate.num_captions) == (None, 60, 8, 40)
    assert '(default: "My day")' in tune_transformer.build_parser().format_help()
    assert options.TrainOptions().base_model == "gpt2"


@pytest.mark.parametrize("script", [pull_and_clean, tune_transformer])
def test_every_option_is_long_kebab_case_and_explained(script: object) -> None:
    for action in script.build_parser()._actions:  # type: ignore[attr-defined]
        spelling = action.option_strings[-1]
        assert spelling == spelling.lower().replace("_", "-")
        assert spelling.startswith("--")
        assert action.help
        if action.default not in (None, False, (), argparse.SUPPRESS):
            assert "(default:" in action.help


def test_options_become_json() -> None:
    run = options.RunOptions(tag=("rmnp",), root=Path("x"))
    assert options.as_json(run) == {"tag": ["rmnp"], "root": "x", "dry_run": False, "verbose": False, "quiet": False, "log_file": None}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "none"),
        (["a", "b"], "a, b"),
        (list("abcdefgh"), "a, b, c, d, e, f, g, h"),
        (list("abcdefghij"), "a, b, c, d, e, f, g, h and 2 more"),
    ],
)
def test_a_list_in_a_message_has_an_end(names: list[str], shown: str) -> None:
    assert console.listed(names) == shown


def test_a_count_agrees_with_its_noun() -> None:
    assert (console.count(1, "post"), console.count(0, "post"), console.count(1204, "post")) == ("1 post", "0 posts", "1,204 posts")
