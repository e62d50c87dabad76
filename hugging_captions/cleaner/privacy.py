"""Remove from a sentence what leads to a person: e-mail addresses, URLs, phone numbers, handles.

Pure functions of a sentence. Each returns it without them, or an empty text if it can't do without one. Nothing is put in their place.
"""

from __future__ import annotations

import re

from ..text import EMAIL, EMOJI, HANDLE, PHONE, URL, is_phone, word_set
from .normalize import close_gap, ends_open, last_word, leads_on

#: One of these, or "://", is in every URL, and the next two in every address and number; they are found in a tenth of the time.
_MAYBE_URL = re.compile(r"\.(?:(?<=[A-Za-z0-9-]\.)[A-Za-z]{2}|(?<=[Ww]{3}\.)\w)")
_MAYBE_EMAIL = re.compile(r"@(?<=[^\W_]@)\w")
_MAYBE_PHONE = re.compile(r"\d(?:[\s().\-/]*\d){6}")
#: A word with an underscore in it is somebody's name on a platform; "o_O" is not.
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
#: Handles with what leads to them.
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
#: A sentence or a clause ends here, or its next part begins.
_STOP = re.compile(rf"\s*(?:$|[,.;:!?…)\]|/•\"”{EMOJI}]|[-–—]+(?:\s|$))")
#: The sentence goes on after who came along: "up there with @x all night"; after "and" only another part of it does.
_GOES_ON = re.compile(
    r"\s+(?:to|in|on|for|this|all|today|tonight|last|but|where|when|while|before|after|as|because|yesterday|tomorrow|then|so|until|during"
    r"|at|by|from|near|about|over|under|along|across|through|around|inside|outside|and[ ](?:then|I|we|it|now))\b",
    re.IGNORECASE,
)
#: Whom somebody speaks to stands before this.
_SPEAKS = re.compile(rf"\s*(?:[,:;!.…–—-]\s*|(?=[\"“{EMOJI}])|(?=I\b|[A-Z][\w'’]*(?:[,.!?]|\s[^A-Z])))")
_BEHIND = re.compile(rf"[\s{EMOJI}✔–—-]+$")
#: After these a place or a maker can't be left out.
_BE = word_set("is was are were be been i'm it's that's he's she's we're you're here there staying live located based born made back up")
#: A handle without a preposition after these was their object.
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
#: Who does this together can't be left out.
_TOGETHER = re.compile(
    r"\b(?:collab\w*|partner\w*|team(?:ed|ing)?(?:[ ]up)?|work(?:s|ed|ing)?|obsessed|compared|pair\w*|along|out|wait(?:s|ed|ing)?"
    r"|look(?:s|ed|ing)?|to[ ]you|in[ ]love|shot)$",
    re.I,
)
#: Fewer words than this that are left of a sentence with a handle are a label.
_FEWEST = 3
_ANY_WORD = re.compile(r"[^\W\d_][\w'’-]*")


def mark_handles(text: str) -> str:
    """Return ``text`` with an @ before each handle that has none, a plain one for ＠, and none that is escaped."""
    text = text.replace("@\\", "@").replace("＠", "@")
    return _BARE_HANDLE.sub(r"@\g<0>", text) if "_" in text else text


def may_be_private(text: str) -> bool:
    """Return whether ``text`` has a mark that a handle, an address or a number needs."""
    return "@" in text or "://" in text or bool(_MAYBE_URL.search(text) or _MAYBE_PHONE.search(text))


def without_emails(text: str) -> str:
    """Return a sentence, or nothing if it holds an e-mail address."""
    return "" if "@" in text and _MAYBE_EMAIL.search(text) and EMAIL.search(text) else text


def without_phones(text: str) -> str:
    """Return a sentence, or nothing if it holds a phone number."""
    return "" if _MAYBE_PHONE.search(text) and any(map(is_phone, PHONE.findall(text))) else text


def without_urls(text: str) -> str:
    """Return a sentence without the URLs before and behind it; nothing if one is part of it."""
    if "." not in text and "://" not in text:
        return text
    if "://" not in text and not _MAYBE_URL.search(text):
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
    """Return a sentence without its handles and what leads to them; nothing if it can't do without one.

    It can do without who came along, who is thanked or spoken to, a place or a maker behind its end, and a list behind it.
    """
    if "@" not in text and "_" not in text and "＠" not in text:
        return text
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
    """Return what stays of a mention between ``before`` and ``after``, or None if the sentence can't do without it."""
    bare = _BEHIND.sub("", before)
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
