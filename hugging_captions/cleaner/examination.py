"""A posts.jsonl through the rules, in worker processes: chunks of lines go in, what is held of their posts comes out."""

from __future__ import annotations

import gc
import os
import signal
import sys
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import orjson

from ..errors import ResourceError, from_os_error
from ..options import CleanOptions
from ..posts import parse_post
from ..text import hash64
from . import rules
from .duplicates import ShingleSets

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Lines that a worker takes at a time, lines of the first such chunk, and how many chunks are worth processes of their own.
CHUNK, FIRST_CHUNK, WORTH_PROCESSES = 250, 100, 8
#: Chunks that a worker has been told at most, so that it never waits, and those of each that are not passed on yet: memory stays bounded.
TOLD, IN_FLIGHT = 2, 8
_INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


@dataclass(slots=True)
class Survivors:
    """What is held of the posts that no rule of their own dropped: what duplicates are found by, in columns, for there may be millions."""

    shortcodes: list[str] = field(default_factory=list)
    likes: array[int] = field(default_factory=lambda: array("q"))
    exact: array[int] = field(default_factory=lambda: array("Q"))
    folded: array[int] = field(default_factory=lambda: array("Q"))
    shingles: ShingleSets = field(default_factory=ShingleSets)

    def __len__(self) -> int:
        return len(self.shortcodes)

    def append(self, verdict: rules.Verdict) -> None:
        """Add one post."""
        self.shortcodes.append(verdict.shortcode)
        self.likes.append(verdict.likes)
        self.exact.append(hash64(verdict.text))
        self.folded.append(hash64(verdict.folded))
        self.shingles.append(verdict.shingles)

    def extend(self, other: Survivors) -> None:
        """Add other posts behind these."""
        self.shortcodes += other.shortcodes
        self.likes += other.likes
        self.exact += other.exact
        self.folded += other.folded
        self.shingles.extend(other.shingles)


@dataclass(slots=True)
class Examined:
    """What became of a chunk of lines.

    ``damaged`` are the lines that are no post, by number and reason; ``lines`` the verdicts, one JSON list
    ``[shortcode, text, reason, detail]`` a line; ``changed`` and ``languages`` count posts.
    """

    posts: int = 0
    damaged: list[tuple[int, str]] = field(default_factory=list)
    lines: bytes = b""
    changed: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    survivors: Survivors = field(default_factory=Survivors)


