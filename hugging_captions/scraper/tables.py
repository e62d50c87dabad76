"""Files as text or as rows: gzip or xz unpacked up to a limit, decoded, and tables read with pandas.

Reads plain text, CSV with any usual separator, Excel and Parquet tables. Writes nothing. pandas is imported when
the first table is read.
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
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import listed, shorten
from ..errors import InputError
from .records import CAPTION_FIELDS, JSON, plain_name

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

#: Bytes that a compressed file may unpack to. The largest exports are some millions of records of a few KB.
MAX_UNPACKED = 8 << 30
#: A file that unpacks to more than this times its size, and to more than ``UNSUSPICIOUS`` bytes, is a bomb.
#: Exports compress 5- to 30-fold, a bomb 1,000-fold and more.
MAX_RATIO = 200
UNSUSPICIOUS = 64 << 20
#: Characters of a cell: more come from a quote that isn't closed, which takes the following rows into its cell.
MAX_CELL = 1 << 16
#: Bytes or characters by which a file is recognised.
SAMPLE = 1 << 16
#: Rows that pandas parses together.
CHUNK = 1000

#: What a damaged compressed file raises; gzip.BadGzipFile is an OSError without a number.
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
#: The package that pandas needs for each format, by how such a file begins.
ENGINES = {b"PK\x03\x04": ("openpyxl", "an Excel table"), b"PAR1": ("pyarrow", "a Parquet table")}

_MEDIA_NAME = re.compile(r".*\.(jpe?g|png|webp|heic|avif|gif|mp4|mov|webm|mkv|avi|m4a|mp3|pdf|html?)", re.IGNORECASE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATORS = "\t,;|"
#: The line in which Excel names the separator, before the header.
_SEPARATOR_LINE = re.compile(r'"?sep=([\t,;|])"?')
_TABLE_NAME = re.compile(r".*\.[ct]sv(\.gz|\.xz)?", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_BAD_ROW = re.compile(r"Skipping line (\d+): (.*)")
_ESCAPED = re.compile("[\udc80-\udcff]")
_OPEN_QUOTE = re.compile(r"EOF inside string starting at row (\d+)")


class TableError(InputError):
    """A table that can't be read: damaged, without a caption column, or in need of a package that isn't installed."""


#: Called with the place and the reason of what can't be read.
Complain = Callable[[str, str], None]


class TextFile:
    """A file of text, plain or compressed. ``encoding`` is empty where it holds binary data.

    Raises:
        OSError: it can't be read; ``open`` and reading raise one of ``DAMAGE`` too, where a compressed file is damaged.
        InputError: it unpacks to more than ``max_unpacked`` bytes, or to ``MAX_RATIO`` times its size.
    """

    def __init__(self, path: Path, max_unpacked: int = MAX_UNPACKED) -> None:
        self.path, self._limit = path, min(max_unpacked, max(UNSUSPICIOUS, MAX_RATIO * path.stat().st_size))
        self.beginning = b""
        self.encoding = self._find_encoding()

    def open(self, newline: str = "\n") -> io.TextIOWrapper:
        """Open the file as text, with U+FFFD for each byte that isn't in its encoding."""
        return io.TextIOWrapper(_open_unpacked(self.path), self.encoding, errors="replace", newline=newline)

    def _find_encoding(self) -> str:
        """Return the encoding that fits the whole file: UTF-8 or UTF-16, or Windows-1252 where most of it isn't UTF-8."""
        size = letters = damaged = 0
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        with suppress(*DAMAGE), _open_unpacked(self.path) as handle:
            while block := handle.read1(1 << 20):
                size += len(block)
                if size > self._limit and not isinstance(handle, io.BufferedReader):
                    message = f"cannot import {self.path}: it unpacks to more than {self._limit:,} bytes"
                    raise InputError(message, "if it should be that large, unpack it first")
                self.beginning = self.beginning or block[:SAMPLE]
                if self.beginning.startswith(_UTF_16):
                    continue
                if b"\0" in self.beginning or self.beginning[:4] in ENGINES:
                    return ""
                if not (text := decoder.decode(block)).isascii():
                    letters += len(text) - len(text.encode("ascii", "ignore"))
                    damaged += len(_ESCAPED.findall(text))
        if self.beginning.startswith(_UTF_16):
            return "utf-16"
        if damaged and _CONTROLS.search(self.beginning):
            return ""
        if damaged > letters - damaged:
            log.info("%s isn't UTF-8: read as Windows-1252", self.path)
            return "cp1252"
        if damaged:
            log.warning("%s: bytes that aren't UTF-8 (%d) are replaced by U+FFFD", self.path, damaged)
        return "utf-8-sig"


