"""A hashtag's posts from Instagram: page by page, each on disk before the next is requested.

Appends to text/<tag>/posts.jsonl and writes pull.json with the position in each feed, from which the next run continues
however the last one ended. Never rotates accounts, never evades a limit.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from instaloader import InstaloaderContext, RateController

from .. import console
from ..errors import InputError, InstagramError
from ..options import PullOptions
from ..posts import Post, PostLog, read_shortcodes
from ..storage import Store, read_json, write_json
from . import graph_api
from .feeds import FEEDS, SEARCHES, BadRequestError, Cursor, FeedError, Page, RefusedError
from .records import UnreadableRecordError, post_from_record
from .session import ATTEMPTS, new_loader, read_cookies

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)

#: Pages in a row without a new shortcode that end a feed; after a pull that reached the end, one such page does.
EMPTY_PAGES = 2
#: Minutes of instaloader's window for requests of one kind, and the kind of each feed's requests.
WINDOW = 11
KINDS = {"search-graphql": "graphql", "graphql": "graphql"}
#: Mean seconds that instaloader waits before each request: 1 / 0.6 (``InstaloaderContext.do_sleep``), plus about one for the answer.
PAUSE = 2.7


@dataclass(frozen=True)
class FeedState:
    """The position in one feed; pull.json has one for each feed that returned posts."""

    cursor: Cursor | None = None
    pages: int = 0
    finished: bool = False


@dataclass
class PullResult:
    """The result of one pull, counted while it runs; ``notes`` counts special cases of posts and nodes."""

    tag: str
    pages: int = 0
    new: int = 0
    already_here: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    ended: str = ""

    def summary(self) -> str:
        """Return the result for stdout."""
        parts = [console.count(self.new, "new post"), f"{self.already_here:,} already here"]
        parts += [f"{count:,} {note}" for note, count in sorted(self.notes.items()) if count]
        return console.wrap(f"#{self.tag}: {', '.join(parts)} on {console.count(self.pages, 'page')}; {self.ended}")


def pull(tag: str, options: PullOptions, context: InstaloaderContext, store: Store, command: str) -> PullResult:
    """Pull ``options.caption_queries`` pages of ``tag``, or continue where the last pull stopped.

    A page is on disk before its cursor is saved, so no post is lost or stored twice, however the process ends.

    Args:
        command: the command line that resumes this pull, for the messages.

    Raises:
        InstagramError: Instagram refused or no feed returned posts; earlier posts are kept.
        KeyboardInterrupt: with the number of posts kept in its message.
    """
    with PostLog(store.posts(tag)) as posts, console.progress(unit=" posts", label=f"#{tag}") as bar:
        run = _Run(tag, options, context, store, posts, bar)
        result = run.result
        try:
            run.follow_feeds()
        except RefusedError as error:
            kept = f"{console.count(result.new, 'new post')} of this run kept"
            safe = datetime.now() + timedelta(minutes=error.wait_minutes)
            when = f"not before {safe:%Y-%m-%d %H:%M}, " if error.wait_minutes else ""
            raise InstagramError(
                f"the pull of tag {tag!r} stopped at page {result.pages + 1}: {error}; {kept}",
                f"{error.advice}; {when}resume with  {command}",
            ) from error
        except KeyboardInterrupt:
            kept = f"{console.count(result.new, 'new post')} of tag {tag!r} kept"
            raise KeyboardInterrupt(f"interrupted: {kept}; resume with  {command}") from None
        return result


def plan_pull(tags: Sequence[str], options: PullOptions, store: Store) -> str:
    """Return what ``pull`` would do for each of ``tags``, for stdout; the time is that of instaloader's rate control.

    Raises:
        InputError, UsageError: ``read_cookies``, and ``graph_api.credentials`` where that feed is named.
    """
    read_cookies(options)
    named = [name for name in options.feed if name != "auto"]
    feeds = named or list(FEEDS)
    if graph_api.FEED in named:
        graph_api.credentials()
    allowed = RateController(new_loader().context).count_per_sliding_window(KINDS.get(feeds[0], "other"))
    pages = options.caption_queries * len(tags)
    seconds = pages * PAUSE + (pages - 1) // allowed * WINDOW * 60
    account = options.cookies or options.cookies_from or options.session_file or (options.login and f"account {options.login}")
    session = f"{account}, checked by one more request" if account else "none: Instagram shows hashtags only to accounts"
    requests = f"at most {console.count(pages, 'page')}, one request each"
    facts = [("session", session), ("feeds", ", ".join(feeds) + ("" if named else ": the first that returns posts"))]
    facts += [
        ("requests", f"{requests}; one that fails is tried {ATTEMPTS} times"),
        ("time", f"about {console.duration(seconds)}: instaloader allows {allowed} such requests in {WINDOW} minutes, with short pauses"),
    ]
    if {*feeds} == {graph_api.FEED}:
        facts = [
            ("session", "an access token from Meta"),
            ("feeds", graph_api.FEED),
            ("requests", f"{requests}, one more for each hashtag"),
        ]
    for tag in tags:
        here = len(read_shortcodes(store.posts(tag)))
        written = f"{console.short_path(store.posts(tag), 55)}, {console.count(here, 'post')} now; new ones are added"
        facts += [("start", f"#{tag} {_start(feeds, store.pull_state(tag), here)}"), ("write", written)]
    return console.rows(f"would pull {console.listed([f'#{tag}' for tag in tags])} from Instagram", facts)


def _start(feeds: Sequence[str], path: Path, stored: int) -> str:
    """Return where ``pull`` would begin in the first of ``feeds`` with a position in ``path``."""
    states: dict[str, FeedState] = {}
    with suppress(InputError):
        states = _read_states(path, stored)
    for feed in feeds:
        if state := states.get(feed):
            pages = console.count(state.pages, "page")
            finished = f"in {feed} at the top, for what is new: the last pull ended after {pages}"
            return finished if state.finished else f"in {feed} after the {pages} of the last pulls"
    return "at the top"


def _read_states(path: Path, stored: int) -> dict[str, FeedState]:
    """Return where the last pull stopped in each feed, from a pull.json; ``stored`` is the number of posts in posts.jsonl.

    Raises:
        InputError: it is missing or damaged, or posts have been lost since.
    """
    try:
        saved = read_json(path)
        if "feeds" not in saved:  # the format of earlier versions, with one feed
            saved["feeds"] = {saved["feed"]: {name: saved[name] for name in ("cursor", "pages", "finished")}}
        if (lost := saved.get("posts", 0) - stored) > 0:
            raise InputError(f"posts.jsonl lacks {console.count(lost, 'post')} of the last pull")
        return {name: FeedState(**state) for name, state in saved["feeds"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(str(error)) from error


class _Run:
    """One pull of one tag: the loop over feeds and pages."""

    def __init__(self, tag: str, options: PullOptions, context: InstaloaderContext, store: Store, posts: PostLog, bar: tqdm[Post]) -> None:
        self._tag, self._options, self._context, self._posts, self._bar = tag, options, context, posts, bar
        self._path = store.pull_state(tag)
        self._tag_pattern = re.compile(rf"[#＃]{re.escape(tag)}(?!\w)")
        self._is_over = False
        self._catching_up = False  # reading stored pages again, because the cursor was lost
        self._states = self._load()
        self.result = PullResult(tag)

    def follow_feeds(self) -> None:
        """Read the first feed that returns posts (auto), or every feed named, until its end or until the requested pages are read."""
        failures, ends = [], []
        named = [name for name in self._options.feed if name != "auto"]
        for name in named or FEEDS:
            try:
                ends.append((name, self._follow(name)))
            except FeedError as error:
                failures.append(f"{name}: {error}")
                log.warning("feed %s of tag %r failed: %s", name, self._tag, error)
            if self._is_over or (ends and not named):
                break
        if not ends and not self.result.new and not self.result.already_here:
            place = f"; to start from the top, delete {self._path}" if any(state.cursor for state in self._states.values()) else ""
            raise InstagramError(
                f"no feed returns posts of tag {self._tag!r} ({'; '.join(failures)})",
                f"record the page in a browser and import it (DOCS.md, From a browser), or check network and session{place}",
            )
        endings = [end if len(ends) == 1 else f"{name}: {end}" for name, end in ends]
        self.result.ended = "; ".join(endings) or "no other feed returns posts: " + "; ".join(failures)

    def _follow(self, name: str) -> str:
        """Read one feed from where the last pull stopped, or from the top if that reached the end; return why it ended.

        Raises:
            FeedError: a page failed, or the whole feed has no post.
        """
        state = self._states.get(name, FeedState())
        patience = 1 if state.finished else EMPTY_PAGES
        from_top = state.finished or state.cursor is None
        state = FeedState() if state.finished else state
        seen: list[Cursor | None] = []
        without_new = found = 0
        ended = ""
        while not ended:
            try:
                page = self._request(name, state.cursor)
            except BadRequestError as error:
                if state.cursor is None or seen:
                    raise
                self._catching_up = from_top = True
                log.warning("Instagram no longer knows where the last pull of tag %r stopped (%s): starting from the top", self._tag, error)
                state = FeedState()
                continue
            self.result.pages += 1
            seen.append(state.cursor)
            found += len(page.posts) + page.unreadable
            new, is_whole = self._keep(page, name)
            if is_whole:  # otherwise the cursor stays before this page, and the next pull reads the rest of it
                self._catching_up &= not new
                without_new = 0 if new or self._catching_up else without_new + 1
                following = page.cursor
                if following == page.next_tab:
                    without_new = 0
                elif following in seen or without_new >= patience:
                    following, without_new = page.next_tab, 0
                    ended = "" if following else "the feed repeats itself" if page.cursor in seen else "no more new posts"
                if page.cursor is None:
                    ended = "the feed ended"
                if ended and from_top and not found:
                    self.result.pages -= len(seen)
                    raise FeedError("no posts in its answers")
                state = FeedState(following, state.pages + 1, bool(ended))
                self._save(name, state)
            ended = ended or self._budget_end()
        return ended

    def _request(self, name: str, cursor: Cursor | None) -> Page:
        if name == graph_api.FEED:
            return graph_api.media(self._tag, cursor)
        return FEEDS[name](self._context, self._tag, cursor)

    def _budget_end(self) -> str:
        """Return which limit of the options is reached, or an empty string."""
        if self.result.new == self._options.max_posts:
            self._is_over = True
            return f"--max-posts {self._options.max_posts} reached"
        if self.result.pages >= self._options.caption_queries:
            self._is_over = True
            return "more pages are left: repeat the command to continue"
        return ""

    def _save(self, name: str, state: FeedState) -> None:
        self._states[name] = state
        feeds = {feed: asdict(saved) for feed, saved in self._states.items()}
        write_json(self._path, {"tag": self._tag, "feeds": feeds, "posts": len(self._posts.shortcodes)})

    def _keep(self, page: Page, feed: str) -> tuple[int, bool]:
        """Write the new posts of a page; return how many are new or completed, and whether all fitted under --max-posts."""
        posts = list(self._read(page, feed))
        known = [post for post in posts if post.shortcode in self._posts.shortcodes]
        fresh = [post for post in {post.shortcode: post for post in posts}.values() if post.shortcode not in self._posts.shortcodes]
        room = len(fresh) if self._options.max_posts is None else self._options.max_posts - self.result.new
        before = self._posts.completed
        written = self._posts.append([*known, *fresh[:room]])
        completed = self._posts.completed - before
        self.result.new += written
        self.result.notes["completed"] += completed
        self.result.already_here += len(posts) - len(fresh) - completed
        self.result.notes["without the tag"] += sum(not self._has_tag(post) for post in fresh[:room])
        self._bar.update(written)
        self._bar.set_postfix(pages=self.result.pages)
        level = logging.DEBUG if console.draws_progress() else logging.INFO  # a terminal has the bar
        log.log(level, "page %d of tag %r: %d posts, %d of them new", self.result.pages, self._tag, len(page.posts), written)
        return written + completed, len(fresh) <= room

    def _read(self, page: Page, feed: str) -> Iterator[Post]:
        """Yield the posts of ``page`` between --since and --until; for a search only those with the tag, unless --untagged keep."""
        self._complain(page.unreadable, "it doesn't have the shape of a post")
        source = feed if feed == graph_api.FEED else "instagram"
        for record in page.posts:
            try:
                post = post_from_record(record, self._tag, Counter(), source)
            except UnreadableRecordError as error:
                self._complain(1, str(error))
                continue
            if post is None:
                continue
            day = (post.date_utc or "")[:10]
            if day and not (self._options.since or "") <= day <= (self._options.until or "9999"):
                self.result.notes["out of --since/--until"] += 1
            elif feed in SEARCHES and self._options.untagged == "skip" and not self._has_tag(post):
                self.result.notes["without the tag skipped"] += 1
            else:
                yield post

    def _has_tag(self, post: Post) -> bool:
        return bool(self._tag_pattern.search(unicodedata.normalize("NFC", post.caption or "").lower()))

    def _complain(self, count: int, reason: str) -> None:
        if count and not self.result.notes["unreadable"]:
            place = f"page {self.result.pages} of tag {self._tag!r}"
            log.warning("a node on %s can't be read (%s); skipped, as are similar nodes", place, reason)
        self.result.notes["unreadable"] += count

    def _load(self) -> dict[str, FeedState]:
        """Return where the last pull stopped in each feed; none if that is unknown or posts have been lost since."""
        if not self._path.exists():
            return {}
        try:
            return _read_states(self._path, len(self._posts.shortcodes))
        except InputError as error:
            self._catching_up = True
            log.warning("%s can't be used (%s): starting from the top; stored posts are kept and not duplicated", self._path, error)
            return {}
