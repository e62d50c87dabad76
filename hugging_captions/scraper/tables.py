"""Files as text or as rows: gzip or xz unpacked up to a limit, decoded, and tables read with pandas.

Reads plain text, CSV with any usual separator, Excel and Parquet tables, row by row or in batches. Writes
nothing. pandas, openpyxl and pyarrow are imported when the first table needs them.
"""

from __future__ import annotations

import codecs
import csv
import errno
import gzip
import io
import logging
import lzma
import re
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from ..console import listed, shorten
from ..errors import InputError
from .records import CAPTION_FIELDS, DATE_FIELDS, JSON, LIKES_FIELDS, LINK_FIELDS, SURE_CAPTIONS, plain_name

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

#: Most bytes of an unpacked file. The largest exports are some millions of records of a few KB.
MAX_UNPACKED = 8 << 30
#: A file that unpacks to more than this times its size, and to more than ``UNSUSPICIOUS`` bytes, is a zip bomb.
#: Exports compress 5- to 30-fold, a bomb 1,000-fold and more.
MAX_RATIO = 200
UNSUSPICIOUS = 64 << 20
#: Most characters of a cell: longer ones come from an unclosed quote, which puts the following rows into its cell.
MAX_CELL = 1 << 16
#: Bytes or characters read to detect the format of a file.
SAMPLE = 1 << 16
#: Rows parsed at a time by pandas or pyarrow.
CHUNK = 1000
#: Non-empty rows that are searched for the column names: titles may come first.
HEADER_ROWS = 20

#: Exceptions of a damaged compressed file; gzip.BadGzipFile is an OSError without a number.
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
#: Exceptions of a damaged or unusual zip archive; RuntimeError if it is encrypted or of a later version.
BAD_ZIP = (zipfile.BadZipFile, RuntimeError, zlib.error, lzma.LZMAError, EOFError, ValueError, struct.error)
#: The package that pandas needs for each format, by the first bytes of a file.
ENGINES = {b"PK\x03\x04": ("openpyxl", "an Excel table"), b"PAR1": ("pyarrow", "a Parquet table")}

