"""Import posts from the files in ``--from``: find the files, detect each format by content, read record by record.

Reads instaloader folders, recorded Instagram JSON, HAR files, the exports of other tools, tables and plain text, also
gzip- or xz-compressed or in a zip archive. Appends to text/<tag>/posts.jsonl.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

from .. import console
from ..errors import InputError, from_os_error
from ..posts import Post, PostLog, read_shortcodes
from ..storage import Store, unescape_caption
from . import records, tables
from .records import JSON

log = logging.getLogger(__name__)

FORMATS = (
    "an instaloader folder, recorded Instagram JSON, a HAR file, Instagram's own data export, Apify, Zeeschuimer, 4CAT or gallery-dl "
    "exports, a table with a caption column (CSV, TSV, Excel, Parquet), JSON with captions, plain text with one caption a line, "
    "a zip archive of these"
)
#: The file of ``--from -``.
STANDARD_INPUT = Path("-")
#: Posts flushed to the disk together: below 1,000 the flushes take longer than the reading.
CHUNK = 2000

#: Names of files without posts, by kind.
_NO_POSTS = {
    "pictures and videos": re.compile(r"(?i).*\.(jpe?g|png|webp|heic|avif|gif|mp4|mov|webm|mkv|avi|m4a|mp3)"),
    "documents and unfinished files": re.compile(r"(?i).*\.(pdf|docx?|part|tmp|lock)"),
    "instaloader's places, ids and captions before an edit": re.compile(r"id|.*_UTC(_old_\d+|_location)\.txt"),
    "hidden files": re.compile(r"\..*"),
}
#: The files next to a posts.jsonl of this project.
_RESULTS = ("captions.txt", "dropped.jsonl", "cleaning.json", "pull.json")
#: Lines that decide whether a file has one JSON value a line.
LOOKED_AT = 20
#: Deepest nesting of archives: an archive may contain a copy of itself.
NESTED = 3
#: Names of skipped files shown per kind.
SHOWN = 6
#: A line in which every backslash is an escape of captions.txt.
_ESCAPED = re.compile(r"(?:[^\\]|\\[n\\])*")
#: The posts and reels in Instagram's own data export; its other files have messages, contacts and other people's texts.
_EXPORT_NAME = re.compile(r".*/(posts_\d+|reels_\d+|(media|content)/reels)\.json")
_TEXT_NAME = re.compile(r".*\.txt(\.gz|\.xz)?", re.IGNORECASE)
#: Plain text about the other files of a folder.
_NOTES = re.compile(r"(readme|licen[cs]e|changelog|notice)s?(?![a-z]).*|requirements.*\.txt", re.IGNORECASE)
_JSON_NAME = re.compile(r".*\.(json|jsonl|ndjson|js|har)(\.gz|\.xz)?", re.IGNORECASE)
_CAPTION_NAME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)_UTC\.txt")
#: How JSON can begin. "[NEW] boots" and "{sigh}" are captions.
_JSON_START = re.compile(r"\{\s*(?:[\"}]|$)|\[\s*(?:[\[{\"\]]|$)")

#: What Facebook's servers write before JSON.
_GUARD = "for (;;);"
_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[\s,]*")
#: The beginning and the end of a list, also inside of objects.
_LIST_START = re.compile(r'(\{\s*"[^"\\]*"\s*:\s*)*\[')
#: A list of objects under a key.
_LATER_LIST = re.compile(r'"\s*:\s*\[(?=\s*\{)')
_LIST_END = re.compile(r"\][\s,\]}]*")


@dataclass
class ImportResult:
    """The result of an import, counted while it runs: files read, posts by format, new posts, unreadable records."""

    tag: str
    files: int = 0
    found: Counter[str] = field(default_factory=Counter)
    new: int = 0
    completed: int = 0
    unreadable: int = 0
    unreadable_likes: int = 0
    other_files: int = 0
    #: Skipped files in folders and archives, by kind: their number, and the first names, or the extensions of media.
    skipped: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def skip(self, kind: str, path: Path) -> None:
        """Count a file of a folder that isn't read."""
        count, names = self.skipped.get(kind, (0, []))
        name = path.suffix.lower() if kind == "pictures and videos" else path.name
        self.skipped[kind] = count + 1, names if name in names or len(names) > SHOWN else [*names, name]

    def report_skipped(self) -> None:
        """Log one line for each kind of file that wasn't read."""
        for kind, (count, names) in self.skipped.items():
            shown = " ".join(map(console.printable, names[:SHOWN])) + (" ..." if len(names) > SHOWN else "")
            log.info("skipped %s: %s (%s)", console.count(count, "file"), kind, shown)

    def summary(self) -> str:
        """Return the result for stdout."""
        total = self.found.total()
        formats = ", ".join(f"{name} {count:,}" for name, count in sorted(self.found.items()))
        parts = [f"{console.count(total, 'post')} in {console.count(self.files, 'file')} ({formats})"]
        parts += [f"{self.new:,} new", f"{total - self.new - self.completed:,} already here"]
        parts += [f"{self.completed:,} completed"] if self.completed else []
        notes = {"unreadable record": self.unreadable, "unreadable like count": self.unreadable_likes, "other file": self.other_files}
        parts += [console.count(number, noun) for noun, number in notes.items() if number]
        return console.wrap(console.printable(f"#{self.tag}: {', '.join(parts)}{' skipped' if self.other_files else ''}"))


