"""One post, and the append-only posts.jsonl that holds a tag's.

The scraper writes it, the cleaner reads it. A record is a line. A last line that a crash left incomplete is removed
when the file is opened again; a damaged line is reported and skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from .errors import InputError, from_os_error
from .storage import no_links


@dataclass(frozen=True, slots=True)
class Post:
    """One post, as one line of posts.jsonl.

    ``likes`` is None where the count is hidden, ``date_utc`` is ISO 8601 with a Z or None,
    ``source`` says which feed or format the post came from.
    """

    shortcode: str
    caption: str | None
    likes: int | None
    date_utc: str | None
    tag: str
    source: str


def read_posts(path: Path, damaged: Callable[[int, str], None]) -> Iterator[Post]:
    """Yield the posts of a posts.jsonl, in order.

    Args:
        damaged: called with the line number and the reason for each line that isn't a post.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    try:
        with open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                try:
                    yield parse_post(line)
                except (ValueError, TypeError, KeyError) as error:
                    damaged(number, str(error) or type(error).__name__)
    except OSError as error:
        raise from_os_error(error, "read", path) from error


def parse_post(line: bytes) -> Post:
    """Return the post that is one line of a posts.jsonl.

    Raises:
        KeyError, TypeError, ValueError: the line isn't a post.
    """
    post = Post(**orjson.loads(line))
    if not (isinstance(post.shortcode, str) and post.shortcode):
        raise ValueError("no shortcode")
    if not (post.caption is None or isinstance(post.caption, str)):
        raise ValueError("the caption is not text")
    if not (post.likes is None or (type(post.likes) is int and post.likes.bit_length() < 64)):
        raise ValueError("likes is not a count")
    return post


def find_post(shortcode: str, paths: Sequence[Path]) -> Post:
    """Return the post called ``shortcode`` from the first posts.jsonl of ``paths`` that has it.

    Raises:
        InputError: none has it, or none exists.
    """
    existing = [path for path in paths if path.exists()]
    if not existing:
        raise InputError(f"cannot explain post {shortcode!r}: {paths[0]} does not exist", "check --tag and --root")
    for path in existing:
        for post in read_posts(path, lambda number, reason: None):
            if post.shortcode == shortcode:
                return post
    raise InputError(
        f"no post {shortcode!r} in {' or '.join(map(str, existing))}",
        f"find the shortcode of a caption:  grep -i 'some words' {existing[0]}",
    )


class PostLog:
    """The append-only posts.jsonl of one tag; it never gets a shortcode twice."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending; remove an incomplete last line.

        Raises:
            ResourceError: it cannot be written, or is a symbolic link.
        """
        self.path = path
        self.shortcodes: set[str] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = open(path, "ab+", opener=no_links)
            self._read_shortcodes()
        except OSError as error:
            raise from_os_error(error, "write", path) from error

    def _read_shortcodes(self) -> None:
        end = self._handle.seek(0)
        for line in self._handle:
            if not line.endswith(b"\n"):  # a record that was being written when the process died
                break
            end += len(line)
            with suppress(ValueError, TypeError, KeyError):  # a damaged line, which cleaning counts
                self.shortcodes.add(parse_post(line).shortcode)
        self._handle.truncate(end)

    def __enter__(self) -> PostLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._handle.close()
        except OSError as error:  # closing writes again what a full disk refused
            if kind is None:
                raise from_os_error(error, "write", self.path) from error

    def append(self, posts: Iterable[Post]) -> int:
        """Write the posts whose shortcode is new, flush them to disk and return their number."""
        lines = []
        for post in posts:
            if post.shortcode not in self.shortcodes:
                self.shortcodes.add(post.shortcode)
                record = {name: getattr(post, name) for name in Post.__dataclass_fields__}  # asdict copies deeply: 19 against 1.6 µs
                lines.append(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        try:
            self._handle.write(b"".join(lines))
            self._handle.flush()
            os.fsync(self._handle.fileno())
        except OSError as error:
            raise from_os_error(error, "write", self.path) from error
        return len(lines)