def is_archive(path: Path) -> bool:
    """Return whether ``path`` is a zip archive and no Excel table, which is one as well."""
    if path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name == "[Content_Types].xml" or name.startswith("xl/") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise TableError(f"cannot import {path}: not a zip archive, or a damaged one ({error})", "download it again") from error


@contextmanager
def unpacked(path: Path, max_unpacked: int = MAX_UNPACKED) -> Iterator[Path]:
    """Unpack the files of a zip archive into a folder that exists as long as the context; pictures and films stay packed.

    Raises:
        TableError: it is damaged or encrypted, or would unpack to more than ``max_unpacked`` bytes or ``MAX_RATIO`` times its size.
    """
    limit = min(max_unpacked, max(UNSUSPICIOUS, MAX_RATIO * path.stat().st_size))
    with tempfile.TemporaryDirectory() as name:
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.is_dir() or _MEDIA_NAME.fullmatch(member.filename):
                        continue
                    with archive.open(member) as packed:
                        content = packed.read(limit + 1)
                    limit -= len(content)
                    if limit < 0:
                        message = f"cannot import {path}: it unpacks to more than {max_unpacked:,} bytes, or to {MAX_RATIO} times its size"
                        raise TableError(message, "if it should be that large, unpack it first")
                    # a name of our own: that of the archive may lead anywhere
                    parts = [part for part in Path(member.filename).parts if part not in ("..", "/", "")]
                    target = Path(name, *parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError) as error:  # RuntimeError: encrypted
            raise TableError(f"cannot import {path}: {error}", "unpack it, and import the folder") from error
        yield Path(name)


def find_separator(file: TextFile) -> str:
    """Return the separator of the table in ``file``, or an empty string where it holds plain text.

    A table has a caption column in its first row, or rows of equal width (prose has a space after its commas),
    or is called .csv or .tsv.
    """
    with file.open(newline="") as handle:
        sample = handle.read(SAMPLE).lstrip("\r\n")
    lines = io.StringIO(sample, newline="").readlines()
    if lines and (match := _SEPARATOR_LINE.fullmatch(lines[0].rstrip("\r\n"))):
        return match[1]
    tables = {}
    for separator in _SEPARATORS:
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(map(str.strip, row))]
        tables[separator] = rows[:-1] if len(sample) >= SAMPLE else rows  # the last row may not be whole
    for separator, rows in tables.items():
        if rows and _has_caption(rows[0]) and (len(rows[0]) > 1 or plain_name(rows[0][0]) == "caption"):
            return separator
    for separator, rows in tables.items():
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and min(widths) > 2 and not any(cell.startswith(" ") for row in rows for cell in row[1:]):
            return separator
    return max(tables, key=lambda separator: len([*tables[separator], []][0])) if _TABLE_NAME.fullmatch(file.path.name) else ""


