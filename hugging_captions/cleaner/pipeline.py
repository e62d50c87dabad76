"""Posts to clean captions: named rules in order, and one reason for each dropped post.

Reads text/<tag>/posts.jsonl; writes captions.txt, dropped.jsonl and cleaning.json next to it. Worker processes examine
spans of the file; of the kept posts, shortcodes, likes and hashes are held in memory.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import IO

import orjson

from .. import console, versions
from ..errors import InputError, NothingLeftError, ResourceError, from_os_error
from ..options import CleanOptions, as_arguments, as_json
from ..posts import parse_post, superseded
from ..storage import Store, atomic_writes, escape_caption, json_bytes, sha256
from . import duplicates, rules
from .report import SCRIPT, CleanResult

log = logging.getLogger(__name__)

#: Bytes of a posts.jsonl that a process examines at a time, how many such spans are worth worker processes, and how many per process
#: are examined or wait to be written, which limits memory.
SPAN, WORTH_PROCESSES, IN_FLIGHT = 1 << 15, 16, 8
#: The packages whose version can change the result.
_PACKAGES = ("emoji", "ftfy", "pycld2", "fasttext-predict")


def clean(tags: Sequence[str], options: CleanOptions, store: Store) -> list[CleanResult]:
    """Clean the posts of each of ``tags`` and return the results, one for each.

    Rules run in order, and the first rule that a post fails is its reason. Duplicates are found across all ``tags``;
    the post with the most likes stays. The same posts, options and versions give the same bytes, whatever the number
    of workers. The files of all ``tags`` are replaced together, at the end: after an error they are those of the last
    cleaning that succeeded.

    Raises:
        InputError: a posts.jsonl is missing or holds no readable post.
        NothingLeftError: no caption is kept in any of the tags; the message has the three biggest reasons.
        ResourceError: a worker process was killed, or a file can't be written.
        UsageError: --skip-rule or --language names an unknown rule or language.
    """
    rules.refuse_unknown(options)
    _refuse_missing(tags, store)
    results = [CleanResult(tag) for tag in tags]
    survivors = duplicates.Survivors()
    with tempfile.TemporaryFile() as verdicts:
        with _processes(tags, options, store) as submit:
            for result in results:
                for examined in _examine_posts(store.posts(result.tag), options, submit):
                    _count(examined, result)
                    verdicts.write(examined.verdicts)
                    survivors.extend(examined.survivors)
                _report_damaged(result, store)
        verdicts.seek(0)
        _write(results, verdicts, duplicates.find(survivors, options), options, store)
    return results


def plan(tags: Sequence[str], options: CleanOptions, store: Store, after_pull: bool, report: bool) -> str:
    """Return what ``clean``, and ``report`` if wanted, would do with the stored posts, and with more of them ``after_pull``.

    Raises:
        InputError, UsageError: as ``clean``.
    """
    rules.refuse_unknown(options)
    if not after_pull:
        _refuse_missing(tags, store)
    names = ", ".join(name for name in rules.rule_names() if name not in options.skip_rule)
    facts = []
    for tag in tags:
        size = store.posts(tag).stat().st_size if store.posts(tag).exists() else 0
        facts.append(("read", f"{console.short_path(store.posts(tag), 60)}, {size / 1e3:,.0f} kB now"))
        paths = [store.captions(tag), store.dropped(tag), store.cleaning(tag)]
        paths += [store.cleaning_page(tag), store.cleaning_picture(tag)] if report else []
        verb = "replace" if paths[0].exists() else "write"
        facts.append((verb, f"{console.short_path(paths[0], 55)}, {', '.join(path.name for path in paths[1:])}"))
    return console.rows(f"would clean by these rules: {names}", facts)


def _refuse_missing(tags: Sequence[str], store: Store) -> None:
    for tag in tags:
        if not store.posts(tag).exists():
            raise InputError(
                f"cannot clean tag {tag!r}: {store.posts(tag)} does not exist",
                f"pull its posts:  {store.command(SCRIPT, '--tag', tag)}  (or import them: add --from PATH)",
            )


def _count(examined: _Examined, result: CleanResult) -> None:
    if examined.damaged and not result.damaged_lines:
        number, reason = examined.damaged[0]
        number += result.posts + result.superseded_lines
        log.warning("posts.jsonl of tag %r, line %d is damaged and was skipped: %s", result.tag, number, reason)
    result.posts += examined.posts
    result.damaged_lines += len(examined.damaged)
    result.superseded_lines += examined.superseded
    result.changed.update(examined.changed)
    result.languages.update(examined.languages)


def _report_damaged(result: CleanResult, store: Store) -> None:
    if result.damaged_lines > 1:
        log.warning("%d damaged lines of tag %r were skipped", result.damaged_lines, result.tag)
    if not result.posts:
        raise InputError(
            f"cannot clean tag {result.tag!r}: {store.posts(result.tag)} holds no readable post",
            f"pull its posts again:  {store.command(SCRIPT, '--tag', result.tag)}",
        )


_Job = Callable[[], "_Examined"]
_Submit = Callable[[_Job], "Future[Path]"]


@dataclass(slots=True)
class _Examined:
    """The result of the rules for a span of a posts.jsonl.

    ``superseded`` counts the lines that a later one replaces. ``damaged`` are the lines without a post, by number in the
    span and reason; ``verdicts`` are JSON lists ``[shortcode, text, reason, detail, caption]``, one a line.
    """

    superseded: int
    posts: int = 0
    damaged: list[tuple[int, str]] = field(default_factory=list)
    verdicts: bytearray = field(default_factory=bytearray)
    changed: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    survivors: duplicates.Survivors = field(default_factory=duplicates.Survivors)


def _examine_posts(path: Path, options: CleanOptions, submit: _Submit | None) -> Iterator[_Examined]:
    """Yield the result of the rules for each span of a posts.jsonl, in order; a large file is examined by worker processes (``submit``)."""
    offsets = superseded(path)
    size = path.stat().st_size
    if size > 10_000_000:  # about 20,000 posts
        log.info("cleaning %s: %d MB of posts", path, size // 1_000_000)
    jobs: list[_Job] = []
    for start in range(0, size, SPAN):
        replaced = offsets[bisect_left(offsets, start) : bisect_left(offsets, start + SPAN)]
        jobs.append(partial(_examine, path, start, frozenset(replaced), options))
    # The first span is examined here: forked processes then share the loaded models.
    here = 1 if submit and len(jobs) >= WORTH_PROCESSES else len(jobs)
    with console.progress(total=size, unit="B", label=f"cleaning #{path.parent.name}") as bar:
        for examined in chain((job() for job in jobs[:here]), _in_processes(jobs[here:], options, submit) if submit else ()):
            yield examined
            bar.update(min(SPAN, size - bar.n))


def _in_processes(jobs: Iterable[_Job], options: CleanOptions, submit: _Submit) -> Iterator[_Examined]:
    rest, waiting = iter(jobs), deque[Future[Path]]()
    while True:
        for job in islice(rest, IN_FLIGHT * _workers(options) - len(waiting)):
            with _signals_blocked():
                waiting.append(submit(job))
        if not waiting:
            return
        result = waiting.popleft().result()
        yield pickle.loads(result.read_bytes())
        result.unlink()


def _workers(options: CleanOptions) -> int:
    return options.workers or os.cpu_count() or 1


@contextmanager
def _processes(tags: Sequence[str], options: CleanOptions, store: Store) -> Iterator[_Submit | None]:
    """Yield a function that has a job done by one of ``options.workers`` processes (None for one); report a killed process."""
    if _workers(options) == 1:
        yield None
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with tempfile.TemporaryDirectory() as folder:
        executor = ProcessPoolExecutor(_workers(options), context, initializer=_start_worker)
        try:
            numbers = count()
            yield lambda job: executor.submit(_write_result, job, Path(folder) / str(next(numbers)))
        except BrokenExecutor as error:
            raise ResourceError(
                f"cannot clean tag {'+'.join(tags)!r}: a cleaning process was ended by the system, probably for lack of memory",
                f"run  {store.command(SCRIPT, '--tag', *tags, '--skip-pull', *as_arguments(replace(options, workers=1)))}",
            ) from error
        finally:
            with _signals_blocked():  # a second Ctrl-C must not leave the workers waiting
                executor.shutdown(cancel_futures=True)


def _write_result(job: _Job, path: Path) -> Path:
    """Do ``job`` in a worker, write its pickled result and return ``path``.

    The executor's pipe gets only short messages: it would wait forever for the rest of a long one if the sender is killed.
    """
    path.write_bytes(pickle.dumps(job()))
    return path


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM to the end of the block; a process that starts in it gets neither before ``_start_worker``."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Ignore Ctrl-C, which the main process handles, and end when the main process is killed.

    SIGTERM keeps its default action, with which the executor ends a worker. The garbage collector skips the objects shared
    with the main process: traversing them takes time and copies memory.
    """
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _examine(path: Path, start: int, replaced: frozenset[int], options: CleanOptions) -> _Examined:
    """Return the result of the rules for the lines that begin in the ``SPAN`` bytes from ``start``.

    A later line replaces those at the offsets ``replaced``.
    """
    examined = _Examined(len(replaced))
    for number, (place, line) in enumerate(_lines(path, start), start=1):
        if place in replaced:
            continue
        try:
            post = parse_post(line)
        except (ValueError, TypeError, KeyError) as error:
            examined.damaged.append((number, str(error) or type(error).__name__))
            continue
        draft = rules.examine(post, options)
        row = post.shortcode, draft.text, draft.reason, draft.detail, post.caption or ""
        examined.posts += 1
        examined.verdicts += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        examined.changed.update(draft.changed)
        if draft.language:
            examined.languages[draft.language] += 1
        if not draft.reason:
            examined.survivors.append(post.shortcode, post.likes, draft.text)
    return examined


