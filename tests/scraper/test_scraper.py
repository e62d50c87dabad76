"""scraper, feeds and session: real instaloader against a local Instagram server, one fault per test."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED
from instagram_server import PASSWORD, SESSION_ID, FakeInstagram, Handler, media, route, section

import pull_and_clean
from hugging_captions.scraper.feeds import FEEDS
from hugging_captions.storage import Store

PULL = ["--skip-rule", "too-few-words", "exact-duplicate", "folded-duplicate", "near-duplicate", "language"]
ALL = {f"s{page}x{i}" for page in range(5) for i in range(6)}


def _main(root: Path, cookies: Path | None, *argv: str) -> int:
    session = ["--cookies", str(cookies)] if cookies else []
    return pull_and_clean.main(["--root", str(root), "--tag", "rmnp", *session, *PULL, *argv])


def _stored(root: Path) -> list[str]:
    path = Store(root).posts("rmnp")
    return [json.loads(line)["shortcode"] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _state(root: Path) -> dict[str, Any]:
    return json.loads(Store(root).pull_state("rmnp").read_text(encoding="utf-8"))


def test_a_pull_reads_every_page_and_reports_its_result(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == ALL
    assert len(_stored(root)) == 30
    assert "#rmnp: 30 new posts, 0 already here on 7 pages; the feed ended" in capsys.readouterr().out
    assert _state(root) == {"tag": "rmnp", "feeds": {"sections": {"cursor": None, "pages": 7, "finished": True}}, "posts": 30}
    methods = [method for method, path in instagram.requests if path.endswith("/sections/")]
    assert methods == ["POST"] * 7


def _json(status: int, message: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer({"status": "fail", "message": message}, status)


FAULTS: list[tuple[str, Callable[[Handler], None], int, str]] = [
    ("429", _json(429, "Please wait a few minutes"), 4, "429, too many requests; 12 new posts of this run kept"),
    ("401, wait", _json(401, "Please wait a few minutes before you try again."), 4, "limits the rate of requests (please wait a few"),
    ("403, wait", _json(403, "Please wait a few minutes before you try again."), 4, "limits the rate of requests (please wait a few"),
    ("401", _json(401, "unauthorized"), 4, "Instagram does not accept this session; 12 new posts"),
    ("checkpoint", _json(400, "checkpoint_required"), 4, "asks this account for verification (checkpoint_required); 12 new posts"),
    ("challenge", _json(400, "challenge_required"), 4, "asks this account for verification (challenge_required); 12 new posts"),
    ("feedback", _json(400, "feedback_required"), 4, "limits this account (feedback_required); 12 new posts"),
    (
        "login page",
        lambda handler: handler.answer("", 302, Location="https://www.instagram.com/accounts/login/"),
        4,
        "Instagram does not accept this session; 12 new",
    ),
    ("login_required", _json(403, "login_required"), 0, "feed sections of tag 'rmnp' failed: login_required"),
    ("500", _json(500, "oops"), 0, "feed sections of tag 'rmnp' failed: JSON Query to api/v1/tags/rmnp/sections/: 500"),
    ("dropped", Handler.drop, 0, "feed sections of tag 'rmnp' failed: JSON Query to api/v1/tags/rmnp/sections/:"),
    ("truncated", lambda handler: handler.answer('{"sections": [{"layout'), 0, "feed sections of tag 'rmnp' failed:"),
    ("html", lambda handler: handler.answer("<!doctype html><html>Sorry</html>"), 0, "feed sections of tag 'rmnp' failed:"),
    ("a list", lambda handler: handler.answer([1, 2]), 0, "feed sections of tag 'rmnp' failed:"),
]


@pytest.mark.parametrize(("name", "fault", "code", "says"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_fault_keeps_what_came_before_and_a_rerun_completes_it(
    name: str,
    fault: Callable[[Handler], None],
    code: int,
    says: str,
    instagram: FakeInstagram,
    cookies: Path,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    instagram.fault = (3, fault)
    assert _main(root, cookies) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert SESSION_ID not in captured.err + captured.out
    if code == 4:
        assert "resume with  python pull_and_clean.py --root" in captured.err.splitlines()[-1]
        assert "not before 20" in captured.err
    assert len(_stored(root)) == 12
    instagram.fault = None
    assert _main(root, cookies) == 0
    assert sorted(_stored(root)) == sorted(ALL)


def test_if_no_feed_works_the_error_has_each_reason(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.fault = (1, _json(403, "login_required"))
    assert _main(root, cookies) == 4
    said = capsys.readouterr().err
    nothing = "no posts in its answers"
    reasons = f"search: {nothing}; search-graphql: {nothing}; sections: login_required; web-info: login_required; graphql: login_required"
    assert f"no feed returns posts of tag 'rmnp' ({reasons}" in said
    assert "record the page in a browser and import it" in said.splitlines()[-1]


def test_the_next_feed_adds_to_the_posts_of_an_earlier_one(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    instagram.graphql_pages = [["g1", "g2", "s0x0"], ["g3"]]
    instagram.fault, instagram.fault_path = (2, _json(404, "gone")), "/sections/"
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == {f"s0x{i}" for i in range(6)} | {"g1", "g2", "g3"}


@pytest.mark.parametrize(
    ("broken", "unreadable"),
    [
        ({"layout_content": {}}, 0),
        ({"layout_content": {"medias": None}}, 0),
        ({"layout_content": {"medias": []}}, 0),
        ({"layout_content": None}, 0),
        ({}, 0),
        (None, 0),
        ("text", 0),
        (section({"pk": 1}), 1),
        (section(None, "x", 3), 3),
        (section(media("", "no code")), 1),
        ({"layout_content": {"medias": [{"explore": 1}, None]}}, 2),
    ],
)
def test_a_broken_section_is_skipped_and_counted(
    broken: Any, unreadable: int, instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.sections[1].insert(0, broken)
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == ALL
    assert (f"{unreadable} unreadable" in capsys.readouterr().out) == bool(unreadable)


def test_every_layout_is_walked(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    clips = {"one_by_two_item": {"clips": {"items": [{"media": media("clip1")}]}}, "fill_items": [{"media": media("fill1")}]}
    instagram.sections[1].append({"layout_type": "one_by_two_left", "layout_content": clips})
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == ALL | {"clip1", "fill1"}


def test_null_captions_hidden_likes_and_untagged_posts(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = {"like_and_view_counts_disabled": True}
    instagram.sections = [
        [section(media("a", None), media("b", likes=3, **hidden), media("c", likes=-1), media("d", "no tag here"), media("e"))]
    ]
    del instagram.sections[0][0]["layout_content"]["medias"][4]["media"]["like_count"]
    assert _main(root, cookies) == 0
    posts = {post["shortcode"]: post for post in map(json.loads, Store(root).posts("rmnp").read_text().splitlines())}
    assert [posts[code]["likes"] for code in "abcde"] == [25, None, None, 25, None]
    assert posts["a"]["caption"] is None
    assert posts["d"]["date_utc"] == "2020-09-13T12:26:40Z"
    assert "2 without the tag" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "stored", "ended"),
    [
        (["--caption-queries", "2"], 12, "more pages are left: repeat the command to continue"),
        (["--max-posts", "8"], 8, "--max-posts 8 reached"),
        (["--since", "2020-09-14"], 0, ""),
        (["--since", "2020-09-13", "--until", "2020-09-13"], 30, "the feed ended"),
    ],
)
def test_a_limited_pull_continues_where_it_stopped(
    argv: list[str], stored: int, ended: str, instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _main(root, cookies, *argv)
    assert len(_stored(root)) == stored
    assert ended in " ".join(capsys.readouterr().out.split())
    assert _main(root, cookies) == 0
    assert sorted(_stored(root)) == sorted(ALL)


def test_a_finished_pull_starts_from_the_top_and_stops_at_stored_posts(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    assert _main(root, cookies) == 0
    instagram.sections.insert(0, [section(media("new1"), media("s0x0"))])
    asked = instagram.pages_asked
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == ALL | {"new1"}
    assert instagram.pages_asked - asked == 2


def test_an_empty_page_is_not_the_end(instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instagram.sections.insert(2, [])
    assert _main(root, cookies) == 0
    assert set(_stored(root)) == ALL
    assert "page 3 of tag 'rmnp': 0 posts, 0 of them new" in capsys.readouterr().err


def test_a_repeated_cursor_ends_the_feed(instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instagram.endless = True
    instagram.searches = instagram.sections
    assert _main(root, cookies) == 0
    assert "the feed repeats itself" in capsys.readouterr().out


def test_pages_without_anything_new_end_the_feed(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.searches = [instagram.sections[0]] * 9
    assert _main(root, cookies) == 0
    assert "no more new posts" in capsys.readouterr().out
    assert instagram.pages_asked == 3


def test_a_forgotten_cursor_starts_from_the_top(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(root, cookies, "--caption-queries", "2") == 0
    state = Store(root).pull_state("rmnp")
    state.write_text(state.read_text().replace("cursor2", "cursor99"))
    assert _main(root, cookies) == 0
    assert "starting from the top" in capsys.readouterr().err
    assert sorted(_stored(root)) == sorted(ALL)


ONE_FAILURE = [
    (fault, tries) for fault in FAULTS for tries in (1, 3) if fault[0] in {1: ("401", "a list"), 3: ("500", "dropped", "html")}[tries]
]


@pytest.mark.parametrize(("fault", "tries"), ONE_FAILURE, ids=[fault[0] for fault, _ in ONE_FAILURE])
def test_a_failure_on_the_first_page_of_a_resumed_pull_keeps_the_position(
    fault: tuple[str, Callable[[Handler], None], int, str], tries: int, instagram: FakeInstagram, cookies: Path, root: Path
) -> None:
    assert _main(root, cookies, "--caption-queries", "3") == 0
    before = _state(root)
    instagram.fault, instagram.fault_times = (instagram.pages_asked + 1, fault[1]), tries
    assert _main(root, cookies, "--feed", "sections") == 4
    assert _state(root) == before
    instagram.section_pages = []
    assert _main(root, cookies) == 0
    assert instagram.section_pages == [3, 4]
    assert sorted(_stored(root)) == sorted(ALL)


def test_a_failing_feed_keeps_its_position_while_the_next_one_works(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    instagram.graphql_pages = [["g1", "g2"], ["g3"]]
    assert _main(root, cookies, "--caption-queries", "3") == 0
    instagram.fault, instagram.fault_path = (1, _json(500, "oops")), "/sections/"
    assert _main(root, cookies) == 0
    instagram.fault, instagram.section_pages = None, []
    assert _main(root, cookies) == 0
    assert instagram.section_pages == [3, 4]
    assert set(_stored(root)) == ALL | {"g1", "g2", "g3"}


def test_max_posts_reached_exactly_asks_for_no_further_page(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(root, cookies, "--max-posts", "12") == 0
    assert "12 new posts, 0 already here on 2 pages; --max-posts 12 reached" in capsys.readouterr().out
    assert instagram.section_pages == [0, 1]
    assert _main(root, cookies) == 0
    assert instagram.section_pages == [0, 1, 2, 3, 4]


def test_a_damaged_state_starts_from_the_top(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(root, cookies, "--caption-queries", "2") == 0
    Store(root).pull_state("rmnp").write_text('{"feed": ')
    assert _main(root, cookies) == 0
    assert "starting from the top; stored posts are kept" in capsys.readouterr().err
    assert sorted(_stored(root)) == sorted(ALL)


def test_posts_that_were_lost_are_found_again(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _main(root, cookies)
    path = Store(root).posts("rmnp")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    capsys.readouterr()
    assert _main(root, cookies) == 0
    assert "of the last pull" in capsys.readouterr().err
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_an_interrupt_keeps_the_state(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    instagram.fault = (3, _json(429, "wait"))

    def stop(self: object, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hugging_captions.scraper.session.AnnouncingRateController.sleep", stop)
    assert _main(root, cookies) == 130
    assert "interrupted: 12 new posts of tag 'rmnp' kept; resume with  python pull_and_clean.py" in capsys.readouterr().err
    assert len(_stored(root)) == 12


def test_a_long_wait_is_announced(instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instagram.fault = (3, _json(429, "wait"))
    _main(root, cookies)
    assert "s for Instagram's rate limit, until " in capsys.readouterr().err


def test_a_session_that_is_not_accepted_stops_before_the_first_page(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instagram.logged_in = False
    assert _main(root, cookies) == 4
    assert "Instagram does not accept this session" in capsys.readouterr().err
    assert instagram.pages_asked == 0


@pytest.mark.parametrize(
    ("with_session", "says"),
    [
        (True, "127.0.0.1 can't be reached, so the session can't be checked"),
        (False, f"no feed returns posts of tag 'rmnp' ({'; '.join(f'{feed}: 127.0.0.1 can{chr(39)}t be reached' for feed in FEEDS)})"),
    ],
)
def test_an_unreachable_network_is_reported(
    with_session: bool, says: str, cookies: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("instaloader.instaloadercontext.time.sleep", lambda seconds: None)
    route(9, monkeypatch)  # a closed port
    assert _main(root, cookies if with_session else None) == 4
    last, hint = capsys.readouterr().err.splitlines()[-2:]
    assert last == f"error: {says}"
    assert "check" in hint
    assert "network" in hint


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (pickle.dumps({"sessionid": SESSION_ID, "csrftoken": "abc", "ds_user_id": "1"}), 0, "logged in as researcher"),
        (pickle.dumps({"sessionid": "", "csrftoken": "abc"}), 4, "the session is empty"),
        (pickle.dumps(_Evil()), 3, "is not an instaloader session file: it contains more than plain values"),
        (b"not a pickle", 3, "is not an instaloader session file"),
        (pickle.dumps([1]), 3, "it has no cookies"),
        (None, 3, "cannot read"),
    ],
)
def test_a_session_file_is_read_without_running_anything(
    content: bytes | None,
    code: int,
    says: str,
    instagram: FakeInstagram,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "session-researcher"
    if content is not None:
        path.write_bytes(content)
    assert _main(root, None, "--session-file", str(path)) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert SESSION_ID not in captured.err + captured.out
    assert not (tmp_path / "evil").exists()


def test_the_secret_is_in_no_written_file(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    _main(root, cookies, "--verbose")
    assert not [path for path in root.rglob("*") if path.is_file() and SESSION_ID in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "text", ["", "not cookies\n", "# Netscape HTTP Cookie File\n.example.com\tTRUE\t/\tTRUE\t4102444800\tsessionid\tx\n"]
)
def test_cookies_without_a_session_are_refused(
    text: str, instagram: FakeInstagram, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(text)
    assert _main(root, path) == 3
    assert capsys.readouterr().err.splitlines()[1].startswith("error: ")


def test_cookies_without_a_csrftoken_are_one_line(
    instagram: FakeInstagram, cookies: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cookies.write_text("".join(line for line in cookies.read_text().splitlines(keepends=True) if "csrftoken" not in line))
    assert _main(root, cookies) == 3
    assert capsys.readouterr().err.splitlines()[1] == "error: the cookie csrftoken is missing from the session"


def test_a_position_saved_by_an_earlier_version_is_kept(instagram: FakeInstagram, cookies: Path, root: Path) -> None:
    assert _main(root, cookies, "--caption-queries", "2") == 0
    state = _state(root)["feeds"]["sections"]
    Store(root).pull_state("rmnp").write_text(json.dumps({"tag": "rmnp", "feed": "sections", **state, "posts": 12}))
    assert _main(root, cookies) == 0
    assert instagram.section_pages == [0, 1, 2, 3, 4]


def test_a_login_without_a_terminal_is_refused(
    instagram: FakeInstagram, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))
    assert _main(root, None, "--login", "nobody_here") == 2
    assert "no terminal to ask for the password" in capsys.readouterr().err


def test_resuming_reads_many_stored_posts_at_once(root: Path) -> None:
    """The shortcodes of a large log are read by their position in the line; parsing would take minutes here."""
    from hugging_captions.posts import PostLog

    path = Store(root).posts("rmnp")
    path.parent.mkdir(parents=True)
    line = '{"shortcode": "c%d", "caption": "x", "likes": 1, "date_utc": null, "tag": "rmnp", "source": "t"}\n'
    path.write_text("".join(line % i for i in range(100_000)))
    start = time.monotonic()
    with PostLog(path) as log:
        assert len(log.shortcodes) == 100_000
    assert time.monotonic() - start < 20


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LOGINS = [
    ("plain", PASSWORD, "", 0, "logged in as researcher"),
    ("second factor", PASSWORD, "123456\n", 0, "logged in as researcher"),
    ("wrong code", PASSWORD, "000000\n", 4, "login of 'researcher' failed: 2FA error"),
    ("wrong password", "guess", "", 4, "login of 'researcher' failed: Login error: Wrong password."),
    ("empty session", PASSWORD, "", 4, "the session is empty: Instagram answered the login without a sessionid"),
]


@pytest.mark.parametrize(("kind", "password", "typed", "code", "says"), LOGINS, ids=[login[0] for login in LOGINS])
def test_a_first_login_asks_at_the_terminal_and_saves_a_private_session(
    kind: str,
    password: str,
    typed: str,
    code: int,
    says: str,
    instagram: FakeInstagram,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instagram.second_factor, instagram.empty_session = bool(typed), kind == "empty session"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("getpass.getpass", lambda prompt: password)
    monkeypatch.setattr("sys.stdin", _Terminal(typed))
    assert _main(root, None, "--login", "researcher", "--verbose") == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Instagram's terms restrict automated access" in captured.err
    saved = list((tmp_path / "config").rglob("session-researcher"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in saved] == ([0o600] if code == 0 else [])
    for secret in (PASSWORD, SESSION_ID):
        assert secret not in captured.out + captured.err
        assert not [path for path in root.rglob("*") if path.is_file() and secret in path.read_text(encoding="utf-8")]
    if code == 0:  # no prompt the next time
        monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))
        assert _main(root, None, "--login", "researcher") == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded payloads are not next to this checkout")
@pytest.mark.parametrize(
    ("name", "posts"),
    [
        ("graphql_hashtag_food_2019", 146),
        ("tags_sections_naturephotography_2021", 30),
        ("web_info_fastapi_2022", 33),
        ("web_info_naturephotography_2021", 39),
    ],
)
def test_the_walk_reads_every_recorded_post(name: str, posts: int) -> None:
    from hugging_captions.scraper.records import find_posts, post_from_node

    payload = json.loads((SHARED / "payloads" / f"{name}.json").read_text(encoding="utf-8"))
    assert len({post_from_node(node, "t", "s").shortcode for node in find_posts(payload)}) == posts


def test_a_login_without_a_network_is_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr("getpass.getpass", lambda prompt: "secret")
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True, "readline": lambda self: ""})())
    assert pull_and_clean.main(["--root", str(root), "--tag", "rmnp", "--login", "researcher"]) == 4
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: login of 'researcher' failed: Instagram can't be reached"
    assert hint == "hint: check the network, then repeat the command"
