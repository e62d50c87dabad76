"""The mending rules in their order, what advertises, and when two captions are the same.

Pure functions over text. The cleaner applies the rules; others ask the same ones (``fold``,
``privacy.holds_private_data``) about captions of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from . import privacy, repair
from .options import CleanOptions
from .repair import HANDLE, TAG

#: The words that begin an advertisement or a plea, and what has to follow (lower case). A caption is looked at where one
#: of these words is: a tenth of the time that one large expression takes.
_PROMOTION_STARTS = (
    ("link links", r"['’]?s?\s*(?:is\s+|are\s+)?(?:in|on)\s*(?:my\s+|our\s+|the\s+)?(?:bio|profile|site|blog)\b"),
    ("link links", r"\b[^.\n]{0,40}\bin\s+(?:\w+\s+){0,2}(?:bio|profile|header)\b"),
    ("linkinbio", r"\b"),
    ("check see visit hit click tap", r"\b[^.\n]{0,30}\b(?:in|on)\s+(?:my|our|the)\s+(?:bio|profile)\b"),
    ("check", r"\s+out\s+the\s+(?:\w+\s+)?(?:magazine|video|blog|link|post|article|story|interview|website|recipe|app)\b"),
    ("check checkout", r"(?:(?<=out)|\s+out)\s+(?:all\s+)?(?:my|our|his|her|their|the\s+(?:new|latest))\b"),
    ("check", r"\s+(?:it|this|them|['’]?em|him|her|us|me|my|our|their)\s+out\b"),
    (
        "check checkout visit see read watch",
        r"\s+(?:out\s+)?(?:my|our|his|her|their)\s+(?:\w+\s+){0,2}(?:blog|site|website|page|channel|profile|feed|store|shop|stand|booth|youtube|account|story|stories|snap|insta|instastory|instastories|instagram|ig)\b",
    ),
    ("click", r"\s+(?:the\s+)?link\b|\s+(?:my|our|the)\s+bio\b"),
    ("go", r"\s+follow\b"),
    ("look", r"\s+at\s+(?:my|our)\s+(?:\w+\s+)?(?:profile|page|feed|story|stories|blog|shop|website)\b"),
    ("in", r"\s+(?:\S+\s+){0,2}bio\b|\s+stores\s+(?:now|soon)\b"),
    ("bio", r"\s+link\b"),
    ("snap snapchat", r"\s*[:@]"),
    ("get", r"\s+paid\b|\s+your(?:s|\s+tickets?)\b"),
    ("grab", r"\s+your(?:s|self|\s+tickets?)\b"),
    ("hit head", r"\s+(?:over\s+)?(?:to\s+)?(?:the|my|our)\s+(?:comments|blog|link|shop|store|site|website|profile|bio)\b"),
    ("give", r"\s?-?aways?\b|\s+(?:\w+\s+){1,3}a\s+follow\b"),
    ("giveaway giveaways sweepstake sweepstakes subscribe swipeup f4f l4l preorder preorders", r"\b"),
    ("remember", r"\s+to\s+follow\b"),
    ("new", r"\s+followers\b"),
    ("enter entering join", r"\b[^.\n]{0,25}\b(?:contest|competition|raffle|draw)\b"),
    ("running", r"\s+a\s+(?:contest|competition)\b"),
    ("to", r"\s+win\b|\s+(?:get|be)\s+(?:featured?|shout\s?-?out)\b"),
    ("for", r"\s+a\s+(?:chance\s+to\s+win|feature|shout\s?-?out)\b"),
    ("chance", r"\s+to\s+(?:win|be\s+featured)\b"),
    ("tag", r"\s+(?:an?|who)\b"),
    ("tag mention", r"\s+(?:\w+\s+){0,3}(?:friends?|someone|somebody|people|buddies|buddy|bestie|besties|squad|person|mates?)\b"),
    ("tagging", r"\s+(?:us|your)\b"),
    ("tag hashtag", r"\s+(?:us|your|to)\b"),
    ("featured", r"\s+on\s+our\b"),
    ("comment comments", r"\s+(?:down\s+)?(?:below|down|your)\b"),
    ("comment", r"\s+(?:an?|any|one|\d+)\s+(?:\w+\s+)?(?:word|emoji)s?\b|\s+(?:\w+\s+)?emojis?\b"),
    ("leave", r"\s+(?:me\s+|us\s+)?(?:a|your)\s+comments?\b"),
    ("return", r"\s+all\s+(?:comments|likes|follows)\b"),
    ("double", r"[\s-]tap\b"),
    ("discount promo coupon voucher", r"\s*codes?\b"),
    ("discount discounts", r"\b"),
    ("email", r"\s+(?:me|us)\b"),
    ("priced", r"\s+at\b"),
    ("ideas thoughts answers", r"\s+(?:down\s+)?below\b"),
    ("use", r"\s+(?:my\s+|our\s+|the\s+)?code\b|\s+swipe\s+up\b"),
    ("code", r"\s*:?\s+[\"“']?[a-z]{3,}\d*\b"),
    ("free", r"\s+(?:shipping|delivery|entry|trial)\b"),
    ("on", r"\s+sale\b|\s+(?:my|our|the)\s+(?:blog|site|website|channel|youtube|snapchat)\b"),
    ("flash summer winter big", r"\s+sale\b"),
    ("sale", r"\s+(?:ends|starts|is\s+on|coming)\b"),
    ("almost", r"\s+sold\s+out\b"),
    ("most", r"\s+trusted\b"),
    ("value", r"\s+proposition\b"),
    ("only just under for from at", r"\s+(?:only\s+)?[$€£]\s?\d"),
    ("order book buy shop reserve preorder register", r"\s+(?:yours?\s+)?(?:now|today|online|here)\b"),
    ("pre", r"-?orders?\b"),
    ("sign", r"\s+up\s+(?:now|today|online|here)\b"),
    ("buy get book", r"\s+(?:your\s+)?tickets?\b"),
    ("contest competition", r"\s+(?:is\s+)?(?:open|extended|ends?|closes|rules|entry|entries)\b"),
    ("spot spots spaces seats places", r"\s+(?:are\s+)?(?:still\s+)?(?:left|available|remaining)\b"),
    ("members", r"\s+(?:area|only)\b"),
    ("limited", r"\s+(?:stores|stock|quantit\w+|spots|spaces|time\s+(?:only|offer))\b"),
    ("restock restocked", r"\b"),
    ("back", r"\s+in\s+stock\b"),
    ("launching launches dropping drops", r"\s+(?:today|tonight|tomorrow|soon|this\s+(?:\w+day|week|month)|next\s+(?:week|month))\b"),
    ("come", r"\s+(?:and\s+)?(?:meet|see|visit|join)\s+(?:me|us|myself|our)\b"),
    ("join", r"\s+(?:me|us)\s+(?:at|from|live|today|tonight|tomorrow)\b"),
    ("grand", r"\s+opening\b"),
    ("open", r"\s+daily\b"),
    ("model", r"\s+call\b"),
    ("for", r"\s+(?:purchase|more\s+(?:info|information|details))\b"),
    ("can", r"\s+still\s+(?:purchase|buy|order|get|register|sign)\b"),
    ("if", r"\s+you(?:['’]re|\s+are)\s+interested\s+in\b"),
    ("more", r"\s+(?:info|information|details)\s+(?:in|on|at|to\s+come|soon|here)\b|\s+on\s+(?:insta\w*|snap\w*|youtube)\b"),
    ("download", r"\s+(?:the|our|my)\s+(?:\w+\s+)?(?:app|guide|track|song|podcast|episode|playlist|wallpaper|e-?book)\b"),
    ("booth", r"\s+[a-z]?\d"),
    ("proceeds", r"\s+(?:will\s+)?(?:go|goes|benefit|from|of|help|support)\b"),
    ("tour", r"\s+dates\b"),
    ("worldwide", r"\s+(?:shipping|delivery)\b"),
    ("ship ships shipping", r"\s+worldwide\b"),
    ("apply", r"\s+(?:now|today|online|here|at)\b"),
    ("in", r"\s+the\s+comments\b"),
    ("tap click", r"\s+(?:\w+\s+)?(?:for|to\s+shop)\b"),
    ("watch", r"\s+(?:it\s+|us\s+)?live\b"),
    ("tune", r"\s+in\b"),
    ("newsstand newsstands", r"\b"),
    ("comment", r"\s+(?:[^\w\s]+\s*)?(?:if|with)\b"),
    ("release", r"\s+date\b"),
    ("vote", r"\s+for\s+(?:me|us|my|our)\b"),
    ("watch", r"\s+(?:the\s+)?(?:full|whole)\s+(?:video|episode|vlog|tutorial|interview)\b"),
    ("vid video vlog", r"\s+(?:is\s+)?(?:now\s+)?(?:up|live)\b"),
    ("share", r"\s+(?:it\s+|this\s+)?(?:to|with)\s+your\s+friends\b"),
    ("ticket tickets", r"\s+(?:available|on\s+sale|at|here)\b"),
    ("shop", r"\s+(?:the|our|my|this|your)\b"),
    ("online", r"\s+(?:shop|store)\b"),
    ("now", r"\s+available\b"),
    ("available", r"\s+(?:now|online|here|in\s+stores?|at\s+our|for\s+(?:purchase|order|pre-?order))\b"),
    (
        "dm message inbox email contact",
        r"\W*(?:me|us)?\W*(?:to|for)\s+(?:order|book|price|prices|pricing|orders?|bookings?|inquir\w+|info|details|promo|more|e-?books?|recipes?)\b",
    ),
    ("new latest full my", r"\s+(?:video|vlog|blog\s?post|post|episode|podcast)\s+(?:is\s+)?(?:now\s+)?(?:up|out|live|on)\b"),
    ("up live", r"\s+on\s+(?:my|our|the)\s+(?:blog|site|website|channel|youtube)\b"),
    ("my", r"\s+(?:youtube|snapchat)\b"),
    ("out", r"\s+now\b"),
    ("print prints", r"\s+(?:are\s+)?available\b"),
    ("dm", r"\s+(?:me|us)\b"),
    ("a please", r"\s+dm\b"),
    ("repost", r"\s+(?:this|if)\b"),
    ("for", r"\s+the\s+(?:recent\s+)?(?:feature|repost|shout\s?-?out)s?\b(?!\s+films?\b)"),
    ("follow", r"\b[^.!?\n]{0,40}\bfor\s+(?:more|our|daily|updates|news|the\s+latest)\b"),
    ("follow", r"\s*(?:for|4|back|4\s?follow)\b|\s+(?:us|me|my|our|along|@\w+)\b"),
    ("like", r"\s*(?:for|4)\s*like\b|\s*(?:&|and)\s*(?:share|follow|comment)\b"),
    ("swipe", r"\s+up\b"),
    ("turn", r"\s+on\s+(?:post\s+)?notifications\b"),
    ("paid", r"\s+(?:partnership|promotion)\b"),
    ("sponsored", r"\s+(?:post|by)\b"),
)
_rests: dict[str, list[str]] = {}
for _words, _rest in _PROMOTION_STARTS:
    for _word in _words.split():
        _rests.setdefault(_word, []).append(_rest)
#: For each of those words one expression; the word comes first in it, for what begins with a literal is found fastest.
_STARTS = {
    word: re.compile(rf"{word}(?<![a-z0-9]{word})(?![a-z0-9])(?:{'|'.join(f'(?:{rest})' for rest in rests)})")
    for word, rests in _rests.items()
}
_WORD = re.compile(r"[a-z0-9]+")
_PRICE_MARK = re.compile("[$€£%👻]")
_PRICE = re.compile(r"[$€£]\s?\d+(?:[.,]\d\d)?\s+(?:off|only|each|per|for)\b|\b\d{1,2}\s?%\s+(?:off|discount)\b|👻\s*:?\s*\w")
#: What an advertisement must be marked with (FTC, "Disclosures 101 for Social Media Influencers", 2019), as tags and in words.
_DISCLOSING_TAG = re.compile(r"#(?:ads?|advert\w*|spon|sponsored\w*|paid\w*|gifted|partner|\w*ambassador|liketkit|anzeige|werbung)\b")
_DISCLOSURE = re.compile(
    r"\bliketk\.it\b|\bsponsored\s+(?:post|by)\b|\bpaid\s+(?:partnership|promotion)\b|\bin\s+(?:paid\s+)?(?:collaboration|partnership)\s+with\b|(?:^|\s)[/*(]ad\b"
)
_MAYBE_DISCLOSED = ("liketk", "sponsored", "paid", "collaboration", "partnership", "/ad", "*ad", "(ad")


def promotion(text: str) -> str:
    """Return the words in ``text`` that advertise, in lower case, or an empty string."""
    lower = text.lower().replace("e-mail", "email")
    starts = _STARTS.keys() & _WORD.findall(lower)
    if found := [match for match in (_STARTS[word].search(lower) for word in starts) if match]:
        return min(found, key=re.Match.start)[0]
    match = _PRICE.search(lower) if _PRICE_MARK.search(lower) else None
    return match[0] if match else ""


def disclosure(text: str) -> str:
    """Return the mark of a paid post in ``text``, tags included, in lower case, or an empty string."""
    lower = text.lower()
    match = _DISCLOSING_TAG.search(lower) if "#" in lower else None
    if not match and any(stem in lower for stem in _MAYBE_DISCLOSED):
        match = _DISCLOSURE.search(lower)
    return match[0] if match else ""


#: Thai, Lao, Khmer, Japanese and Chinese
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def words(text: str) -> list[str]:
    """Return the words of ``text``: runs of letters, marks and digits, with inner apostrophes and hyphens."""
    return re.findall(r"\w+(?:['’\-]\w+)*", text)


def word_count(text: str) -> int:
    """Return how many words ``text`` has; a character of a script that writes no spaces counts as one."""
    found = words(text)
    return sum(len(word) if _UNSPACED.match(word) else 1 for word in found) if _UNSPACED.search(text) else len(found)


def fold(text: str) -> str:
    """Return what two captions share that differ only in case, punctuation, emoji, tags, handles or spacing."""
    bare = _TAG_OR_HANDLE.sub(" ", text) if "#" in text or "@" in text else text
    return " ".join(unicodedata.normalize("NFKC", bare).casefold().translate(_WORDS_ONLY).split())


class _WordsOnly(dict[int, int]):
    """A table for ``str.translate`` that keeps letters, numbers and spacing marks and makes a space of the rest."""

    def __missing__(self, code: int) -> int:
        category = unicodedata.category(chr(code))
        self[code] = code if category[0] in "LN" or category == "Mc" else 32
        return self[code]


_WORDS_ONLY = _WordsOnly()
_TAG_OR_HANDLE = re.compile(rf"{TAG}|{HANDLE}")


@dataclass(frozen=True)
class Change:
    """A rule that mends a caption; ``apply`` is pure and leaves a clean caption as it is."""

    name: str
    description: str
    apply: Callable[[str, CleanOptions], str]
    private: bool = False


CHANGES = (
    Change("encoding", "undo mojibake, HTML entities and <U+...> escapes", lambda text, options: repair.mend_encoding(text)),
    Change("characters", "NFC; plain spaces, line breaks and letters; nothing invisible, no space before a mark", lambda text, options: repair.plain_characters(text)),
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