def read_rows(file: TextFile, separator: str, complain: Complain) -> Iterator[tuple[int, JSON]]:
    """Yield the row numbers (the header is row 1) and the cells of a table by column, all of them text.

    Missing cells at the end of a row are empty; a row with more cells than the header goes to ``complain``.

    Raises:
        TableError: the header has no caption column, or a quote never closes.
    """
    import pandas

    with file.open(newline="") as handle:
        rows = (row for row in csv.reader(handle, delimiter=separator) if any(map(str.strip, row)))
        number = 1
        try:
            header = next((row for row in rows if not row[0].startswith("sep=")), None)  # the handle stands at the next row now
            if header is None:
                return
            _require_caption(header, file.path)
            for frame in _frames(handle, separator, len(header), complain):
                for *cells, surplus in frame.itertuples(index=False, name=None):
                    number += 1
                    if surplus.strip():
                        complain(f"row {number}", f"more cells than the {len(header)} of the header")
                    elif max(map(len, cells)) > MAX_CELL:
                        complain(f"row {number}", f"a cell of over {MAX_CELL:,} characters, as where a quote isn't closed")
                    elif any(map(str.strip, cells)):
                        yield number, dict(zip(header, cells))
        except pandas.errors.EmptyDataError:
            return
        except (csv.Error, pandas.errors.ParserError) as error:
            opened = _OPEN_QUOTE.search(str(error))
            reason = f"the quote that opens in row {int(opened[1]) + 2} is never closed" if opened else str(error)
            advice = "close it or take that row out; what stands above it is imported"
            raise TableError(f"cannot import {file.path}: {reason}", advice) from error


def _frames(handle: io.TextIOWrapper, separator: str, width: int, complain: Complain) -> Iterator[DataFrame]:
    """Yield the rows after the header in parts, with one column more, in which a surplus cell shows."""
    import pandas

    layout = {"header": None, "names": range(width + 1), "index_col": False}
    parts = pandas.read_csv(handle, sep=separator, dtype=str, keep_default_na=False, on_bad_lines="warn", chunksize=CHUNK, **layout)
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = next(parts, None)
        for row, reason in _BAD_ROW.findall("\n".join(str(warning.message) for warning in caught)):
            complain(f"row {int(row) + 1}", reason)
        if frame is None:
            return
        yield frame


def is_binary_table(file: TextFile) -> bool:
    """Return whether ``file`` is an Excel or a Parquet table."""
    if not file.beginning.startswith(b"PK\x03\x04"):
        return file.beginning[:4] in ENGINES
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(file.path) as archive:
        return "xl/workbook.xml" in archive.namelist()
    return False


def read_binary_rows(file: TextFile) -> list[tuple[int, JSON]]:
    """Return the row numbers (the header is row 1) and the records of an Excel or Parquet table.

    Raises:
        TableError: it is damaged or has no caption column, or the package that reads it isn't installed.
    """
    import pandas

    package, kind = ENGINES[file.beginning[:4]]
    try:
        is_excel = package == "openpyxl"
        frame = pandas.read_excel(file.path, dtype=str, keep_default_na=False) if is_excel else pandas.read_parquet(file.path)
        records: list[JSON] = json.loads(frame.to_json(orient="records", date_format="iso", default_handler=str))
    except ImportError as error:
        raise TableError(f"cannot import {file.path}: {kind} needs the package {package}", f"python -m pip install {package}") from error
    except Exception as error:  # each package raises its own errors for a damaged file
        raise TableError(f"cannot import {file.path}: {kind} that can't be read: {error}") from error
    _require_caption([str(name) for name in frame.columns], file.path)
    return list(enumerate(records, start=2))


def _has_caption(header: Sequence[str]) -> bool:
    return any(plain_name(name) in CAPTION_FIELDS for name in header)


def _require_caption(header: Sequence[str], path: Path) -> None:
    if not _has_caption(header):
        columns = listed([shorten(name) for name in header], 20)
        message = f"cannot import {path}: the first row of the table doesn't name a caption column: {columns}"
        raise TableError(message, f"call that column caption; {', '.join(CAPTION_FIELDS[1:])} are known too")


def _open_unpacked(path: Path) -> gzip.GzipFile | lzma.LZMAFile | io.BufferedReader:
    """Open ``path`` for reading bytes, through gzip or xz where it begins as they do."""
    with open(path, "rb") as handle:
        magic = handle.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    return lzma.open(path) if magic == b"\xfd7zXZ\x00" else open(path, "rb")
