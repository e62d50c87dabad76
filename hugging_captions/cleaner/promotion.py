"""What advertises or begs in a caption, by its words and its marks.

Pure functions over text: the words of advertisements and pleas, each with what has to follow it, and
the marks of a paid post.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from .automaton import automaton
from .plea_words import PLEADS
from .promotion_words import ADVERTISES, OF_TRADE, TOO_MANY_OF_TRADE

#: All of them; a caption is charged with the one that stands first in it.
_STARTS = (*ADVERTISES, *PLEADS)
_rests: dict[str, list[str]] = {}
for _words, _rest in _STARTS:
    for _word in _words.split():
        _rests.setdefault(_word, []).append(re.sub(r"\((?!\?)", "(?:", _rest.replace(" ", r"\s+").replace("~", r"\S*[^\s.,:;!?]")))
#: For each of the words one expression, in which the word comes first: what begins with a literal is found fastest. A caption is looked
#: at with those of its own words only, in a tenth of the time that one large expression takes.
_ADVERTISES = {
    word.encode(): re.compile(rf"{word}(?<![a-z0-9]{word})(?![a-z0-9])(?:{'|'.join(rests)})(?:(?<!\w)|(?!\w))")
    for word, rests in _rests.items()
}
#: Bytes for ``bytes.translate``: those of such words stay, the others are spaces.
_WORDS_ONLY = bytes(code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else 32 for code in range(256))
_PRICE_MARK = re.compile("[$€£%👻👇]|\\.[a-z]{2}")
#: A line that is nothing but a link, for ``re`` and for RE2.
_LINK_LINE = r"(?m:^)[^\w@#\n.-]*(?:https?://)?[a-z0-9.-]+\.(?:com|net|org|shop|store|(?:co|la|tv|me)/)\S*[^\w\n]*(?m:$)"
#: Prices, a name on Snapchat, what points at the comments.
_PRICE = re.compile(
    r"[$€£]\s?\d+(?:[.,]\d\d)?\s+(?:off|only|each|per|for|cash)\b|\b\d{1,2}\s?%\s+(?:off|discount)\b|👻\s*:?\s*\w"
    r"|(?:\?|let me know)\W{0,20}👇|" + _LINK_LINE
)
#: What an advertisement must be marked with (FTC, "Disclosures 101 for Social Media Influencers", 2019), as tags and in words, and the
#: tags of giveaways and sales.
_DISCLOSING_TAG = re.compile(
    r"#(?:ads?|advert\w*|spons?|(?!not)\w*sponsored\w*|paid\w*|gifted|\w*partners?|\w*ambassador|collaboration|liketkit|anzeige|werbung"
    r"|\w*giveaways?|\w*contest|gewinnspiel|(?:for|on|flash|print)?sales?|linkin(?:bio|profile))\b"
)
_DISCLOSURE = re.compile(
    r"\bliketk\.it\b|(?:^|[|/(])\s*sponsored\b|\bsponsored\s*(?:$|[|/)])"
    r"|(?:\bin\s+(?:paid\s+)?|\()(?:collaboration|partnership)\s+with\b|(?:^|\s)[/*(]ad\b"
)
#: What a text with one of them has at least, for RE2.
DISCLOSURE_SIGNS = (
    r"(?i)#(?:ad|spon|[^\s#]*sponsored|paid|gifted|[^\s#]*partner|[^\s#]*ambassador|collaboration|liketkit|anzeige|werbung|[^\s#]*giveaway"
    r"|[^\s#]*contest|gewinnspiel|(?:for|on|flash|print)?sale|linkin)|liketk|sponsored|(?:collaboration|partnership)\s+with|[/*(]ad"
)

#: A question of those that are asked to be answered below, and nothing besides.
_ONLY_ASKS = re.compile(
    r"\W*(?:what(?:['’]?s| is| are| was| were) (?:your|the first)|which [^?.!\n]* (?:you|your)"
    r"|where are you (?:guys )?(?:from|headed|going)|(?:who )?would you(?! look| believe)|if you could|have you (?:ever(?! been)|guys)"
    r"|(?:can|could) you (?:guess|spot)|how many [^?.!\n]* do you|do you (?:guys )?(?:like|prefer|want)|true or false)\b[^?.!\n]*\?\W*",
    re.IGNORECASE,
)

_LOOK_AROUND = re.compile(r"\(\?<?[=!](?:\\.|[^()\\]|\((?:\\.|[^()\\])*\))*\)")


def _sign(words: str, rest: str) -> str:
    """Return one of ``_STARTS`` for RE2, which looks neither ahead nor back and knows ASCII's letters alone: it matches a little more."""
    rest = re.sub(r"\{0,\d\d\}", "*", _LOOK_AROUND.sub("", rest)).replace(r"[^\w\s]", "[^a-z0-9_\\s]")
    rest = rest.replace(r"\w", r"[^\x00-/:-@\[-^`{-\x7f]").replace(" ", r"\s+").replace("~", r"\S*[^\s.,:;!?]")
    return rf"\b(?:{words.replace(' ', '|')})(?:{rest})"


@cache
def _lookers() -> tuple[Any, Any]:
    """Return what look for all of ``_STARTS`` and for prices at once, in a sixth of the time that they take one by one.

    Those in which any words may stand have an automaton of their own: one of all takes twice the time to warm up.
    """
    signs = [_sign(*start) for start in _STARTS]
    gaps = [sign for sign in signs if "*" in sign]
    others = [sign for sign in signs if "*" not in sign]
    marks = rf"[$€£]\s?\p{{Nd}}|\p{{Nd}}\s?%\s|👻|👇|{_LINK_LINE}"
    return automaton(["|".join(gaps)]), automaton(["|".join([*others, marks])])


def advertised(text: str) -> str:
    """Return the words in ``text`` that advertise, in lower case, or an empty string."""
    lower = text.lower().replace("e-mail", "email")
    data = lower.encode("utf-8", "replace")
    if not any(looker.Match(data) for looker in _lookers()):
        return ""
    starts = _ADVERTISES.keys() & data.translate(_WORDS_ONLY).split()
    if found := [match for match in (_ADVERTISES[word].search(lower) for word in starts) if match]:
        return min(found, key=re.Match.start)[0]
    match = _PRICE.search(lower) if _PRICE_MARK.search(lower) else None
    return match[0] if match else ""


def trades(words: Sequence[str]) -> str:
    """Return the words of trade among those of a caption in lower case, or nothing if they are few enough for an honest one."""
    found = OF_TRADE.intersection(words)
    enough = next(count for length, count in TOO_MANY_OF_TRADE if len(words) <= length)
    return ", ".join(sorted(found)) if len(found) >= enough else ""


def only_asks(text: str) -> bool:
    """Return whether ``text`` is nothing but a question to be answered below: "What's your favourite hut?"."""
    return "?" in text and bool(_ONLY_ASKS.fullmatch(text))


def disclosure(text: str) -> str:
    """Return the mark of a paid post in ``text``, tags included, in lower case, or an empty string."""
    lower = text.lower()
    match = _DISCLOSING_TAG.search(lower) or _DISCLOSURE.search(lower)
    return match[0] if match else ""
