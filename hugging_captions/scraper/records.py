"""Instagram's JSON, live or recorded, to posts: the walk over pages and the reading of one node.

Pure functions over parsed JSON: nothing here touches the network or a file, and no shape that
Instagram may send can raise anything but ``UnreadableNodeError``. Used by scraper and archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ..posts import Post

#: With ``like_and_view_counts_disabled`` the count is a filler of at most this (zeeschuimer#45).
_FILLER_LIKES = 3
#: More than people on Earth, and still a whole number for every program that reads posts.jsonl.
_MOST_LIKES = 10**12


class UnreadableNodeError(ValueError):
    """A node that is no post: the message says what it lacks."""


def iter_nodes(page: Any) -> Iterator[Any]:
    """Yield every media node of one page, whatever its layout, in the page's order.

    Reads ``tags/web_info`` (top, then recent), ``tags/<tag>/sections``, GraphQL hashtag pages
    (top posts, then media) and plain ``items`` lists, bare or wrapped in ``data`` or ``graphql``.
    A node that is not an object is yielded too, so that it is counted and not lost.
    """
    page = _object(page)
    for wrapper in ("data", "graphql", "hashtag"):
        if isinstance(page.get(wrapper), dict):
            yield from iter_nodes(page[wrapper])
    for feed in ("top", "recent"):
        yield from iter_section_nodes(_object(page.get(feed)).get("sections"))
    yield from iter_section_nodes(page.get("sections"))
    for edge_list in ("edge_hashtag_to_top_posts", "edge_hashtag_to_media"):
        for edge in _list(_object(page.get(edge_list)).get("edges")):
            yield edge.get("node") if isinstance(edge, dict) else edge
    for item in _list(page.get("items")):
        yield item.get("media", item) if isinstance(item, dict) else item


def iter_section_nodes(sections: Any) -> Iterator[Any]:
    """Yield the media nodes of a list of sections: the grid, the fill items and the clips beside them."""
    for section in _list(sections):
        content = _object(_object(section).get("layout_content"))
        clips = _object(_object(content.get("one_by_two_item")).get("clips"))
        for items in (clips.get("items"), content.get("medias"), content.get("fill_items")):
            for item in _list(items):
                yield item.get("media") if isinstance(item, dict) else item


def post_from_node(node: Any, tag: str, source: str) -> Post:
    """Return the post that a GraphQL or API media node describes, from the node alone.

    Raises:
        UnreadableNodeError: it is no object or has no shortcode.
    """
    if not isinstance(node, dict):
        raise UnreadableNodeError("not a JSON object")
    shortcode = node.get("shortcode") or node.get("code")
    if not isinstance(shortcode, str) or not shortcode.strip():
        raise UnreadableNodeError("no shortcode")
    return Post(
        shortcode=mend_surrogates(shortcode.strip()),
        caption=_caption(node),
        likes=_likes(node),
        date_utc=iso_date(next((node[key] for key in ("taken_at_timestamp", "taken_at", "date") if key in node), None)),
        tag=tag,
        source=source,
    )


def known_likes(value: Any) -> int | None:
    """Return a like count, or None where it is hidden (null, negative), absurd or no whole number."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value.strip()[:18])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < _MOST_LIKES else None


def iso_date(value: Any) -> str | None:
    """Return a Unix time (seconds or milliseconds) or an ISO date as ``YYYY-MM-DDTHH:MM:SSZ``, else None.

    A date without a time zone is taken as UTC; eight digits are year, month and day: as seconds they would lie before Instagram.
    """
    if isinstance(value, int) and 10**7 <= value < 10**8:
        value = str(value)
    elif isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) != 8:
        value = int(value.strip()[:18])
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"  # strftime writes the year 1 as "1"


def mend_surrogates(text: str) -> str:
    """Return ``text`` as valid Unicode: joined surrogate pairs, U+FFFD for a half."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _caption(node: dict[str, Any]) -> str | None:
    """Return the caption in any of the three places where Instagram puts it."""
    caption = node.get("caption")
    if isinstance(caption, dict):
        caption = caption.get("text")
    if not isinstance(caption, str):
        edges = _list(_object(node.get("edge_media_to_caption")).get("edges"))
        caption = _object(_object(edges[0]).get("node")).get("text") if edges else None
    return mend_surrogates(caption) if isinstance(caption, str) else None


def _likes(node: dict[str, Any]) -> int | None:
    counts = (node.get("like_count"), *(_object(node.get(key)).get("count") for key in ("edge_media_preview_like", "edge_liked_by")))
    likes = next((count for count in map(known_likes, counts) if count is not None), None)
    if node.get("like_and_view_counts_disabled") and likes is not None and likes <= _FILLER_LIKES:
        return None
    return likes


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
