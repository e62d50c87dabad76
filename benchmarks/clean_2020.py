"""How captions were cleaned in 2020, rebuilt from its description, as the peer of ``clean.py``.

Fewer likes, another language by langdetect on the raw caption, any of twenty words of promotion on a plain ``in`` of the first line,
which is all that is kept, and an exact duplicate drop it, in this order: langdetect was asked first (antoninodimaggio/Hugging-Captions,
pull_and_clean.py, ``get_captions``, then ``extract``). ``cheap_first`` asks it last, which nobody ran but is the most that its rules
could do. One process, as it was; langdetect is seeded here, which it was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from hugging_captions.posts import Post

#: Matched inside words too: "order" in "border", "sale" in "wholesale".
PROMOTION = (
    "@", "http", "www", ".com", "link", "bio", "giveaway", "win", "sale", "discount",
    "% off", "code", "order", "shop", "buy", "follow", "subscribe", "dm", "promo", "repost",
)  # fmt: skip


def clean(posts: Iterable[Post], min_likes: int, seconds: float, cheap_first: bool = False) -> dict[str, str]:
    """Return by shortcode why each post was dropped, or an empty string: of as many posts as ``seconds`` are enough for."""
    decided: dict[str, str] = {}
    seen: set[str] = set()
    end = time.perf_counter() + seconds
    for post in posts:
        decided[post.shortcode] = decide(post, min_likes, seen, cheap_first)
        if time.perf_counter() > end:
            break
    return decided


def decide(post: Post, min_likes: int, seen: set[str], cheap_first: bool) -> str:
    """Return why ``post`` is dropped, or an empty string; ``seen`` holds the captions kept so far."""
    if post.likes is not None and post.likes < min_likes:
        return f"too-few-likes ({post.likes})"
    text = (post.caption or "").split("\n")[0].strip()
    rules = (_promotion(text), _language(post.caption or "")) if cheap_first else (_language(post.caption or ""), _promotion(text))
    for rule in rules:
        if reason := next(rule, ""):
            return reason
    if not text or text in seen:
        return "duplicate" if text else "empty"
    seen.add(text)
    return ""


def _promotion(text: str) -> Iterator[str]:
    lowered = text.lower()
    yield from (f"promotion ({word})" for word in PROMOTION if word in lowered)


def _language(caption: str) -> Iterator[str]:
    if (code := detect(caption)) != "en":
        yield f"language ({code})"


def detect(text: str) -> str:
    """Return the code of langdetect's first guess, or "none" where it finds nothing to guess by."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        return "none"
