"""Run the scripts as processes of their own, and disturb them.

The processes are forked from a server that has imported the heavy libraries once, so that a run
costs what the work costs; each is a fresh ``main(argv)`` with its own stdout and stderr files.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PULL = "pull_and_clean"

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["pull_and_clean", "hugging_captions.cleaner", "hugging_captions.scraper", "hugging_captions.session"])


@dataclass(frozen=True)
class Finished:
    """How a process ended: its exit code (negative: the signal) and what it wrote."""

    code: int
    out: str
    err: str


class Running:
    """One run of a script; ``setup`` runs in the child before it."""

    def __init__(self, script: str, argv: Sequence[object], folder: Path, setup: Callable[[], None] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = folder / "stdout", folder / "stderr"
        self._process = _server.Process(target=_child, args=(script, list(map(str, argv)), *map(str, self._paths), setup))
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid or 0, number)

    def wait(self, timeout: float = 120) -> Finished:
        """Wait for the end and return it."""
        self._process.join(timeout)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise TimeoutError("the run did not end in time")
        return Finished(self._process.exitcode or 0, *(path.read_text(encoding="utf-8", errors="replace") for path in self._paths))


def _child(script: str, argv: list[str], out: str, err: str, setup: Callable[[], None] | None) -> None:
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if setup:
        setup()
    code = importlib.import_module(script).main(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(script: str, argv: Sequence[object], folder: Path, setup: Callable[[], None] | None = None) -> Finished:
    """Run a script to its end."""
    return Running(script, argv, folder, setup).wait()


def disturb(
    script: str, argv: Sequence[object], folder: Path, after: float, number: signal.Signals, setup: Callable[[], None] | None = None
) -> Finished:
    """Run a script, send it a signal ``after`` seconds, and wait for its end."""
    running = Running(script, argv, folder, setup)
    time.sleep(after)
    running.send(number)
    return running.wait()


def assert_told(finished: Finished, codes: Sequence[int]) -> None:
    """Check that a run ended in one of ``codes`` and, where it failed, said so in one line and no traceback."""
    assert finished.code in codes, (finished.code, finished.err)
    assert "Traceback" not in finished.err + finished.out
    if finished.code > 0:
        errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, finished.err
