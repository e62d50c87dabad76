"""Instagram's hashtag feeds: small functions that yield pages, and what a refusal means.

Requests go through instaloader's context, which brings session, retries, waits and rate control;
the walk over what comes back is ``payloads``. instaloader's own hashtag iterators stop on ordinary
payloads, so they are not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import instaloader
from instaloader import InstaloaderContext
from instaloader.instaloadercontext import copy_session

from .records import iter_nodes

Cursor = dict[str, Any]

#: Query hash of ``edge_hashtag_to_media`` in Instagram's web client, as instaloader uses it.
_GRAPHQL_HASH = "9b498c08113f1e09617a1703c22b2f32"
_GRAPHQL_PAGE = 50
#: What the web client sends with its API calls.
_WEB_HEADERS = {"X-IG-App-ID": "936619743392459", "X-Requested-With": "XMLHttpRequest"}
#: How requests words a connection that failed or took too long, whatever the reason.
_NO_CONNECTION = re.compile(r"HTTPS?ConnectionPool\(host='([^']+)'")


@dataclass(frozen=True)
class Page:
    """One page: its media nodes, and where the next page begins (None: there is none)."""

    nodes: list[Any]
    cursor: Cursor | None


class FeedError(Exception):
    """A feed can't deliver (this) page; another feed may."""


class RefusedError(Exception):
    """Instagram wants this account to stop: ``wait_minutes`` until it is safe to try again."""

    def __init__(self, reason: str, advice: str, wait_minutes: int) -> None:
        super().__init__(reason)
        self.advice = advice
        self.wait_minutes = wait_minutes


def sections(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Iterator[Page]:
    """Yield ``tags/web_info`` and then the ``tags/<tag>/sections`` pages, from ``cursor`` on."""
    if cursor is None:
        payload = _ask(partial(context.get_iphone_json, "api/v1/tags/web_info/", {"__a": 1, "__d": "dis", "tag_name": tag}))
        cursor = _sections_cursor(_at(payload, "data", "recent"))
        yield Page(list(iter_nodes(payload)), cursor)
    while cursor is not None:
        payload = _ask(partial(_sections_page, context, tag, cursor))
        cursor = _sections_cursor(payload)
        yield Page(list(iter_nodes(payload)), cursor)


def _sections_page(context: InstaloaderContext, tag: str, cursor: Cursor) -> Any:
    parameters = {"include_persistent": 0, "tab": "recent", "surface": "grid", **cursor}
    with copy_session(context._session, context.request_timeout) as session:
        session.headers.update(_WEB_HEADERS)
        return context.get_json(f"api/v1/tags/{tag}/sections/", parameters, session=session, use_post=True)


def graphql(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Iterator[Page]:
    """Yield the GraphQL ``edge_hashtag_to_media`` pages, from ``cursor`` on."""
    while True:
        variables = {"tag_name": tag, "first": _GRAPHQL_PAGE, **(cursor or {})}
        payload = _ask(partial(context.graphql_query, _GRAPHQL_HASH, variables))
        media = _at(payload, "data", "hashtag", "edge_hashtag_to_media")
        if media is None:
            raise FeedError("the answer holds no edge_hashtag_to_media")
        info = _at(media, "page_info") or {}
        cursor = {"after": info["end_cursor"]} if info.get("has_next_page") and info.get("end_cursor") else None
        yield Page(list(iter_nodes(payload)), cursor)
        if cursor is None:
            return


def _at(value: Any, *keys: str) -> dict[str, Any] | None:
    """Return the object that ``keys`` lead to, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


FEEDS: dict[str, Callable[[InstaloaderContext, str, Cursor | None], Iterator[Page]]] = {"sections": sections, "graphql": graphql}


def _sections_cursor(page: Any) -> Cursor | None:
    """Return what to send for the page after ``page``, or None if there is none."""
    if not isinstance(page, dict) or not page.get("more_available") or not page.get("next_max_id"):
        return None
    cursor: Cursor = {"max_id": str(page["next_max_id"]), "page": page.get("next_page") or 1}
    if isinstance(page.get("next_media_ids"), list) and page["next_media_ids"]:
        cursor["next_media_ids"] = json.dumps(page["next_media_ids"])
    return cursor


def _ask(request: Callable[[], Any]) -> dict[str, Any]:
    """Return what ``request`` answers.

    Raises:
        FeedError: this feed can't deliver.
        RefusedError: the account must stop.
    """
    try:
        answer = request()
    except (instaloader.InstaloaderException, instaloader.AbortDownloadException, KeyError, TypeError, ValueError, AssertionError) as error:
        raise _understood(error) from error
    if not isinstance(answer, dict):
        raise FeedError("the answer is no JSON object")
    return answer


def _understood(error: BaseException) -> FeedError | RefusedError:
    """Return what an exception of instaloader's means for the pull."""
    text, cause = str(error), error.__cause__
    if isinstance(error, instaloader.TooManyRequestsException) or isinstance(cause, instaloader.TooManyRequestsException):
        return RefusedError("429, too many requests", "use the account for nothing else meanwhile", 30)
    if "checkpoint_required" in text or "challenge_required" in text:
        return RefusedError("Instagram asks this account for a check (checkpoint_required)", "answer it in the app or browser first", 60)
    if "feedback_required" in text:
        return RefusedError("Instagram limits this account (feedback_required)", "leave the account alone for a day", 24 * 60)
    if "401" in text and isinstance(error, instaloader.AbortDownloadException):
        return RefusedError("401, the session is not accepted (any more)", "log in anew with a browser and use --cookies", 15)
    if isinstance(error, instaloader.AbortDownloadException):
        return RefusedError("redirected to the login page: the session has ended", "log in anew with a browser and use --cookies", 15)
    if "login_required" in text or isinstance(error, instaloader.LoginRequiredException):
        return FeedError("login_required")
    return FeedError(_short(text) or type(error).__name__)


def unreachable(text: str) -> str:
    """Return the host that could not be reached according to a text of instaloader's, or an empty string."""
    match = _NO_CONNECTION.search(text)
    return match[1] if match else ""


def _short(text: str) -> str:
    """Return an exception's text without the address and its parameters."""
    if host := unreachable(text):
        return f"{host} can't be reached"
    return text.split(" when accessing ")[0].split("\n")[0][:200]
