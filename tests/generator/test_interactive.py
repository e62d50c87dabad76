"""--interactive through the script: lines from a pipe, and once from a real terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from test_generate import trained  # noqa: F401 - a fixture

import tune_transformer
from hugging_captions.generator.generate import Writer
from hugging_captions.storage import Store, read_captions

SHORT = ["--max-length", "30", "--min-length", "0", "--device", "cpu"]


def _talk(store: Store, lines: list[str], monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
    return tune_transformer.main(["--root", str(store.root), "--tag", "corgi", "--interactive", *SHORT, *argv])


def test_lines_give_captions_and_nothing_else_on_stdout(
    trained: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = ["Hello", "", "/temperature 0.9", "/top-k 0", "Hello w1", "/help", "/save"]
    assert _talk(trained, lines, monkeypatch) == 0
    captured = capsys.readouterr()
    shown = captured.out.splitlines()
    assert len(shown) == len(set(shown)) == 15
    assert [line.startswith("Hello w1") for line in shown[10:]] == [True] * 5
    assert "/repetition-penalty" in captured.err
    path = trained.generated("corgi_interactive", ".txt")
    assert captured.err.splitlines()[-1] == f"saved {path}"
    assert read_captions(path) == shown
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["temperature"], row["top_k"], row["seed"]) for row in rows] == [(0.7, 50, 0)] * 5 + [(0.7, 50, 1)] * 5 + [(0.9, 0, 0)] * 5
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["lines"] == lines
    before = {file.name: file.read_bytes() for file in path.parent.glob("corgi_interactive_gen.*")}
    assert _talk(trained, record["lines"], monkeypatch) == 0
    assert {name: (path.parent / name).read_bytes() for name in before} == before
    assert _talk(trained, ["Hello", "/save"], monkeypatch) == 0  # a .previous is kept already
    assert f"error: {path} would be replaced" in capsys.readouterr().err
    assert _talk(trained, ["Hello", "/save", "", "/save"], monkeypatch, "--overwrite", "--num-captions", "2") == 0
    assert len(read_captions(path)) == 4  # the second save replaces the first, which isn't kept
    assert len(read_captions(path.with_name(path.name + ".previous"))) == 15


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/temperature 99", "temperature must be at most 10, not 99.0"),
        ("/temperature nan", "temperature must be above 0, not nan"),
        ("/top-k warm", "/top-k needs a number, not 'warm'"),
        ("/top-p", "/top-p needs a number, not ''"),
        ("/num-captions 3", "/num-captions is neither a command nor a setting"),
        ("/", "/ is neither a command nor a setting"),
        ("/save", "there is no caption to save yet"),
        ("<|endoftext|>", "the tokenizer of this model can't encode the prompt '<|endoftext|>'"),
        ("with @kim", "the prompt 'with @kim' holds a handle"),
        ("Hello (", "none of 40 attempts was good enough"),
    ],
)
def test_a_line_that_cannot_be_used_is_one_error_and_the_next_is_answered(
    line: str,
    says: str,
    trained: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _talk(trained, [line, "Hello"], monkeypatch, "--num-captions", "2") == 0
    captured = capsys.readouterr()
    assert [says in text for text in captured.err.splitlines() if text.startswith("error: ")] == [True]
    assert len(captured.out.splitlines()) == 2


def test_files_of_another_tag_are_not_replaced(
    trained: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = trained.generated("corgi_mine", ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tags": ["corgi_mine"]}), encoding="utf-8")
    assert _talk(trained, ["Hello", "/save"], monkeypatch, "--name", "mine", "--overwrite") == 0
    assert f"error: {path} belongs to tag 'corgi_mine'\n" in capsys.readouterr().err
    assert not path.with_suffix(".txt").exists()
    path.unlink()


def test_ctrl_c_stops_one_answer(
    trained: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain, calls = Writer.attempt, []

    def attempt(self: Writer, *arguments: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "attempt", attempt)
    assert _talk(trained, ["Hello", "Hello w1"], monkeypatch) == 0
    captured = capsys.readouterr()
    assert "stopped" in captured.err
    assert [line.startswith("Hello w1") for line in captured.out.splitlines()] == [True] * 5


class _Terminal:
    """The script on a pseudo-terminal."""

    def __init__(self, argv: list[str]) -> None:
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tune_transformer.py"), *argv], stdin=other, stdout=other, stderr=other, start_new_session=True
        )
        os.close(other)
        self.text, self._seen = "", 0

    def type(self, text: str, until: str) -> None:
        """Type ``text`` and wait until the terminal shows ``until`` after what was waited for before."""
        os.write(self._end, text.encode())
        deadline = time.monotonic() + 100
        while until not in self.text[self._seen :]:
            assert time.monotonic() < deadline, self.text
            if select.select([self._end], [], [], 1)[0]:
                self.text += os.read(self._end, 4096).decode(errors="replace")
        self._seen = self.text.index(until, self._seen) + len(until)


def test_on_a_terminal_with_history_and_ctrl_d(trained: Store) -> None:  # noqa: F811
    terminal = _Terminal(["--root", str(trained.root), "--tag", "corgi", "--interactive", *SHORT, "--num-captions", "1", "--name", "tty"])
    terminal.type("", "> ")
    terminal.type("Hello w1\n", "cpu\r\n")
    terminal.type("", "> ")
    terminal.type("\x1b[A\n", "cpu\r\n")  # the arrow up
    terminal.type("", "> ")
    terminal.type("/save\n", "saved")
    terminal.type("", "> ")
    os.write(terminal._end, b"\x04")
    assert terminal.process.wait(60) == 0
    rows = [json.loads(line) for line in trained.generated("corgi_tty", ".jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["prompt"], row["seed"]) for row in rows] == [("Hello w1", 0), ("Hello w1", 1)]
    assert not [path for path in Path(trained.root).rglob("*history*") if path.name != "history.jsonl"]