def import_posts(paths: Sequence[Path], tag: str, store: Store, columns: Sequence[str] = ()) -> ImportResult:
    """Append to ``tag`` every post in ``paths`` with a new shortcode, or that completes a stored post.

    Folders are walked in order of name, without ``store``'s own folders. A record that can't be read is counted and
    skipped; the first one in each file is shown with its position. Nothing is written before the first post is read; if a
    later file ends the import, the posts read before are kept.
    For formats with one record a line, memory holds some thousand posts and the shortcodes of the others.
    Skipped files in a folder or an archive are logged, one line for each kind.

    Args:
        columns: ``FIELD=NAME`` as in ``--column``: the names of unknown fields.

    Raises:
        InputError: a path is missing, has no usable record, or unpacks to more than ``tables.MAX_UNPACKED`` bytes.
        ResourceError: posts.jsonl can't be written.
    """
    result, posts = _read_files(paths, tag, store, columns)
    chunk = [*islice(posts, 1)]
    with PostLog(store.posts(tag)) as posts_log:
        try:
            for post in posts:
                chunk.append(post)
                if len(chunk) == CHUNK:
                    result.new += posts_log.append(chunk)
                    chunk = []
        except BaseException:
            kept = result.new + posts_log.append(chunk)
            log.warning("%s of what was read before are kept", console.count(kept, "new post"))
            raise
        result.new += posts_log.append(chunk)
        result.completed = posts_log.completed
    result.report_skipped()
    return result


def plan_import(paths: Sequence[Path], tag: str, store: Store, columns: Sequence[str]) -> str:
    """Return what ``import_posts`` would do, for stdout; the files are read.

    Raises:
        InputError: as ``import_posts`` before it writes.
    """
    here = read_shortcodes(store.posts(tag))
    result, posts = _read_files(paths, tag, store, columns)
    found = {post.shortcode for post in posts}
    facts = [
        ("read", f"{console.count(result.files, 'file')}, {console.count(result.found.total(), 'post')}"),
        ("new", f"{console.count(len(found - here), 'post')}; {len(found & here):,} already here"),
        ("write", console.short_path(store.posts(tag), 60)),
    ]
    return console.rows(f"would import into #{tag}", facts)


