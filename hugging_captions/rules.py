"""The cleaning rules as pure text functions: repair, structure, privacy, promotion, folding.

Nothing here reads or writes a file. The cleaner applies them in order; the generator asks the
same ones whether a caption of its own holds private data. Shares in comments are of 31,000 real captions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from .options import CleanOptions

TAG = r"#\w+"
HANDLE = r"@[A-Za-z0-9_](?:[A-Za-z0-9_.]*[A-Za-z0-9_])?"

_R_ESCAPE = re.compile(r"<U\+([0-9A-Fa-f]{4,8})>")
_LINE_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_ODD_SPACES = re.compile(r"[\t\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\uffa0]")
# Soft hyphen, zero-width space, word joiners, bidi marks, BOM and other controls. ZWJ, ZWNJ and the
# variation selectors stay: emoji and several scripts need them.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_LOOSE_JOINER = re.compile(r"(?:(?<=[\s\x00-\x7f])|^)[\u200c\u200d]+|[\u200c\u200d]+(?=[\s\x00-\x7f]|$)")
_FANCY = re.compile(r"[\U0001d400-\U0001d7ff]+")
_SEPARATOR_LINE = re.compile(r"^[ .·•∙●○◦▪▫◾◽⬩⋅‧・。,_~\-‐-―=*+|/\\:;^⠿ー—–…]+$", re.MULTILINE)
_RUN = re.compile(r"([!?~_=*#$%^&+.\-])\1{3,}")
_EMOJI_RUN = re.compile(r"([^\w\s\x00-\x7f]{1,8}?)\1{3,}")
_TAGS_ONLY_LINE = re.compile(rf"^[^\w#@\n]*(?:(?:{TAG}|{HANDLE})[^\w#@\n]*)+$", re.MULTILINE)
_LAST_TAG_OR_HANDLE = re.compile(rf"(?P<token>{TAG}|{HANDLE})(?P<gap>[^\w#@&+\"”’)]*)$")
_GLUED_TAGS = re.compile(r"(?<=\w)(?=#\w)")
_BLOCK_LEADS = " \n,•·|/-–—"
#: Words after which a single last tag is part of the sentence: "we love the #rockies".
_LEADS_ON = frozenset(
    [
        "a",
        "an",
        "the",
        "my",
        "our",
        "your",
        "his",
        "her",
        "its",
        "their",
        "this",
        "that",
        "these",
        "those",
        "in",
        "on",
        "at",
        "of",
        "to",
        "for",
        "from",
        "with",
        "and",
        "or",
        "but",
        "by",
        "into",
        "near",
        "love",
        "loved",
        "is",
        "are",
        "was",
        "be",
        "so",
        "very",
        "such",
        "no",
        "go",
        "visit",
        "visited",
        "explore",
        "exploring",
        "called",
    ]
)


def mend_encoding(text: str) -> str:
    """Return ``text`` with mojibake, HTML entities and R's ``<U+1F5A4>`` escapes undone; curly quotes stay.

    ftfy does the mojibake. It is asked only where there is something to mend, which saves most of its time.
    """
    import ftfy
    import ftfy.badness

    if "<U+" in text:
        text = _R_ESCAPE.sub(_character, text)
    if text.isascii() and "&" not in text:
        return text
    if "&" in text or ftfy.badness.is_bad(text):
        return ftfy.fix_text(text, uncurl_quotes=False, normalization="NFC", unescape_html=True)
    return text


def plain_characters(text: str) -> str:
    """Return ``text`` in NFC without invisible characters and fancy letters.

    Its only line break is a newline and its only space a space.
    """
    text = _ODD_SPACES.sub(" ", _LINE_BREAKS.sub("\n", text))
    if not text.isascii():
        text = _LOOSE_JOINER.sub("", _INVISIBLE.sub("", text))
        text = _FANCY.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
        text = unicodedata.normalize("NFC", text)
    return _tidy(_INVISIBLE.sub("", text))


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def _tidy(text: str) -> str:
    """Return ``text`` without runs of spaces, spaces at line ends, and more than one empty line."""
    text = re.sub(r" {2,}", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def without_separators(text: str) -> str:
    """Return ``text`` without the lines that hold nothing but dots, dashes and the like."""
    return _tidy(_SEPARATOR_LINE.sub("", text))


def without_tags(text: str, inline_tags: str = "word") -> str:
    """Return ``text`` without tag lines and the trailing block of tags, also behind a column of dots or glued.

    Args:
        inline_tags: what becomes of a tag inside a sentence: ``word`` keeps its word (5 % of
            captions need it), ``keep`` the whole tag, ``drop`` nothing.
    """
    if "#" not in text:
        return text
    text = _GLUED_TAGS.sub(" ", text)
    before = None
    while before != text:  # a block behind a column of dots behind a block
        before = text
        text = _TAGS_ONLY_LINE.sub("", without_separators(text)).strip()
        text = _without_trailing_tags(text)
    if inline_tags != "keep":
        text = re.sub(TAG, lambda match: match[0][1:].replace("_", " ") if inline_tags == "word" else "", text)
    return _tidy(text)


def short_runs(text: str) -> str:
    """Return ``text`` with at most three of the same punctuation mark or emoji in a row."""
    text = _RUN.sub(lambda match: match[1] * 3, text)
    return text if text.isascii() else _EMOJI_RUN.sub(lambda match: match[1] * 3, text)


def without_emoji(text: str) -> str:
    """Return ``text`` without emoji."""
    import emoji

    return _tidy(emoji.replace_emoji(text, ""))


def _without_trailing_tags(text: str) -> str:
    """Drop the tags that end ``text``, with the handles among them; emoji behind them stay.

    A few tags on the line of a word that leads on to them are part of the sentence and stay.
    """
    cut, count, head = len(text), 0, text
    while match := _LAST_TAG_OR_HANDLE.search(head[-200:]):
        head = head[: len(head) - len(match[0])]
        if match["token"].startswith("#"):
            cut, count = len(head), count + 1
    if count == 0:
        return text
    before = text[:cut]
    last_word = before.split()[-1:]
    if count <= 3 and last_word and last_word[0].lower() in _LEADS_ON and "\n" not in before[len(before.rstrip()) :]:
        return text
    behind = _LAST_TAG_OR_HANDLE.search(text[-200:])
    tail = re.sub(r"[\s\x00-\x7f•·–—…]+", "", behind["gap"]) if behind else ""
    return f"{before.rstrip(_BLOCK_LEADS)} {tail}".rstrip()


# -- privacy

_URL = re.compile(
    r"(?:\b(?:at|on|via|visit|see|from|by|here)\b:?\s*)?(?:(?:https?://|www\.)[^\s<>]+|\b(?:[a-z0-9-]+\.)+(?:com|edu|gov|org|net|info|io|co|ly|me|tv|uk|de|fr|es|it|ca|au|shop|store|blog|app)\b(?:/[^\s<>]*)?)",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.,])(?:\+|00)?\(?\d[\d\s().\-/]{5,18}\d(?!\w)")
_HANDLE = re.compile(rf"(?<![\w.]){HANDLE}")
_LIST = rf"{HANDLE}(?:(?:\s*[,&+/|]\s*|\s+and\s+|\s+){HANDLE})*"
_PREPOSITION = r"with|w/|w|by|from|via|cc|to|for|feat|ft|featuring|and|&|x|at|of|in|on|off|into|like|than|around"
#: A list of handles with what leads to it: prepositions, a camera, an article.
_MENTION = re.compile(
    rf"(?P<lead>(?:[ ,(|]*(?<!\w)(?:{_PREPOSITION}|[📷📸🎥📹]\ufe0f?)(?![\w/])[.:]*)*)(?P<article>[ ]*\b(?:the|my|our|your|this|these|a|an|his|her|their)\b)?"
    rf"(?P<gap>[ (]*)(?<![\w.]){_LIST}(?P<possessive>['’]s\b)?\)?",
    re.IGNORECASE,
)
#: Before these a bare handle is an address ("thanks @x!") and can go.
_ADDRESSING = frozenset(
    [
        "thanks",
        "thank",
        "you",
        "thx",
        "ty",
        "love",
        "sorry",
        "hi",
        "hey",
        "hello",
        "birthday",
        "bday",
        "welcome",
        "congrats",
        "congratulations",
        "miss",
        "follow",
        "tag",
    ]
)
#: After these a bare handle is somebody: "so did @x", "ask @x about it".
_BEFORE_SOMEBODY = frozenset(
    [
        "did",
        "does",
        "that",
        "when",
        "if",
        "but",
        "because",
        "while",
        "ask",
        "asked",
        "told",
        "tell",
        "met",
        "meet",
        "saw",
        "see",
        "traded",
        "gave",
        "give",
        "made",
        "let",
        "then",
        "and",
        "as",
        "said",
        "says",
    ]
)
_UNREADABLE = "\ue000"
_UNREADABLE_SENTENCE = re.compile(rf"[^.!?\n]*{_UNREADABLE}[^.!?\n]*[.!?]*")
#: What led to a handle: "Shirt:", "Consulting:".
_LABEL = re.compile(r"(?:^|(?<=[.!?,;|/) ]))[^\W\d_][\w ]{0,15}:[ ]*$", re.MULTILINE)

_CREDIT_LINE = re.compile(
    rf"^[^\w@\n]*(?:[📷📸🎥📹🎬©️]+\s*:?\s*(?:(?:by|credit|cred|via)\b\s*:?\s*)?(?:{HANDLE})"
    rf"|(?:(?:photo|pic|picture|image|video|shot|captured?|credits?|photographer|photography|edit|model|mua|hair|styling|repost(?:ed)?|regram(?:med)?|rg|rp)\b"
    rf"[^\n@]{{0,24}}{HANDLE})).*$",
    re.IGNORECASE | re.MULTILINE,
)


def without_credits(text: str) -> str:
    """Return ``text`` without the lines that credit a picture or name the account reposted from."""
    return _tidy(_CREDIT_LINE.sub("", text))


def without_emails(text: str) -> str:
    """Return ``text`` without e-mail addresses."""
    return _mend_gaps(_EMAIL.sub("", text)) if "@" in text else text


def without_urls(text: str) -> str:
    """Return ``text`` without URLs and bare domains."""
    return _mend_gaps(_URL.sub("", text)) if "." in text else text


def without_phones(text: str) -> str:
    """Return ``text`` without phone numbers."""
    return _mend_gaps(_PHONE.sub(lambda match: "" if _is_phone(match[0]) else match[0], text))


def without_handles(text: str) -> str:
    """Return ``text`` without handles, so that it still reads.

    A handle goes with the preposition that leads to it; one that the sentence needs becomes "a friend";
    a sentence that would not read either way goes as a whole.
    """
    if "@" not in text:
        return text
    text = _UNREADABLE_SENTENCE.sub("", _MENTION.sub(_without_mention, text))
    return _mend_gaps(_LABEL.sub("", text))


def _without_mention(match: re.Match[str]) -> str:
    """Return what stays of a mention: nothing where it can go, "a friend" where the sentence needs somebody.

    Where neither reads, a mark that takes the whole sentence with it.
    """
    before = match.string[: match.start()].rstrip(" ")
    follows = re.match(r"[ ]*([a-z]+)?", match.string[match.end() :])
    word = (follows[1] or "") if follows else ""
    lead, article, gap = match["lead"], match["article"] or "", match["gap"] or ""
    space = " " if match[0][:1] == " " else ""
    if match["possessive"]:
        return f"{lead}{space or gap}a friend's" if word else ""
    if article:
        return f"{lead}{article}" if word else ""
    if lead.strip(" ,(|"):
        return f"{lead} a friend" if word in ("who", "whose", "is", "was") else ""
    last = re.split(r"\W+", before)[-1].lower()
    if not word or word in ("you", "your", "u", "ur") or last in _ADDRESSING or before.endswith(","):
        return ""
    starts = not before or before[-1] in '.!?:\n"“' or before[-1] >= "\u2190"  # behind an emoji too
    if not starts and last not in _BEFORE_SOMEBODY:
        return _UNREADABLE
    return f"{space or gap}{'A' if starts else 'a'} friend"


def redact(text: str) -> str:
    """Return ``text`` without e-mail addresses, URLs, phone numbers and handles."""
    return without_handles(without_phones(without_urls(without_emails(text))))


def _mend_gaps(text: str) -> str:
    """Return ``text`` without the empty brackets and stray commas that a removal leaves."""
    text = re.sub(r"\(\s*\)|\[\s*\]", "", text)
    text = re.sub(r"[ ,]+([,.!?;:])", r"\1", text)
    return _tidy(re.sub(r"(?m)^[ ,;:]+|[ ,(]+$", "", text))


def holds_private_data(text: str) -> bool:
    """Return whether ``text`` holds a handle, a URL, an e-mail address or a phone number."""
    return bool(_HANDLE.search(text) or _URL.search(text) or _EMAIL.search(text) or any(map(_is_phone, _PHONE.findall(text))))


def _is_phone(text: str) -> bool:
    """Return whether a run of digits and marks has the 7 to 15 digits of a phone number (E.164) and is no date or amount."""
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 15 or re.fullmatch(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\s*", text):
        return False
    return text.lstrip().startswith(("+", "00", "(")) or len(digits) >= 9 or bool(re.search(r"\d[\s.\-]\d{4}$", text))


# -- promotion

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


# -- folding

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


# -- the order of the changes


@dataclass(frozen=True)
class Change:
    """A rule that mends a caption; ``apply`` is pure and leaves a clean caption as it is."""

    name: str
    description: str
    apply: Callable[[str, CleanOptions], str]
    private: bool = False


CHANGES = (
    Change("encoding", "undo mojibake, HTML entities and <U+...> escapes", lambda text, options: mend_encoding(text)),
    Change("characters", "NFC; plain spaces, line breaks and letters; nothing invisible", lambda text, options: plain_characters(text)),
    Change("separators", "drop lines of dots and dashes", lambda text, options: without_separators(text)),
    Change("credits", "drop lines that credit a picture or a repost", lambda text, options: without_credits(text)),
    Change("tags", "drop tag lines and the trailing block; --inline-tags for the others", lambda text, options: without_tags(text, options.inline_tags)),
    Change("emails", "take e-mail addresses out", lambda text, options: without_emails(text), private=True),
    Change("urls", "take URLs out", lambda text, options: without_urls(text), private=True),
    Change("phones", "take phone numbers out", lambda text, options: without_phones(text), private=True),
    Change("handles", "take @handles out so that the sentence still reads", lambda text, options: without_handles(text), private=True),
    Change("runs", "at most three of the same mark or emoji in a row", lambda text, options: short_runs(text)),
    Change("emoji", "with --emoji drop: take emoji out", lambda text, options: without_emoji(text) if options.emoji == "drop" else text),
)  # fmt: skip
