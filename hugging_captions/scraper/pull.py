"""A hashtag's posts from Instagram: page by page, each on disk before the next is asked for.

Appends to text/<tag>/posts.jsonl and keeps pull.json, which says where the pull stands, so that a
rerun goes on from there whatever ended the last one. Never rotates accounts, never evades a limit.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from instaloader import InstaloaderContext

from .. import console
from ..errors import InputError, InstagramError
from ..options import PullOptions
from ..posts import Post, PostLog
from ..storage import Store, read_json, write_json
from .feeds import FEEDS, Cursor, FeedError, Page, RefusedError
from .records import UnreadableRecordError, post_from_node

log = logging.getLogger(__name__)

#: Pages in a row without a new shortcode that end a feed; a pull that starts anew ends at the first.
EMPTY_PAGES = 2


@dataclass(frozen=True)
class State:
    """pull.json: which feed, where in it, and whether it came to its end."""

    feed: str = ""
    cursor: Cursor | None = None
    pages: int = 0
    finished: bool = False


@dataclass(frozen=True)
class PullResult:
    """What one pull brought: pages asked for, posts found and new, nodes that could not be read."""

    tag: str
    pages: int
    new: int
    already_here: int
    unreadable: int
    out_of_range: int
    untagged: int
    ended: str

    def summary(self) -> str:
        """Return the result in one line for stdout."""
        parts = [f"{self.new:,} new posts", f"{self.already_here:,} already here"]
        for count, what in (
            (self.unreadable, "unreadable"),
            (self.out_of_range, "out of --since/--until"),
            (self.untagged, "without the tag"),
        ):
            if count:
                parts.append(f"{count:,} {what}")
        return f"#{self.tag}: {', '.join(parts)} on {self.pages:,} pages; {self.ended}"


def pull(tag: str, options: PullOptions, context: InstaloaderContext, store: Store, command: str) -> PullResult:
    """Pull ``options.caption_queries`` pages of ``tag``, or go on where the last pull stopped.

    A page is on disk before its cursor is saved, so no end of the process loses a post or has one twice.

    Args:
        command: the command line that resumes this pull, for the messages.

    Raises:
        InstagramError: Instagram refused or no feed delivered; what came before is kept.
        KeyboardInterrupt: with a message that says what is kept.
    """
    with PostLog(store.posts(tag)) as posts, console.progress(unit=" posts", label=f"#{tag}") as bar:
        run = _Run(tag, options, store, posts, bar)
        try:
            run.go(context)
        except RefusedError as error:
            safe = datetime.now() + timedelta(minutes=error.wait_minutes)
            raise InstagramError(
                f"the pull of tag {tag!r} stopped at page {run.pages + 1}: {error}; {run.new:,} new posts of this run are kept",
                f"{error.advice}; not before {safe:%Y-%m-%d %H:%M}, resume with  {command}",
            ) from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted: {run.new:,} new posts of tag {tag!r} are kept; resume with  {command}") from None
        return run.result()


class _Run:
    """One pull of one tag: the counts, and the loop over feeds and pages."""

    def __init__(self, tag: str, options: PullOptions, store: Store, posts: PostLog, bar: Any) -> None:
        self.tag, self._options, self._store, self._posts, self._bar = tag, options, store, posts, bar
        self.pages = self.new = self.already_here = self.unreadable = self.out_of_range = self.untagged = 0
        self._ended = ""
        self._patience = EMPTY_PAGES
        self._catching_up = False  # walking again through pages that are here, because the cursor was lost

    def result(self) -> PullResult:
        """Return the counts so far."""
        counts = (self.pages, self.new, self.already_here, self.unreadable, self.out_of_range, self.untagged)
        return PullResult(self.tag, *counts, self._ended)

    def go(self, context: InstaloaderContext) -> None:
        """Try the feeds in their order until one comes to an end or the pages asked for are there."""
        state = self._load()
        self._patience = 1 if state.finished else EMPTY_PAGES
        names = [self._options.feed] if self._options.feed != "auto" else list(FEEDS)
        if state.feed in names and not state.finished:
            names = names[names.index(state.feed) :]
        else:
            state = State()
        failures = []
        for name in names:
            here = state if state.feed == name else State(name)
            try:
                self._follow(context, here)
                return
            except FeedError as error:
                failures.append(f"{name}: {error}")
                log.warning("feed %s of tag %r failed: %s", name, self.tag, error)
        if self.new or self.already_here:
            self._ended = "no further feed delivers: " + "; ".join(failures)
            return
        raise InstagramError(
            f"no feed delivers tag {self.tag!r} ({'; '.join(failures)})",
            "check the network and the session (DOCS.md, Pulling from Instagram); posts you have come in with --from",
        )

    def _follow(self, context: InstaloaderContext, state: State) -> None:
        """Walk one feed from ``state`` on."""
        seen = {_key(state.cursor)}
        without_new = 0
        for page in self._pages(context, state):
            self.pages += 1
            new, complete = self._keep(page)
            if not complete:  # the cursor stays before this page: the rest of it comes next time
                self._ended = f"--max-posts {self._options.max_posts} reached"
                return
            state = replace(state, cursor=page.cursor, pages=state.pages + 1)
            self._catching_up &= not new
            without_new = 0 if new or self._catching_up else without_new + 1
            reason = self._end_of_feed(page, seen, without_new)
            self._save(replace(state, finished=bool(reason)))
            if reason or self.pages >= self._options.caption_queries:
                self._ended = reason or "more to come: the same command goes on"
                return
            seen.add(_key(page.cursor))

    def _pages(self, context: InstaloaderContext, state: State) -> Iterator[Page]:
        """Yield the pages from ``state``'s cursor on; from the top if Instagram has forgotten it."""
        feed = FEEDS[state.feed]
        pages = feed(context, self.tag, state.cursor)
        try:
            yield next(pages)
        except FeedError as error:
            if state.cursor is None:
                raise
            self._catching_up = True
            log.warning("Instagram no longer knows where the last pull of tag %r stopped (%s): starting from the top", self.tag, error)
            pages = feed(context, self.tag, None)
        yield from pages

    def _end_of_feed(self, page: Page, seen: set[str], without_new: int) -> str:
        if page.cursor is None:
            return "the feed came to its end"
        if _key(page.cursor) in seen:
            return "the feed repeats itself"
        if without_new >= self._patience:
            return "nothing new any more"
        return ""

    def _keep(self, page: Page) -> tuple[int, bool]:
        """Write the page's new posts; return how many, and whether all of them fitted under --max-posts."""
        posts = [post for post in self._read(page) if self._in_range(post)]
        fresh = [post for post in {post.shortcode: post for post in posts}.values() if post.shortcode not in self._posts.shortcodes]
        room = len(fresh) if self._options.max_posts is None else self._options.max_posts - self.new
        written = self._posts.append(fresh[:room])
        self.new += written
        self.already_here += len(posts) - len(fresh)
        self.untagged += sum(f"#{self.tag}" not in (post.caption or "").lower() for post in fresh[:room])
        self._bar.update(written)
        self._bar.set_postfix(pages=self.pages)
        level = logging.DEBUG if sys.stderr.isatty() else logging.INFO  # a terminal has the bar
        log.log(level, "page %d of tag %r: %d nodes, %d new posts", self.pages, self.tag, len(page.nodes), written)
        return written, len(fresh) <= room

    def _read(self, page: Page) -> Iterator[Post]:
        for node in page.nodes:
            try:
                yield post_from_node(node, self.tag, "instagram")
            except UnreadableRecordError as error:
                self.unreadable += 1
                if self.unreadable == 1:
                    log.warning(
                        "a node on page %d of tag %r can't be read (%s); skipped, and so are others like it", self.pages, self.tag, error
                    )

    def _in_range(self, post: Post) -> bool:
        day = (post.date_utc or "")[:10]
        inside = not day or ((self._options.since or "") <= day <= (self._options.until or "9999"))
        self.out_of_range += not inside
        return inside

    def _load(self) -> State:
        path = self._store.pull_state(self.tag)
        if not path.exists():
            return State()
        try:
            saved = read_json(path)
            state = State(saved["feed"], saved["cursor"], saved["pages"], saved["finished"])
            lost = saved.get("posts", 0) - len(self._posts.shortcodes)
        except (InputError, KeyError, TypeError) as error:
            self._catching_up = True
            log.warning("%s can't be used (%s): starting from the top; posts that are here stay and are not doubled", path, error)
            return State()
        if lost > 0:
            self._catching_up = True
            log.warning("%s has lost %d posts since the last pull: starting from the top to find them again", self._posts.path, lost)
            return State()
        return state

    def _save(self, state: State) -> None:
        write_json(self._store.pull_state(self.tag), {"tag": self.tag, **vars(state), "posts": len(self._posts.shortcodes)})


def _key(cursor: Cursor | None) -> str:
    return str(sorted(cursor.items())) if cursor else ""
