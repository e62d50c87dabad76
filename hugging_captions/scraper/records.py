"""JSON of any shape to posts: Instagram's pages, live or recorded, and the records of export tools.

Posts are found by shape at any depth (``find_posts``). Supports the field names of instaloader, Apify, Zeeschuimer, 4CAT,
gallery-dl, Instagram's own export and plain tables, and the JSON layouts of pandas.
Pure functions without network or files. They raise only ``UnreadableRecordError`` (or ``RecursionError`` for hundreds of
nested levels).
"""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from ..posts import Post

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

#: Field names by priority; lower case, without spaces and underscores.
CAPTION_FIELDS = (
    *("caption", "captiontext", "postcaption", "captions", "mediacaption", "captionbody", "captionraw", "edgemediatocaptionedges"),
    *(
        "edgemediatocaptionedges0nodetext",
        "body",
        "description",
        "text",
        "message",
        "content",
        "posttext",
        "postcontent",
        "postdescription",
        "fulltext",
    ),
)
LIKES_FIELDS = (
    *("likes", "likescount", "likecount", "numlikes", "likecounts", "likenum", "numberoflikes", "totallikes", "likestotal", "postlikes"),
    *("edgemediapreviewlike", "edgelikedby", "edgemediapreviewlikecount", "edgelikedbycount"),
)
DATE_FIELDS = (
    *("dateutc", "postdate", "dateposted", "pubdate", "postcreated", "publishtime", "takenattimestamp", "takenat", "postedat", "postedon"),
    *("posteddate", "posttime", "publishedat", "publisheddate", "datepublished", "dateofpost", "uploaddate", "date", "timestamp"),
    *("createdtime", "createdat", "creationtime", "creationdate", "createddate", "datetime", "datetimeutc", "unixtimestamp"),
)
LINK_FIELDS = ("url", "posturl", "link", "permalink", "instagramlink", "postlink", "instagramurl", "permalinkurl", "contenturl")
#: Objects around the fields of a post: json_normalize and Meta's Content Library write statistics.like_count.
_AROUND = frozenset({"node", "data", "post", "media", "item", "content", "statistics", "stats", "metrics", "shortcodemedia", "fields"})

#: The fields that always hold a caption, in any record.
SURE_CAPTIONS = frozenset({*CAPTION_FIELDS[: CAPTION_FIELDS.index("body")], "edgemediatocaption"})
#: Fields of ads, stories and comments, which otherwise look like posts.
_NOT_POSTS = frozenset({"adid", "expiringat", "commenturl", "repliescount"})
_SHORTCODE = re.compile(r"[A-Za-z0-9_-]{9,40}")
#: The lists in Instagram's answers with only posts.
_POST_LISTS = ("medias", "fill_items", "items")
#: JSON in an HTML page, where Instagram puts the first posts.
_EMBEDDED = re.compile(r"<script[^>]*>\s*(?=[{\[]|window\.\w+\s*=)(.*?)</script>", re.DOTALL)
_ASSIGNED = re.compile(r"\s*(window\.\w+|var \w+|let \w+|const \w+)\s*=\s*")

#: With hidden counts Instagram sends a filler of at most this (zeeschuimer#45).
FILLER_LIKES = 3
#: More than the people on Earth, and an exact integer in every JSON reader.
_MOST_LIKES = 10**12

