"""The records that export tools write, to posts: one record in, one post out.

Knows the field names of Apify, Zeeschuimer, 4CAT, gallery-dl, instaloader and of plain CSV and
JSON with a caption. Pure functions, used by archive.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

from .payloads import UnreadableNodeError, iso_date, known_likes, mend_surrogates, post_from_node
from .posts import Post

#: Field names in the order in which they are believed; lower case, without underscores.
CAPTION_FIELDS = ("caption", "body", "description", "text", "message", "content", "posttext")
LIKES_FIELDS = ("likes", "likescount", "likecount", "numlikes", "likecounts", "favorites", "favorited")
SHORTCODE_FIELDS = ("shortcode", "postshortcode", "code", "postid", "id")
DATE_FIELDS = ("dateutc", "postdate", "timestamp", "date", "takenat", "takenattimestamp", "createdtime", "datetime", "unixtimestamp")

_SHORTCODE = re.compile(r"[A-Za-z0-9_-]{5,40}")
_LINK = re.compile(r"instagram\.com/(?:[\w.]+/)?(?:p|reel|tv)/([A-Za-z0-9_-]{5,40})")


class SyntheticShortcodes:
    """Names for posts that came without one: the same for the same file, whatever it is called.

    Equal posts inside one file are told apart by their number, so the cleaner can count them.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def name(self, post: Post) -> str:
        """Return ``import-`` and a hash of caption, likes, date and how often the three came before."""
        key = f"{post.caption}\0{post.likes}\0{post.date_utc}"
        self._seen[key] += 1
        digest = hashlib.sha256(f"{key}\0{self._seen[key]}".encode("utf-8", "replace")).hexdigest()
        return f"import-{digest[:16]}"


def is_media_node(record: dict[str, Any]) -> bool:
    """Return whether ``record`` is a media node as Instagram itself sends it."""
    return ("edge_media_to_caption" in record and "shortcode" in record) or (
        "code" in record and ("taken_at" in record or "media_type" in record)
    )


def post_from_record(record: Any, tag: str, names: SyntheticShortcodes) -> Post | None:
    """Return the post that one record of an export describes, or None for a record of another kind.

    Raises:
        UnreadableNodeError: it should be a post and has neither caption nor shortcode.
    """
    if isinstance(record, list):  # gallery-dl -j: [2, {...}] for a post, [3, url, {...}] for each file of it
        record = record[-1] if record and isinstance(record[-1], dict) else {}
    if not isinstance(record, dict):
        raise UnreadableNodeError(f"not a JSON object but {type(record).__name__}")
    if "instaloader" in record and isinstance(record.get("node"), dict):
        kind = record["instaloader"].get("node_type") if isinstance(record["instaloader"], dict) else None
        return post_from_node(record["node"], tag, "instaloader") if kind == "Post" else None
    if isinstance(record.get("data"), dict) and "source_platform" in record:
        return post_from_node(record["data"], tag, "zeeschuimer")
    if is_media_node(record):
        return post_from_node(record, tag, "instagram")
    return _post_from_fields(record, tag, names)


def _post_from_fields(record: dict[str, Any], tag: str, names: SyntheticShortcodes) -> Post:
    fields = {re.sub(r"[\s_]", "", str(key)).lower(): value for key, value in record.items()}
    caption = _first(fields, CAPTION_FIELDS)
    shortcode = _shortcode(fields)
    if caption is None and shortcode is None:
        raise UnreadableNodeError("neither a caption nor a shortcode")
    if isinstance(caption, dict):
        caption = caption.get("text")
    if caption is not None and not isinstance(caption, str):
        raise UnreadableNodeError(f"the caption is not text but {type(caption).__name__}")
    likes = known_likes(_first(fields, LIKES_FIELDS))
    if fields.get("likeandviewcountsdisabled") is True and likes is not None and likes <= 3:
        likes = None
    date = next((moment for moment in (iso_date(fields.get(name)) for name in DATE_FIELDS) if moment), None)
    caption = mend_surrogates(caption) if caption is not None else None
    post = Post(shortcode or "", caption, likes, date, tag, _source(record))
    return (
        post if shortcode else Post(names.name(post), *(getattr(post, name) for name in ("caption", "likes", "date_utc", "tag", "source")))
    )


def _shortcode(fields: dict[str, Any]) -> str | None:
    """Return a shortcode that the record names itself or has in its link; a bare number is an id, not a shortcode."""
    for name in SHORTCODE_FIELDS[:3]:
        if isinstance(fields.get(name), str) and _SHORTCODE.fullmatch(fields[name].strip()):
            return str(fields[name]).strip()
    for name in ("url", "posturl", "link", "permalink", "threadid"):
        if isinstance(fields.get(name), str) and (match := _LINK.search(fields[name])):
            return match[1]
    for name in SHORTCODE_FIELDS[3:]:
        value = fields.get(name)
        if isinstance(value, str) and _SHORTCODE.fullmatch(value.strip()):
            return value.strip()
    return None


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _source(record: dict[str, Any]) -> str:
    if "shortCode" in record:
        return "apify"
    if record.get("category") == "instagram" or "post_shortcode" in record:
        return "gallery-dl"
    if "thread_id" in record and "body" in record:
        return "4cat"
    return str(record.get("source") or "records") if isinstance(record.get("source"), str) else "records"
