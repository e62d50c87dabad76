"""A hashtag's posts from Instagram: page by page, each on disk before the next is requested.

Appends to text/<tag>/posts.jsonl and keeps pull.json, which says where the pull stands in each feed, so that the next
run continues there whatever ended the last one. Never rotates accounts, never evades a limit.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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
    """The outcome of one pull, counted while it runs: pages requested, posts found, nodes that could not be read."""

    tag: str
    pages: int = 0
    new: int = 0
    already_here: int = 0
    unreadable: int = 0
    out_of_range: int = 0
    untagged: int = 0
    ended: str = ""

    def summary(self) -> str:
        """Return the result in one line for stdout."""
        parts = [console.count(self.new, "new post"), f"{self.already_here:,} already here"]
        others = {"unreadable": self.unreadable, "out of --since/--until": self.out_of_range, "without the tag": self.untagged}
        parts += [f"{count:,} {what}" for what, count in others.items() if count]
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
        run = _Run(tag, options, store, posts, bar)
        result = run.result
        try:
            run.follow_feeds(context)
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

    def __init__(self, tag: str, options: PullOptions, store: Store, posts: PostLog, bar: tqdm[Post]) -> None:
        self._tag, self._options, self._posts, self._bar = tag, options, posts, bar
        self._path = store.pull_state(tag)
        self._catching_up = False  # walking again through pages that are here, because the cursor was lost
        self._states = self._load()
        self.result = PullResult(tag)

    def follow_feeds(self, context: InstaloaderContext) -> None:
        """Try the feeds in their order until one comes to an end or the requested pages are there."""
        failures = []
        for name in [self._options.feed] if self._options.feed != "auto" else list(FEEDS):
            try:
                self._follow(name, context)
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

    def _follow(self, name: str, context: InstaloaderContext) -> None:
        """Walk one feed from where the last pull stopped, or from the top where that reached the end."""
        state = self._states.get(name, FeedState())
        patience = 1 if state.finished else EMPTY_PAGES
        state = FeedState() if state.finished else state
        seen = {_key(state.cursor)}
        without_new = 0
        for page in self._pages(name, state, context):
            self.result.pages += 1
            new, is_whole = self._keep(page)
            end = ""
            if is_whole:  # otherwise the cursor stays before this page: the rest of it comes next time
                self._catching_up &= not new
                without_new = 0 if new or self._catching_up else without_new + 1
                end = _end_of_feed(page, seen, without_new >= patience)
                state = FeedState(page.cursor, state.pages + 1, bool(end))
                self._save(name, state)
                seen.add(_key(page.cursor))
            self.result.ended = end or self._limit()
            if self.result.ended:
                return

    def _limit(self) -> str:
        """Return which limit of the options this run has reached, or an empty string."""
        if self.result.new == self._options.max_posts:
            return f"--max-posts {self._options.max_posts} reached"
        return "more to come: the same command continues" if self.result.pages >= self._options.caption_queries else ""

    def _pages(self, name: str, state: FeedState, context: InstaloaderContext) -> Iterator[Page]:
        """Yield the pages from ``state``'s cursor on; from the top where Instagram no longer knows it."""
        pages = FEEDS[name](context, self._tag, state.cursor)
        try:
            yield next(pages)
        except BadRequestError as error:
            if state.cursor is None:
                raise
            self._catching_up = True
            log.warning("Instagram no longer knows where the last pull of tag %r stopped (%s): starting from the top", self._tag, error)
            pages = FEEDS[name](context, self._tag, None)
        yield from pages

    def _keep(self, page: Page) -> tuple[int, bool]:
        """Write the page's new posts; return how many, and whether all of them fitted under --max-posts."""
        posts = [post for post in self._read(page) if self._in_range(post)]
        fresh = [post for post in {post.shortcode: post for post in posts}.values() if post.shortcode not in self._posts.shortcodes]
        room = len(fresh) if self._options.max_posts is None else self._options.max_posts - self.result.new
        written = self._posts.append(fresh[:room])
        self.result.new += written
        self.result.already_here += len(posts) - len(fresh)
        self.result.untagged += sum(f"#{self._tag}" not in (post.caption or "").lower() for post in fresh[:room])
        self._bar.update(written)
        self._bar.set_postfix(pages=self.result.pages)
        level = logging.DEBUG if sys.stderr.isatty() else logging.INFO  # a terminal has the bar
        log.log(level, "page %d of tag %r: %d nodes, %d new posts", self.result.pages, self._tag, len(page.nodes), written)
        return written, len(fresh) <= room

    def _read(self, page: Page) -> Iterator[Post]:
        for node in page.nodes:
            try:
                yield post_from_node(node, self._tag, "instagram")
            except UnreadableRecordError as error:
                self.result.unreadable += 1
                if self.result.unreadable == 1:
                    place = f"page {self.result.pages} of tag {self._tag!r}"
                    log.warning("a node on %s can't be read (%s); skipped, and so are others like it", place, error)

    def _in_range(self, post: Post) -> bool:
        day = (post.date_utc or "")[:10]
        inside = not day or ((self._options.since or "") <= day <= (self._options.until or "9999"))
        self.result.out_of_range += not inside
        return inside

    def _load(self) -> dict[str, FeedState]:
        """Return where the last pull stopped in each feed; none where that is unknown or posts have been lost since."""
        if not self._path.exists():
            return {}
        try:
            saved = read_json(self._path)
            if "feeds" not in saved:  # the format of earlier versions, with one feed
                saved["feeds"] = {saved["feed"]: {name: saved[name] for name in ("cursor", "pages", "finished")}}
            states = {name: FeedState(**state) for name, state in saved["feeds"].items()}
            lost = saved.get("posts", 0) - len(self._posts.shortcodes)
        except (InputError, KeyError, TypeError, AttributeError) as error:
            self._catching_up = True
            log.warning("%s can't be used (%s): starting from the top; posts that are here stay and are not doubled", self._path, error)
            return {}
        if lost > 0:
            self._catching_up = True
            log.warning("%s has lost %d posts since the last pull: starting from the top to find them again", self._posts.path, lost)
            return {}
        return states

    def _save(self, name: str, state: FeedState) -> None:
        self._states[name] = state
        feeds = {name: asdict(state) for name, state in self._states.items()}
        write_json(self._path, {"tag": self._tag, "feeds": feeds, "posts": len(self._posts.shortcodes)})


def _end_of_feed(page: Page, seen: set[str], nothing_new: bool) -> str:
    """Return why no page follows ``page``, or an empty string."""
    if page.cursor is None:
        return "the feed came to its end"
    if _key(page.cursor) in seen:
        return "the feed repeats itself"
    return "nothing new any more" if nothing_new else ""


def _key(cursor: Cursor | None) -> str:
    return str(sorted(cursor.items())) if cursor else ""
