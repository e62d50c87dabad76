"""A small Instagram on 127.0.0.1: login, test query, keyword search, tabs of sections, web_info, GraphQL pages, Meta's API.

Payloads are written by hand in the shapes that were recorded. ``FakeInstagram.fault`` puts one fault
before one page. ``route`` sends what requests would send to Instagram's hosts here.
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

HOSTS = ("https://www.instagram.com/", "https://i.instagram.com/", "https://graph.facebook.com/")
GRAPH_TOKEN = "planted-graph-token-5544332211"
DOC_IDS = ("37324993597144881", "27606696395582173")
START_PAGE = """<html><script>["DTSGInitialData",[],{"token":"planted-dtsg"}],["LSD",[],{"token":"planted-lsd"}]
"IG_USER_EIMU":"17841400000000000"</script></html>"""
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


def official(code: str) -> dict[str, Any]:
    """Return a post as Meta's hashtag API sends it."""
    return {
        "id": f"1790{len(code)}", "caption": f"Found by the official way {code} #rmnp", "like_count": 31, "media_type": "IMAGE",
        "permalink": f"https://www.instagram.com/p/{code}/", "timestamp": "2026-06-01T06:45:00+0000",
    }  # fmt: skip


class FakeInstagram:
    """The state of the server: the pages of each feed, the requests (and the section pages among them), and one fault.

    ``sections`` are the pages of the tab recent and of web_info, ``tabs`` those of the other two; a feed without pages answers
    without posts. ``searches`` are the pages of both forms of the keyword search, ``official`` those of each edge of Meta's API.

    ``fault`` is the number of the page request (from 1) from which on ``fault_path`` answers with it, ``fault_times`` times
    (instaloader tries most requests three times).
    """

    def __init__(self) -> None:
        self.sections = [[section(*(media(f"s{page}x{i}") for i in range(6)))] for page in range(5)]
        self.tabs: dict[str, list[list[Any]]] = {"top": [], "clips": []}
        self.searches: list[list[Any]] = []
        self.search_forms = {"rest", "graphql"}
        self.doc_ids = DOC_IDS
        self.start_page = START_PAGE
        self.official: dict[str, list[list[str]]] = {"recent_media": [], "top_media": []}
        self.graph_error: tuple[int, str] | None = None
        self.graphql_pages: list[list[str]] = []
        self.endless = self.web_info_top = False
        self.fault: tuple[int, Callable[[Handler], None]] | None = None
        self.fault_path = ""
        self.fault_times = 10**6
        self.requests: list[tuple[str, str]] = []
        self.section_pages: list[int] = []
        self.pages_asked = 0
        self.logged_in = True
        self.second_factor = self.empty_session = False

    def page(self, handler: Handler, number: int, wrap: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answer sections page ``number`` (from 0), or fail if the fault is due."""
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

    def web_info(self, handler: Handler, tag: str) -> None:
        """Answer web_info: the first page of recent, or with ``web_info_top`` that of top and an empty recent."""
        if self.web_info_top:
            top = {"sections": self.tabs["top"][0], "more_available": len(self.tabs["top"]) > 1, "next_max_id": "cursor1", "next_page": 1}
            recent = {"sections": [], "more_available": False}
            handler.answer({"data": {"name": tag, "top": top, "recent": recent}, "status": "ok"})
        else:
            self.page(handler, 0, lambda page: {"data": {"name": tag, "top": {"sections": []}, "recent": page}, "status": "ok"})

    def tab(self, handler: Handler, tab: str, number: int) -> None:
        """Answer page ``number`` of the tab top or clips."""
        pages = self.tabs[tab]
        if pages and self._faulty(handler):
            return
        more = number + 1 < len(pages)
        page = {"sections": pages[number] if pages else [], "more_available": more, "next_page": number + 1, "status": "ok"}
        handler.answer(page | ({"next_max_id": f"cursor{number + 1}"} if more else {}))

    def search(self, handler: Handler, query: dict[str, str]) -> None:
        """Answer the page of the keyword search in its REST form."""
        pages = self.searches if "rest" in self.search_forms else []
        if pages and self._faulty(handler):
            return
        number = int(query.get("next_max_id", "0"))
        assert query["query"] == "#rmnp"
        assert query.get("rank_token") == ("rank" if number else None)
        grid = {"sections": pages[number] if pages else [], "refinements": [], "has_more": number + 1 < len(pages)}
        grid |= {"next_max_id": "1" if self.endless else str(number + 1)} if grid["has_more"] else {}
        handler.answer({"media_grid": grid, "rank_token": "rank", "status": "ok"})

    def search_graphql(self, handler: Handler, form: dict[str, str]) -> None:
        """Answer the page of the keyword search in its GraphQL form; a doc_id that it doesn't know is an error."""
        pages = self.searches if "graphql" in self.search_forms else []
        if pages and self._faulty(handler):
            return
        variables = json.loads(form["variables"])
        assert (form["fb_dtsg"], form["lsd"], variables["query"]) == ("planted-dtsg", "planted-lsd", "#rmnp")
        assert {"search_session_id", "serp_session_id"} <= variables.keys()
        if form["doc_id"] != self.doc_ids["after" in variables]:
            handler.answer({"errors": [{"message": "execution error", "severity": "CRITICAL"}], "data": None})
            return
        number = int(variables.get("after", 0))
        items = [medium["media"] for part in (pages[number] if pages else []) for medium in part["layout_content"]["medias"]]
        edges = [{"node": {"__typename": "XDTTopSerpHeaderUnit"}}, {"node": {"__typename": "XDTTopSerpMediaGridUnit", "items": items}}]
        more = number + 1 < len(pages)
        info = {"has_next_page": more, "end_cursor": str(number + 1) if more else None}
        handler.answer({"data": {"xdt_fbsearch__top_serp_graphql": {"edges": edges, "page_info": info}}})

    def graph_api(self, handler: Handler, path: str, query: dict[str, str]) -> None:
        """Answer a request to Meta's hashtag API."""
        assert "access_token" not in query
        assert query["user_id"] == "17841400000000000"
        if handler.headers["Authorization"] != f"Bearer {GRAPH_TOKEN}" or self.graph_error:
            code, message = self.graph_error or (190, "Invalid OAuth access token.")
            handler.answer({"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "x"}}, 400)
        elif path == "/ig_hashtag_search":
            handler.answer({"data": [{"id": "17843853986012965"}]})
        else:
            pages = self.official[path.rsplit("/", 1)[1]]
            number = int(query.get("after", 0))
            answer: dict[str, Any] = {"data": [official(code) for code in (pages[number] if pages else [])]}
            if pages:
                answer["paging"] = {"cursors": {"after": str(number + 1)}}
            if number + 1 < len(pages):
                answer["paging"]["next"] = "https://graph.facebook.com/next"
            handler.answer(answer)

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
    disable_nagle_algorithm = True  # an answer is two writes: the second would wait 40 ms for a delayed acknowledgement
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
            instagram.web_info(self, query["tag_name"])
        elif url.path.startswith("/api/v1/tags/") and url.path.endswith("/sections/"):
            number = int(query.get("max_id", "0").removeprefix("cursor"))
            if query["tab"] == "recent":
                instagram.page(self, number, lambda page: page)
            else:
                instagram.tab(self, query["tab"], number)
        elif url.path == "/api/v1/fbsearch/web/top_serp/":
            instagram.search(self, query)
        elif url.path == "/api/graphql":
            instagram.search_graphql(self, form)
        elif url.path == "/ig_hashtag_search" or url.path.endswith("_media"):
            instagram.graph_api(self, url.path, query)
        elif url.path == "/":
            self.answer(instagram.start_page, cookies=["csrftoken=before"])
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
        """Announce a body, send half of it, and close the connection."""
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
    """The same for a whole process, in which waits return immediately."""
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
