"""console and options: exit codes, two-line errors, nothing raw on the terminal, answers without heavy imports."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import pull_and_clean
import tune_transformer
from hugging_captions import console, errors, options
from hugging_captions.storage import Store

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
            "error: not enough memory\nhint: try --workers 1\n",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            6,
            "error: not enough memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes\nhint: try --workers 1\n",
        ),
        (KeyboardInterrupt(), 130, "error: interrupted; what was written so far is kept\n"),
        (ZeroDivisionError("x"), 1, "error: unexpected ZeroDivisionError: x (this is a bug; --verbose shows where)\n"),
        (errors.InputError("red \x1b[31m\u202etext\nmore"), 3, "error: red \\x1b[31m\\u202etext\\nmore\n"),
    ],
)
def test_every_failure_has_its_exit_code_and_lines(
    error: BaseException, code: int, stderr: str, capsys: pytest.CaptureFixture[str]
) -> None:
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


IMPORT = ["--tag", "rmnp", "--from", str(ROOT / "examples" / "rmnp_posts.jsonl")]


@pytest.mark.parametrize(
    ("script", "argv", "first"),
    [
        ("pull_and_clean.py", IMPORT, "importing "),
        ("pull_and_clean.py", ["--tag", "rmnp"], "opening an Instagram session"),
        ("pull_and_clean.py", [*IMPORT[:2], "--skip-pull"], "cleaning the posts of #rmnp"),
        ("tune_transformer.py", ["--tag", "rmnp", "--train", "--dry-run"], "loading torch to measure"),
        ("tune_transformer.py", ["--tag", "rmnp", "--train"], "loading torch and the captions of #rmnp"),
        ("tune_transformer.py", ["--tag", "rmnp", "--generate"], "loading torch and the model of #rmnp"),
    ],
)
def test_the_first_log_line_appears_immediately(script: str, argv: list[str], first: str, root: Path) -> None:
    store = Store(root)
    store.posts("rmnp").parent.mkdir(parents=True)
    store.posts("rmnp").write_text("{}\n")
    store.captions("rmnp").write_text("One\n")
    seconds = []
    for _ in range(3):
        running = subprocess.Popen(
            [sys.executable, str(ROOT / script), "--root", str(root), *argv], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert running.stderr is not None
        line = running.stderr.readline().decode()
        running.kill()
        running.stderr.close()
        usage = os.wait4(running.pid, 0)[2]
        running.returncode = 0
        seconds.append(usage.ru_utime + usage.ru_stime)  # not the wall clock: other tests run meanwhile
        assert line.startswith(first)
    assert min(seconds) < 0.5


def test_quiet_shows_only_errors_and_results(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), *IMPORT, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines()[0], err) == ("#rmnp: 913 posts in 1 file (example 913), 913 new, 0 already here", "")
    assert (
        pull_and_clean.main(
            ["--root", str(root), "--tag", "rmnp", "--skip-pull", "--min-likes", "99999999", "--unknown-likes", "drop", "--quiet"]
        )
        == 5
    )
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["error", "hint"]
    assert pull_and_clean.main(["--root", str(root), *IMPORT, "--quiet", "--verbose"]) == 2
    assert "--verbose and --quiet contradict each other" in capsys.readouterr().err


def test_the_log_file_has_everything_with_times(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pull.log"
    path.write_text("a line of before\n", encoding="utf-8")
    assert pull_and_clean.main(["--root", str(root), *IMPORT, "--quiet", "--log-file", str(path)]) == 0
    out, stdout = capsys.readouterr().out, sys.stdout
    assert pull_and_clean.main(["--root", str(root), "--tag", "nope", "--skip-pull", "--log-file", str(path)]) == 3
    error = capsys.readouterr().err.splitlines()[-2]
    assert sys.stdout is stdout
    before, *lines = path.read_text(encoding="utf-8").splitlines()
    assert before == "a line of before"
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ?", line) for line in lines)
    messages = [line.split(" ", 2)[2] for line in lines]
    assert [message.removeprefix("RESULT ") for message in messages if message.startswith("RESULT")] == out.splitlines()
    assert messages[0].startswith("COMMAND python pull_and_clean.py --root")
    assert "INFO cleaning the posts of #rmnp" in messages
    assert f"ERROR {error}" in messages
    assert "ERROR Traceback (most recent call last):" in messages
    assert pull_and_clean.main(["--root", str(root), *IMPORT, "--log-file", str(tmp_path / "no" / "x.log")]) == 6
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x", "folder" * 30])
def test_summaries_fit_eighty_columns(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, tag = tmp_path / name, "a" * 60
    assert pull_and_clean.main(["--root", str(root), "--tag", tag, *IMPORT[2:], "--report", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.rstrip().endswith("/cleaning.html")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (360000, "100.0 h")]
)
def test_a_duration_has_a_unit_that_fits(seconds: float, shown: str) -> None:
    assert console.duration(seconds) == shown


def test_a_long_path_keeps_its_end() -> None:
    path = Path("/home/" + "x" * 100 + "/trained_models/rmnp")
    assert len(console.short_path(path)) == 72
    assert console.short_path(path).endswith("x/trained_models/rmnp")
    assert console.short_path(Path("text/rmnp")) == "text/rmnp"


def test_captions_cannot_control_the_terminal() -> None:
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


def test_log_lines_have_their_level(capsys: pytest.CaptureFixture[str]) -> None:
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
        ("pull_and_clean.py", ["--tag", "#"], ["'#' can't be used as a hashtag"]),
        ("pull_and_clean.py", ["--tag", "x", "--min-lik", "3"], ["unrecognized arguments: --min-lik 3"]),
        ("pull_and_clean.py", ["--tag", "x", "--min-likes", "many"], ["argument --min-likes: invalid int value: 'many'"]),
        ("pull_and_clean.py", ["--tag", "x", "--min-likes", "-1"], ["--min-likes must be at least 0, not -1"]),
        (
            "pull_and_clean.py",
            ["--tag", "x", "y", "--from", "z", "--skip-pull", "--caption-queries", "0"],
            ["--caption-queries must be at least 1, not 0", "--from and --skip-pull can't be combined", "one --tag"],
        ),
        (
            "pull_and_clean.py",
            ["--tag", "x", "--from", "y", "--max-posts", "3", "--since", "2024-01-01", "--explain", "a", "--forget", "b"],
            [
                "--explain and --forget and --from can't be combined: give one at a time",
            ],
        ),
        ("tune_transformer.py", ["--tag", "x"], ["nothing to do: give --train, --generate or --interactive"]),
        ("tune_transformer.py", [], ["--tag is missing", "nothing to do"]),
        (
            "tune_transformer.py",
            ["--tag", "x", "--generate", "--min-length", "70", "--temperature", "nan", "--attempts-per-caption", "inf"],
            [
                "--min-length 70 is too high: captions could not end before --max-length 60",
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
def test_help_is_quick_and_begins_with_examples_and_common_options(script: str) -> None:
    seconds, command = [], [sys.executable, str(ROOT / script), "--help"]
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "80"}).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.3
    head, common, rest = out.split("\n\n    python ")[0], *out.split("Most used options:")[1].split("\n\n", 1)
    assert head.startswith(f"usage: python {script} --tag TAG [options]\n")
    assert out.count(f"\n    python {script} --tag rmnp ") == 2
    assert 8 <= common.count("\n  -") <= 13
    assert "--tag" in common
    assert re.findall(r"^(\S.*):$", rest, re.M)[0] == "Folders and messages"
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("script", MAINS)
@pytest.mark.parametrize("argv", [["--help"], ["--no-such-option"]])
def test_help_and_usage_errors_import_nothing_heavy(script: str, argv: list[str]) -> None:
    code = "import sys, runpy\nsys.argv = sys.argv[1:]\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\nexcept SystemExit: pass\n"
    code += "print('HEAVY', *sorted({'torch', 'transformers', 'pandas', 'numpy', 'instaloader', 'emoji', 'requests'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / script), *argv], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "HEAVY"
    assert ("usage:" in done.stdout) if argv == ["--help"] else done.stderr.startswith("error: unrecognized arguments")


def test_the_defaults_of_2020_stay_except_where_ratings_changed_them() -> None:
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
    assert options.as_json(run) == {
        "tag": ["rmnp"], "root": "x", "dry_run": False, "verbose": False, "options_from": None, "quiet": False, "log_file": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "none"),
        (["a", "b"], "a, b"),
        (list("abcdefgh"), "a, b, c, d, e, f, g, h"),
        (list("abcdefghij"), "a, b, c, d, e, f, g, h and 2 more"),
    ],
)
def test_a_list_in_a_message_is_shortened(names: list[str], shown: str) -> None:
    assert console.listed(names) == shown


def test_a_count_agrees_with_its_noun() -> None:
    assert (console.count(1, "post"), console.count(0, "post"), console.count(1204, "post")) == ("1 post", "0 posts", "1,204 posts")


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["--explain", ""], "--explain"),
        (["--from", ""], "--from"),
        (["--cookies="], "--cookies"),
        (["--skip-rule", "tags", ""], "--skip-rule"),
    ],
)
def test_an_empty_value_starts_no_other_command(argv: list[str], option: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", *argv]) == 2
    assert f"error: argument {option}: the value is empty" in capsys.readouterr().err


def test_a_value_that_begins_with_a_hyphen_has_a_hint(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--explain", "-abc12345"]) == 2
    assert "hint: a value that begins with - is written with =, as in --explain=-abc" in capsys.readouterr().err
