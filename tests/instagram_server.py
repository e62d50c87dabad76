"""A small Instagram on 127.0.0.1: login, test query, web_info, sections with cursors, GraphQL pages.

Payloads are written by hand in the shapes that were recorded. ``FakeInstagram.fault`` puts one fault
before one page. ``route`` sends what requests would send to Instagram's two hosts here.
"""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

HOSTS = ("https://www.instagram.com/", "https://i.instagram.com/")
SESSION_ID = "planted-session-cookie-1234567890"
PASSWORD = "planted-password-0987654321"


def media(code: str, caption: str | None = "A quiet morning at the lake #rmnp", likes: int = 25, **more: Any) -> dict[str, Any]:
    """Return a media node as the API sends it."""
    node = {"pk": code, "code": code, "taken_at": 1_600_000_000, "media_type": 1, "like_count": likes, "has_liked": False}
    node["caption"] = None if caption is None else {"text": caption, "pk": "1"}
    return node | more


def section(*nodes: Any) -> dict[str, Any]:
    """Return a grid section of media nodes."""
    return {"layout_type": "media_grid", "layout_content": {"medias": [{"media": node} for node in nodes]}, "feed_type": "media"}


def edge(code: str) -> dict[str, Any]:
    """Return a GraphQL edge."""
    caption = {"edges": [{"node": {"text": f"Seen on the trail {code} #rmnp"}}]}
    node = {
        "shortcode": code,
        "taken_at_timestamp": 1_600_000_000,
        "edge_media_to_caption": caption,
        "edge_media_preview_like": {"count": 12},
    }
    return {"node": node}


