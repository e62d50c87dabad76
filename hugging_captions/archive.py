"""Files that the researcher already has, to posts: walk, open, recognise, stream.

Reads what ``--from`` names: instaloader folders, recorded Instagram JSON, Apify, Zeeschuimer, 4CAT
and gallery-dl exports, CSV, TSV, JSONL and plain text, also gzip- or xz-compressed. Appends to
text/<tag>/posts.jsonl. Formats are recognised by their content.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .errors import InputError
from .posts import PostLog
from .readers import MAX_STREAM, Reader
from .storage import Store

log = logging.getLogger(__name__)

FORMATS = (
    "an instaloader folder, recorded Instagram JSON (web_info, sections, edge_hashtag_to_media), Apify, Zeeschuimer, 4CAT or "
    "gallery-dl exports, CSV or TSV with a caption column, JSONL with a caption, plain text with one caption a line"
)
#: Posts that are written at a time.
CHUNK = 2000

_MEDIA = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".png",
        ".webp",
        ".heic",
        ".gif",
        ".mp4",
        ".mov",
        ".webm",
        ".m4a",
        ".mp3",
        ".avi",
        ".lock",
        ".tmp",
        ".part",
        ".pdf",
        ".zip",
    ]
)


@dataclass(frozen=True)
class ImportResult:
    """What an import found: posts by format, records that could not be read, posts that were new."""

    tag: str
    files: int
    found: dict[str, int]
    new: int
    unreadable: int

    def summary(self) -> str:
        """Return the result in one line for stdout."""
        total = sum(self.found.values())
        formats = ", ".join(f"{name} {count:,}" for name, count in sorted(self.found.items()))
        line = f"#{self.tag}: {total:,} posts in {self.files:,} files ({formats}), {self.new:,} new, {total - self.new:,} already here"
        return line + (f", {self.unreadable:,} unreadable records" if self.unreadable else "")


def import_posts(paths: Sequence[Path], tag: str, store: Store, max_bytes: int = MAX_STREAM) -> ImportResult:
    """Append to ``tag`` every post in ``paths`` whose shortcode is not there yet.

    Folders are walked in order of name. A record that can't be read is counted, shown once a file with
    its place, and skipped. Memory stays bounded for every format that has one record a line.

    Raises:
        InputError: a path is missing, holds no usable record, or unpacks to more than ``max_bytes``.
        ResourceError: posts.jsonl can't be written.
    """
    found: Counter[str] = Counter()
    files = new = unreadable = 0
    with PostLog(store.posts(tag)) as posts_log:
        for path in paths:
            usable = 0
            for file in _walk(path):
                reader = Reader(file, tag, max_bytes)
                posts = reader.posts()
                while chunk := list(islice(posts, CHUNK)):
                    found.update(post.source for post in chunk)
                    usable += len(chunk)
                    new += posts_log.append(chunk)
                files += 1
                unreadable += reader.unreadable
            if not usable:
                raise InputError(f"cannot import {path} for tag {tag!r}: no usable record in it", f"what can be read: {FORMATS}")
    return ImportResult(tag, files, dict(found), new, unreadable)


def _walk(path: Path) -> Iterator[Path]:
    """Yield ``path`` itself or the files below it, without media, hidden files and links that lead out."""
    if not path.exists():
        near = ", ".join(sorted(child.name for child in path.parent.iterdir())[:8]) if path.parent.is_dir() else "nothing"
        raise InputError(f"cannot import {path}: it does not exist", f"there: {near}")
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.suffix.lower() not in _MEDIA and not file.name.startswith("."):
            yield file
