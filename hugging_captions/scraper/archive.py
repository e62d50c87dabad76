"""Files that the researcher already has, to posts: walk, recognise, stream.

Reads what ``--from`` names: instaloader folders, recorded Instagram JSON, Apify, Zeeschuimer, 4CAT
and gallery-dl exports, CSV, TSV, JSONL and plain text, also gzip- or xz-compressed. Appends to
text/<tag>/posts.jsonl. Formats are recognised by their content.
"""

from __future__ import annotations

import json
import logging
import lzma
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from .. import console
from ..errors import InputError, from_os_error
from ..posts import Post, PostLog
from ..storage import Store
from .exports import SyntheticShortcodes, hashtag_posts, is_message, page_nodes, post_from_record, table_delimiter
from .records import UnreadableNodeError, mend_surrogates, post_from_node
from .tables import MAX_UNPACKED, TextFile

log = logging.getLogger(__name__)

FORMATS = (
    "an instaloader folder, recorded Instagram JSON (web_info, sections, edge_hashtag_to_media), Apify, Zeeschuimer, 4CAT or "
    "gallery-dl exports, CSV or TSV with a caption column, JSONL with a caption, plain text with one caption a line"
)
#: Posts that are flushed to the disk together: below 1,000 the flushes begin to cost more than the reading.
CHUNK = 2000

_MEDIA = re.compile(r".*\.(jpe?g|png|webp|heic|avif|gif|mp4|mov|webm|mkv|avi|m4a|mp3|pdf|zip|part|tmp|lock)", re.IGNORECASE)
_TEXT_NAME = re.compile(r".*\.txt(\.gz|\.xz)?", re.IGNORECASE)
_CAPTION_NAME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)_UTC\.txt")
#: instaloader's other texts: captions before an edit, and places.
_OTHER_NAME = re.compile(r"id|.*_UTC(_old_\d+|_location)\.txt")
#: How JSON can begin. "[NEW] boots" and "{sigh}" are captions.
_JSON_START = re.compile(r"\{\s*(?:[\"}]|$)|\[\s*(?:[\[{\"\]]|$)")


@dataclass(frozen=True)
class ImportResult:
    """What an import found: posts by format, how many were new, and what could not be read."""

    tag: str
    files: int
    found: dict[str, int]
    new: int
    unreadable: int
    other_files: int

    def summary(self) -> str:
        """Return the result in one line for stdout."""
        total = sum(self.found.values())
        formats = ", ".join(f"{name} {count:,}" for name, count in sorted(self.found.items()))
        line = f"#{self.tag}: {total:,} posts in {self.files:,} files ({formats}), {self.new:,} new, {total - self.new:,} already here"
        line += f", {self.unreadable:,} unreadable records" if self.unreadable else ""
        return console.printable(line + (f", {self.other_files:,} other files left out" if self.other_files else ""))


def import_posts(paths: Sequence[Path], tag: str, store: Store, max_unpacked: int = MAX_UNPACKED) -> ImportResult:
    """Append to ``tag`` every post in ``paths`` whose shortcode is not there yet.

    Folders are walked in order of name, but for ``store``'s own below them. A record that can't be read is counted, shown once a file with
    its place, and skipped. For a format with one record a line, memory holds one record and a short name
    for each post.

    Raises:
        InputError: a path is missing, holds no usable record, or unpacks to more than ``max_unpacked`` bytes.
        ResourceError: posts.jsonl can't be written.
    """
    for path in paths:
        _require(path)
    run = _Import(tag, max_unpacked, [folder.resolve() for folder in store.folders()])
    new = 0
    with PostLog(store.posts(tag)) as posts_log:
        for path in paths:
            before = run.found.total()
            posts = iter(console.progress(run.posts(path), unit=" posts", label=f"import {console.shorten(path.name)}"))
            while chunk := list(islice(posts, CHUNK)):
                new += posts_log.append(chunk)
            if run.found.total() == before:
                raise InputError(f"cannot import {path} for tag {tag!r}: no usable record in it", f"what can be read: {FORMATS}")
    return ImportResult(tag, run.files, dict(run.found), new, run.unreadable, run.other_files)


