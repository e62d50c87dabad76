"""Any file as lines of text: unpacked, decoded, each line whole or refused, and none without end.

Reads plain, gzip- and xz-compressed files in UTF-8 or, after a byte order mark, UTF-16. What is
damaged is told to a callback with its place, and the reading goes on. Writes nothing.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..errors import InputError

#: Bytes that a compressed file may unpack to. The largest exports are some millions of records of a few KB.
MAX_UNPACKED = 8 << 30
#: A file that unpacks to more than this times its size, and to more than ``UNSUSPICIOUS`` bytes, is a bomb.
#: Exports compress 5- to 30-fold, a bomb 1,000-fold and more.
MAX_RATIO = 200
UNSUSPICIOUS = 64 << 20
#: Bytes that unpacking xz may take: ``xz -9`` asks for 65 MiB, a hostile file for up to 4 GiB.
XZ_MEMORY = 128 << 20
#: Characters of a document that has to be parsed whole; parsed, it takes several times as much memory.
MAX_DOCUMENT = 512 << 20
#: Characters of a line. Instagram's longest pages take about 2 MB, so nothing longer is a record.
MAX_LINE = 16 << 20
#: Bytes that are read at once, and by whose first ones a binary file is told from text.
BUFFER = 1 << 16

#: What a byte that is not UTF-8 becomes under the error handler "surrogateescape".
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")

Complain = Callable[[str, str], None]


class TextFile:
    """One open file: look ahead, then take its lines or its whole text."""

    def __init__(self, path: Path, complain: Complain, max_unpacked: int = MAX_UNPACKED) -> None:
        """Open ``path``.

        Args:
            complain: called with a place and a reason for each line that cannot be read.
            max_unpacked: bytes that a compressed file may unpack to.

        Raises:
            OSError, EOFError, zlib.error, lzma.LZMAError: it cannot be read, also from every method below.
            InputError: it unpacks to more than ``max_unpacked``, also from every method below.
        """
        self.path, self._complain = path, complain
        self._ahead: deque[str] = deque()
        self._number = 0
        binary = _unpacked(path, max_unpacked)
        head = binary.peek(1)
        is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        self.is_binary = not is_utf16 and _is_binary(head)
        encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", "surrogateescape")
        self._handle = io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline="\n")

    def __enter__(self) -> TextFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._handle.close()

    def first_lines(self) -> list[str]:
        """Return the first two lines that are not blank, stripped, or as many as there are; nothing is taken."""
        raw: list[str] = []
        found: list[str] = []
        while len(found) < 2 and (line := self._handle.readline(MAX_LINE)):
            raw.append(line)
            if line.strip():
                found.append(line.strip())
        self._ahead.extend(raw)
        return found

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the text of each line that is whole; the others are complained of."""
        while line := self._readline():
            self._number += 1
            reason = ""
            if len(line) >= MAX_LINE and not line.endswith("\n"):
                reason = f"a line of over {MAX_LINE >> 20} MiB"
                while line and not line.endswith("\n"):
                    line = self._readline()
            elif "\0" in line:
                reason = "binary data"
            elif not line.isascii() and _ESCAPED_BYTE.search(line):
                reason = "not UTF-8"
            if reason:
                self._complain(f"line {self._number}", reason)
            else:
                yield self._number, line

    def rows(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the cells of each row of a table; blank lines are left out.

        A quote that never closes would swallow the rows below it: such a row is complained of and
        reading goes on with the line after the one where it began.
        """
        source = _Rewindable(self.lines())
        while True:
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            try:
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield source.first_number, cells
                    source.forget()
                return
            except csv.Error as error:
                self._complain(f"line {source.first_number}", f"not a table row: {error}")
                source.rewind_to_second()

    def document(self) -> str:
        """Return all that is left, with U+FFFD for what is not UTF-8 (and a complaint about it).

        Raises:
            InputError: that is more than ``MAX_DOCUMENT`` characters.
        """
        text = "".join(self._ahead) + self._handle.read(MAX_DOCUMENT)
        self._ahead.clear()
        if len(text) > MAX_DOCUMENT or self._handle.read(1):
            reason = f"a JSON document of over {MAX_DOCUMENT >> 20} MiB has to be parsed whole"
            raise InputError(f"cannot import {self.path}: {reason}", "write it with one record a line (JSONL): that is streamed")
        if not text.isascii() and (damage := _ESCAPED_BYTE.search(text)):
            self._complain(f"line {text.count(chr(10), 0, damage.start()) + 1}", "not UTF-8")
            text = _ESCAPED_BYTE.sub("\ufffd", text)
        return text

    def _readline(self) -> str:
        return self._ahead.popleft() if self._ahead else self._handle.readline(MAX_LINE)


class _Rewindable:
    """Numbered lines for csv, which can go back to the second line of the row it failed at."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: deque[tuple[int, str]] = deque()
        self._taken: list[tuple[int, str]] = []

    def __iter__(self) -> _Rewindable:
        return self

    def __next__(self) -> str:
        self._taken.append(self._again.popleft() if self._again else next(self._lines))
        return self._taken[-1][1]

    @property
    def first_number(self) -> int:
        """The number of the line at which the row begins."""
        return self._taken[0][0] if self._taken else 0

    def forget(self) -> None:
        self._taken.clear()

    def rewind_to_second(self) -> None:
        self._again.extendleft(reversed(self._taken[1:]))
        self._taken.clear()


class _Limited(io.RawIOBase):
    """A binary stream that refuses to give more than ``limit`` bytes: here a decompression bomb stops."""

    def __init__(self, inner: IO[bytes], limit: int, path: Path) -> None:
        self._inner, self._left, self._limit, self._path = inner, limit, limit, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            message = f"cannot import {self._path}: it unpacks to more than {self._limit:,} bytes"
            raise InputError(message, "if it should be that large, unpack it first")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Xz(io.RawIOBase):
    """An xz file unpacked in bounded memory, which lzma.open cannot promise."""

    def __init__(self, path: Path) -> None:
        self._handle = open(path, "rb")
        self._decoder = _xz_decoder()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            packed = b""
            if self._decoder.eof:  # of one stream; another may follow, after padding
                packed = self._decoder.unused_data.lstrip(b"\0")
                while not packed and (block := self._handle.read(BUFFER)):
                    packed = block.lstrip(b"\0")
                if not packed:
                    return 0
                self._decoder = _xz_decoder()
            elif self._decoder.needs_input:
                packed = self._handle.read(BUFFER)
                if not packed:
                    raise EOFError("it ends before its end marker")
            if data := self._decoder.decompress(packed, len(buffer)):
                buffer[: len(data)] = data
                return len(data)

    def close(self) -> None:
        self._handle.close()
        super().close()


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def _unpacked(path: Path, limit: int) -> io.BufferedReader:
    """Open ``path`` for reading bytes, through gzip or xz where it begins as they do."""
    with open(path, "rb") as handle:
        magic = handle.read(6)
    opener: Any = gzip.open if magic.startswith(b"\x1f\x8b") else _Xz if magic == b"\xfd7zXZ\x00" else None
    if opener is None:
        return io.BufferedReader(open(path, "rb", buffering=0), BUFFER)
    limit = min(limit, max(UNSUSPICIOUS, MAX_RATIO * path.stat().st_size))
    return io.BufferedReader(_Limited(opener(path), limit, path), BUFFER)


def _is_binary(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is no text at all: NUL, or controls among bytes that are not UTF-8."""
    if b"\0" in head:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _CONTROLS.search(head) is not None
    return False
