"""Instagram's hashtag feeds: functions that request one page each, and the meaning of a failed request.

Requests go through instaloader's context, which supplies session, headers, retries, waits and rate control; its own
hashtag iterators stop on ordinary answers, so they are not used. The posts in an answer are found by their shape
(``records.find_posts``); a feed has only its request and its cursor. The descriptions of the endpoints come from
zeeschuimer#89 (keyword search), instaloader#2549 (its REST form), gallery-dl and instagrapi#2622 (tabs of sections).
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import instaloader
import requests
from instaloader import InstaloaderContext

from .records import JSON, at, count_unreadable, find_posts

log = logging.getLogger(__name__)

#: The parameters of the request for the next page.
Cursor = dict[str, JSON]

#: The tabs of a hashtag: each has about half of the posts of all tabs.
_TABS = ("recent", "top", "clips")
#: The web client's queries for keyword search, newest first: the one for the first page and the one for the next (June to
#: August 2026). They change every few months; ``DOC_IDS_VARIABLE`` replaces the table.
DOC_IDS = (
    ("37324993597144881", "27606696395582173"),
    ("27261995973455813", "27606696395582173"),
    ("26586987494245638", "26577336451926911"),
)
DOC_IDS_VARIABLE = "HUGGING_CAPTIONS_DOC_IDS"
_SEARCH_PAGE = 24

#: Query hash of ``edge_hashtag_to_media`` in Instagram's web client, as instaloader uses it.
_GRAPHQL_HASH = "9b498c08113f1e09617a1703c22b2f32"
_GRAPHQL_PAGE = 50

USE_BROWSER = "log in with a browser and use --cookies"
#: Instagram's messages that ask an account to stop: meaning, advice, and the minutes until it is safe to try again.
_REFUSALS = {
    "please wait a few minutes": ("limits the rate of requests", "don't use the account for anything else meanwhile", 30),
    "checkpoint_required": ("asks this account for verification", "complete it in the app or browser first", 60),
    "challenge_required": ("asks this account for verification", "complete it in the app or browser first", 60),
    "feedback_required": ("limits this account", "leave the account alone for a day", 24 * 60),
}


@dataclass(frozen=True)
class Page:
    """One page: its posts, as Instagram's objects, and the number of unusable objects.

    ``cursor`` is the next page (None: there isn't one), ``next_tab`` the first page of the next tab, for a pull that finds
    nothing new in this one.
    """

    posts: list[JSON]
    unreadable: int
    cursor: Cursor | None
    next_tab: Cursor | None = None


class FeedError(Exception):
    """A feed can't return a page; another feed may, or the same one later."""


class BadRequestError(FeedError):
    """Instagram refuses the parameters of a request; a cursor in it has expired."""


class RefusedError(Exception):
    """Instagram wants this account to stop: ``wait_minutes`` until it is safe to try again."""

    def __init__(self, reason: str, advice: str, wait_minutes: int) -> None:
        super().__init__(reason)
        self.advice, self.wait_minutes = advice, wait_minutes


def search(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return the page at ``cursor`` (or the first one) of the web client's keyword search for ``#tag``."""
    parameters = {"enable_metadata": "true", "query": f"#{tag}", **(cursor or {})}
    answer = ask(context.get_json, "api/v1/fbsearch/web/top_serp/", parameters)
    grid = at(answer, "media_grid")
    following: Cursor | None = None
    if at(grid, "has_more") and at(grid, "next_max_id"):
        following = {"next_max_id": at(grid, "next_max_id"), "rank_token": at(answer, "rank_token") or at(grid, "rank_token")}
    return _page(answer, following)


def search_graphql(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return the page of the same search in its GraphQL form, requested with the first doc_ids that Instagram accepts."""
    session = cursor or {"search_session_id": str(uuid.uuid4()), "serp_session_id": str(uuid.uuid4())}
    variables = {"query": f"#{tag}", **session, **({"first": _SEARCH_PAGE} if cursor else {})}
    refused = []
    for ids in _doc_ids():
        doc_id = ids[cursor is not None]
        try:
            answer = ask(context.doc_id_graphql_query, doc_id, variables, web_api=True)
        except BadRequestError:
            answer = {}
        if isinstance(found := at(answer, "data", "xdt_fbsearch__top_serp_graphql"), dict):
            end = at(found, "page_info", "end_cursor")
            return _page(answer, {**session, "after": end} if at(found, "page_info", "has_next_page") and end else None)
        refused.append(doc_id)
    problem = f"Instagram refuses the doc_id {', '.join(dict.fromkeys(refused))}; set {DOC_IDS_VARIABLE} to the current ones (see DOCS.md)"
    raise BadRequestError(problem) if cursor else FeedError(problem)


def _doc_ids() -> tuple[tuple[str, ...], ...]:
    """Return the pairs of doc_ids to try: FIRST,NEXT of the environment variable, or the table."""
    given = tuple(part.strip() for part in os.environ.get(DOC_IDS_VARIABLE, "").split(","))
    if given == ("",):
        return DOC_IDS
    if len(given) != 2 or not all(part.isascii() and part.isdigit() for part in given):
        raise FeedError(f"{DOC_IDS_VARIABLE} must be two numbers, FIRST,NEXT")
    return (given,)


def sections(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return the page of ``tags/<tag>/sections`` at ``cursor``; the tabs follow each other, and one that fails is skipped."""
    cursor = cursor or {"tab": _TABS[0], "then": [{"tab": tab} for tab in _TABS[1:]]}
    tab = cursor.get("tab", "recent")  # earlier versions saved no tab
    parameters = {name: value for name, value in cursor.items() if name != "then"}
    parameters = {"include_persistent": 0, "surface": "grid", **parameters, "tab": tab}
    following = _then(cursor.get("then"))
    try:
        answer = ask(context.get_json, f"api/v1/tags/{quote(tag, safe='')}/sections/", parameters, use_post=True)
    except FeedError as error:
        if tab == _TABS[0] or "max_id" in cursor:
            raise
        log.warning("the tab %s of tag %r failed: %s", tab, tag, error)
        return Page([], 0, following, following)
    same_tab = _section_cursor(str(tab), answer, cursor.get("then"))
    return _page(answer, same_tab or following, following)


def web_info(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return ``tags/web_info``, which has the first page of two tabs; the next pages come from ``sections``."""
    if cursor is not None:
        return sections(context, tag, cursor)
    answer = ask(context.get_json, "api/v1/tags/web_info/", {"tag_name": tag})
    starts = [_section_cursor(tab, at(answer, "data", tab) or at(answer, tab), []) for tab in ("recent", "top")]
    following = _then([start for start in starts if start])
    return _page(answer, following, following)


def _section_cursor(tab: str, answer: JSON, then: JSON) -> Cursor | None:
    """Return the cursor after ``answer`` in a tab, with the tabs that follow it; None where it ends."""
    if not (at(answer, "more_available") and at(answer, "next_max_id")):
        return None
    ids = at(answer, "next_media_ids")
    more: Cursor = {"next_media_ids": json.dumps(ids)} if isinstance(ids, list) and ids else {}
    page = at(answer, "next_page") or 1
    return {"tab": tab, "max_id": str(at(answer, "next_max_id")), "page": page, **more, "then": then or []}


def _then(cursors: JSON) -> Cursor | None:
    """Return the first of the cursors that still follow, with the others inside it."""
    if not isinstance(cursors, list) or not cursors or not isinstance(cursors[0], dict):
        return None
    return {**cursors[0], "then": cursors[1:]}


def graphql(context: InstaloaderContext, tag: str, cursor: Cursor | None) -> Page:
    """Return the page at ``cursor`` (or the first one) of GraphQL's ``edge_hashtag_to_media``."""
    answer = ask(context.graphql_query, _GRAPHQL_HASH, {"tag_name": tag, "first": _GRAPHQL_PAGE, **(cursor or {})})
    media = at(answer, "data", "hashtag", "edge_hashtag_to_media")
    if not isinstance(media, dict):
        raise FeedError("the answer has no edge_hashtag_to_media")
    end = at(media, "page_info", "end_cursor")
    return _page(answer, {"after": end} if at(media, "page_info", "has_next_page") and end else None)


def _page(answer: JSON, cursor: Cursor | None, next_tab: Cursor | None = None) -> Page:
    return Page(list(find_posts(answer)), count_unreadable(answer), cursor, next_tab)


#: The feeds that need a session, in the order in which ``--feed auto`` tries them.
FEEDS = {"search": search, "search-graphql": search_graphql, "sections": sections, "web-info": web_info, "graphql": graphql}
#: The feeds that search for the words of a tag, so that a result may lack the tag.
SEARCHES = ("search", "search-graphql")


def ask(request: Callable[..., JSON], *args: object, **options: object) -> dict[str, JSON]:
    """Return the answer to a ``request`` through instaloader.

    Raises:
        FeedError: there is no usable answer.
        RefusedError: the account must stop.
        KeyboardInterrupt: Ctrl-C, which instaloader would treat as skipping this request.
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
    """Return the error for an exception of instaloader."""
    text, cause = str(error), error.__cause__
    if isinstance(error, instaloader.TooManyRequestsException) or isinstance(cause, instaloader.TooManyRequestsException):
        return RefusedError("429, too many requests", "don't use the account for anything else meanwhile", 30)
    for word, (what, advice, minutes) in _REFUSALS.items():
        if word in text.lower():
            return RefusedError(f"Instagram {what} ({word})", advice, minutes)
    if isinstance(error, instaloader.AbortDownloadException):  # a 401, or a redirect to the login page
        return RefusedError("Instagram does not accept this session", USE_BROWSER, 15)
    if "login_required" in text or isinstance(error, instaloader.LoginRequiredException):
        return FeedError("login_required")
    if isinstance(cause, (requests.ConnectionError, requests.Timeout)) and cause.request is not None:
        return FeedError(f"{urlsplit(str(cause.request.url)).hostname} can't be reached")
    reason = text.split(" when accessing ")[0].split("\n")[0][:200] or type(error).__name__  # without the address and its parameters
    return BadRequestError(reason) if isinstance(error, instaloader.QueryReturnedBadRequestException) else FeedError(reason)