class FakeInstagram:
    """The state of the server: the pages of each feed, the requests (and the section pages among them), and one fault.

    ``fault`` is the number of the page request (from 1) from which on ``fault_path`` answers with it, ``fault_times`` times
    (instaloader tries most requests three times).
    """

    def __init__(self) -> None:
        self.sections = [[section(*(media(f"s{page}x{i}") for i in range(6)))] for page in range(5)]
        self.graphql_pages: list[list[str]] = []
        self.endless = False
        self.fault: tuple[int, Callable[[Handler], None]] | None = None
        self.fault_path = ""
        self.fault_times = 10**6
        self.requests: list[tuple[str, str]] = []
        self.section_pages: list[int] = []
        self.pages_asked = 0
        self.logged_in = True
        self.second_factor = self.empty_session = False

    def page(self, handler: Handler, number: int, wrap: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answer sections page ``number`` (from 0), unless the fault is due."""
        self.section_pages.append(number)
        if self._faulty(handler):
            return
        if number >= len(self.sections):
            handler.answer({"status": "fail", "message": "invalid max_id"}, 400)
            return
        more = number + 1 < len(self.sections)
        page = {"sections": self.sections[number], "more_available": more, "next_page": number + 1, "status": "ok"}
        if more:
            page["next_max_id"] = f"cursor{1 if self.endless and number else number + 1}"
        handler.answer(wrap(page))

    def graphql(self, handler: Handler, after: str | None) -> None:
        """Answer the GraphQL page that follows ``after``."""
        if self._faulty(handler):
            return
        if not self.graphql_pages:
            handler.answer({"data": {"hashtag": None}, "status": "ok"})
            return
        number = int(after or 0)
        more = number + 1 < len(self.graphql_pages)
        info = {"has_next_page": more, "end_cursor": str(number + 1) if more else ""}
        edges = [edge(code) for code in self.graphql_pages[number]]
        handler.answer(
            {"data": {"hashtag": {"name": "rmnp", "edge_hashtag_to_media": {"page_info": info, "edges": edges}}}, "status": "ok"}
        )

    def _faulty(self, handler: Handler) -> bool:
        self.pages_asked += 1
        if self.fault and self.pages_asked >= self.fault[0] and self.fault_path in handler.path and self.fault_times:
            self.fault_times -= 1
            self.fault[1](handler)
            return True
        return False


class Handler(BaseHTTPRequestHandler):
    """One request; ``instagram`` is the state."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two writes: the second would wait for the 40 ms of a delayed acknowledgement
    instagram: FakeInstagram

    def do_GET(self) -> None:
        """Answer a GET."""
        self._route({})

    def do_POST(self) -> None:
        """Answer a POST with a form."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self._route(dict(urllib.parse.parse_qsl(body)))

    def _route(self, form: dict[str, str]) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query)) | form
        instagram = self.instagram
        instagram.requests.append((self.command, url.path))
        if url.path == "/api/v1/tags/web_info/":
            instagram.page(
                self, 0, lambda page: {"data": {"name": query["tag_name"], "top": {"sections": []}, "recent": page}, "status": "ok"}
            )
        elif url.path.startswith("/api/v1/tags/") and url.path.endswith("/sections/"):
            instagram.page(self, int(query["max_id"].removeprefix("cursor")), lambda page: page)
        elif url.path == "/":
            self.answer("<html></html>", cookies=["csrftoken=before"])
        elif url.path.endswith("/login/ajax/"):
            self._log_in(form)
        elif url.path.endswith("/two_factor/"):
            right = form["verificationCode"] == "123456"
            answer = {"status": "ok"} if right else {"status": "fail", "message": "Please check the code"}
            self.answer(answer, 200 if right else 400, cookies=self._cookies(right))
        elif url.path == "/graphql/query":
            variables = json.loads(query.get("variables", "{}"))
            if "tag_name" in variables:
                instagram.graphql(self, variables.get("after"))
            else:
                self.answer({"data": {"user": {"username": "researcher"} if instagram.logged_in else None}, "status": "ok"})
        else:
            self.answer({"status": "fail", "message": "no such page"}, 404)

    def _log_in(self, form: dict[str, str]) -> None:
        right = form["enc_password"].endswith(f":{PASSWORD}")
        if right and self.instagram.second_factor:
            self.answer({"two_factor_required": True, "two_factor_info": {"two_factor_identifier": "x"}, "status": "fail"}, 400)
            return
        self.answer({"authenticated": right, "user": True, "userId": "1", "status": "ok"}, cookies=self._cookies(right))

    def _cookies(self, right: bool) -> list[str]:
        session = SESSION_ID if right and not self.instagram.empty_session else ""
        return ["csrftoken=after", f"sessionid={session}", "ds_user_id=1"]

    def answer(self, value: Any, status: int = 200, cookies: Sequence[str] = (), **headers: str) -> None:
        """Send JSON, or text where ``value`` is a string."""
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for cookie in cookies:
            self.send_header("Set-Cookie", f"{cookie}; Domain=.instagram.com; Path=/")
        for name, content in headers.items():
            self.send_header(name.replace("_", "-"), content)
        self.end_headers()
        self.wfile.write(body)

    def drop(self) -> None:
        """Promise a body, send half of it, and hang up."""
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b'{"sections": [')
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class _Local(HTTPAdapter):
    """Sends a request for Instagram to the server on this machine."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:  # type: ignore[override]
        original = request.url or ""
        url = urllib.parse.urlsplit(original)
        request.url = f"http://127.0.0.1:{self._port}{url.path}" + (f"?{url.query}" if url.query else "")
        response = super().send(request, **settings)
        request.url = response.url = original
        return response


@contextlib.contextmanager
def serving(instagram: FakeInstagram) -> Iterator[int]:
    """Serve ``instagram`` and yield the port."""
    handler = type("Handler", (Handler,), {"instagram": instagram})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def route(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every requests session reach Instagram's hosts at ``port`` on this machine, for one test."""
    monkeypatch.setattr(requests.Session, "__init__", _with_local(port))


def route_process(port: int) -> None:
    """The same for a whole process, whose waits do not wait either."""
    import instaloader.instaloadercontext as context

    requests.Session.__init__ = _with_local(port)  # type: ignore[method-assign]
    context.time.sleep = lambda seconds: None


def _with_local(port: int) -> Callable[[requests.Session], None]:
    initialise = requests.Session.__init__

    def with_local(self: requests.Session) -> None:
        initialise(self)
        for host in HOSTS:
            self.mount(host, _Local(port))

    return with_local
