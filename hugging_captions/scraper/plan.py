"""--dry-run of a pull or an import: what it would read, request and write.

Reads text/<tag>/pull.json and posts.jsonl, and the files to import; writes nothing and sends no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from instaloader import RateController

from .. import console
from ..errors import InputError
from ..options import PullOptions
from ..posts import read_posts
from ..storage import Store, read_json
from .archive import read_files
from .feeds import FEEDS
from .session import ATTEMPTS, new_loader, read_cookies

#: Minutes of instaloader's window for requests of one kind, and the kind of each feed's requests.
WINDOW = 11
KINDS = {"search-graphql": "graphql", "graphql": "graphql"}
#: Mean seconds that instaloader waits before each request: 1 / 0.6 (``InstaloaderContext.do_sleep``), plus about one for the answer.
PAUSE = 2.7

NO_SESSION = "none: Instagram shows hashtags only to accounts"


def plan_pull(tags: Sequence[str], options: PullOptions, store: Store) -> str:
    """Return what ``pull`` would do for each of ``tags``, for stdout; the time is that of instaloader's rate control.

    Raises:
        InputError, UsageError: ``read_cookies``.
    """
    read_cookies(options)
    named = [name for name in options.feed if name != "auto"]
    feeds = named or list(FEEDS)
    allowed = RateController(new_loader().context).count_per_sliding_window(KINDS.get(feeds[0], "other"))
    pages = options.caption_queries * len(tags)
    seconds = pages * PAUSE + (pages - 1) // allowed * WINDOW * 60
    token = "an access token from Meta" if {*feeds} == {"graph-api"} else None
    session = str(
        token or options.cookies or options.cookies_from or options.session_file or (options.login and f"account {options.login}") or ""
    )
    facts = [
        ("session", session if token else f"{session}, checked by one more request" if session else NO_SESSION),
        ("feeds", ", ".join(feeds) + ("" if named else ": the first that returns posts")),
        ("requests", f"at most {console.count(pages, 'page')}, one request each; one that fails is tried {ATTEMPTS} times"),
        ("time", f"about {console.duration(seconds)}: instaloader allows {allowed} such requests in {WINDOW} minutes, with short pauses"),
    ]
    for tag in tags:
        here = console.count(_count(tag, store), "post")
        facts.append(("start", f"#{tag} {_start(tag, feeds, store)}"))
        facts.append(("write", f"{console.short_path(store.posts(tag), 55)}, {here} now; new ones are added"))
    return console.rows(f"would pull {console.listed([f'#{tag}' for tag in tags])} from Instagram", facts)


def _start(tag: str, feeds: Sequence[str], store: Store) -> str:
    """Return where ``pull`` would begin in the first of ``feeds`` with a saved position."""
    try:
        saved = read_json(store.pull_state(tag))
        states = saved.get("feeds", {saved.get("feed"): saved})
        feed = next(name for name in feeds if name in states)
        state = states[feed]
        pages = console.count(state["pages"], "page")
        return (
            f"in {feed} at the top, for what is new: the last pull ended after {pages}"
            if state["finished"]
            else f"in {feed} after the {pages} of the last pulls"
        )
    except (InputError, KeyError, TypeError, AttributeError, StopIteration):
        return "at the top"


def plan_import(paths: Sequence[Path], tag: str, store: Store, columns: Sequence[str]) -> str:
    """Return what ``import_posts`` would do, for stdout; the files are read.

    Raises:
        InputError: as ``import_posts`` before it writes.
    """
    here = {post.shortcode for post in read_posts(store.posts(tag), lambda number, reason: None)} if store.posts(tag).exists() else set()
    result, posts = read_files(paths, tag, store, columns)
    codes = {post.shortcode for post in posts}
    facts = [
        ("read", f"{console.count(result.files, 'file')}, {console.count(result.found.total(), 'post')}"),
        ("new", f"{console.count(len(codes - here), 'post')}; {len(codes & here):,} already here"),
        ("write", console.short_path(store.posts(tag), 60)),
    ]
    return console.rows(f"would import into #{tag}", facts)


def _count(tag: str, store: Store) -> int:
    return sum(1 for _ in read_posts(store.posts(tag), lambda number, reason: None)) if store.posts(tag).exists() else 0
