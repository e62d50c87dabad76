"""One file to posts: open it, recognise what it is by its content, stream its records.

Unpacks gzip and xz in place up to a limit; reads recorded Instagram JSON, the exports of other
tools (``exports``), CSV and TSV, JSONL and plain text. Memory stays bounded where a record is a line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import logging
import lzma
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from .errors import InputError, from_os_error
from .exports import CAPTION_FIELDS, SyntheticShortcodes, is_media_node, post_from_record
from .payloads import UnreadableNodeError, iter_nodes, mend_surrogates, post_from_node
from .posts import Post

log = logging.getLogger(__name__)

#: Bytes that a compressed file may unpack to: streamed line by line, or parsed as one document.
MAX_STREAM, MAX_DOCUMENT = 8 << 30, 512 << 20
#: A line longer than this is no record of any export.
MAX_LINE = 16 << 20
#: Rows of a table that pandas reads at a time.
ROWS = 2000

_UTC_TXT = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)_UTC.*\.txt")


class Reader:
    """One file: what it is, and the posts in it."""

    def __init__(self, path: Path, tag: str, max_bytes: int) -> None:
        self.path, self.tag, self.max_bytes = path, tag, max_bytes
        self.unreadable = 0
        self._names = SyntheticShortcodes()

    def posts(self) -> Iterator[Post]:
        """Yield the posts of the file."""
        if _UTC_TXT.fullmatch(self.path.name) or self.path.name == "id":
            yield from self._caption_file()
            return
        try:
            with _open(self.path, self.max_bytes) as handle:
                yield from self._recognise(handle)
        except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
            self._complain("the end", f"the compressed file is damaged: {error}")
        except UnicodeDecodeError as error:
            self._complain(f"byte {error.start}", "not text in UTF-8 or UTF-16")
        except OSError as error:
            raise from_os_error(error, "read", self.path) from error

    def _recognise(self, handle: IO[str]) -> Iterator[Post]:
        head = _to_next_text(handle)
        first = head[-1].strip() if head else ""
        if "\0" in first:
            self._complain("the beginning", "binary data")
        elif first.startswith(("{", "[")):
            yield from self._json(first, head, handle)
        elif delimiter := _delimiter(first):
            yield from self._table(chain(head[-1:], handle), delimiter)
        elif first:
            yield from self._plain(chain(head, handle))

    def _json(self, first: str, head: list[str], handle: IO[str]) -> Iterator[Post]:
        """Read one document, or one record a line where the first line is a whole one and not the last."""
        second = _to_next_text(handle)
        whole_first = _parses(first)
        if second and second[-1].strip() and whole_first:
            yield from self._json_lines(chain(head, second, handle))
            return
        text = "".join(chain(head, second)) + handle.read(MAX_DOCUMENT)
        if handle.read(1):
            raise InputError(
                f"cannot import {self.path}: a JSON document over {MAX_DOCUMENT >> 20} MiB", "convert it to one record a line (JSONL)"
            )
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            if second and _parses(second[-1].strip()):  # a damaged first line
                yield from self._json_lines(iter(text.split("\n")))
            else:
                self._complain("the document", "not valid JSON")
            return
        yield from self._document(document)

    def _document(self, document: Any, place: str = "record") -> Iterator[Post]:
        """Read a page of Instagram's, a list of records, or one record."""
        nodes = [] if isinstance(document, dict) and is_media_node(document) else list(iter_nodes(document))
        if nodes and not (isinstance(document, dict) and "source_platform" in document):
            for number, node in enumerate(nodes, start=1):
                yield from self._read(lambda node=node: post_from_node(node, self.tag, "instagram"), f"node {number}")
        elif isinstance(document, list) and not (document and isinstance(document[0], int)):
            for number, record in enumerate(document, start=1):
                if isinstance(record, dict) and not is_media_node(record) and next(iter_nodes(record), None) is not None:
                    yield from self._document(record, f"record {number}")
                else:
                    yield from self._record(record, f"{place} {number}")
        else:
            yield from self._record(document, place)

    def _json_lines(self, lines: Iterator[str]) -> Iterator[Post]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                self._complain(f"line {number}", f"not valid JSON: {error}")
                continue
            yield from self._document(record, f"line {number}")

    def _table(self, lines: Iterator[str], delimiter: str) -> Iterator[Post]:
        """Read CSV or TSV with pandas, in chunks; every cell is text."""
        import pandas as pd

        source = _LineReader(lines)
        try:
            frames = pd.read_csv(
                source, sep=delimiter, dtype=str, keep_default_na=False, chunksize=ROWS, on_bad_lines=self._bad_row, engine="python"
            )
            row = 1
            for frame in frames:
                for record in frame.to_dict("records"):
                    row += 1
                    yield from self._record(
                        {str(key): value for key, value in record.items() if value != ""} or {"caption": ""}, f"row {row}"
                    )
        except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
            self._complain("the table", str(error))

    def _bad_row(self, cells: list[str]) -> None:
        self._complain(f"row {cells[:1]}", f"{len(cells)} cells, more than the header has")

    def _plain(self, lines: Iterator[str]) -> Iterator[Post]:
        for line in lines:
            text = line.rstrip("\r\n")
            if "\0" in text:
                self._complain("a line", "binary data")
                return
            if text.strip():
                blank = Post("", mend_surrogates(text), None, None, self.tag, "text")
                yield Post(self._names.name(blank), blank.caption, None, None, self.tag, "text")

    def _caption_file(self) -> Iterator[Post]:
        """Read instaloader's caption file, unless the metadata is beside it."""
        match = _UTC_TXT.fullmatch(self.path.name)
        stem = self.path.name[: self.path.name.rindex("_UTC") + 4] if match else ""
        if not match or any(self.path.with_name(stem + suffix).exists() for suffix in (".json", ".json.xz")):
            return
        try:
            caption = self.path.read_text(encoding="utf-8-sig").removesuffix("\n")
        except UnicodeDecodeError as error:
            self._complain(f"byte {error.start}", "not text in UTF-8")
            return
        day, hour, minute, second = match.groups()
        post = Post("", caption, None, f"{day}T{hour}:{minute}:{second}Z", self.tag, "instaloader")
        yield Post(self._names.name(post), caption, None, post.date_utc, self.tag, "instaloader")

    def _record(self, record: Any, place: str) -> Iterator[Post]:
        yield from self._read(lambda: post_from_record(record, self.tag, self._names), place)

    def _read(self, read: Any, place: str) -> Iterator[Post]:
        try:
            post = read()
        except UnreadableNodeError as error:
            self._complain(place, str(error))
            return
        if post is not None:
            yield post

    def _complain(self, place: str, reason: str) -> None:
        self.unreadable += 1
        if self.unreadable == 1:
            log.warning("%s, %s: %s; skipped, and so are others like it", self.path, place, reason)