_LINK = re.compile(r"instagram\.com/(?:[\w.]+/)?(?:p|reels?|tv)/([A-Za-z0-9_-]+)")
_COUNT = re.compile(
    r"""(?: (?P<whole> \d{1,18} | \d{1,3}(?:[,'’\s]\d{3})+ ) (?:\.0*)?  # 1204  1,234  1 234  12.0
          | (?P<short> \d{1,6}(?:\.\d+)? ) \s* (?P<unit> [km] ) )        # 1.2k  2M
        \+? (?:\s*likes?)?                                             # 1K+  12 likes
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: Eight digits are a day: as seconds they would be before Instagram existed.
_UNIX_TIME = re.compile(r"(\d{1,7}|\d{9,18})(?:\.\d*)?")
#: Time zones as CrowdTangle abbreviates them, in hours from UTC.
_ZONE = re.compile(r"\s+([A-Z]{2,4})$")
_ZONES = {"UTC": 0, "GMT": 0, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5}
_ZONES |= {"MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
#: Common formats of days and times.
_DAYS = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%a, %d %b %Y", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", ", %I:%M %p", ", %I:%M:%S %p", " %H:%M:%S %z")
#: Excel's days since 1899-12-30, for 2009 to 2064.
_EXCEL_DAY = re.compile(r"[45]\d{4}(\.\d+)?")
_CAPTION_PLACES = (*CAPTION_FIELDS, "edgemediatocaption")
_OWN_FIELDS = frozenset(Post.__dataclass_fields__)


#: What tables have in place of a count that isn't known.
_NO_COUNT = ("none", "", "-1", "nan", "n/a", "null", "-", "–", "—")


class UnreadableRecordError(ValueError):
    """A record that isn't a post; the message says what is missing."""


def iter_records(value: JSON) -> Iterator[JSON]:
    """Yield the records in one JSON value: the items of a list, the rows of a table, the posts that nest in it, or the value itself."""
    if isinstance(value, dict) and isinstance(value.get("caption"), str):  # nearly every line of JSONL
        yield value
        return
    for item in _rows(value):
        record = item if isinstance(item, dict) else {}
        is_record = _is_media_node(record) or not {"instaloader", "source_platform"}.isdisjoint(record)
        if is_record or isinstance(record.get("caption"), str) or (isinstance(item, list) and _is_message(item)):
            yield item
        else:
            yield from [*find_posts(item)] or [*_find(item, _has_caption)] or [item]


def find_posts(value: JSON) -> Iterator[JSON]:
    """Yield every post in ``value``, found by its shape, in order; the inside of a post (its pictures, its comments) is not searched.

    A post is an object with a shortcode, or a link to a post, and a caption, likes or a time; or a post in Instagram's own export.
    """
    for record in _find(value, lambda record: is_post(record) or _from_export(record) is not None):
        yield _from_export(record) or record


def count_unreadable(answer: JSON) -> int:
    """Return how many items in the post lists of an Instagram answer don't have the shape of a post."""
    if isinstance(answer, list):
        return sum(map(count_unreadable, answer))
    if not isinstance(answer, dict) or is_post(answer):
        return 0
    lists = {name: items for name, items in answer.items() if name in _POST_LISTS and isinstance(items, list)}
    broken = sum(next(find_posts(item), None) is None for items in lists.values() for item in items)
    return broken + sum(count_unreadable(inner) for name, inner in answer.items() if name not in lists)


def _find(value: JSON, wanted: Callable[[dict[str, JSON]], bool]) -> Iterator[dict[str, JSON]]:
    """Yield the outermost objects in ``value`` that are ``wanted``, in order."""
    if isinstance(value, dict) and wanted(value):
        yield value
    elif isinstance(value, dict) and (posts := _by_shortcode(value)):
        yield from posts
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _find(inner, wanted)


def _has_caption(record: Mapping[str, JSON]) -> bool:
    return any(isinstance(text, str) and text for name, text in _plain_fields(record).items() if name in SURE_CAPTIONS)


def is_post(record: Mapping[str, JSON]) -> bool:
    """Return whether ``record`` has the shape of a post; a user, a comment, an ad and a story don't."""
    fields = _plain_fields(record)
    if any(fields.get(name) is not None for name in _NOT_POSTS) or fields.get("producttype") in ("story", "ad"):
        return False
    has_name = any(isinstance(fields.get(name), str) and fields[name] for name in ("shortcode", "code"))
    if has_name or any(_LINK.search(str(fields.get(name))) for name in LINK_FIELDS):
        known = {*SURE_CAPTIONS, *LIKES_FIELDS, *DATE_FIELDS, *(() if has_name else CAPTION_FIELDS)}
        return not known.isdisjoint(fields)
    return False


def has_caption_field(record: JSON) -> bool:
    """Return whether ``record`` has a caption field, even an empty one, or comes from a tool that omits empty ones."""
    if not isinstance(record, dict):
        return True
    known = {"instaloader", "source_platform", "edge_media_to_caption", "post_shortcode", "__import_meta"}
    return not known.isdisjoint(record) or not {"edgemediatocaption", *CAPTION_FIELDS}.isdisjoint(_plain_fields(record))


def _rows(value: JSON) -> Iterator[JSON]:
    """Yield the items of a list, the rows of a table that pandas wrote, the answers of a HAR file, or ``value`` itself."""
    if isinstance(value, list):
        all_text = bool(value) and all(isinstance(item, str) for item in value)
        yield from [{"caption": item} for item in value] if all_text else [value] if _is_message(value) else value
    elif not isinstance(value, dict):
        yield value
    elif isinstance(entries := at(value, "log", "entries"), list):
        for entry in entries:
            yield from _answers(entry)
    elif isinstance(columns := value.get("columns"), list) and isinstance(rows := value.get("data"), list):  # orient="split"
        yield from (dict(zip(map(str, columns), row)) if isinstance(row, list) else row for row in rows)
    elif "schema" in value and isinstance(rows := value.get("data"), list):  # orient="table"
        yield from rows
    elif value and all(isinstance(inner, list) and inner for inner in value.values()) and _has_caption_name(value):
        yield from (dict(zip(value, row)) for row in zip(*value.values()))
    elif len(value) > 1 and all(isinstance(inner, str) and _is_shortcode(name) for name, inner in value.items()):
        yield from ({"shortcode": name, "caption": inner} for name, inner in value.items())
    elif value and all(isinstance(inner, dict) and inner for inner in value.values()):
        yield from _columns(value)
    else:
        yield value


def _columns(value: Mapping[str, JSON]) -> Iterator[JSON]:
    """Yield the rows of an object of objects that are pandas' columns; otherwise the object itself."""
    columns = {name: inner for name, inner in value.items() if isinstance(inner, dict)}
    keys = [*next(iter(columns.values()))]
    if len(columns) > 1 and all([*inner] == keys for inner in columns.values()) and _has_caption_name(columns):
        yield from ({name: inner[key] for name, inner in columns.items()} for key in keys)
    else:
        yield dict(value)


def _has_caption_name(fields: Iterable[str]) -> bool:
    return not SURE_CAPTIONS.isdisjoint(map(plain_name, fields))


def _is_shortcode(name: str) -> bool:
    return bool(_SHORTCODE.fullmatch(name)) and any(char.isdigit() or char.isupper() for char in name)


def _by_shortcode(value: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """Return the posts of an object whose keys are their shortcodes: at least half of them have a caption; empty for other objects."""
    if not all(isinstance(inner, dict) for inner in value.values()):
        return []
    posts = {name: inner for name, inner in value.items() if isinstance(inner, dict) and _is_shortcode(name) and not is_post(inner)}
    captions = sum(_has_caption_name(inner) for inner in posts.values())
    if not captions or captions * 2 < len(posts) or len(posts) < len(value):
        return []
    return [{"shortcode": name, **inner} for name, inner in posts.items()]


def _answers(entry: JSON) -> Iterator[JSON]:
    """Yield the posts in one request of a HAR file (http://www.softwareishard.com/blog/har-12-spec/), only from Instagram's answers."""
    content = at(entry, "response", "content")
    text = at(content, "text")
    if not isinstance(text, str) or not is_instagram(_host(str(at(entry, "request", "url")))):
        return
    if at(content, "encoding") == "base64":
        try:
            text = base64.b64decode(text).decode("utf-8", "replace")
        except binascii.Error:
            return
    yield from posts_in_page(text)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_instagram(host: str) -> bool:
    """Return whether ``host`` is instagram.com or a host of it."""
    return f".{host.lower()}".endswith(".instagram.com")


def posts_in_page(text: str) -> Iterator[JSON]:
    """Yield the posts in one Instagram answer: JSON, several lines of JSON, HTML or a script with JSON in it."""
    plain = _ASSIGNED.sub("", text.removeprefix("for (;;);").strip()).rstrip(";")
    for part in _EMBEDDED.findall(text) if plain.startswith("<") else [plain]:
        yield from find_posts(parsed(_ASSIGNED.sub("", part).rstrip(";")) or [parsed(line) for line in part.split("\n")])


def parsed(text: str) -> JSON:
    """Return the value of a JSON text, None if it is invalid (or null, which has no post either)."""
    try:
        value: JSON = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _from_export(record: Mapping[str, JSON]) -> JSON:
    """Return the post that a record of Instagram's own data export describes, None if it isn't a post.

    Its texts are UTF-8 read as Latin-1. It has neither likes nor a shortcode.
    """
    media = _list(record.get("media"))
    first = media[0] if media else None
    if not isinstance(first, dict) or not {"uri", "creation_timestamp"} <= first.keys():
        return None
    title = record.get("title") or first.get("title")
    text = title if isinstance(title, str) else ""
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return {"caption": text, "creation_time": record.get("creation_timestamp") or first["creation_timestamp"]}


def post_from_node(node: JSON, tag: str, source: str) -> Post:
    """Return the post that an Instagram media node describes, without further requests.

    Raises:
        UnreadableRecordError: it isn't an object or has no shortcode.
    """
    if not isinstance(node, dict):
        raise UnreadableRecordError("not a JSON object")
    shortcode = _name(node.get("shortcode")) or _name(node.get("code"))
    if not shortcode:
        raise UnreadableRecordError("no shortcode")
    return _post(_plain_fields(node), shortcode, tag, source)


def post_from_record(record: JSON, tag: str, seen: Counter[int], default: str) -> Post | None:
    """Return the post that one record of an export describes, or None for a profile, story or comment.

    Args:
        seen: the posts without a shortcode in the same file (see ``synthetic_shortcode``).
        default: the post's source if the record isn't from a known tool.

    Raises:
        UnreadableRecordError: it isn't a JSON object, or has neither a caption nor a shortcode.
    """
    if isinstance(record, list) and _is_message(record):
        record = record[-1]
    if not isinstance(record, dict):
        raise UnreadableRecordError(f"not a JSON object but {type(record).__name__}")
    if isinstance(record.get("node"), dict) and isinstance(record.get("instaloader"), dict):
        return post_from_node(record["node"], tag, "instaloader") if at(record, "instaloader", "node_type") == "Post" else None
    if isinstance(record.get("data"), dict) and "source_platform" in record:
        return post_from_node(record["data"], tag, "zeeschuimer")
    if _is_media_node(record):
        return post_from_node(record, tag, "4cat" if "__import_meta" in record else "instagram")
    if (source := _source(record, default)) is None:
        return None
    fields = _plain_fields(record)
    post = _post(fields, _shortcode(fields), tag, source)
    if post.shortcode:
        return post
    if post.caption is None and not any(fields.get(name, 0) in (None, "") for name in CAPTION_FIELDS):
        raise UnreadableRecordError(f"neither a caption nor a shortcode among: {', '.join([*record][:8])}")
    return replace(post, shortcode=synthetic_shortcode(seen, post.caption, post.likes, post.date_utc))


def synthetic_shortcode(seen: Counter[int], caption: str | None, likes: int | None, date_utc: str | None) -> str:
    """Return ``import-`` and a hash of the three values and of how often they came before in the file, counted in ``seen``.

    The shortcodes don't depend on the file name, and the cleaner can count equal posts.
    """
    key = f"{caption}\0{likes}\0{date_utc}\0"
    seen[hash(key)] += 1
    return "import-" + hashlib.sha256(f"{key}{seen[hash(key)]}".encode("utf-8", "replace")).hexdigest()[:16]


def has_unreadable_likes(record: JSON) -> bool:
    """Return whether ``record`` gives a like count that can't be read; hidden and missing counts are not unreadable."""
    fields = _plain_fields(record) if isinstance(record, dict) else {}
    given = [value for name in LIKES_FIELDS if str(value := fields.get(name)).strip().lower() not in _NO_COUNT]
    return bool(given) and all(known_likes(value) is None for value in given)


def count_fillers(rows: Iterable[JSON]) -> tuple[int, int]:
    """Return how many rows of a table have the filler for hidden likes instead of a count, and the number of rows.

    The filler is assumed if at least three rows, and a twentieth, have exactly that count and no row has another small one: in two
    tables with hidden counts 55 of 164 and 353 of 2,115 posts had 3 likes, and none had 0-2 or 4-7.
    """
    counts = Counter(_likes(_plain_fields(row)) for row in rows if isinstance(row, dict))
    fillers = counts[FILLER_LIKES]
    others = sum(counts[likes] for likes in range(8)) - fillers
    return (fillers if fillers >= 3 and fillers * 20 >= counts.total() and not others else 0), counts.total()


def known_likes(value: JSON) -> int | None:
    """Return a like count, or None where it is hidden (null, negative), absurd or not a whole number."""
    if isinstance(value, dict):
        value = value.get("count")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or not (match := _COUNT.fullmatch(str(value).strip())):
        return None
    unit = {"k": 10**3, "m": 10**6}.get((match["unit"] or "").lower(), 1)
    likes = int(re.sub(r"\D", "", match["whole"])) if match["whole"] else round(float(match["short"]) * unit)
    return likes if likes < _MOST_LIKES else None


def iso_date(value: JSON, month_first: bool = False) -> str | None:
    """Return a Unix time (seconds or milliseconds), an ISO date or another common one as ``YYYY-MM-DDTHH:MM:SSZ``, else None.

    A date without a time zone is taken as UTC; eight digits are year, month and day; 0 is no date. 06/05/2024 may be in
    June or in May, so it is unknown, unless ``month_first``.
    """
    if not isinstance(value, (int, float, str)):
        return None
    text = str(value).strip()
    try:
        is_number = text[4:5] != "-"  # nearly all others are ISO's
        if is_number and _EXCEL_DAY.fullmatch(text):
            moment = datetime(1899, 12, 30, tzinfo=UTC) + timedelta(seconds=round(float(text) * 86400))
        elif is_number and (match := _UNIX_TIME.fullmatch(text)):
            if not int(match[1]):
                return None
            moment = datetime.fromtimestamp(int(match[1]) / (1000 if int(match[1]) > 1e11 else 1), UTC)
        else:
            zone = None
            if (match := _ZONE.search(text)) and match[1] in _ZONES:
                text, zone = text[: match.start()], timezone(timedelta(hours=_ZONES[match[1]]))
            moment = _parsed_date(text, month_first)
            moment = moment.replace(tzinfo=moment.tzinfo or zone or UTC).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"  # strftime writes the year 1 as "1"


@lru_cache(maxsize=1)
def _formats() -> dict[str, list[str]]:
    """Return the non-ISO date formats, by the shape of their output."""
    found: dict[str, list[str]] = {}
    for name in [*(day + time for day in _DAYS for time in _TIMES), "%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y"]:
        found.setdefault(_shape(datetime(2024, 6, 1, tzinfo=UTC).strftime(name)), []).append(name)
    return found


def _shape(text: str) -> str:
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "0", text))


