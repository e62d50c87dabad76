"""What advertises or begs in a caption, by its words and its marks.

Reads data/promotion.tsv once: phrases, each with what must follow it, and commercial words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from ..storage import data_file

_WORD = re.compile(r"[a-z0-9]+")
#: Prices, a name on Snapchat, a finger that points at the comments, and a line that is nothing but a link.
_PRICE = re.compile(
    r"""
    [$€£]\s?\d+(?:[.,]\d\d)?\s+(?:off|only|each|per|for|cash)\b
    | \b\d{1,2}\s?%\s+(?:off|discount)\b
    | 👻\s*:?\s*\w
    | (?:\?|let\ me\ know)\W{0,20}👇
    | ^[^\w@\#\n.-]*(?:https?://)?[a-z0-9.-]+\.(?:com|net|org|shop|store|(?:co|la|tv|me)/)\S*+[^\w\n]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
#: One of these is in everything that ``_PRICE`` matches.
_PRICE_MARK = re.compile(r"[$€£%👻👇]|\.[a-z]{2}")
#: The tags of paid posts (FTC, "Disclosures 101 for Social Media Influencers", 2019), of giveaways and of sales.
_DISCLOSING_TAG = re.compile(
    r"""
    \#(?:
        ads? | advert\w* | spons? | (?!not)\w*sponsored\w* | paid\w* | gifted | \w*partners? | \w*ambassador | collaboration
      | liketkit | anzeige | werbung | \w*giveaways? | \w*contest | gewinnspiel | (?:for|on|flash|print)?sales? | linkin(?:bio|profile)
    )\b
    """,
    re.VERBOSE,
)
#: The same in words.
_DISCLOSURE = re.compile(
    r"""
    \bliketk\.it\b
    | (?:^|[|/(])\s*sponsored\b
    | \bsponsored\s*(?:$|[|/)])
    | (?:\bin\s+(?:paid\s+)?|\()(?:collaboration|partnership)\s+with\b
    | (?:^|\s)[/*(]ad\b
    """,
    re.VERBOSE,
)
#: One of these is in everything that ``_DISCLOSURE`` matches.
_DISCLOSURE_MARKS = ("liketk.it", "sponsored", "collaboration", "partnership", "/ad", "*ad", "(ad")
#: A question that readers are asked to answer, and nothing else.
_ONLY_ASKS = re.compile(
    r"""
    \W*
    (?:
        what(?:['’]?s|\ is|\ are|\ was|\ were)\ (?:your|the\ first)
      | which\ [^?.!\n]{0,200}\ (?:you|your)
      | where\ are\ you\ (?:guys\ )?(?:from|headed|going)
      | (?:who\ )?would\ you(?!\ look|\ believe)
      | if\ you\ could
      | have\ you\ (?:ever(?!\ been)|guys)
      | (?:can|could)\ you\ (?:guess|spot)
      | how\ many\ [^?.!\n]{0,200}\ do\ you
      | do\ you\ (?:guys\ )?(?:like|prefer|want)
      | true\ or\ false
    )\b
    [^?.!\n]*\?\W*
    """,
    re.VERBOSE | re.IGNORECASE,
)


def advertised(text: str) -> str:
    """Return the words in ``text`` that advertise, in lower case, or an empty string."""
    lower = text.lower().replace("e-mail", "email")
    words = _follows().keys() & set(_WORD.findall(lower))
    if found := [match for word in words if (match := _phrase(word).search(lower))]:
        return min(found, key=re.Match.start)[0]
    match = _PRICE.search(lower) if _PRICE_MARK.search(lower) else None
    return match[0] if match else ""


def trades(words: Sequence[str]) -> str:
    """Return the commercial words among those of a caption in lower case, or nothing if an honest caption may have as many."""
    found = _words_of_trade().intersection(words)
    too_many = 2 if len(words) <= 40 else 3 if len(words) <= 120 else 4
    return ", ".join(sorted(found)) if len(found) >= too_many else ""


def only_asks(text: str) -> bool:
    """Return whether ``text`` is nothing but a question to be answered below: "What's your favourite hut?"."""
    return "?" in text and bool(_ONLY_ASKS.fullmatch(text))


def disclosure(text: str) -> str:
    """Return the mark of a paid post in ``text``, tags included, in lower case, or an empty string."""
    lower = text.lower()
    match = _DISCLOSING_TAG.search(lower) if "#" in lower else None
    if not match and any(mark in lower for mark in _DISCLOSURE_MARKS):
        match = _DISCLOSURE.search(lower)
    return match[0] if match else ""


@cache
def _phrase(word: str) -> re.Pattern[str]:
    """Return the pattern of all phrases that begin with ``word``; the word comes first, because ``re`` finds a literal fastest."""
    return re.compile(rf"{word}(?<![a-z0-9]{word})(?![a-z0-9])(?:{'|'.join(_follows()[word])})(?:(?<!\w)|(?!\w))")


@cache
def _follows() -> dict[str, list[str]]:
    """Return by the first word of each phrase what may follow it, as patterns."""
    found: dict[str, list[str]] = {}
    for words, follows in _entries("phrase"):
        pattern = re.sub(r"\((?!\?)", "(?:", follows).replace(" ", r"\s+").replace("~", r"\S*[^\s.,:;!?]")
        for word in words.split():
            found.setdefault(word, []).append(pattern)
    return found


@cache
def _words_of_trade() -> frozenset[str]:
    return frozenset(word for words, _ in _entries("trade") for word in words.split())


def _entries(kind: str) -> list[tuple[str, str]]:
    """Return the second and third column of the lines of one kind."""
    rows = (line.split("\t") for line in data_file("promotion.tsv").read_text(encoding="utf-8").splitlines())
    return [(row[1], "".join(row[2:])) for row in rows if row[0] == kind]
