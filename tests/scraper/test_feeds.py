"""Each of Instagram's feeds and Meta's API, through the script, against a local server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import unwrapped
from instagram_server import GRAPH_TOKEN, FakeInstagram, Handler, media, route, section
from test_scraper import _json, _main, _stored

from hugging_captions import options
from hugging_captions.scraper import feeds, graph_api
from hugging_captions.storage import Store


def _pages(name: str, count: int) -> list[list[Any]]:
    return [[section(media(f"{name}{page}a"), media(f"{name}{page}b"))] for page in range(count)]


def _codes(name: str, count: int) -> set[str]:
    return {f"{name}{page}{letter}" for page in range(count) for letter in "ab"}


def _asked(instagram: FakeInstagram) -> list[str]:
    """Return the names of the requested feeds, in order."""
    names = {"/api/v1/fbsearch/web/top_serp/": "search", "/api/graphql": "search-graphql", "/api/v1/tags/web_info/": "web-info"}
    names |= {"/api/v1/tags/rmnp/sections/": "sections", "/ig_hashtag_search": "graph-api"}
    return list(dict.fromkeys(names[path] for _, path in instagram.requests if path in names))


def test_the_options_name_every_feed() -> None:
    assert ("auto", *feeds.FEEDS, graph_api.FEED) == options.FEEDS


@pytest.mark.parametrize(
    ("forms", "feed"),
    [({"rest", "graphql"}, "search"), ({"graphql"}, "search-graphql"), (set(), "sections")],
    ids=["rest", "graphql", "none"],
)
def test_auto_reads_every_page_of_the_first_feed_that_works(
    forms: set[str], feed: str, instagram: FakeInstagram, cookies: Path, root: Path
) -> None:
    instagram.searches, instagram.search_forms, instagram.sections = _pages("q", 3), forms, _pages("r", 3)
    instagram.tabs = {"top": _pages("t", 2), "clips": _pages("c", 1)}
    assert _main(root, cookies) == 0
    expected = _codes("q", 3) if forms else _codes("r", 3) | _codes("t", 2) | _codes("c", 1)
    assert set(_stored(root)) == expected
    assert _asked(instagram)[-1] == feed
    state = json.loads(Store(root).pull_state("rmnp").read_text())["feeds"]
    assert state == {feed: {"cursor": None, "pages": 3 if forms else 6, "finished": True}}


@pytest.mark.parametrize("queries", range(1, 8))
def test_a_pull_of_several_tabs_continues_where_it_stopped(queries: int, instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    instagram.sections = _pages("r", 3)
    instagram.tabs = {"top": _pages("t", 2), "clips": _pages("c", 2)}
    assert _main(root, cookies, "--feed", "sections", "--caption-queries", str(queries)) == 0
    assert len(_stored(root)) == 2 * queries
    first = len(instagram.requests)
    assert _main(root, cookies, "--feed", "sections") == 0
    assert set(_stored(root)) == _codes("r", 3) | _codes("t", 2) | _codes("c", 2)
    again = sum(path.endswith("/sections/") for _, path in instagram.requests[first:])
    assert again == (7 - queries if queries < 7 else 3)  # a finished pull reads the first page of each tab


@pytest.mark.parametrize("tab", ["top", "clips"])
def test_a_tab_that_fails_leaves_the_others(
    tab: str, instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.tabs = {"top": _pages("t", 1), "clips": _pages("c", 1)}
    instagram.sections = _pages("r", 1)
    instagram.fault, instagram.fault_times = (2 if tab == "top" else 3, _json(400, "invalid tab")), 1
    assert _main(root, cookies, "--feed", "sections") == 0
    assert set(_stored(root)) == _codes("r", 1) | _codes("c" if tab == "top" else "t", 1)
    assert f"the tab {tab} of tag 'rmnp' failed: " in capsys.readouterr().err


def test_a_tab_without_anything_new_leaves_the_next_one(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    instagram.sections = [_pages("r", 1)[0]] * 9
    instagram.tabs = {"top": [_pages("r", 1)[0]] * 9, "clips": _pages("c", 2)}
    assert _main(root, cookies, "--feed", "sections") == 0
    assert set(_stored(root)) == _codes("r", 1) | _codes("c", 2)
    assert instagram.pages_asked == 3 + 2 + 2


def test_web_info_with_top_and_without_recent_is_walked_to_its_end(
    instagram: FakeInstagram, cookies: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instagram.tabs["top"] = _pages("t", 3)
    instagram.web_info_top = True
    instagram.sections = []
    assert _main(root, cookies, "--feed", "web-info") == 0
    assert set(_stored(root)) == _codes("t", 3)


def test_named_feeds_are_all_walked_and_merged(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.searches, instagram.sections = _pages("q", 2), _pages("r", 2)
    instagram.sections[0].append(section(media("q0a")))
    instagram.graphql_pages = [["g1", "q0b"]]
    assert _main(root, cookies, "--feed", "search", "sections", "graphql") == 0
    assert sorted(_stored(root)) == sorted(_codes("q", 2) | _codes("r", 2) | {"g1"})
    ends = "search: the feed ended; sections: the feed ended; graphql: the feed ended"
    assert f"9 new posts, 2 already here on 7 pages; {ends}" in unwrapped(capsys.readouterr().out)


def test_a_named_feed_that_fails_is_a_warning_while_another_works(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.sections = _pages("r", 1)
    assert _main(root, cookies, "--feed", "graphql", "sections") == 0
    assert set(_stored(root)) == _codes("r", 1)
    assert "warning: feed graphql of tag 'rmnp' failed: the answer has no edge_hashtag_to_media" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "stored"), [((), {"a", "e"}), (("--untagged", "keep"), {"a", "b", "c", "d", "e"})], ids=["skip", "keep"])
def test_search_results_without_the_tag_are_counted_and_skipped(
    argv: tuple[str, ...], stored: set[str], instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"a": "On the trail #RMNP", "b": "No tag in this one", "c": "Another place #rmnpark", "d": None, "e": "Two #tags #rmnp!"}
    instagram.searches = [[section(*(media(code, text) for code, text in texts.items()))]]
    assert _main(root, cookies, *argv) == 0
    assert set(_stored(root)) == stored
    assert ("3 without the tag" if argv else "3 without the tag skipped") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("doc_ids", "variable", "code", "says"),
    [
        (("27261995973455813", "27606696395582173"), None, 0, ""),
        (
            ("1", "2"),
            None,
            4,
            "Instagram refuses the doc_id 37324993597144881, 27261995973455813, 26586987494245638; set HUGGING_CAPTIONS_DOC_IDS",
        ),
        (("1", "2"), "1, 2", 0, ""),
        (("37324993597144881", "27606696395582173"), "3,4", 4, "Instagram refuses the doc_id 3; set HUGGING_CAPTIONS_DOC_IDS"),
        (("1", "2"), "1", 4, "HUGGING_CAPTIONS_DOC_IDS must be two numbers, FIRST,NEXT"),
        (("1", "2"), "a,b", 4, "HUGGING_CAPTIONS_DOC_IDS must be two numbers, FIRST,NEXT"),
    ],
)
def test_doc_ids_come_from_the_table_or_the_environment(
    doc_ids: tuple[str, str], variable: str | None, code: int, says: str, instagram: FakeInstagram, cookies: Path, root: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    instagram.searches, instagram.doc_ids = _pages("q", 2), doc_ids
    if variable is not None:
        monkeypatch.setenv("HUGGING_CAPTIONS_DOC_IDS", variable)
    assert _main(root, cookies, "--feed", "search-graphql") == code
    assert set(_stored(root)) == (_codes("q", 2) if code == 0 else set())
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["DTSGInitialData", "LSD", "IG_USER_EIMU"])
def test_a_start_page_without_a_token_is_one_line(
    missing: str, instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.searches, instagram.search_forms = _pages("q", 1), {"graphql"}
    instagram.sections, instagram.start_page = _pages("r", 1), instagram.start_page.replace(missing, "X")
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == _codes("r", 1)
    assert "feed search-graphql of tag 'rmnp' failed: The start page did not contain the token" in capsys.readouterr().err


REFUSALS: list[tuple[str, Callable[[Handler], None], int]] = [
    ("401 wait", _json(401, "Please wait a few minutes before you try again."), 4),
    ("429", _json(429, "Too many requests"), 4),
    ("checkpoint", _json(400, "checkpoint_required"), 4),
    ("403 login_required", _json(403, "login_required"), 0),
    ("404", _json(404, "gone"), 0),
    ("500", _json(500, "oops"), 0),
    ("html", lambda handler: handler.answer("<!doctype html><html>Sorry</html>"), 0),
    ("a list", lambda handler: handler.answer([1]), 0),
    ("dropped", Handler.drop, 0),
]


@pytest.mark.parametrize("form", ["rest", "graphql"])
@pytest.mark.parametrize(("fault", "code"), [refusal[1:] for refusal in REFUSALS], ids=[refusal[0] for refusal in REFUSALS])
def test_a_search_that_fails_is_followed_by_the_next_feed_unless_the_account_must_stop(
    fault: Callable[[Handler], None], code: int, form: str, instagram: FakeInstagram, cookies: Path, root: Path
) -> None:
    instagram.searches, instagram.search_forms, instagram.sections = _pages("q", 3), {form}, _pages("r", 2)
    instagram.fault, instagram.fault_path = (2, fault), "top_serp" if form == "rest" else "/api/graphql"
    assert _main(root, cookies) == code
    assert set(_stored(root)) == _codes("q", 1) | (_codes("r", 2) if code == 0 else set())
    instagram.fault = None
    assert _main(root, cookies) == 0
    assert _codes("q", 3) <= set(_stored(root))


# -- Meta's API


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the credentials in the environment."""
    monkeypatch.setenv("INSTAGRAM_GRAPH_TOKEN", GRAPH_TOKEN)
    monkeypatch.setenv("INSTAGRAM_GRAPH_USER_ID", "17841400000000000")
    return GRAPH_TOKEN