def _parsed_date(text: str, month_first: bool) -> datetime:
    """Return the date in ``text``.

    Raises:
        ValueError: it isn't a date, or is ambiguous.
    """
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    found = []
    for name in _formats().get(_shape(text), ()):
        with suppress(ValueError):
            found.append(datetime.strptime(text, name))
    if not found or (not month_first and any(date != found[0] for date in found)):
        raise ValueError("no date")
    return found[0]


def valid_unicode(text: str) -> str:
    """Return ``text`` as valid Unicode: joined surrogate pairs, U+FFFD for a lone surrogate."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@lru_cache(maxsize=4096)
def plain_name(key: str) -> str:
    """Return the name of a field or column in lower case, only letters and digits, without the objects around it."""
    parts = [re.sub(r"[\W_]", "", part).lower() for part in re.split(r"[./]", key)]
    while len(parts) > 1 and parts[0] in _AROUND:
        del parts[0]
    return "".join(parts)


def at(value: JSON, *keys: str) -> JSON:
    """Return the value at the path ``keys``, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _post(fields: Mapping[str, JSON], shortcode: str, tag: str, source: str) -> Post:
    if isinstance(statistics := fields.get("statistics"), dict):  # Meta's Content Library
        fields = {**_plain_fields(statistics), **fields}
    return Post(shortcode, _caption(fields), _likes(fields), _date(fields), tag, source)