class _LineReader(io.TextIOBase):
    """A text file over an iterator of lines, for pandas."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def readable(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return self._lines

    def __next__(self) -> str:  # type: ignore[override]
        return next(self._lines)

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        return next(self._lines, "")

    def read(self, size: int | None = -1) -> str:
        return next(self._lines, "") if size and size > 0 else "".join(self._lines)


class _Limited(io.RawIOBase):
    """A binary stream that refuses to give more than ``limit`` bytes: a compressed bomb stops here."""

    def __init__(self, inner: IO[bytes], limit: int, path: Path) -> None:
        self._inner, self._left, self._limit, self._path = inner, limit, limit, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"cannot import {self._path}: it unpacks to more than {self._limit:,} bytes", "split it, or import it unpacked"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def _open(path: Path, max_bytes: int) -> IO[str]:
    """Open a file as text, unpacked where it begins as gzip or xz do, in UTF-8 or by its byte order mark."""
    with open(path, "rb") as raw:
        magic = raw.read(6)
    opener: Any = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open}.get(magic[:2], open)
    with opener(path, "rb") as handle:
        mark = handle.read(4)
    utf16 = mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    binary = io.BufferedReader(_Limited(opener(path, "rb"), max_bytes, path), 1 << 16)
    return io.TextIOWrapper(binary, encoding="utf-16" if utf16 else "utf-8-sig", newline="\n")


def _to_next_text(handle: IO[str]) -> list[str]:
    """Return the lines up to and with the next one that is not blank."""
    lines = []
    while line := handle.readline(MAX_LINE):
        lines.append(line)
        if line.strip():
            break
    return lines


def _parses(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _delimiter(header: str) -> str:
    """Return the delimiter of a table whose header has a caption column, or an empty string."""
    for delimiter in ("\t", ",", ";"):
        names = [re.sub(r"[\s_\"']", "", name).lower() for name in header.split(delimiter)]
        if any(name in CAPTION_FIELDS for name in names) and (len(names) > 1 or names[0] == "caption"):
            return delimiter
    return ""
