"""Instagram's hashtag feeds: functions that request one page each, and the meaning of a failed request.

Requests go through instaloader's context, which brings session, retries, waits and rate control. The posts in
an answer are found by ``records``. instaloader's own hashtag iterators stop on ordinary answers, so they are not used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import instaloader
import requests
from instaloader import InstaloaderContext

from .records import JSON, at, iter_nodes

#: The parameters of the request for the next page.
Cursor = dict[str, JSON]

#: Query hash of ``edge_hashtag_to_media`` in Instagram's web client, as instaloader uses it.
_GRAPHQL_HASH = "9b498c08113f1e09617a1703c22b2f32"
_GRAPHQL_PAGE = 50

USE_BROWSER = "log in with a browser and use --cookies"
#: Words of Instagram's that ask an account to stop: what they mean, what to do, and the minutes until it is safe to try again.
_REFUSALS = {
    "checkpoint_required": ("asks this account for a check", "answer it in the app or browser first", 60),
    "challenge_required": ("asks this account for a check", "answer it in the app or browser first", 60),
    "feedback_required": ("limits this account", "leave the account alone for a day", 24 * 60),
}


@dataclass(frozen=True)
class Page:
    """One page: its media nodes, and where the next page begins (None: there isn't one)."""

    nodes: list[JSON]
    cursor: Cursor | None


class FeedError(Exception):
    """A feed can't deliver (this) page; another feed may, or the same one later."""


class BadRequestError(FeedError):
    """Instagram refuses the parameters of a request: where there was a cursor, it no longer knows it."""


class RefusedError(Exception):
    """Instagram wants this account to stop: ``wait_minutes`` until it is safe to try again."""

    def __init__(self, reason: str, advice: str, wait_minutes: int) -> None:
        super().__init__(reason)
        self.advice, self.wait_minutes = advice, wait_minutes


def sections(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return the page of ``tags/<tag>/sections`` at ``cursor``; without one the first, which is ``tags/web_info``."""
    if cursor is None:
        answer = ask(context.get_iphone_json, "api/v1/tags/web_info/", {"__a": 1, "__d": "dis", "tag_name": tag})
        recent = at(answer, "data", "recent")
    else:
        parameters = {"include_persistent": 0, "tab": "recent", "surface": "grid", **cursor}
        recent = answer = ask(context.get_json, f"api/v1/tags/{tag}/sections/", parameters, use_post=True)
    following: Cursor | None = None
    if at(recent, "more_available") and at(recent, "next_max_id"):
        following = {"max_id": str(at(recent, "next_max_id")), "page": at(recent, "next_page") or 1}
        if isinstance(ids := at(recent, "next_media_ids"), list) and ids:
            following["next_media_ids"] = json.dumps(ids)
    return Page(list(iter_nodes(answer)), following)


def graphql(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return the page of GraphQL's ``edge_hashtag_to_media`` at ``cursor``, or the first one."""
    answer = ask(context.graphql_query, _GRAPHQL_HASH, {"tag_name": tag, "first": _GRAPHQL_PAGE, **(cursor or {})})
    media = at(answer, "data", "hashtag", "edge_hashtag_to_media")
    if not isinstance(media, dict):
        raise FeedError("the answer holds no edge_hashtag_to_media")
    end = at(media, "page_info", "end_cursor")
    return Page(list(iter_nodes(answer)), {"after": end} if at(media, "page_info", "has_next_page") and end else None)


FEEDS = {"sections": sections, "graphql": graphql}


def ask(request: Callable[..., JSON], *args: object, **options: object) -> dict[str, JSON]:
    """Return the answer to a ``request`` of instaloader's.

    Raises:
        FeedError: there is no usable answer.
        RefusedError: the account must stop.
        KeyboardInterrupt: also where instaloader takes it for a wish to skip this request.
    """
    try:
        answer = request(*args, **options)
    except (instaloader.InstaloaderException, instaloader.AbortDownloadException, KeyError, TypeError, ValueError, AssertionError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise _meaning(error) from error
    if not isinstance(answer, dict):
        raise FeedError("the answer isn't a JSON object")
    return answer


def _meaning(error: Exception) -> FeedError | RefusedError:
    """Return what an exception of instaloader's means for the pull."""
    text, cause = str(error), error.__cause__
    if isinstance(error, instaloader.TooManyRequestsException) or isinstance(cause, instaloader.TooManyRequestsException):
        return RefusedError("429, too many requests", "use the account for nothing else meanwhile", 30)
    for word, (what, advice, minutes) in _REFUSALS.items():
        if word in text:
            return RefusedError(f"Instagram {what} ({word})", advice, minutes)
    if isinstance(error, instaloader.AbortDownloadException):  # a 401, or a redirect to the login page
        return RefusedError("Instagram does not accept this session (any more)", USE_BROWSER, 15)
    if "login_required" in text or isinstance(error, instaloader.LoginRequiredException):
        return FeedError("login_required")
    if isinstance(cause, (requests.ConnectionError, requests.Timeout)) and cause.request is not None:
        return FeedError(f"{urlsplit(str(cause.request.url)).hostname} can't be reached")
    reason = text.split(" when accessing ")[0].split("\n")[0][:200] or type(error).__name__  # without the address and its parameters
    return BadRequestError(reason) if isinstance(error, instaloader.QueryReturnedBadRequestException) else FeedError(reason)