def _require(path: Path) -> None:
    if not path.exists():
        here = sorted(child.name for child in path.parent.iterdir()) if path.parent.is_dir() else []
        more = f" and {len(here) - 8} more" if len(here) > 8 else ""
        raise InputError(f"cannot import {path}: it does not exist", f"there: {', '.join(here[:8]) or 'nothing'}{more}")


def _walk(folder: Path, apart: Sequence[Path]) -> Iterator[Path]:
    """Yield the files below ``folder`` by name, without media, hidden ones, symbolic links and the folders set ``apart``."""
    for parent, folders, files in os.walk(folder, onerror=lambda error: log.warning("%s; skipped", error)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(parent, name).resolve() not in apart)
        for path in (Path(parent, name) for name in sorted(files)):
            if not _MEDIA.fullmatch(path.name) and not path.name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


class _Import:
    """One run over all paths and what it counted."""

    def __init__(self, tag: str, max_unpacked: int, own: Sequence[Path] = ()) -> None:
        self.tag, self.max_unpacked, self.own = tag, max_unpacked, own
        self.found: Counter[str] = Counter()
        self.files = self.unreadable = self.other_files = 0

    def posts(self, path: Path) -> Iterator[Post]:
        """Yield the posts in a file or below a folder; the pictures of one carousel are one post."""
        carousels: set[str] = set()
        for file in [path] if path.is_file() else _walk(path, self.own):
            if file != path and _is_beside_metadata(file):
                continue
            reader = _Reader(file, self.tag, self.max_unpacked, in_folder=file != path)
            for post in reader.posts():
                if post.source == "gallery-dl":
                    if post.shortcode in carousels:
                        continue
                    carousels.add(post.shortcode)
                self.found[post.source] += 1
                yield post
            self.unreadable += reader.unreadable
            self.files += not reader.is_other
            self.other_files += reader.is_other


def _is_beside_metadata(file: Path) -> bool:
    """Return whether ``file`` is a text of instaloader's that its metadata holds as well, or that holds no caption."""
    has_metadata = any(file.with_suffix(suffix).exists() for suffix in (".json", ".json.xz"))
    return _OTHER_NAME.fullmatch(file.name) is not None or (file.suffix == ".txt" and has_metadata)