def _read_files(paths: Sequence[Path], tag: str, store: Store, columns: Sequence[str]) -> tuple[ImportResult, Iterator[Post]]:
    """Return an iterator that reads the posts in ``paths``, and the result that counts them meanwhile.

    Raises:
        InputError: a path is missing; the iterator raises the others of ``import_posts``.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            continue
        if not path.exists():
            here = sorted(child.name for child in path.parent.iterdir()) if path.parent.is_dir() else []
            raise InputError(f"cannot import {path}: it does not exist", f"there: {console.listed(here)}")
        if not path.is_file() and not path.is_dir():
            raise InputError(f"cannot import {path}: it is not a file or folder", "save its content as a file, and import that")
    result = ImportResult(tag)
    names = {name.strip(): field for field, _, name in (column.partition("=") for column in columns)}
    settings = _Settings(tuple(folder.resolve() for folder in store.folders()), names)
    return result, _posts(paths, result, settings)


@dataclass(frozen=True)
class _Settings:
    """How to import: this project's folders, which are skipped, and the fields of ``--column`` by their names."""

    own: tuple[Path, ...]
    names: dict[str, str]

    @property
    def caption(self) -> str:
        return next((name for name, known in self.names.items() if known == "caption"), "")


def _walk(folder: Path, own: Sequence[Path], skip: Callable[[str, Path], None]) -> Iterator[Path]:
    """Yield the files below ``folder`` by name, without this project's ``own`` folders; report those without posts to ``skip``."""
    for parent, folders, files in os.walk(folder, onerror=lambda error: log.warning("%s; skipped", error)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(parent, name).resolve() not in own)
        for path in (Path(parent, name) for name in sorted(files)):
            if kind := next((kind for kind, names in _NO_POSTS.items() if names.fullmatch(path.name)), ""):
                skip(kind, path)
            elif path.name in _RESULTS and "posts.jsonl" in files:
                skip("results of a cleaning, next to their posts.jsonl", path)
            elif not path.is_file() or path.is_symlink():
                skip("symbolic links and devices", path)
            # The .json metadata includes the text of the .txt with the same name.
            elif path.suffix == ".txt" and any(path.with_suffix(suffix).exists() for suffix in (".json", ".json.xz")):
                skip("texts that are in the .json of the same name too", path)
            else:
                yield path


def _posts(paths: Sequence[Path], result: ImportResult, settings: _Settings) -> Iterator[Post]:
    """Yield the posts in files and below folders, and count them; the pictures of one gallery-dl carousel are one post."""
    for path in paths:
        before = result.found.total()
        carousels: set[str] = set()
        readers = _readers(path, path, result, settings)
        posts = (post for reader in readers for post in reader.posts())
        for post in console.progress(posts, unit=" posts", label=f"import {console.shorten(path.name)}"):
            if post.source == "gallery-dl":
                if post.shortcode in carousels:
                    continue
                carousels.add(post.shortcode)
            result.found[post.source] += 1
            yield post
        if result.found.total() == before:
            result.report_skipped()
            raise InputError(f"cannot import {path} for tag {result.tag!r}: no usable record in it", f"what can be read: {FORMATS}")


def _readers(path: Path, shown: Path, result: ImportResult, settings: _Settings, depth: int = 0) -> Iterator[_Reader]:
    """Yield a reader for a file, or one for each file of a folder or zip archive; of Instagram's own export only for its posts.

    Args:
        shown: the name of ``path`` in messages; the file itself may be an unpacked copy.
        depth: the number of folders and archives around it.
    """
    with ExitStack() as stack:
        source = stack.enter_context(_standard_input()) if path == STANDARD_INPUT else path
        try:
            if not source.is_dir() and not (tables.is_archive(source, shown) and depth < NESTED):
                yield _Reader(source, result, settings, depth > 0, shown)
                return
            folder = source if source.is_dir() else stack.enter_context(tables.unpacked(source, shown))
        except tables.TableError as error:
            if not depth:
                raise
            log.warning("%s; skipped", error)
            result.skip("damaged archives", path)
            return
        files = [*_walk(folder, settings.own, result.skip)]
        exported = [file for file in files if _EXPORT_NAME.fullmatch(file.absolute().as_posix())]
        for file in exported or files:
            yield from _readers(file, shown / file.relative_to(folder), result, settings, depth + 1)
        for file in files if exported else ():
            if file not in exported:
                result.skip("data other than posts in Instagram's export", file)


