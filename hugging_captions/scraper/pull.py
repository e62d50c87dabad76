"""A hashtag's posts from Instagram: page by page, each on disk before the next is requested.

Appends to text/<tag>/posts.jsonl and keeps pull.json, which says where the pull stands in each feed, so that the next
run continues there whatever ended the last one. Never rotates accounts, never evades a limit.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from instaloader import InstaloaderContext

from .. import console
from ..errors import InputError, InstagramError
from ..options import PullOptions
from ..posts import Post, PostLog
from ..storage import Store, read_json, write_json
from .feeds import FEEDS, BadRequestError, Cursor, FeedError, Page, RefusedError
from .records import UnreadableRecordError, post_from_node

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)

#: Pages in a row without a new shortcode that end a feed; where the last pull reached the end, the first one does.
EMPTY_PAGES = 2


@dataclass(frozen=True)
class FeedState:
    """Where the pull stands in one feed: pull.json holds one for each feed that delivered."""

    cursor: Cursor | None = None
    pages: int = 0
    finished: bool = False


@dataclass
class PullResult:
    """The outcome of one pull, counted while it runs; ``notes`` counts what is special about posts and nodes."""

    tag: str
    pages: int = 0
    new: int = 0
    already_here: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    ended: str = ""

    def summary(self) -> str:
        """Return the result in one line for stdout."""
        parts = [console.count(self.new, "new post"), f"{self.already_here:,} already here"]
        parts += [f"{count:,} {note}" for note, count in sorted(self.notes.items()) if count]
        return f"#{self.tag}: {', '.join(parts)} on {console.count(self.pages, 'page')}; {self.ended}"


def pull(tag: str, options: PullOptions, context: InstaloaderContext, store: Store, command: str) -> PullResult:
    """Pull ``options.caption_queries`` pages of ``tag``, or continue where the last pull stopped.

    A page is on disk before its cursor is saved, so no end of the process loses a post or has one twice.

    Args:
        command: the command line that resumes this pull, for the messages.

    Raises:
        InstagramError: Instagram refused or no feed delivered; earlier posts are kept.
        KeyboardInterrupt: with a message that says what is kept.
    """
    with PostLog(store.posts(tag)) as posts, console.progress(unit=" posts", label=f"#{tag}") as bar:
        run = _Run(tag, options, context, store, posts, bar)
        result = run.result
        try:
            run.follow_feeds()
        except RefusedError as error:
            kept = f"{console.count(result.new, 'new post')} of this run kept"
            safe = datetime.now() + timedelta(minutes=error.wait_minutes)
            raise InstagramError(
                f"the pull of tag {tag!r} stopped at page {result.pages + 1}: {error}; {kept}",
                f"{error.advice}; not before {safe:%Y-%m-%d %H:%M}, resume with  {command}",
            ) from error
        except KeyboardInterrupt:
            kept = f"{console.count(result.new, 'new post')} of tag {tag!r} kept"
            raise KeyboardInterrupt(f"interrupted: {kept}; resume with  {command}") from None
        return result


class _Run:
    """One pull of one tag: the loop over feeds and pages."""

    def __init__(self, tag: str, options: PullOptions, context: InstaloaderContext, store: Store, posts: PostLog, bar: tqdm[Post]) -> None:
        self._tag, self._options, self._context, self._posts, self._bar = tag, options, context, posts, bar
        self._path = store.pull_state(tag)
        self._catching_up = False  # walking again through pages that are here, because the cursor was lost
        self._states = self._load()
        self.result = PullResult(tag)

    def follow_feeds(self) -> None:
        """Try the feeds in their order until one comes to an end or the requested pages are there."""
        failures = []
        for name in [self._options.feed] if self._options.feed != "auto" else FEEDS:
            try:
                self._follow(name)
                return
            except FeedError as error:
                failures.append(f"{name}: {error}")
                log.warning("feed %s of tag %r failed: %s", name, self._tag, error)
        if not self.result.new and not self.result.already_here:
            place = f"; to start from the top, delete {self._path}" if any(state.cursor for state in self._states.values()) else ""
            raise InstagramError(
                f"no feed delivers tag {self._tag!r} ({'; '.join(failures)})",
                f"check the network and the session (DOCS.md, Pulling from Instagram){place}; posts you have come in with --from",
            )
        self.result.ended = "no further feed delivers: " + "; ".join(failures)

    def _follow(self, name: str) -> None:
        """Walk one feed from where the last pull stopped, or from the top where that reached the end."""
        state = self._states.get(name, FeedState())
        patience = 1 if state.finished else EMPTY_PAGES
        state = FeedState() if state.finished else state
        seen: list[Cursor | None] = []
        without_new = 0
        while not self.result.ended:
            try:
                page = FEEDS[name](self._context, self._tag, state.cursor)
            except BadRequestError as error:
                if state.cursor is None or seen:
                    raise
                self._catching_up = True
                log.warning("Instagram no longer knows where the last pull of tag %r stopped (%s): starting from the top", self._tag, error)
                state = FeedState()
                continue
            self.result.pages += 1
            seen.append(state.cursor)
            new, is_whole = self._keep(page)
            if is_whole:  # otherwise the cursor stays before this page: the rest of it comes next time
                self._catching_up &= not new
                without_new = 0 if new or self._catching_up else without_new + 1
                if page.cursor is None:
                    self.result.ended = "the feed came to its end"
                elif page.cursor in seen:
                    self.result.ended = "the feed repeats itself"
                elif without_new >= patience:
                    self.result.ended = "nothing new any more"
                state = FeedState(page.cursor, state.pages + 1, bool(self.result.ended))
                self._states[name] = state
                feeds = {feed: asdict(saved) for feed, saved in self._states.items()}
                write_json(self._path, {"tag": self._tag, "feeds": feeds, "posts": len(self._posts.shortcodes)})
            if not self.result.ended and self.result.new == self._options.max_posts:
                self.result.ended = f"--max-posts {self._options.max_posts} reached"
            elif not self.result.ended and self.result.pages >= self._options.caption_queries:
                self.result.ended = "more to come: the same command continues"

    def _keep(self, page: Page) -> tuple[int, bool]:
        """Write what is new on the page; return how many posts that are new or completed, and whether all fitted under --max-posts."""
        posts = list(self._read(page))
        known = [post for post in posts if post.shortcode in self._posts.shortcodes]
        fresh = [post for post in {post.shortcode: post for post in posts}.values() if post.shortcode not in self._posts.shortcodes]
        room = len(fresh) if self._options.max_posts is None else self._options.max_posts - self.result.new
        before = self._posts.completed
        written = self._posts.append([*known, *fresh[:room]])
        completed = self._posts.completed - before
        self.result.new += written
        self.result.notes["completed"] += completed
        self.result.already_here += len(posts) - len(fresh) - completed
        self.result.notes["without the tag"] += sum(f"#{self._tag}" not in (post.caption or "").lower() for post in fresh[:room])
        self._bar.update(written)
        self._bar.set_postfix(pages=self.result.pages)
        level = logging.DEBUG if sys.stderr.isatty() else logging.INFO  # a terminal has the bar
        log.log(level, "page %d of tag %r: %d nodes, %d new posts", self.result.pages, self._tag, len(page.nodes), written)
        return written + completed, len(fresh) <= room

    def _read(self, page: Page) -> Iterator[Post]:
        """Yield the posts of ``page`` between --since and --until."""
        for node in page.nodes:
            try:
                post = post_from_node(node, self._tag, "instagram")
            except UnreadableRecordError as error:
                self.result.notes["unreadable"] += 1
                if self.result.notes["unreadable"] == 1:
                    place = f"page {self.result.pages} of tag {self._tag!r}"
                    log.warning("a node on %s can't be read (%s); skipped, and so are others like it", place, error)
                continue
            day = (post.date_utc or "")[:10]
            if not day or (self._options.since or "") <= day <= (self._options.until or "9999"):
                yield post
            else:
                self.result.notes["out of --since/--until"] += 1

    def _load(self) -> dict[str, FeedState]:
        """Return where the last pull stopped in each feed; none where that is unknown or posts have been lost since."""
        if not self._path.exists():
            return {}
        try:
            saved = read_json(self._path)
            if "feeds" not in saved:  # the format of earlier versions, with one feed
                saved["feeds"] = {saved["feed"]: {name: saved[name] for name in ("cursor", "pages", "finished")}}
            if (lost := saved.get("posts", 0) - len(self._posts.shortcodes)) > 0:
                raise InputError(f"{self._posts.path} has lost {lost} posts since")
            return {name: FeedState(**state) for name, state in saved["feeds"].items()}
        except (InputError, KeyError, TypeError, AttributeError) as error:
            self._catching_up = True
            log.warning("%s can't be used (%s): starting from the top; posts that are here stay and are not doubled", self._path, error)
            return {}