def _date(fields: Mapping[str, JSON]) -> str | None:
    """Return the time of posting: the first valid field, or a more precise one of the same day."""
    first = None
    for name in DATE_FIELDS:
        if name in fields and (date := iso_date(fields[name], name == "publishtime")):  # Business Suite: month first
            if not date.endswith("T00:00:00Z") and (first is None or first[:10] == date[:10]):
                return date
            first = first or date
    return first


def _caption(fields: Mapping[str, JSON]) -> str | None:
    """Return the caption from any of the places where Instagram and export tools put it."""
    for name in _CAPTION_PLACES:
        if name in fields and (caption := _text(fields[name])):
            return valid_unicode(caption)
    return None


def _text(value: JSON) -> str:
    """Return a caption from a text, an object, edges, or the Python notation of either in a table cell."""
    if isinstance(value, str):
        if value[:1] not in ("{", "[") or not value.startswith(("{'", '{"', "[{'", '[{"')):
            return value
        try:
            parsed_value = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            parsed_value = parsed(value)
        return _text(parsed_value) if isinstance(parsed_value, (dict, list)) else value
    if isinstance(value, dict):
        inner = value.get("text", value.get("edges"))
        return inner if isinstance(inner, str) else _text(inner) if isinstance(inner, list) else ""
    first = value[0] if isinstance(value, list) and value else None
    return _text(first.get("node", first)) if isinstance(first, dict) and not isinstance(first.get("node"), list) else ""