#: The beginning of text files without captions, and their kind.
_NO_CAPTIONS = (
    (re.compile(r"<(!doctype|html|head|body|div|table|script|svg|\?xml|!--)[\s>]", re.IGNORECASE), "HTML or XML"),
    (re.compile(r"[\[({]\s*[\[({]?\s*(u?'[^']*'\s*:|\w+\()|(\w+: )?\w+\(\w+="), "Python"),
    (re.compile(r"(window(\.\w+)+|var \w+|let \w+|const \w+|module\.exports)\s*=\s*[\[{]|[\w.]+\(\s*[\[{]\s*[\[{\"]"), "JavaScript"),
    (re.compile(r"# (Netscape )?HTTP Cookie File"), "cookies"),
    (re.compile(r"(INSERT INTO|CREATE TABLE|BEGIN TRANSACTION|SELECT .* FROM|-- (MySQL|PostgreSQL|SQLite|phpMyAdmin))\b"), "SQL"),
    (re.compile(r"\{\\rtf"), "RTF"),
    (re.compile(r"(?=.*\b(caption|likes|shortcode)\b)\w+(\s{2,}\w+){2,}\s*$", re.IGNORECASE), "a table with columns of fixed width"),
)
#: Lines of text files without captions, how large a part of the lines they are at least, and the kind of the file.
_NO_CAPTION_LINES = (
    (r"""["'][^"'\n]+["']\s*:\s*\S | [\[\]{}]+,?$""", 0.5, "JSON after other text"),
    (
        r"""import\ [\w.]+(\ as\ \w+)?(,\ [\w.]+)*$ | from\ [\w.]+\ import\ [\w*(] | (async\ )?def\ \w+\(.*:$ | class\ \w+(\(.*\))?:$
         | (async\ )?for\ \w+(,\ \w+)*\ in\ .+:$ | (if|elif|while|with)\ .*[(\[=_"].*:$ | (else|try|finally):$ | except\b.*:$
         | [\w.]+(\ [+-]?=\ [\w.]+)?\([^()]*\)$ | [\w.]+(\ [+-]?=\ [\w.]+)?\(.*\)\)$""",
        0.3,
        "Python",
    ),
    (
        r"""(export\ )?(const|let|var)\ [\w{\[][^=]*=\ | (export\ )?(default\ )?(async\ )?function\b.*\{$ | import\ .*['"];?$
         | .*(=>|\)|\belse)\ ?\{$ | [})\];,]+$ | [\w.$]+(\(.*\))?\(.*\);$ | return\b.*;$""",
        0.3,
        "JavaScript",
    ),
    (r"""-\ [a-z_]\w*:(\ .*)?(\n[ \t]+[a-z_]\w*:(\ .*)?$)+""", 0.3, "YAML"),
    (
        r"""\[?(\d{4}-\d\d-\d\d[T ]|\w{3}\ +\d+\ |\d\d/\w+/\d{4}[: ])?\d\d:\d\d:\d\d\b
         | \[?(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\b[\]:\s]""",
        0.5,
        "a log",
    ),
)
_MEDIA_NAME = re.compile(r".*\.(jpe?g|png|webp|heic|avif|gif|mp4|mov|webm|mkv|avi|m4a|mp3|pdf)", re.IGNORECASE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATORS = "\t,;|^~\x1f\x01"
#: The separator of a table with one column: its captions contain the usual ones.
_NO_SEPARATOR = "\x1e"
#: The line in which Excel names the separator, before the header.
_SEPARATOR_LINE = re.compile(r'"?sep=([\t,;|])"?')
_TABLE_NAME = re.compile(r".*\.[ct]sv(\.gz|\.xz)?", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_BAD_ROW = re.compile(r"Skipping line (\d+): (.*)")
_ESCAPED = re.compile("[\udc80-\udcff]")
#: Possible encodings of text that isn't UTF-8, and those that differ from Windows-1252 in a few letters.
_ENCODINGS = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp932", "gb18030", "big5", "cp949", "mac_roman"),
]
_LIKE_CP1252 = ("cp1250", "cp1254", "mac_roman")
_OPEN_QUOTE = re.compile(r"EOF inside string starting at row (\d+)")


@dataclass(frozen=True)
class Dialect:
    """The notation of a text table, in the terms of ``csv`` and pandas."""

    delimiter: str
    quotechar: str = '"'
    escapechar: str | None = None
    skipinitialspace: bool = False


class TableError(InputError):
    """A table that can't be read: damaged, without a caption column, or in need of a package that isn't installed."""


#: Called with the position of an unreadable record and the reason.
Complain = Callable[[str, str], None]


class TextFile:
    """A text file, plain or compressed. ``encoding`` is empty for binary data; messages call the file ``shown``.

    Raises:
        OSError: it can't be read; ``open`` and reading also raise one of ``DAMAGE`` if a compressed file is damaged.
        InputError: it unpacks to more than ``MAX_UNPACKED`` bytes, or to ``MAX_RATIO`` times its size.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self.path, self.shown, self._limit = path, shown, _unpacked_limit(path)
        self.beginning = b""
        self.encoding = self._find_encoding()

    def open(self, newline: str = "\n") -> io.TextIOWrapper:
        """Open the file as text, with U+FFFD for each byte that isn't in its encoding."""
        return io.TextIOWrapper(_open_unpacked(self.path), self.encoding, errors="replace", newline=newline)

    def _find_encoding(self) -> str:
        """Return the encoding that fits the whole file: UTF-8 or UTF-16, or the likeliest one if most of it isn't UTF-8."""
        size = letters = damaged = 0
        foreign = b""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        with suppress(*DAMAGE), _open_unpacked(self.path) as handle:
            while block := handle.read1(1 << 20):
                size += len(block)
                if size > self._limit and not isinstance(handle, io.BufferedReader):
                    message = f"cannot import {self.shown}: it unpacks to more than {self._limit:,} bytes"
                    raise InputError(message, "if it should be that large, unpack it first")
                self.beginning = self.beginning or block[:SAMPLE]
                if utf_16 := _utf_16(self.beginning):
                    continue
                if b"\0" in self.beginning or self.beginning[:4] in ENGINES:
                    return ""
                if not (text := decoder.decode(block)).isascii():
                    letters += len(text) - len(text.encode("ascii", "ignore"))
                    damaged += (found := len(_ESCAPED.findall(text)))
                    if found and len(foreign) < SAMPLE:
                        foreign += b"\n".join(line for line in block.split(b"\n") if not line.isascii())[:SAMPLE]
        if size and utf_16:
            return utf_16
        if damaged and _CONTROLS.search(self.beginning):
            return ""
        if damaged > letters - damaged:
            encoding = _likeliest_encoding(foreign)
            log.info("%s isn't UTF-8: read as %s", self.shown, encoding.replace("cp125", "Windows-125"))
            return encoding
        if damaged:
            log.warning("%s: bytes that aren't UTF-8 (%d) are replaced by U+FFFD", self.shown, damaged)
        return "utf-8-sig"


def _unpacked_limit(path: Path) -> int:
    return min(MAX_UNPACKED, max(UNSUSPICIOUS, MAX_RATIO * path.stat().st_size))


def _utf_16(beginning: bytes) -> str:
    """Return the kind of UTF-16 or UTF-32 at the beginning of a file, by its mark or the position of its zeros; else an empty string."""
    if beginning.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if beginning.startswith(_UTF_16):
        return "utf-16"
    even, odd = beginning[::2].count(0), beginning[1::2].count(0)
    if len(beginning) < 8 or min(even, odd) or max(even, odd) * 4 < len(beginning):
        return ""
    return "utf-16-le" if odd else "utf-16-be"


def _likeliest_encoding(sample: bytes) -> str:
    """Return the encoding of lines that aren't UTF-8. Without evidence for a related one it is Windows-1252."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=_ENCODINGS)
    if (best := matches.best()) is None:
        return "cp1252"
    alike = "cp1252" in best.could_be_from_charset or best.language in ("English", "Unknown")
    as_likely = any(match.encoding == "cp1252" and match.coherence >= best.coherence for match in matches)
    return "cp1252" if best.encoding in _LIKE_CP1252 and (alike or as_likely) else best.encoding


def is_archive(path: Path, shown: Path) -> bool:
    """Return whether ``path``, called ``shown`` in messages, is a zip archive but not an Excel table (which is also one).

    Raises:
        TableError: it is damaged.
    """
    if path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(name == "[Content_Types].xml" or name.startswith("xl/") for name in archive.namelist())
    except BAD_ZIP as error:
        raise TableError(f"cannot import {shown}: not a zip archive, or a damaged one ({error})", "download it again") from error


@contextmanager
def unpacked(path: Path, shown: Path) -> Iterator[Path]:
    """Unpack the files of a zip archive, called ``shown`` in messages, into a temporary folder; pictures and videos are empty there.

    Raises:
        TableError: it is damaged or encrypted, or would unpack to more than ``MAX_UNPACKED`` bytes or ``MAX_RATIO`` times its size.
    """
    limit = _unpacked_limit(path)
    with tempfile.TemporaryDirectory() as name:
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.is_dir():
                        continue
                    # a new name: the archive's may lead anywhere, and be longer than the file system allows
                    parts = [part[-60:] for part in Path(member.filename).parts if part not in ("..", "/", "")]
                    try:
                        limit -= _unpack(archive, member, Path(name, *parts), limit)
                    except (OSError, ValueError, struct.error) as error:  # invalid names and offsets
                        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                            raise
                        reason = getattr(error, "strerror", None) or error  # without the temporary path
                        log.warning("%s: %s can't be unpacked (%s); skipped", shown, shorten(member.filename), reason)
                    if limit < 0:
                        message = f"cannot import {shown}: it unpacks to more than {MAX_UNPACKED:,} bytes, or to {MAX_RATIO} times its size"
                        raise TableError(message, "if it should be that large, unpack it first")
        except BAD_ZIP as error:
            raise TableError(f"cannot import {shown}: {error}", "unpack it, and import the folder") from error
        yield Path(name)


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limit: int) -> int:
    """Write a file of an archive, at most about ``limit`` bytes, an empty one for media; return how many bytes were written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if _MEDIA_NAME.fullmatch(member.filename):
        target.touch()
        return 0
    written = 0
    with archive.open(member) as packed, open(target, "wb") as file:
        while written <= limit and (block := packed.read(1 << 20)):
            written += file.write(block)
    return written


def find_dialect(file: TextFile, caption: str = "") -> Dialect | None:
    """Return the dialect of the table in ``file``, or None for plain text.

    A table has a caption column (or one called ``caption``) in one of its first rows, or rows of equal width (prose has a
    space after its commas), or the extension .csv or .tsv.
    """
    with file.open(newline="") as handle:
        sample = handle.read(SAMPLE).lstrip("\r\n")
    lines = io.StringIO(sample, newline="").readlines()
    if lines and (match := _SEPARATOR_LINE.fullmatch(lines[0].rstrip("\r\n"))):
        return _dialect(match[1], sample)
    dialects = {separator: _dialect(separator, sample) for separator in _SEPARATORS if separator in sample or separator == ","}
    tables = {}
    for separator, dialect in dialects.items():
        rows = [row for row in csv.reader(lines, **vars(dialect)) if any(map(str.strip, row))]
        tables[separator] = rows[:-1] if len(sample) >= SAMPLE else rows  # the last row may be incomplete
    is_named = bool(_TABLE_NAME.fullmatch(file.path.name))
    for separator, rows in tables.items():
        _, header = _find_header(rows, caption)
        if header and (is_named or _is_certain(header)):
            return dialects[separator] if len(header) > 1 else _dialect(_NO_SEPARATOR, sample)
    for separator, rows in tables.items():
        widths = {len(row) for row in rows}
        is_prose = dialects[separator].skipinitialspace or any(cell.startswith(" ") for row in rows for cell in row[1:])
        if len(rows) > 1 and len(widths) == 1 and min(widths) > 2 and not is_prose:
            return dialects[separator]
    return dialects[max(tables, key=lambda separator: len([*tables[separator], []][0]))] if is_named else None


def _dialect(separator: str, sample: str) -> Dialect:
    """Return how cells are quoted in ``sample``: by double or single quotes, with inner quotes doubled or after a backslash."""
    between = re.escape(separator)
    has_double = re.search(rf'(^|{between})"', sample, re.MULTILINE)
    has_single = len(re.findall(rf"(?:^|{between})'[^'\r\n]{{0,999}}'(?={between}|[\r\n]|\Z)", sample, re.MULTILINE)) > 1
    escapes = re.search(rf'\\"(?!\s*({between}|[\r\n]|\Z))', sample) and not re.search(rf'[^{between}\\\s]""', sample)
    header = sample.split("\n")[0]
    is_spaced = separator in header and header.count(separator) == header.count(separator + " ")
    return Dialect(separator, "'" if has_single and not has_double else '"', "\\" if escapes else None, is_spaced)


def _is_certain(header: Sequence[str]) -> bool:
    """Return whether a row with a caption column is certainly a header in a file not called .csv: captions have such words too."""
    names = {plain_name(name) for name in header}
    others = names & {*LIKES_FIELDS, *DATE_FIELDS, *LINK_FIELDS, "shortcode", "code", "id"}
    return bool(others) or names == {"caption"} or (len(header) > 1 and not SURE_CAPTIONS.isdisjoint(names))


def other_than_captions(beginning: str) -> str:
    """Return the kind of a text file without captions (HTML, Python and others), or an empty string if it may have captions."""
    return next((kind for pattern, kind in _NO_CAPTIONS if pattern.match(beginning.lstrip())), "")


def code_or_log(file: TextFile) -> str:
    """Return the kind of a text file whose lines are mostly code, data or those of a log; an empty string if they may be captions."""
    with file.open() as handle:
        lines = [line for line in handle.read(SAMPLE).split("\n") if line.strip()]
    for pattern, part, kind in _NO_CAPTION_LINES:
        found = re.finditer(rf"^[ \t]*({pattern})", "\n".join(lines), re.MULTILINE | re.VERBOSE)
        if sum(match[0].count("\n") + 1 for match in found) > max(1, part * len(lines)):
            return kind
    return ""


def read_rows(file: TextFile, dialect: Dialect, caption: str, complain: Complain) -> Iterator[tuple[int, JSON]]:
    """Yield the row numbers (the first row is row 1) and the cells of a table by column, as text.

    Missing cells at the end of a row are empty; a row with more cells than the header is reported to ``complain``. Rows above
    the header, and repeated headers, are skipped.

    Raises:
        TableError: the header has no caption column (nor one called ``caption``), a quote never closes, or, after the last row,
            most rows have more cells than the header.
    """
    import pandas

    unparsed: list[str] = []

    def complain_of_width(place: str, reason: str) -> None:
        unparsed.append(place)
        complain(place, reason)

    with file.open(newline="") as handle:
        rows = (row for row in csv.reader(handle, **vars(dialect)) if any(map(str.strip, row)))
        try:
            above, header = _find_header((row for row in rows if not row[0].startswith("sep=")), caption)
            if not header:
                _refuse(above, file.shown)
                return
            # the handle is now at the next row
            width, first, wide = len(header), len(above) + 1, 0
            number = first
            header = [name.strip() for name in header]
            for frame in _frames(handle, dialect, width, complain_of_width):
                for *cells, surplus in frame.itertuples(index=False, name=None):
                    number += 1
                    if surplus.strip():
                        wide += 1
                        complain(f"row {number}", f"more cells than the {width} of the header")
                    elif max(map(len, cells)) > MAX_CELL:
                        complain(f"row {number}", f"a cell of over {MAX_CELL:,} characters, perhaps because of an unclosed quote")
                    elif any(map(str.strip, cells)) and cells != header and not (dialect.delimiter == "|" and _is_rule(cells)):
                        yield number, _record(header, cells)
            wide, total = wide + len(unparsed), number - first + len(unparsed)
            if wide * 2 > total:
                message = f"cannot import {file.shown}: {wide:,} of {total:,} rows have more cells than the {width} of the header"
                raise TableError(message, f"put quotes around each cell that contains the separator {dialect.delimiter!r}")
        except pandas.errors.EmptyDataError:
            return
        except (csv.Error, pandas.errors.ParserError) as error:
            opened = _OPEN_QUOTE.search(str(error))
            reason = f"the quote that opens in row {int(opened[1]) + 2} is never closed" if opened else str(error)
            advice = "close it or remove that row; nothing of this file is imported"
            raise TableError(f"cannot import {file.shown}: {reason}", advice) from error


def _is_rule(cells: Sequence[str]) -> bool:
    return set("".join(cells)) <= set("-: ")


def _record(header: Sequence[str], cells: Sequence[JSON]) -> dict[str, JSON]:
    """Return a row by column; of several columns with the same name the first non-empty one."""
    record = dict(zip(header, cells))
    if len(record) < len(header):
        for name, cell in zip(reversed(header), reversed(cells)):
            record[name] = record[name] if cell in ("", None) else cell
    return record


def _find_header(rows: Iterable[list[str]], caption: str) -> tuple[list[list[str]], list[str]]:
    """Return the rows above the row with the caption column, and that row; it is empty if none of the first rows has one.

    A row below another is a header only if it has more cells: titles may come before a header, but not rows of the table.
    """
    above: list[list[str]] = []
    widest = 0
    for row in islice(rows, HEADER_ROWS):
        filled = sum(bool(cell.strip()) for cell in row)
        if filled > max(widest, bool(above)) and _has_caption(row, caption):
            return above, row
        above.append(row)
        widest = max(widest, filled)
    return above, []


def _frames(handle: io.TextIOWrapper, dialect: Dialect, width: int, complain: Complain) -> Iterator[DataFrame]:
    """Yield the rows after the header in parts, with one additional column for surplus cells."""
    import pandas

    layout = {"header": None, "names": range(width + 1), "index_col": False, **vars(dialect)}
    parts = pandas.read_csv(handle, dtype=str, keep_default_na=False, on_bad_lines="warn", chunksize=CHUNK, **layout)
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
    with suppress(*BAD_ZIP), zipfile.ZipFile(file.path) as archive:
        return "xl/workbook.xml" in archive.namelist()
    return False


def read_binary_rows(file: TextFile, caption: str) -> Iterator[tuple[int, JSON]]:
    """Yield the row numbers (from 1) and the records of an Excel table, of each sheet with a caption column, or of a Parquet table.

    Raises:
        TableError: it is damaged or has no caption column (nor one called ``caption``), or the package that reads it isn't installed.
    """
    package, kind = ENGINES[file.beginning[:4]]
    try:
        yield from (_excel_rows if package == "openpyxl" else _parquet_rows)(file, caption)
    except ImportError as error:
        raise TableError(f"cannot import {file.shown}: {kind} needs the package {package}", f"python -m pip install {package}") from error
    except (GeneratorExit, InputError):
        raise
    except Exception as error:  # each package raises different errors for a damaged file
        raise TableError(
            f"cannot import {file.shown}: {kind} that can't be read: {error}", "open and save it again, or export it as CSV"
        ) from error


def _excel_rows(file: TextFile, caption: str) -> Iterator[tuple[int, JSON]]:
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unknown styles and validations
        book = openpyxl.load_workbook(open(file.path, "rb"), read_only=True, data_only=True)  # with a path it would check the extension
    refused: list[list[str]] = []
    found = False
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # some tools write wrong ones
        rows = ([*map(_excel_cell, row)] for row in sheet.iter_rows(values_only=True))
        filled = (row for row in rows if any(map(str.strip, row)))
        above, header = _find_header(filled, caption)
        if not header:
            refused = refused or above
            continue
        header = [name.strip() for name in header]
        for number, cells in enumerate(filled, start=len(above) + 2):
            if cells != header:
                found = True
                yield number, _record(header, cells + [""] * (len(header) - len(cells)))
    if not found:
        _refuse(refused, file.shown)


def _excel_cell(value: object) -> str:
    return "" if value is None else str(value)


def _parquet_rows(file: TextFile, caption: str) -> Iterator[tuple[int, JSON]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file.path) as table:
        if not _has_caption(table.schema_arrow.names, caption):
            _refuse([table.schema_arrow.names], file.shown)
        number = 1
        for batch in table.iter_batches(CHUNK):
            records: list[JSON] = orjson.loads(orjson.dumps(batch.to_pylist(), default=_plain_value, option=orjson.OPT_NON_STR_KEYS))
            yield from enumerate(records, start=number + 1)
            number += len(records)


def _plain_value(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _has_caption(header: Sequence[str], caption: str) -> bool:
    return any(plain_name(name) in CAPTION_FIELDS or (caption and name.strip() == caption) for name in header)


def _refuse(rows: Sequence[Sequence[str]], shown: Path) -> None:
    """Raise the error that lists the columns: the first of ``rows`` that isn't a title. An empty table raises none."""
    if not rows:
        return
    header = next((row for row in rows if sum(map(bool, row)) > 1), rows[0])
    columns = listed([shorten(name) for name in header], 20)
    message = f"cannot import {shown}: the first row of the table doesn't name a caption column: {columns}"
    raise TableError(message, "name it:  --column caption=NAME  (likes=NAME, date=NAME and shortcode=NAME too)")


def _open_unpacked(path: Path) -> gzip.GzipFile | lzma.LZMAFile | io.BufferedReader:
    """Open ``path`` for reading bytes, through gzip or xz by its first bytes."""
    with open(path, "rb") as handle:
        magic = handle.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    return lzma.open(path) if magic == b"\xfd7zXZ\x00" else open(path, "rb")