def examine_file(path: Path, options: CleanOptions) -> Iterator[Examined]:
    """Yield what the rules make of each chunk of a posts.jsonl, in order; of ``options.workers`` processes where there are enough posts.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    workers = options.workers or os.cpu_count() or 1
    chunks = _chunks(path)
    first = list(islice(chunks, WORTH_PROCESSES))
    chunks = chain(first, chunks)
    if workers == 1 or len(first) < WORTH_PROCESSES:
        for start, _, lines in chunks:
            yield _examine(start, lines, options)
        return
    start, _, lines = next(chunks)
    yield _examine(start, lines, options)  # here: the models and tables that it takes are read once, and shared by all that are forked
    with _processes(workers, path, options) as connections:
        yield from _in_order(chunks, connections)


def _in_order(chunks: Iterator[tuple[int, int, list[bytes]]], connections: Sequence[Connection]) -> Iterator[Examined]:
    """Yield what the workers make of ``chunks`` in their order; a worker is told the next one when it has done one."""
    from multiprocessing.connection import wait

    told: dict[Connection, deque[int]] = {connection: deque() for connection in connections}
    done: dict[int, Examined] = {}
    sent = passed_on = 0
    upcoming = next(chunks, None)
    while upcoming or any(told.values()):
        for connection, numbers in told.items():
            while upcoming and len(numbers) < TOLD and sent - passed_on < IN_FLIGHT * len(connections):
                start, offset, lines = upcoming
                with _killed_is_told():
                    connection.send((start, offset, len(lines)))
                numbers.append(sent)
                sent += 1
                upcoming = next(chunks, None)
        for ready in wait([connection for connection, numbers in told.items() if numbers]):
            connection = cast("Connection", ready)
            done[told[connection].popleft()] = _result(connection)
        while passed_on in done:
            yield done.pop(passed_on)
            passed_on += 1


@contextmanager
def _processes(workers: int, path: Path, options: CleanOptions) -> Iterator[list[Connection]]:
    """Start ``workers`` processes that examine the chunks they are told, and end them with the block.

    Each has a pipe of its own, through which go places in the file one way and what is held of posts the other. ``multiprocessing.Pool``
    has queues with locks; a worker that is ended at the wrong moment leaves one locked, and the pool waits for it without end.
    """
    import multiprocessing

    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)  # what the first chunk has loaded is there then
    connections: list[Connection] = []
    processes: list[multiprocessing.process.BaseProcess] = []
    try:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)  # none comes before the workers ignore it
        try:
            for _ in range(workers):
                ours, theirs = context.Pipe()
                connections.append(ours)
                process = context.Process(target=_work, args=(theirs, list(connections), path, options), daemon=True)
                process.start()
                processes.append(process)
                theirs.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        yield connections
    finally:
        for started in processes:
            started.terminate()
            started.join()
        for connection in connections:
            connection.close()


def _result(connection: Connection) -> Examined:
    """Return what a worker made of its next chunk; raise what it raised."""
    with _killed_is_told():
        examined = connection.recv()
    if isinstance(examined, BaseException):
        raise examined
    return cast(Examined, examined)


@contextmanager
def _killed_is_told() -> Iterator[None]:
    """Raise a ResourceError where a worker's pipe has closed: it has been killed, which the kernel does where memory runs out."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise ResourceError("a cleaning process was killed, as happens where memory runs out", "clean with --workers 1") from error


def _work(connection: Connection, of_the_parent: Sequence[Connection], path: Path, options: CleanOptions) -> None:
    """Examine the chunks that come through ``connection`` until the parent ends, with which the other end of it closes.

    Ignores Ctrl-C and dies of SIGTERM without a word: the parent tells, and ends its workers by that signal. What the parent had is left
    out of garbage collections: looking through it takes time and copies the pages that both share.
    """
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
    for inherited in of_the_parent:
        inherited.close()
    with suppress(EOFError, OSError), open(path, "rb") as handle:
        while True:
            start, offset, count = connection.recv()
            handle.seek(offset)
            try:
                examined: Examined | Exception = _examine(start, list(islice(handle, count)), options)
            except Exception as error:  # told by the parent
                examined = error
            connection.send(examined)


def _chunks(path: Path) -> Iterator[tuple[int, int, list[bytes]]]:
    """Yield the number of the first line of each chunk, its place in the file, and its lines."""
    start, offset = 1, 0
    try:
        with open(path, "rb") as handle:
            while lines := list(islice(handle, FIRST_CHUNK if start == 1 else CHUNK)):
                yield start, offset, lines
                start += len(lines)
                offset += sum(map(len, lines))
    except OSError as error:
        raise from_os_error(error, "read", path) from error


def _examine(start: int, lines: Sequence[bytes], options: CleanOptions) -> Examined:
    examined = Examined()
    written: list[bytes] = []
    changed: list[str] = []
    languages: list[str] = []
    for number, line in enumerate(lines, start=start):
        try:
            post = parse_post(line)
        except (ValueError, TypeError, KeyError) as error:
            examined.damaged.append((number, str(error) or type(error).__name__))
            continue
        verdict = rules.examine(post, options)
        row = verdict.shortcode, verdict.text, verdict.reason, verdict.detail
        written.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        changed += verdict.changed
        languages += [verdict.language] if verdict.language else []
        if not verdict.reason:
            examined.survivors.append(verdict)
    examined.posts, examined.lines = len(written), b"".join(written)
    examined.changed, examined.languages = Counter(changed), Counter(languages)
    return examined