def _lines(path: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each line that begins in the ``SPAN`` bytes from ``start``."""
    try:
        with open(path, "rb") as handle:
            if start:  # the line that contains the byte before begins in an earlier span
                handle.seek(start - 1)
                handle.readline()
            place = handle.tell()
            while place < start + SPAN and (line := handle.readline()):
                yield place, line
                place += len(line)
    except OSError as error:
        raise from_os_error(error, "read", path) from error


def _write(
    results: Sequence[CleanResult], verdicts: IO[bytes], found: Iterator[tuple[str, str]], options: CleanOptions, store: Store
) -> None:
    """Write the three files of each tag from the ``verdicts`` of all posts and the duplicates ``found`` among the survivors."""
    tags = [result.tag for result in results]
    paths = [path(tag) for tag in tags for path in (store.captions, store.dropped, store.cleaning)]
    command = store.command(SCRIPT, "--tag", *tags, "--skip-pull", *as_arguments(replace(options, workers=None)))
    chosen = as_json(options)
    del chosen["workers"]  # their number doesn't change the result
    with atomic_writes(paths, binary=True) as handles:
        for i, result in enumerate(results):
            captions, dropped, cleaning = handles[3 * i : 3 * i + 3]
            checksum = _write_captions(result, islice(verdicts, result.posts), found, captions, dropped)
            result.put_in_order()
            record = {name: value for name, value in vars(result).items() if name != "examples"} | {"options": chosen, "command": command}
            record |= {"posts_sha256": sha256(store.posts(result.tag)), "captions_sha256": checksum}
            cleaning.write(json_bytes(record | {"versions": versions(*_PACKAGES), "cleaned_with": tags}))
        if not any(result.kept for result in results):
            raise _nothing_left(results, options, store)


def _write_captions(
    result: CleanResult, verdicts: Iterable[bytes], found: Iterator[tuple[str, str]], captions: IO[bytes], dropped: IO[bytes]
) -> str:
    """Write one tag's captions.txt and dropped.jsonl, count in ``result``, and return the SHA-256 of the captions."""
    digest = hashlib.sha256()
    for line in verdicts:
        shortcode, text, reason, detail, original = orjson.loads(line)
        if not reason:
            reason, detail = next(found)
        if reason:
            result.dropped[reason] += 1
            if len(texts := result.examples.setdefault(reason, [])) < 3:
                texts.append(original)
            row = {"shortcode": shortcode, "reason": reason, "detail": detail, "caption": original}
            dropped.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        else:
            result.kept += 1
            result.tokens += len(text.encode("utf-8", "replace")) // 4 + 2  # about four bytes a token, and the two signals
            caption = (escape_caption(text) + "\n").encode()
            digest.update(caption)
            captions.write(caption)
    return digest.hexdigest()


def _nothing_left(results: Sequence[CleanResult], options: CleanOptions, store: Store) -> NothingLeftError:
    """Return the error that names the three biggest reasons; its hint is the command that relaxes the biggest possible one."""
    tags = [result.tag for result in results]
    biggest = sum((result.dropped for result in results), Counter()).most_common(3)
    message = f"no caption of tag {'+'.join(tags)!r} is left: " + ", ".join(f"{reason} {count:,}" for reason, count in biggest)
    relaxed_for = {rule.name: rule.relaxed for rule in rules.RULES}
    for reason, _ in biggest:
        if reason not in ("no-caption", "no-text"):
            relaxed = replace(options, **(relaxed_for[reason] or {"skip_rule": (*options.skip_rule, reason)}))
            return NothingLeftError(message, f"run  {store.command(SCRIPT, '--tag', *tags, '--skip-pull', *as_arguments(relaxed))}")
    return NothingLeftError(message, f"pull more posts:  {store.command(SCRIPT, '--tag', *tags)}")