class _Reader:
    """One file: what it is, and the posts in it."""

    def __init__(self, path: Path, tag: str, max_unpacked: int, in_folder: bool) -> None:
        self.path, self.tag, self.max_unpacked, self.in_folder = path, tag, max_unpacked, in_folder
        self.unreadable = 0
        #: Whether it is of no format: an error where it was named, no matter where it only lies in a folder.
        self.is_other = False
        self._names = SyntheticShortcodes()

    def posts(self) -> Iterator[Post]:
        """Yield the posts of the file."""
        try:
            with TextFile(self.path, self._complain, self.max_unpacked) as file:
                yield from self._recognise(file)
        except (EOFError, lzma.LZMAError, zlib.error) as error:
            self._complain("from here on", f"the compressed file is damaged: {error}")
        except OSError as error:  # gzip.BadGzipFile is one without a number
            if error.errno is not None:
                raise from_os_error(error, "read", self.path) from error
            self._complain("from here on", f"the compressed file is damaged: {error}")

    def _recognise(self, file: TextFile) -> Iterator[Post]:
        if file.is_binary:
            self._leave_out("binary data")
            return
        first, second = [*file.first_lines(), "", ""][:2]
        if not first:
            return
        if match := _CAPTION_NAME.fullmatch(self.path.name):
            yield from self._caption_file(file, "{}T{}:{}:{}Z".format(*match.groups()))
        elif _JSON_START.match(first) or (first[:1] in ("[", "{") and _parse(first) is not None):
            if second and (_parse(first) is not None or (first[0] == "{" and isinstance(_parse(second), dict))):
                yield from self._json_lines(file)
            else:
                yield from self._json_document(file)
        elif delimiter := table_delimiter(first):
            yield from self._table(file, delimiter)
        elif not self.in_folder or _TEXT_NAME.fullmatch(self.path.name):
            yield from self._plain(file)
        else:
            self._leave_out("plain text that is not called .txt")

    def _json_document(self, file: TextFile) -> Iterator[Post]:
        value = _parse(file.document())
        if value is None:
            self._complain("line 1", "a JSON document that is not whole")
            return
        yield from self._values(value, "")

    def _json_lines(self, file: TextFile) -> Iterator[Post]:
        for number, line in file.lines():
            if not line.strip():
                continue
            value = _parse(line)
            if value is None:
                self._complain(f"line {number}", "not valid JSON")
            else:
                yield from self._values(value, f"line {number}")

    def _values(self, value: Any, place: str) -> Iterator[Post]:
        """Yield the posts in a page of Instagram's, in a list of records, or in one record."""
        inner = ", " if place else ""
        if isinstance(value, list) and not is_message(value):
            for number, item in enumerate(value, start=1):
                yield from self._page_or_record(item, f"{place}{inner}record {number}")
        else:
            yield from self._page_or_record(value, place or "the document")

    def _page_or_record(self, value: Any, place: str) -> Iterator[Post]:
        try:
            nodes = list(page_nodes(value))
        except RecursionError:
            self._complain(place, "nested too deeply")
            return
        for number, node in enumerate(nodes, start=1):
            yield from self._read(partial(post_from_node, node, self.tag, "instagram"), f"{place}, node {number}")
        posts = hashtag_posts(value)
        for number, record in enumerate(posts, start=1):
            yield from self._record(record, f"{place}, post {number}")
        if not nodes and not posts:
            yield from self._record(value, place)

    def _table(self, file: TextFile, delimiter: str) -> Iterator[Post]:
        """Read CSV or TSV; every cell is text, and missing cells at the end of a row are empty."""
        rows = file.rows(delimiter)
        _, header = next(rows, (0, [""]))
        if self.unreadable:  # the header itself, so that no name of a column is known
            return
        for number, cells in rows:
            if any(cell.strip() for cell in cells[len(header) :]):
                self._complain(f"line {number}", f"{len(cells)} cells, and the header has {len(header)}")
                continue
            cells += [""] * (len(header) - len(cells))
            yield from self._record(dict(zip(header, cells)), f"line {number}", "table")

    def _plain(self, file: TextFile) -> Iterator[Post]:
        for _, line in file.lines():
            if line.strip():
                caption = mend_surrogates(line.rstrip("\r\n"))
                yield Post(self._names.name(caption, None, None), caption, None, None, self.tag, "text")

    def _caption_file(self, file: TextFile, date_utc: str) -> Iterator[Post]:
        """Read the text that instaloader wrote beside a picture: the whole of it is one caption."""
        if caption := mend_surrogates("".join(line for _, line in file.lines()).removesuffix("\n")):
            yield Post(self._names.name(caption, None, date_utc), caption, None, date_utc, self.tag, "instaloader")

    def _record(self, record: Any, place: str, source: str = "json") -> Iterator[Post]:
        yield from self._read(partial(post_from_record, record, self.tag, self._names, source), place)

    def _read(self, read: Callable[[], Post | None], place: str) -> Iterator[Post]:
        try:
            post = read()
        except UnreadableNodeError as error:
            self._complain(place, str(error))
            return
        if post is not None:
            yield post

    def _leave_out(self, reason: str) -> None:
        self.is_other = True
        (log.debug if self.in_folder else log.warning)("%s: %s; left out", self.path, reason)

    def _complain(self, place: str, reason: str) -> None:
        self.unreadable += 1
        if self.unreadable == 1:
            log.warning("%s, %s: %s; skipped, and so are others like it", self.path, place, reason)


def _parse(text: str) -> Any:
    """Return the value of a JSON text, None where it is none (or null, which holds no post either)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
