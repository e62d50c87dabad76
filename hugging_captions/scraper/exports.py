"""The records that export tools write, to posts: one record in, one post out.

Knows the field names of instaloader, Apify, Zeeschuimer, 4CAT and gallery-dl, and of plain CSV and
JSON with a caption. Pure functions over parsed JSON and table rows, used by archive.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ..posts import Post
from .records import UnreadableNodeError, iso_date, iter_nodes, known_likes, mend_surrogates, post_from_node

#: Field names in the order in which they are believed; lower case, without spaces and underscores.
CAPTION_FIELDS = ("caption", "captiontext", "body", "description", "text", "message", "content", "posttext")
LIKES_FIELDS = ("likes", "likescount", "likecount", "numlikes", "likecounts")
DATE_FIELDS = ("dateutc", "postdate", "timestamp", "date", "takenat", "takenattimestamp", "createdtime", "datetime", "unixtimestamp")
LINK_FIELDS = ("url", "posturl", "link", "permalink")

_SHORTCODE = re.compile(r"[A-Za-z0-9_-]{5,40}")
_LINK = re.compile(r"instagram\.com/(?:[\w.]+/)?(?:p|reel|tv)/([A-Za-z0-9_-]{5,40})")
_WHOLE_NUMBER = re.compile(r"(-?\d{1,18}|\d{1,3}(?:,\d{3})+)(?:\.0*)?")
_OWN_FIELDS = frozenset(Post.__dataclass_fields__)


class SyntheticShortcodes:
    """Names for posts that came without one: the same for the same file, whatever it is called.

    Equal posts inside one file are told apart by their number, so the cleaner can count them.
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def name(self, caption: str | None, likes: int | None, date_utc: str | None) -> str:
        """Return ``import-`` and a hash of the three and of how often they came before."""
        key = f"{caption}\0{likes}\0{date_utc}\0"
        digest = _digest(key + "1")
        self._seen[digest] += 1
        count = self._seen[digest]
        return "import-" + (digest if count == 1 else _digest(f"{key}{count}")).hex()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8]


def page_nodes(value: Any) -> Iterator[Any]:
    """Yield the media nodes of a page that Instagram itself sent; none where ``value`` is one record of an export."""
    if isinstance(value, dict) and not ({"instaloader", "source_platform", "caption"} & value.keys() or _is_media_node(value)):
        yield from iter_nodes(value)


def hashtag_posts(value: Any) -> list[Any]:
    """Return the posts inside Apify's record of a whole hashtag or profile, top posts first."""
    if not isinstance(value, dict) or not {"topPosts", "latestPosts"} & value.keys():
        return []
    return [post for key in ("topPosts", "latestPosts") for post in (value[key] if isinstance(value.get(key), list) else ())]


def is_message(value: list[Any]) -> bool:
    """Return whether a list is one message of gallery-dl's ``-j`` output: [2, post], [3, url, file], ..."""
    return bool(value) and type(value[0]) is int and isinstance(value[-1], dict)


def table_delimiter(header: str) -> str:
    """Return the delimiter of a table whose header has a caption column, or an empty string."""
    for delimiter in ("\t", ",", ";"):
        try:
            names = [_plain(name) for name in next(csv.reader([header], delimiter=delimiter, strict=True))]
        except (csv.Error, StopIteration):
            continue
        if any(name in CAPTION_FIELDS for name in names) and (len(names) > 1 or names[0] == "caption"):
            return delimiter
    return ""


def post_from_record(record: Any, tag: str, names: SyntheticShortcodes, source: str) -> Post | None:
    """Return the post that one record of an export describes, or None for a profile, story or comment.

    Args:
        source: the post's source where the record is not one of a tool that is known here.

    Raises:
        UnreadableNodeError: it should be a post and has neither a caption nor a shortcode.
    """
    if isinstance(record, list) and is_message(record):
        record = record[-1]
    if not isinstance(record, dict):
        raise UnreadableNodeError(f"not a JSON object but {type(record).__name__}")
    if isinstance(record.get("node"), dict) and isinstance(record.get("instaloader"), dict):
        return post_from_node(record["node"], tag, "instaloader") if record["instaloader"].get("node_type") == "Post" else None
    if isinstance(record.get("data"), dict) and "source_platform" in record:
        return post_from_node(record["data"], tag, "zeeschuimer")
    if _is_media_node(record):
        return post_from_node(record, tag, "4cat" if "__import_meta" in record else "instagram")
    source = _source(record, source)
    return None if _is_no_post(record, source) else _post_from_fields(record, tag, names, source)