def _likes(fields: Mapping[str, JSON]) -> int | None:
    likes = next((count for name in LIKES_FIELDS if name in fields and (count := known_likes(fields[name])) is not None), None)
    if likes == 0 and _is_true(fields.get("partialitem")):  # 4CAT fills in what it doesn't know
        return None
    hidden = _is_true(fields.get("likeandviewcountsdisabled", fields.get("likeshidden")))
    return None if hidden and likes is not None and likes <= FILLER_LIKES else likes


def _is_true(value: JSON) -> bool:
    return str(value).lower() in ("true", "yes", "1")


def _shortcode(fields: Mapping[str, JSON]) -> str:
    """Return the shortcode in the record or in its link, or an empty string.

    The post's own comes before that of one picture of it (gallery-dl). A column ``code`` or ``id`` of any other
    table isn't one: rows of two tables would look like the same post, and one would be lost.
    """
    names = ["postshortcode", "shortcode"]
    names += ["code"] if not {"pk", "takenat", "mediatype"}.isdisjoint(fields) else []
    names += ["threadid"] if "body" in fields else []
    for field in names:
        if field in fields and (name := _name(fields[field])):
            return link[1] if (link := _LINK.search(name)) else name
    links = (_LINK.search(str(fields[field])) for field in LINK_FIELDS if field in fields)
    return next((match[1] for match in links if match), "")


