"""Remove private data from a sentence: e-mail addresses, URLs, phone numbers, handles.

Pure functions. Each returns the sentence without them, or an empty text if the sentence needs one. Nothing is inserted instead.
"""

from __future__ import annotations

import re

from ..text import EMAIL, EMOJI, HANDLE, PHONE, URL, is_phone, word_set
from .normalize import close_gap, ends_open, last_word, leads_on, without_end

#: Every URL contains one of these or "://", and every number one of the next; finding them takes a tenth of the time.
_MAYBE_URL = re.compile(r"\.(?:(?<=[A-Za-z0-9-]\.)[A-Za-z]{2}|(?<=[Ww]{3}\.)\w)")
_MAYBE_PHONE = re.compile(r"\d(?:[\s().\-/]*\d){6}")
#: A word with an underscore is a user name; "o_O" is not.
_BARE_HANDLE = re.compile(
    r"""
    (?<![\w@\#/.]) (?=[\w.]{4}) (?![\w.]*\.(?:jpe?g|png|gif|mov|mp4|pdf|txt)\b)
    _*[A-Za-z0-9.]+_[A-Za-z0-9_.]*[A-Za-z0-9]
    """,
    re.VERBOSE,
)
#: Several handles, one after the other.
HANDLES = rf"{HANDLE}(?:(?:\s*,\s*(?:and|&)\s+|\s*[,&+/|]\s*|\s+(?:and|x)\s+|\s+){HANDLE})*"
_COMPANY = r"(?:together[ ]with|along[ ]with|with|w/|w|cc|feat|ft|featuring)"
_PLACE = r"(?:over[ ]at|at|by|from|via|for)"
_THANKS = r"(?:thanks?(?:[ ]you)?(?:[ ]so[ ]much|[ ]again)?|thx|ty|tysm|congrats|congratulations|hi|hey|hello|love[ ]you|happy[ ]birthday)"
#: Handles with the words that introduce them.
_MENTION = re.compile(
    rf"""
    [ ,]*(?P<open>[(\[]?)(?:
        (?<![\w'’])(?:(?P<company>{_COMPANY})|(?P<place>{_PLACE})|(?P<also>and|&|\+|x)|(?P<thanks>{_THANKS}(?:[ ]to)?))
        [.:,]*[ ]+(?:my|the|our)?[ ]*
    )?
    (?<![^\W_])(?P<handles>_*{HANDLES})(?P<owner>['’]s?\b)?[)\]]?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]")
#: The end of a sentence or clause, or the beginning of its next part.
_STOP = re.compile(rf"\s*(?:$|[,.;:!?…)\]|/•\"”{EMOJI}]|[-–—]+(?:\s|$))")
#: The sentence continues after a companion: "up there with @x all night"; after "and" only another part of it does.
_GOES_ON = re.compile(
    r"\s+(?:to|in|on|for|this|all|today|tonight|last|but|where|when|while|before|after|as|because|yesterday|tomorrow|then|so|until|during"
    r"|at|by|from|near|about|over|under|along|across|through|around|inside|outside|and[ ](?:then|I|we|it|now))\b",
    re.IGNORECASE,
)
#: A mark after a person who is addressed.
_SPEAKS = re.compile(rf"\s*(?:[,:;!.…–—-]\s*|(?=[\"“{EMOJI}])|(?=I\b|[A-Z][\w'’]*(?:[,.!?]|\s[^A-Z])))")
#: Words after which a place or a maker can't be removed.
_BE = word_set("is was are were be been i'm it's that's he's she's we're you're here there staying live located based born made back up")
#: Words whose object is the handle that follows without a preposition.
_NEEDS_NOUN = re.compile(
    r"""
    (?:
        ous|ful|able|ible
      | (?<!morn)(?<!even)(?<!th)(?<!wedd)(?<!spr)(?<!k)(?<!build)(?<!ceil)ing
      | (?<!excit)(?<!ti)(?<!bor)(?<!bless)(?<!wed)ed
      | \b(?:see|watch|visit|read|meet|try|hear|find|join|saw|said|told|found|met|lost|love|loves|miss|misses|beat|beats|call|called|became
          |keep|keeps|only|him|her|follow|check|tag|using|wearing|introducing|welcome|featuring|proud|team)
    )$
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: Verbs whose companion can't be removed.
_TOGETHER = re.compile(
    r"\b(?:collab\w*|partner\w*|team(?:ed|ing)?(?:[ ]up)?|work(?:s|ed|ing)?|obsessed|compared|pair\w*|along|out|wait(?:s|ed|ing)?"
    r"|look(?:s|ed|ing)?|to[ ]you|in[ ]love|shot)$",
    re.I,
)
#: A sentence with a handle that keeps fewer words than this is a label.
_FEWEST = 3
_ANY_WORD = re.compile(r"[^\W\d_][\w'’-]*")


def mark_handles(text: str) -> str:
    """Return ``text`` with an @ before each handle without one, a plain @ for ＠, and no escaped @."""
    text = text.replace("@\\", "@").replace("＠", "@")
    return _BARE_HANDLE.sub(r"@\g<0>", text) if "_" in text else text


def may_be_private(text: str) -> bool:
    """Return whether ``text`` has a character that a handle, an address or a number needs."""
    return "@" in text or "://" in text or bool(_MAYBE_URL.search(text) or _MAYBE_PHONE.search(text))


def without_emails(text: str) -> str:
    """Return a sentence, or an empty text if it contains an e-mail address."""
    return "" if "@" in text and EMAIL.search(text) else text


def without_phones(text: str) -> str:
    """Return a sentence, or an empty text if it contains a phone number."""
    return "" if _MAYBE_PHONE.search(text) and any(map(is_phone, PHONE.findall(text))) else text


def without_urls(text: str) -> str:
    """Return a sentence without the URLs before and after it; an empty text if one is part of it."""
    if "://" not in text and ("." not in text or not _MAYBE_URL.search(text)):
        return text
    found = False
    while match := URL.search(text):
        found = True
        before, after = text[: match.start()].rstrip(), text[match.end() :]
        if not _WORD.search(before + after) or leads_on(before) or (_WORD.search(before) and not _STOP.match(after)):
            return ""
        text = close_gap(f"{before} {after.lstrip()}")
    return "" if found and ends_open(text) else text


def without_handles(text: str) -> str:
    """Return a sentence without its handles and the words that introduce them; an empty text if it needs one.

    It doesn't need companions, people who are thanked or addressed, a place or a maker after its end, or a list after it.
    """
    text = mark_handles(text)
    if "@" not in text:
        return text
    at = 0
    while match := _MENTION.search(text, at):
        before, after = text[: match.start()], text[match.end() :]
        kept = _without_mention(match, before, after)
        if kept is None:
            return ""
        if match["thanks"] and after.startswith(", for"):
            after = after[1:]
        at = max(0, len(before) - 1)
        glue = "" if not after or after[0] in " ,.;:!?)]" else " "
        text = f"{before}{kept}{glue}{after}"
    text = close_gap(text)
    return "" if ends_open(text) or len(_ANY_WORD.findall(text)) < _FEWEST else text


def _without_mention(match: re.Match[str], before: str, after: str) -> str | None:
    """Return the rest of a mention between ``before`` and ``after``, or None if the sentence needs it."""
    bare = without_end(before)
    last = last_word(bare)
    if match["owner"] and _WORD.search(after):
        return None
    stops = bool(match["open"]) or bool(_STOP.match(after))
    goes_on = stops or bool(_GOES_ON.match(after))
    if match["thanks"]:
        words = match[0][: match.start("handles") - match.start()].rstrip(" ,")
        return words if goes_on and not words.lower().endswith((" to", "congratulations", "congrats")) else None
    lead = match["company"] or match["place"] or match["also"]
    if not _WORD.search(before):
        return "" if (stops or _SPEAKS.match(after)) and not lead else None
    if leads_on(before) and not (lead and last == "up"):
        return None
    if match["company"]:
        return "" if goes_on and not _TOGETHER.search(bare) else None
    if match["place"]:
        return "" if goes_on and last not in _BE and not _NEEDS_NOUN.search(bare) and not _TOGETHER.search(bare) else None
    if match["also"]:
        return "" if stops and last[-1:] in ",!?." and not _NEEDS_NOUN.search(bare) else None
    return "" if stops and not _NEEDS_NOUN.search(bare) else None