def _is_media_node(record: dict[str, Any]) -> bool:
    """Return whether ``record`` is a media node as Instagram itself sends it."""
    return ("edge_media_to_caption" in record and "shortcode" in record) or (
        "code" in record and "media_type" in record and not isinstance(record.get("caption"), str)
    )


def _source(record: dict[str, Any], default: str) -> str:
    if record.keys() == _OWN_FIELDS and isinstance(record["source"], str):
        return mend_surrogates(record["source"])
    if "shortCode" in record:
        return "apify"
    if record.get("category") == "instagram" or "post_shortcode" in record:
        return "gallery-dl"
    return "4cat" if {"thread_id", "body"} <= record.keys() else default


def _is_no_post(record: dict[str, Any], source: str) -> bool:
    """Return whether ``record`` is a comment (instaloader, Apify, 4CAT) or a story or picture of a person (gallery-dl)."""
    if source == "4cat":
        return record.get("type") == "comment"
    if source == "gallery-dl":
        return "description" not in record and "error" not in record
    is_reply = "commentUrl" in record or "repliesCount" in record or {"owner", "created_at"} <= record.keys()
    return "text" in record and "caption" not in record and is_reply


def _post_from_fields(record: dict[str, Any], tag: str, names: SyntheticShortcodes, source: str) -> Post:
    fields = {_plain(key): value for key, value in record.items()}
    captions = [fields[name] for name in CAPTION_FIELDS if name in fields]
    shortcode = _shortcode(fields)
    if not captions and shortcode is None:
        raise UnreadableNodeError("neither a caption nor a shortcode")
    caption = next((caption for caption in captions if caption), None)
    if isinstance(caption, dict):
        caption = caption.get("text")
    if caption is not None and not isinstance(caption, str):
        raise UnreadableNodeError(f"the caption is not text but {type(caption).__name__}")
    caption = mend_surrogates(caption) if caption else None
    likes = _likes(fields)
    date = next((moment for name in DATE_FIELDS if name in fields and (moment := iso_date(_number(fields[name])))), None)
    return Post(shortcode or names.name(caption, likes, date), caption, likes, date, tag, source)


def _likes(fields: dict[str, Any]) -> int | None:
    likes = known_likes(_number(next((fields[name] for name in LIKES_FIELDS if fields.get(name) is not None), None)))
    hidden = str(fields.get("likeandviewcountsdisabled", fields.get("likeshidden"))).lower() in ("true", "yes", "1")
    return None if hidden and likes is not None and likes <= 3 else likes


def _shortcode(fields: dict[str, Any]) -> str | None:
    """Return a shortcode that the record names itself or has in its link.

    The post's own comes before that of one picture of it (gallery-dl). A column ``code`` or ``id`` of just
    any table is none: rows of two tables would be taken for the same post, and one of them lost.
    """
    named = [fields.get("postshortcode"), fields.get("shortcode")]
    if {"pk", "takenat", "mediatype"} & fields.keys():
        named.append(fields.get("code"))
    if "body" in fields:
        named.append(fields.get("threadid"))
    for value in named:
        if isinstance(value, str) and _SHORTCODE.fullmatch(value.strip()):
            return value.strip()
    links = (match for name in LINK_FIELDS if isinstance(fields.get(name), str) and (match := _LINK.search(fields[name])))
    return next((match[1] for match in links), None)


def _number(value: Any) -> Any:
    """Return a whole number that a spreadsheet wrote as "12.0" or "1,234", and anything else as it is."""
    if isinstance(value, str) and (match := _WHOLE_NUMBER.fullmatch(value.strip())):
        return int(match[1].replace(",", ""))
    return value


@lru_cache(maxsize=4096)
def _plain(key: str) -> str:
    return re.sub(r"[\s_]", "", key).lower()