@contextmanager
def _standard_input() -> Iterator[Path]:
    """Yield a temporary file with the content of stdin, because some formats are read twice."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "stdin")
        with open(file, "wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield file


class _Reader:
    """One file: its format, and the posts in it."""

    def __init__(self, file: Path, result: ImportResult, settings: _Settings, in_folder: bool, shown: Path) -> None:
        self._file, self.path = file, shown
        self._result, self._settings, self._in_folder = result, settings, in_folder
        self._tag = result.tag
        self._has_complained = False
        #: The fields of the first record, until a record with a caption field is read.
        self._nameless: set[str] | None = set()
        self._seen: Counter[int] = Counter()

    def posts(self) -> Iterator[Post]:
        """Yield the posts of the file."""
        self._result.files += 1
        try:
            yield from self._with_captions(self._recognise(tables.TextFile(self._file, self.path)))
        except tables.DAMAGE as error:
            self._complain("from here on", f"the compressed file is damaged: {error}")
        except tables.TableError as error:
            if not self._in_folder:
                raise
            self._skip("tables without captions, or damaged", str(error), logging.WARNING)
        except OSError as error:
            raise from_os_error(error, "read", self.path) from error

    def _with_captions(self, posts: Iterator[Post]) -> Iterator[Post]:
        """Yield ``posts``, but none before the first with a caption or a caption field.

        Raises:
            TableError: there is none: the name of the caption field is unknown, and posts without captions must not be stored.
        """
        waiting: list[Post] = []
        for post in posts:
            waiting.append(post)
            if post.caption is not None or not self._nameless:
                yield from waiting
                yield from posts
                return
        if waiting:
            keys = console.listed(sorted(self._nameless or ()))
            problem = f"cannot import {self.path}: {console.count(len(waiting), 'record')}, none with a caption"
            raise tables.TableError(problem, f"the fields are: {keys}; name the one with the caption:  --column caption=NAME")

    def _recognise(self, file: tables.TextFile) -> Iterator[Post]:
        level = logging.DEBUG if self._in_folder else logging.WARNING
        if tables.is_binary_table(file):
            yield from self._table(lambda _: tables.read_binary_rows(file, self._settings.caption))
            return
        if not file.encoding:
            self._skip("binary data", f"{self.path}: binary data", level)
            return
        with file.open() as handle:
            lines = (line.strip().removeprefix(_GUARD).strip() for line in handle)
            sample = [*islice(filter(None, lines), LOOKED_AT)]
            first, second = [*sample, "", ""][:2]
        if match := _CAPTION_NAME.fullmatch(self.path.name):
            yield from self._text(file, "{}T{}:{}:{}Z".format(*match.groups()))
        elif _JSON_START.match(first) or (first[:1] in ("[", "{") and records.parsed(first) is not None):
            if all(isinstance(records.parsed(line), list) and "{" not in line for line in (first, second)):
                yield from self._page(file, "JSON rows without column names")
                return
            is_lines = second and (records.parsed(first) is not None or (first[0] == "{" and isinstance(records.parsed(second), dict)))
            yield from self._json(file, bool(is_lines))
        elif first and sum(isinstance(records.parsed(line), dict) for line in sample) * 2 >= len(sample):  # below a comment or a log line
            yield from self._json(file, True)
        elif kind := tables.other_than_captions(first):
            yield from self._page(file, kind)
        elif dialect := tables.find_dialect(file, self._settings.caption):
            yield from self._table(partial(tables.read_rows, file, dialect, self._settings.caption))
        elif kind := tables.code_or_log(file):
            yield from self._page(file, kind)
        elif self._in_folder and _TEXT_NAME.fullmatch(self.path.name) and _NOTES.match(self.path.name):
            self._skip("notes about the other files", f"{self.path}: not captions by its name", level)
        elif first and _JSON_NAME.fullmatch(self.path.name):
            yield from self._page(file, "text that isn't JSON")
        elif not self._in_folder or _TEXT_NAME.fullmatch(self.path.name):
            yield from self._text(file, None)
        else:
            self._skip("plain text not called .txt", f"{self.path}: plain text that is not called .txt", level)

    def _json(self, file: tables.TextFile, by_line: bool) -> Iterator[Post]:
        for number, text in _numbered(file, by_line):
            for position, value in _json_values(text.removeprefix(_GUARD)):
                yield from self._values(value, f"line {number + text.count(chr(10), 0, position)}")

    def _page(self, file: tables.TextFile, kind: str) -> Iterator[Post]:
        """Yield the posts in the JSON inside a page of Instagram.

        Raises:
            TableError: there is none, so the file has no captions.
        """
        with file.open() as handle:
            posts = list(records.posts_in_page(handle.read()))
        if not posts and self._in_folder:
            self._skip(kind, f"{self.path}: {kind}", logging.DEBUG)
        elif not posts:
            message = f"cannot import {self.path}: it contains {kind}, not captions"
            raise tables.TableError(message, "export it as JSON or CSV, or write a text file with one caption a line")
        for number, record in enumerate(posts, start=1):
            yield from self._record(record, f"record {number}")

    def _values(self, value: JSON, place: str) -> Iterator[Post]:
        """Yield the posts in one JSON value: a page of Instagram, a list of records, or one record."""
        if value is None:
            self._complain(place, "not valid JSON")
            return
        try:
            found = list(records.iter_records(value))
        except RecursionError:
            self._complain(place, "nested too deeply")
            return
        named = ((place if len(found) == 1 else f"{place}, record {number}", record) for number, record in enumerate(found, start=1))
        posts = (post for at, record in named for post in self._record(record, at))
        yield from self._without_fillers(posts, *records.count_fillers(found), "json")

    def _table(self, read: Callable[[tables.Complain], Iterator[tuple[int, JSON]]]) -> Iterator[Post]:
        """Read a table twice: only the whole column shows whether 3 likes are a count."""
        fillers, total = records.count_fillers(row for _, row in read(lambda place, reason: None))
        yield from self._without_fillers(self._row_posts(read), fillers, total)

    def _row_posts(self, read: Callable[[tables.Complain], Iterator[tuple[int, JSON]]]) -> Iterator[Post]:
        is_first = True
        for number, row in read(self._complain):
            for post in self._record(row, f"row {number}", "table"):
                if is_first and isinstance(row, dict) and (missing := [name for name in self._settings.names if name not in row]):
                    columns = console.listed([console.shorten(name) for name in row], 20)
                    raise tables.TableError(
                        f"cannot import {self.path}: no column {missing[0]!r} for --column", f"the columns are: {columns}"
                    )
                if is_first and post.source == "table":
                    self._report_columns(_renamed(row, self._settings.names) if isinstance(row, dict) else {})
                is_first = False
                yield post

    def _without_fillers(self, posts: Iterator[Post], fillers: int, total: int, source: str | None = None) -> Iterator[Post]:
        """Yield ``posts``; the likes that are the filler for hidden counts are unknown (only of ``source`` where it is given)."""
        has_warned = False
        for post in posts:
            if fillers and post.likes == records.FILLER_LIKES and source in (None, post.source):
                if not has_warned:
                    reading = f"{fillers:,} of {total:,} posts have exactly 3 likes and none has 0-2 or 4-7: read as hidden counts"
                    log.warning("%s: %s", self.path, reading)
                has_warned = True
                post = replace(post, likes=None)
            yield post

    def _report_columns(self, row: dict[str, JSON]) -> None:
        """Log a line if no column of a table has a known name of likes, and one for dates; a single column is like plain text."""
        names = {*map(records.plain_name, row)}
        wanted = (
            ("likes", "likes", {*records.LIKES_FIELDS, "statistics"}, logging.WARNING),
            ("dates", "date", records.DATE_FIELDS, logging.INFO),
        )
        for what, option, known, level in wanted:
            if len(row) > 1 and names.isdisjoint(known):
                columns = console.listed([console.shorten(name) for name in row], 20)
                log.log(level, "%s: no column of %s among: %s; name it with --column %s=NAME", self.path, what, columns, option)

    def _text(self, file: tables.TextFile, date_utc: str | None) -> Iterator[Post]:
        """Read one caption a line, or one caption from the whole file that instaloader wrote for the picture of ``date_utc``."""
        for number, text in _numbered(file, by_line=not date_utc):
            # one caption a line, with the escapes of captions.txt
            caption = text.removesuffix("\n") if date_utc else text.rstrip("\r\n")
            if not date_utc and _ESCAPED.fullmatch(caption):
                caption = unescape_caption(caption)
            if "\0" in caption:
                self._complain(f"line {number}", "binary data")
            elif caption.strip():
                shortcode = records.synthetic_shortcode(self._seen, caption, None, date_utc)
                yield Post(shortcode, caption, None, date_utc, self._tag, "instaloader" if date_utc else "text")

    def _record(self, record: JSON, place: str, source: str = "json") -> Iterator[Post]:
        if self._settings.names and isinstance(record, dict):
            record = _renamed(record, self._settings.names)
        try:
            post = records.post_from_record(record, self._tag, self._seen, source)
        except records.UnreadableRecordError as error:
            self._complain(place, str(error))
            return
        if post is not None:
            if self._nameless is not None:
                self._nameless = None if records.has_caption_field(record) else self._nameless or {*_keys(record)}
            self._result.unreadable_likes += post.likes is None and records.has_unreadable_likes(record)
            yield post

    def _skip(self, kind: str, reason: str, level: int) -> None:
        if self._in_folder:
            self._result.skip(kind, self.path)
        self._result.files -= 1
        self._result.other_files += 1
        log.log(level, "%s; skipped", reason)

    def _complain(self, place: str, reason: str) -> None:
        self._result.unreadable += 1
        if not self._has_complained:
            log.warning("%s, %s: %s; skipped, as are similar records", self.path, place, reason)
        self._has_complained = True


def _json_values(text: str) -> Iterator[tuple[int, JSON]]:
    """Yield the position and value of the JSON values in ``text``, or of a torn list's items (each as a list); None for a torn rest."""
    if (whole := records.parsed(text)) is not None:
        yield 0, whole
        return
    position, opened = _GAP.match(text).end(), None  # type: ignore[union-attr]  # it matches any text
    begin = position
    while position < len(text) or opened:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            is_at_end = bool(opened) and text.startswith("]", position)
            if is_at_end and _LIST_END.fullmatch(text, position):
                return
            # the first list of a torn document, or the one after a complete list; a torn item may hold lists of other things
            following = (
                _LIST_START.match(text, position) or _LATER_LIST.search(text, position) if not opened and position == begin else None
            )
            opened = _LATER_LIST.search(text, position) if is_at_end else following
            if opened is None:
                yield position, None
                return
            end = opened.end()
        else:
            yield position, [value] if opened else value
        position = _GAP.match(text, end).end()  # type: ignore[union-attr]


def _renamed(record: dict[str, JSON], names: dict[str, str]) -> dict[str, JSON]:
    """Return ``record`` with the fields renamed by ``--column``; another field with such a name is dropped."""
    taken = {*names.values()} - {*names}
    return {names.get(name, f"other {name}" if records.plain_name(name) in taken else name): value for name, value in record.items()}


def _keys(record: JSON) -> list[str]:
    return [*record] if isinstance(record, dict) else []


def _numbered(file: tables.TextFile, by_line: bool) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, or the whole file as line 1."""
    with file.open() as handle:
        yield from enumerate(handle if by_line else [handle.read()], start=1)
