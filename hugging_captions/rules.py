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
    "|".join(
        (
            r"\blink(?:['’]?s)?\s*(?:is\s+|are\s+)?(?:in|on)\s*(?:my\s+|our\s+|the\s+)?(?:bio|profile|site|blog)\b",
            r"\b(?:check|see|visit|hit|click|tap)\b[^.\n]{0,30}\b(?:in|on)\s+(?:my|our|the)\s+(?:bio|profile)\b|\bclick\s+(?:the\s+)?link\b",
            r"\bin\s+(?:\S+\s+){0,2}bio\b|\bbio\s+link\b|\bgive\s+(?:\w+\s+){1,3}a\s+follow\b|\bremember\s+to\s+follow\b|\bnew\s+followers\b|\bsnap(?:chat)?\s*[:@]|👻\s*:?\s*\w|\bget\s+paid\b|\bhit\s+the\s+comments\b",
            r"\bgive\s?-?aways?\b|\bsweepstakes?\b|\b(?:enter|entering|join)\b[^.\n]{0,25}\b(?:contest|competition|raffle|draw)\b|\brunning\s+a\s+(?:contest|competition)\b",
            r"\b(?:to|for\s+a\s+chance\s+to)\s+win\b|\bchance\s+to\s+(?:win|be\s+featured)\b",
            r"\b(?:tag|mention)\s+(?:\w+\s+){0,3}(?:friends?|someone|somebody|people|buddies|buddy|bestie|besties|squad|person|mates?)\b|\b(?:tag|hashtag)\s+(?:us|your|to)\b",
            r"\b(?:to\s+(?:get|be)|for\s+a)\s+(?:featured?|feature|shout\s?-?out)\b|\bfeatured\s+on\s+our\b",
            r"\b(?:comment|leave\s+a\s+comment)\s+(?:below|down|your)\b|\bcomments?\s+(?:down\s+)?below\b|\bdouble[\s-]tap\b",
            r"\b(?:discount|promo|coupon|voucher)\s*codes?\b|\buse\s+(?:my\s+|our\s+|the\s+)?code\b|\bcode\s*:?\s+[\"“']?[A-Z]{3,}\d*\b",
            r"\b\d{1,2}\s?%\s+(?:off|discount)\b|\bfree\s+(?:shipping|delivery|entry)\b|\b(?:on|flash|summer|winter|big)\s+sale\b|\bsale\s+(?:ends|starts|is\s+on)\b",
            r"\b(?:only|just|under|for|from|at)\s+(?:only\s+)?[$€£]\s?\d|[$€£]\s?\d+(?:[.,]\d\d)?\s+(?:off|only|each|per|for)\b",
            r"\b(?:order|book|buy|shop|reserve|pre-?order|register|sign\s+up)\s+(?:yours?\s+)?(?:now|today|online|here)\b|\b(?:get|grab)\s+your(?:s|\s+tickets?)\b|\btickets?\s+(?:available|on\s+sale|at|here)\b",
            r"\bshop\s+(?:the|our|my|this|your)\b|\bonline\s+(?:shop|store)\b|\bpre-?orders?\b|\bnow\s+available\b|\bavailable\s+(?:now|online|here|in\s+stores?|at\s+our|for\s+(?:purchase|order|pre-?order))\b|\bin\s+stores\s+(?:now|soon)\b",
            r"\b(?:dm|message|inbox|email|e-mail|contact)\s+(?:me|us)?\s*(?:to|for)\s+(?:order|book|price|prices|pricing|orders?|bookings?|inquir\w+|info|details|promo|more)\b",
            r"\b(?:new|latest|full|my)\s+(?:video|vlog|blog\s?post|post|episode|podcast)\s+(?:is\s+)?(?:now\s+)?(?:up|out|live|on)\b|\b(?:up|live|out\s+now)\s+on\s+(?:my|our|the)\s+(?:blog|site|website|channel|youtube)\b",
            r"\bon\s+(?:my|our|the)\s+(?:blog|site|website|channel|youtube|snapchat)\b|\bmy\s+(?:youtube|snapchat)\b|\bout\s+now\b|\bprints?\s+(?:are\s+)?available\b",
            r"\bfollow\s*(?:for|4|back|4\s?follow)\b|\bf4f\b|\bl4l\b|\blike\s*(?:for|4)\s*like\b|\bfollow\s+(?:us|me|my|our|along|@\w+)\b|\bsubscribe\b|\bswipe\s+up\b|\bturn\s+on\s+(?:post\s+)?notifications\b",
        )
    ),
    re.IGNORECASE,
)
#: What an advertisement must be marked with (FTC, "Disclosures 101 for Social Media Influencers", 2019), as tags and in words.
_DISCLOSURE = re.compile(
    r"#(?:ads?|advert\w*|spon|sponsored\w*|paid\w*|gifted|partner|\w*ambassador|liketkit|anzeige|werbung)\b|\bliketk\.it\b"
    r"|\bsponsored\s+(?:post|by)\b|\bpaid\s+(?:partnership|promotion)\b|\bin\s+(?:paid\s+)?(?:collaboration|partnership)\s+with\b",
    re.IGNORECASE,
)


def promotion(text: str) -> str:
    """Return the words in ``text`` that advertise, or an empty string."""
    match = _PROMOTION.search(text)
    return match[0] if match else ""


def disclosure(text: str) -> str:
    """Return the mark of a paid post in ``text``, tags included, or an empty string."""
    match = _DISCLOSURE.search(text)
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
    Change("credits", "drop what credits a picture or a repost, and lists of who did what", lambda text, options: privacy.without_credits(text)),
    Change("tags", "drop tag lines, runs of tags and the trailing block; --inline-tags for the others", lambda text, options: repair.without_tags(text, options.inline_tags)),
    Change("emails", "drop the sentences that hold an e-mail address", lambda text, options: privacy.without_emails(text), private=True),
    Change("urls", "take URLs out, with the sentence that needs them", lambda text, options: privacy.without_urls(text), private=True),
    Change("phones", "drop the sentences that hold a phone number", lambda text, options: privacy.without_phones(text), private=True),
    Change("handles", "take @handles out; a sentence that would not surely read goes whole", lambda text, options: privacy.without_handles(text), private=True),
    Change("runs", "at most three of the same mark or emoji in a row", lambda text, options: repair.short_runs(text)),
    Change("emoji", "with --emoji drop: take emoji out", lambda text, options: repair.without_emoji(text) if options.emoji == "drop" else text),
)  # fmt: skip