OFFICIAL = {"recent_media": [["m1", "m2"], ["m3"]], "top_media": [["m2", "m4"], ["m5"]]}


def _no_token_anywhere(root: Path, said: pytest.CaptureFixture[str]) -> None:
    captured = said.readouterr()
    assert GRAPH_TOKEN not in captured.out + captured.err
    assert not [path for path in root.rglob("*") if path.is_file() and GRAPH_TOKEN in path.read_text(encoding="utf-8")]


def test_metas_api_delivers_recent_and_top_posts_without_a_session(
    token: str, instagram: FakeInstagram, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.official = OFFICIAL
    assert _main(root, None, "--feed", "graph-api", "--caption-queries", "2", "--verbose") == 0
    assert _main(root, None, "--feed", "graph-api", "--verbose") == 0
    posts = {post["shortcode"]: post for post in map(json.loads, Store(root).posts("rmnp").read_text().splitlines())}
    assert set(posts) == {"m1", "m2", "m3", "m4", "m5"}
    assert posts["m3"] == {
        "shortcode": "m3", "caption": "Found by the official way m3 #rmnp", "likes": 31, "date_utc": "2026-06-01T06:45:00Z",
        "tag": "rmnp", "source": "graph-api",
    }  # fmt: skip
    _no_token_anywhere(root, capsys)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (190, "Meta does not accept the access token (expired or revoked) (error 190)"),
        (10, "Meta does not give this app permission (error 10)"),
        (4, "Meta limits the rate of this app; it also allows at most 30 hashtags in 7 days for each account (error 4)"),
        (18, "Meta allows at most 30 hashtags in 7 days for each account (error 18)"),
        (24, "no feed returns posts of tag 'rmnp' (graph-api: Meta has no such hashtag (error 24))"),
        (100, "no feed returns posts of tag 'rmnp' (graph-api: error 100: what Meta says)"),
        (2, "no feed returns posts of tag 'rmnp' (graph-api: error 2: what Meta says)"),
    ],
)
def test_each_error_of_meta_is_one_line(
    error: int, says: str, token: str, instagram: FakeInstagram, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.graph_error = (error, "what Meta says")
    assert _main(root, None, "--feed", "graph-api") == 4
    last, hint = capsys.readouterr().err.splitlines()[-2:]
    assert last.startswith("error: ")
    assert says in last
    assert hint.startswith("hint: ")
    assert ("not before" in hint) == (error in (4, 18))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (f"INSTAGRAM_GRAPH_TOKEN={GRAPH_TOKEN}\nINSTAGRAM_GRAPH_USER_ID = 17841400000000000\n", 0),
        ("INSTAGRAM_GRAPH_TOKEN=\n", 3),
        (f"INSTAGRAM_GRAPH_TOKEN={GRAPH_TOKEN}\nINSTAGRAM_GRAPH_USER_ID=me\n", 3),
        (None, 3),
    ],
)
def test_the_credentials_come_from_a_file_too(
    content: str | None, code: int, instagram: FakeInstagram, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "config" / "hugging_captions" / "graph_api"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_text(content)
    instagram.official = OFFICIAL
    assert _main(root, None, "--feed", "graph-api") == code
    if code:
        said = capsys.readouterr().err.splitlines()
        assert said[-2].startswith("error: --feed graph-api needs INSTAGRAM_GRAPH_TOKEN and the number INSTAGRAM_GRAPH_USER_ID")
    _no_token_anywhere(root, capsys)


@pytest.mark.parametrize(
    "argv", [["--feed", "graph-api", "--login", "me"], ["--feed", "auto", "search"], ["--feed", "graphql", "--untagged", "keep"]]
)
def test_feeds_that_contradict_other_options_are_refused(argv: list[str], root: Path) -> None:
    assert _main(root, None, *argv) == 2


def test_an_unreachable_meta_host_is_one_line(
    token: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    route(9, monkeypatch)  # a closed port
    assert _main(root, None, "--feed", "graph-api") == 4
    assert "(graph-api: graph.facebook.com can't be reached)" in capsys.readouterr().err