def _name(value: JSON) -> str:
    """Return a shortcode of any length unchanged; a number as text; an empty string without one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return valid_unicode(value.strip()) if isinstance(value, str) else ""


def _is_message(value: list[JSON]) -> bool:
    """Return whether a list is one message of ``gallery-dl -j``: [2, post], [3, url, file], ..."""
    return bool(value) and type(value[0]) is int and isinstance(value[-1], dict)


def _is_media_node(record: Mapping[str, JSON]) -> bool:
    """Return whether ``record`` is a media node as Instagram itself sends it."""
    return ("edge_media_to_caption" in record and "shortcode" in record) or (
        "code" in record
        and not isinstance(record.get("caption"), str)
        and ("media_type" in record or isinstance(record.get("caption"), dict))
    )


def _source(record: Mapping[str, JSON], default: str) -> str | None:
    """Return the tool that wrote ``record``; None for a comment (instaloader, Apify, 4CAT), a story or a profile picture (gallery-dl)."""
    if record.keys() == _OWN_FIELDS and isinstance(source := record["source"], str):
        return valid_unicode(source)
    if record.get("category") == "instagram" or "post_shortcode" in record:
        return "gallery-dl" if "description" in record or "error" in record else None
    if {"thread_id", "body"} <= record.keys():
        return "4cat" if record.get("type") != "comment" else None
    is_reply = "commentUrl" in record or "repliesCount" in record or {"owner", "created_at"} <= record.keys()
    if is_reply and "text" in record and "caption" not in record:
        return None
    return "apify" if "shortCode" in record else default


def _plain_fields(record: Mapping[str, JSON]) -> dict[str, JSON]:
    return {plain_name(key): value for key, value in record.items()}


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
