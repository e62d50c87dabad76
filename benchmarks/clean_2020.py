"""The cleaning of 2020, rebuilt from its description, as a baseline for ``clean.py``.

A post is dropped for few likes, for another language by langdetect on the raw caption, for any of twenty promotional words anywhere in
the first line (the only line kept), or as an exact duplicate (antoninodimaggio/Hugging-Captions, pull_and_clean.py, ``get_captions``,
then ``extract``). One process, as in 2020; langdetect is seeded here, unlike then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from hugging_captions.posts import Post

#: Matched inside words too: "order" in "border", "sale" in "wholesale".
PROMOTION = (
    "@", "http", "www", ".com", "link", "bio", "giveaway", "win", "sale", "discount",
    "% off", "code", "order", "shop", "buy", "follow", "subscribe", "dm", "promo", "repost",
)  # fmt: skip


def clean(posts: Iterable[Post], min_likes: int, seconds: float) -> dict[str, str]:
    """Return by shortcode why each post was dropped, or an empty string; stop after ``seconds``."""
    decided: dict[str, str] = {}
    seen: set[str] = set()
    end = time.perf_counter() + seconds
    for post in posts:
        decided[post.shortcode] = _decide(post, min_likes, seen)
        if time.perf_counter() > end:
            break
    return decided


def _decide(post: Post, min_likes: int, seen: set[str]) -> str:
    """Return why ``post`` is dropped, or an empty string; ``seen`` holds the captions kept so far."""
    if post.likes is not None and post.likes < min_likes:
        return "too-few-likes"
    if detect(post.caption or "") != "en":
        return "language"
    text = (post.caption or "").split("\n")[0].strip()
    if any(word in text.lower() for word in PROMOTION):
        return "promotion"
    if not text or text in seen:
        return "duplicate" if text else "empty"
    seen.add(text)
    return ""


def detect(text: str) -> str:
    """Return the code of langdetect's first guess, or "none" if it can't guess."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        return "none"
