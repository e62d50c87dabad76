"""The mending rules in their order, what advertises, and when two captions are the same.

Pure functions over text. The cleaner applies the rules; others ask the same ones (``fold``,
``privacy.holds_private_data``) about captions of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from . import privacy, repair
from .options import CleanOptions
from .repair import HANDLE, TAG

_PROMOTION = re.compile(
    r"\blink(?:['’]?s)?\s*(?:is\s+|are\s+)?in\s*(?:my\s+|our\s+|the\s+)?(?:bio|profile)\b|\blinks?\s+in\s+(?:bio|profile)\b|\b(?:check|see|visit|hit)\b[^.\n]{0,30}\bin\s+(?:my\s+|our\s+)?bio\b"
    r"|\bgive\s?-?aways?\b|\b(?:tag|mention)\s+(?:\w+\s+){0,3}(?:friends?|someone|people|buddies)\b[^\n]{0,60}\b(?:win|enter|entry|chance)\b|\b(?:to|for a chance to)\s+win\b"
    r"|\b(?:discount|promo|coupon)\s*codes?\b|\buse\s+(?:my\s+|our\s+|the\s+)?code\b|\bcode\s*:?\s+[\"“']?[A-Z]{3,}\d*\b|\b\d{1,2}\s?%\s+off\b|\bfree\s+shipping\b"
    r"|\b(?:order|book|buy|shop|reserve)\s+(?:yours?\s+)?(?:now|today|online)\b|\bshop\s+(?:the|our|my)\s+(?:sale|look|collection|store)\b|\bnow\s+available\s+(?:in|at|on)\s+(?:our|my|the)\s+(?:shop|store|website)\b"
    r"|\b(?:dm|message|inbox)\s+(?:me|us)?\s*(?:to|for)\s+(?:order|book|price|prices|pricing|orders?|bookings?|inquir\w+|info|details|promo)\b"
    r"|\bfollow\s*(?:for|4|back|4\s?follow)\b|\bf4f\b|\bl4l\b|\blike\s*(?:for|4)\s*like\b|\b(?:please\s+)?follow\s+(?:us|me|my|our|@\w+)\b|\bdouble\s+tap\b|\bsubscribe\s+(?:to|now)\b|\buse\s+swipe\s+up\b|\bswipe\s+up\b",
    re.IGNORECASE,
)


def promotion(text: str) -> str:
    """Return the words in ``text`` that advertise, or an empty string."""
    match = _PROMOTION.search(text)
    return match[0] if match else ""


#: Thai, Lao, Khmer, Japanese and Chinese
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def words(text: str) -> list[str]:
    """Return the words of ``text``: runs of letters, marks and digits, with inner apostrophes and hyphens."""
    return re.findall(r"\w+(?:['’\-]\w+)*", text)


def word_count(text: str) -> int:
    """Return how many words ``text`` has; a character of a script that writes no spaces counts as one."""
    return sum(len(word) if _UNSPACED.match(word) else 1 for word in words(text))


def fold(text: str) -> str:
    """Return what two captions share that differ only in case, punctuation, emoji, tags, handles or spacing."""
    bare = re.sub(rf"{TAG}|{HANDLE}", " ", text)
    plain = "".join(char if _is_word(char) else " " for char in unicodedata.normalize("NFKC", bare).casefold())
    return " ".join(plain.split())


@lru_cache(maxsize=4096)
def _is_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LN" or unicodedata.category(char) == "Mc"


@dataclass(frozen=True)
class Change:
    """A rule that mends a caption; ``apply`` is pure and leaves a clean caption as it is."""

    name: str
    description: str
    apply: Callable[[str, CleanOptions], str]
    private: bool = False


CHANGES = (
    Change("encoding", "undo mojibake, HTML entities and <U+...> escapes", lambda text, options: repair.mend_encoding(text)),
    Change("characters", "NFC; plain spaces, line breaks and letters; nothing invisible", lambda text, options: repair.plain_characters(text)),
    Change("separators", "drop lines of dots and dashes", lambda text, options: repair.without_separators(text)),
    Change("credits", "drop lines that credit a picture or a repost", lambda text, options: privacy.without_credits(text)),
    Change("tags", "drop tag lines and the trailing block; --inline-tags for the others", lambda text, options: repair.without_tags(text, options.inline_tags)),
    Change("emails", "take e-mail addresses out", lambda text, options: privacy.without_emails(text), private=True),
    Change("urls", "take URLs out", lambda text, options: privacy.without_urls(text), private=True),
    Change("phones", "take phone numbers out", lambda text, options: privacy.without_phones(text), private=True),
    Change("handles", "take @handles out so that the sentence still reads", lambda text, options: privacy.without_handles(text), private=True),
    Change("runs", "at most three of the same mark or emoji in a row", lambda text, options: repair.short_runs(text)),
    Change("emoji", "with --emoji drop: take emoji out", lambda text, options: repair.without_emoji(text) if options.emoji == "drop" else text),
)  # fmt: skip
