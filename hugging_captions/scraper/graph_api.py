"""Meta's official hashtag API, for a professional account with a token: one page at a time, like the feeds.

A hashtag's id comes from ``ig_hashtag_search``, its posts from ``{id}/recent_media`` (the last 24 hours) and ``{id}/top_media``
(https://developers.facebook.com/docs/instagram-platform/instagram-api-with-facebook-login/hashtag-search). The token comes
from the environment or a private file. It is sent in a header, so that no URL, error or log contains it.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import requests

from ..errors import InputError, from_os_error
from ..storage import settings_file
from .feeds import BadRequestError, Cursor, FeedError, Page, RefusedError
from .records import JSON, at, count_unreadable, find_posts

FEED = "graph-api"
HOST = "https://graph.facebook.com"
TOKEN_VARIABLE, USER_VARIABLE = "INSTAGRAM_GRAPH_TOKEN", "INSTAGRAM_GRAPH_USER_ID"
#: The file in the settings folder that may have the same two as lines NAME=VALUE.
CREDENTIALS = "graph_api"

_EDGES = ("recent_media", "top_media")
_FIELDS = "id,caption,like_count,media_type,permalink,timestamp"
_PAGE = 50
_TIMEOUT = 30.0
_LIMIT = "at most 30 hashtags in 7 days for each account"
#: Meta's error codes (https://developers.facebook.com/docs/graph-api/guides/error-handling): meaning, advice, and
#: the minutes until it is safe to try again.
_REFUSALS = {
    190: ("does not accept the access token (expired or revoked)", "create a new token (DOCS.md, The official API)", 0),
    102: ("does not accept the access token", "create a new token (DOCS.md, The official API)", 0),
    10: ("does not give this app permission", "the app needs instagram_basic and Instagram Public Content Access", 0),
    200: ("does not give this app permission", "the app needs instagram_basic and Instagram Public Content Access", 0),
    18: (f"allows {_LIMIT}", "use a hashtag of the last 7 days, or wait", 24 * 60),
    4: (f"limits the rate of this app; it also allows {_LIMIT}", "don't use the app meanwhile", 60),
    17: (f"limits the rate of this account; it also allows {_LIMIT}", "don't use the account meanwhile", 60),
    32: ("limits the rate of this page", "don't use the page meanwhile", 60),
    613: ("limits the rate of requests", "don't use the app meanwhile", 60),
}
_UNKNOWN_HASHTAG = 24
_BAD_PARAMETER = 100


def media(tag: str, cursor: Cursor | None) -> Page:
    """Return the page of ``tag``'s recent or top posts at ``cursor``, or the first one, which takes two requests.

    Raises:
        FeedError: the hashtag doesn't exist, or there is no usable answer.
        InputError: there is no token or no account id.
        RefusedError: Meta refuses the token, or a limit is reached.
    """
    token, user = credentials()
    if cursor is None:
        found = _ask("ig_hashtag_search", token, {"user_id": user, "q": tag})
        hashtags = found.get("data")
        name = at(hashtags[0], "id") if isinstance(hashtags, list) and hashtags else None
        if not isinstance(name, str):
            raise FeedError(f"Meta has no hashtag {tag!r}")
        cursor = {"id": name, "edge": _EDGES[0]}
    parameters = {"user_id": user, "fields": _FIELDS, "limit": str(_PAGE)}
    if "after" in cursor:
        parameters["after"] = str(cursor["after"])
    answer = _ask(f"{cursor['id']}/{cursor['edge']}", token, parameters)
    after = at(answer, "paging", "cursors", "after") if at(answer, "paging", "next") else None
    next_edge: Cursor | None = {"id": cursor["id"], "edge": _EDGES[1]} if cursor["edge"] == _EDGES[0] else None
    return Page(list(find_posts(answer)), count_unreadable(answer), {**cursor, "after": after} if after else next_edge, next_edge)


def credentials() -> tuple[str, str]:
    """Return the access token and the account's id, from the environment, else from the file ``CREDENTIALS``.

    Raises:
        InputError: one of them is missing in both.
    """
    path = settings_file(CREDENTIALS)
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    in_file = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines())}
    found = [(os.environ.get(name) or in_file.get(name, "")).strip() for name in (TOKEN_VARIABLE, USER_VARIABLE)]
    if not all(found) or not found[1].isdigit() or not found[0].isascii():
        problem = f"--feed {FEED} needs {TOKEN_VARIABLE} and the number {USER_VARIABLE}, in the environment or in {path}"
        raise InputError(problem, "DOCS.md, The official API, says how to get them")
    return found[0], found[1]


def _ask(path: str, token: str, parameters: dict[str, str]) -> dict[str, JSON]:
    """Return Meta's answer to one request."""
    try:
        response = requests.get(
            f"{HOST}/{path}", params=parameters, headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT, allow_redirects=False
        )
        answer = response.json()
    except (requests.ConnectionError, requests.Timeout) as error:
        raise FeedError(f"{urlsplit(HOST).hostname} can't be reached") from error
    except ValueError as error:
        raise FeedError(f"the answer to {path} is not JSON") from error
    except requests.RequestException as error:
        raise FeedError(f"the request {path} failed: {type(error).__name__}") from error
    if isinstance(problem := at(answer, "error"), dict):
        raise _meaning(problem)
    if response.status_code != 200 or not isinstance(answer, dict):
        raise FeedError(f"status {response.status_code} for {path}")
    return answer


def _meaning(problem: dict[str, JSON]) -> FeedError | RefusedError:
    """Return the error for an error object from Meta."""
    code = problem.get("code")
    number = code if isinstance(code, int) else 0
    if number in _REFUSALS:
        what, advice, minutes = _REFUSALS[number]
        return RefusedError(f"Meta {what} (error {number})", advice, minutes)
    if number == _UNKNOWN_HASHTAG:
        return FeedError(f"Meta has no such hashtag (error {number})")
    reason = f"error {number}: {str(problem.get('message'))[:200]}"
    return BadRequestError(reason) if number == _BAD_PARAMETER else FeedError(reason)
