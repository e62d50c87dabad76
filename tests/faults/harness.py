"""Run the scripts as processes, and disturb them.

The processes are forked from a server that has imported the heavy libraries once, so that a run
costs what the work costs; each is a fresh ``main(argv)`` with its own stdout and stderr files.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PULL, TUNE = "pull_and_clean", "tune_transformer"
#: Counts of the faults by name; printed at the end of the session.
COUNTS: Counter[str] = Counter()

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        PULL,
        TUNE,
        *(
            f"hugging_captions.{name}"
            for name in ("cleaner.pipeline", "scraper.pull", "scraper.session", "trainer.checkpoints", "generator.decoder")
        ),
    ]
)


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
        for path in self._paths:
            path.write_bytes(b"")  # exists even if the child is killed before it opens it
        self._process = _server.Process(target=_child, args=(script, list(map(str, argv)), *map(str, self._paths), setup))
        self._process.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid or 0, number)

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.is_alive()

    def wait(self, timeout: float = 400) -> Finished:
        """Wait for the end and return the result."""
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
    script: str,
    argv: Sequence[object],
    folder: Path,
    due: Callable[[], bool],
    number: signal.Signals,
    setup: Callable[[], None] | None = None,
) -> Finished:
    """Run a script, send it a signal once ``due`` returns true, and wait for its end.

    The signal comes by what the run has done and not by the clock, so a slow machine tries the same moments.
    """
    running = Running(script, argv, folder, setup)
    while running.alive() and not due():
        time.sleep(0.001)
    running.send(number)
    return running.wait()


def assert_reported(finished: Finished, codes: Sequence[int]) -> None:
    """Check that a run ended in one of ``codes`` and that a failure printed one error line and no traceback."""
    assert finished.code in codes, (finished.code, finished.err)
    assert "Traceback" not in finished.err + finished.out
    if finished.code > 0:
        errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, finished.err


#: Audit events of a process that changes files.
_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}


def at_file_event(root: Path, ticks: Path, due: int | None, number: signal.Signals) -> None:
    """In a child process: send a signal to it just before its ``due``-th change of a file below ``root``.

    Each change (opening to write, renaming, removing, making a folder) adds a byte to ``ticks``, so that a
    run with ``due`` None counts them.
    """
    counter = os.open(ticks, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event in _EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if writes and str(arguments[0]).startswith(str(root)):
            os.write(counter, b".")
            if seen == due:
                os.kill(os.getpid(), number)
            seen += 1

    sys.addaudithook(count)


@contextlib.contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount a tmpfs of ``kib`` KiB on ``folder``; PermissionError without the right to do so."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: object) -> None:
    """Call mount(8); PermissionError without the right to do so or without mount."""
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PermissionError(str(error)) from error
    if done.returncode:
        raise PermissionError(done.stderr.strip())
