"""Take out what leads to a person: credit lines, e-mail addresses, URLs, phone numbers, handles.

Pure text functions. What stays still reads: a mention goes with the words that lead to it, becomes
"a friend" where the sentence needs somebody, or takes its sentence with it.
"""

from __future__ import annotations

import re

from .repair import HANDLE, tidy

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
    return tidy(_CREDIT_LINE.sub("", text))


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
    return tidy(re.sub(r"(?m)^[ ,;:]+|[ ,(]+$", "", text))


def holds_private_data(text: str) -> bool:
    """Return whether ``text`` holds a handle, a URL, an e-mail address or a phone number."""
    return bool(_HANDLE.search(text) or _URL.search(text) or _EMAIL.search(text) or any(map(_is_phone, _PHONE.findall(text))))


def _is_phone(text: str) -> bool:
    """Return whether a run of digits and marks has the 7 to 15 digits of a phone number (E.164) and is no date or amount."""
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 15 or re.fullmatch(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\s*", text):
        return False
    return text.lstrip().startswith(("+", "00", "(")) or len(digits) >= 9 or bool(re.search(r"\d[\s.\-]\d{4}$", text))
