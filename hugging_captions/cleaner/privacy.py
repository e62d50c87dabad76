"""Remove what leads to a person: e-mail addresses, URLs, phone numbers, handles.

Pure text functions. What stays still reads: what stands next to a sentence is removed alone, what is part of one takes it along.
"""

from __future__ import annotations

import re

from ..text import EMAIL, EMOJI, HANDLE, PHONE, URL, is_phone, word_set
from .normalize import BROKEN, HOLE, NEW_IF_NONE_OPEN, NEW_SENTENCE, close_holes, tidy

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
HANDLES = rf"{HANDLE}(?:(?:\s*,\s*(?:and|&)\s+|\s*[,&+/|]\s*|\s+and\s+|\s+){HANDLE})*"
#: Who came along, with what leads to them: "with @x", "(feat. @x & @y)", or nothing: "hello @x".
_MENTION = re.compile(
    rf"""
    (?P<lead>[ ,(|]*(?:(?<!\w)(?:together[ ]with|with|w/|w|cc|feat|ft|featuring|and|&|x|[📷📸🎥📹]\ufe0f?)(?![\w/])[.:]*[ ,(|]*)*)
    _*(?<![^\W_]){HANDLES}\)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LEADS = word_set("together with w cc feat ft featuring and x")
#: The characters before an @ that can lead to it.
_LEAD = 40
_ANY_WORD = re.compile(r"\w+")
#: What may follow where a sentence ends.
_ENDS = re.compile(rf"[ ]*(?:$|[\n.!?…)\]|/•·#@\"”{EMOJI}]|[-–—] )")
#: So many characters of a sentence are looked at.
_LONGEST_SENTENCE = 400
_BREAK = re.compile(rf"[.!?\n|{EMOJI}]")
#: A sentence with these is about whom it names: "thanks for the picture @x".
_NEEDS_SOMEBODY = re.compile(
    r"""
    \b(?:
        thank\w*|thx|thks|ty|tysm|cheers|congrat\w*|kudos|props|shout\s?outs?|credits?|courtesy|follow\w*|check(?:ing)?\ out|by|via|aka
      | tag\w*|photos?|pics?|pictures?|shots?|videos?|images?|captured?|edits?|regram|repost|collab\w*|partner\w*|team(?:ed|ing)\ up
      | work(?:s|ed|ing)?|dressed|wearing|wore|rocking|inspired|powered|sponsored|presented|hosted|provided|gifted|signed|introduc\w+
      | obsessed|exclusively|available|compared|belongs|listening|looking|pair
    )\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: And one that says so right before "with @x".
_NEEDS_COMPANY = re.compile(
    r"""
    \b(?:collab\w*|partner\w*|team(?:ed|ing)?\ up|work(?:s|ed|ing)?|thank\w*|thx|ty|congrat\w*|shout\s?outs?|by|via|photos?|pics?|pair\w*)$
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: What points at a handle, with an emoji between.
_POINTED_AT = re.compile(rf"\b(?:check out|follow|thanks to|by)[ {EMOJI}]+$", re.IGNORECASE)
#: A handle after these was their noun, or what somebody did it to.
_NEEDS_NOUN = re.compile(
    r"""
    (?:
        ous|ful|able|ible|less|est
      | (?<!excit)(?<!ti)(?<!bor)(?<!bless)(?<!wed)ed
      | (?<!morn)(?<!even)(?<!th)(?<!wedd)(?<!spr)(?<!k)ing
      | \b(?:see|watch|visit|read|meet|try|hear|find|join|saw|said|told|found|met|lost|love|loves|miss|misses|beat|beats|call|called|became
          |keep|keeps|only|him|her)
    )$
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: In the names of shops, brands and places: such a handle is no friend.
_BUSINESS = re.compile(
    r"""
    official|magazine|italia|usa\b|_us\b|_uk\b|shop|store|hotel|resort|studio|cosmetics|beauty|clothing|apparel|jewel|brand|tours|museum
    |zoo|cafe|coffee|restaurant|festival|news|radio|records|global|\binc\b|\.com\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: What somebody does; "a friend" in front of any other word ("@brand boots") might be a thing.
_DOES: frozenset[str] = word_set(
    "and who said says made makes took takes went goes came comes got gets gave gives told tells knows knew drove wrote shot won sang "
    "built taught sent bought began rode spent led filmed whistled brought caught fell ran runs kept keeps let lets left found finds saw "
    "sees thinks thought just did still taking making going getting looking doing being having coming"
)
#: These are said of somebody after a verb that is missing ("@x stoked to move on"), or are no verbs of the past.
_FELT: frozenset[str] = word_set(
    "stoked excited inspired based located designed dressed powered blessed bed red shed feed need seed hundred sacred naked"
)
#: And what is said of things as well: "@brand is designed".
_IS: frozenset[str] = word_set("is was has had have were are")
_IS_SOMEBODY = re.compile(
    r"""
    \ (?:is|was|has|had)\ (?:
        the|my|our|so|such|here|back|always|still|not|never|just|been
      | (?!\w*thing\b|offer|launch|host|hav|giv|sell|runn|releas|open|bring)\w+ing
    )\b
    """,
    re.VERBOSE,
)
_TWO_WORDS = re.compile(r" \w+(?:,| [\w“\"])")
#: After these a handle is somebody: "so did @x", "ask @x about it".
_BEFORE_SOMEBODY: frozenset[str] = word_set("did does ask asked told tell met saw traded gave give let said says")
#: After these it is, if it does something: "when @x nailed it".
_BEFORE_CLAUSE: frozenset[str] = word_set("when if but because while then as until")
#: What goes on after a companion: "up there with @x all night".
_GOES_ON = re.compile(
    r"""
    [,:;]
    | \ (?:to|and|in|on|for|this|all|today|tonight|last|but|where|when|while|before|after|as|because|yesterday|tomorrow|then|so|until|during
        |at|by|from|near|who|about|over|under|along|across|through|around|up|down|out|inside|outside|instead)\b
    """,
    re.VERBOSE,
)
_WORD_AFTER = re.compile(r" ([a-z]+)\b")
#: What led to a handle that has gone: "Shirt:", "Consulting:".
_LABEL = re.compile(
    rf"(?:^|(?<=[.!?,;|/()•{EMOJI}]))[ ]*[^\W\d_][\w& ]{{0,23}}:[ ]*{HOLE}(?=\s*(?:[),|/•]|$))",
    re.MULTILINE,
)
#: One or two words between a break and a handle, the label of one that has gone: "Great chair. Artist @x".
_TAIL = re.compile(rf"(?:(?<=[.!?\n|({EMOJI}])|(?<= /))[ ]*(?:[\w'’]+[ ]*(?:&[ ]*)?){{1,2}}{HOLE}(?=\s*(?:$|[\n|/{EMOJI}]))")
#: What a removal leaves: empty brackets or half of them, a label of nothing, commas before other marks, marks at the ends.
_EMPTY_BRACKETS = re.compile(r"\((?:[^\s()][^()\n]{0,40}\s|\s*)\)|\[\s*\]|(?<!\S)@(?!\S)")
_LONE_BRACKET = re.compile(r"(?<=\s)\)(?=\s|$)")
_LABEL_OF_NOTHING = re.compile(r"(?<![^.!?\n|])[^.!?\n|]*:[.!?]+")
_STRAY_MARK = re.compile(r"[ ,]+([,.!?;]|:(?![-)(DP]))")
_LONE_COLON = re.compile(r"(?<=[.!?]) ?: ")
_LOOSE_ENDS = re.compile(r"(?m)^(?:[ ,;:|/]+|\.(?!\.) *)+|[ ,(]+$")


def mark_handles(text: str) -> str:
    """Return ``text`` with an @ before each handle that has none, a plain one for ＠, and none that is escaped."""
    text = text.replace("@\\", "@").replace("＠", "@")
    return _BARE_HANDLE.sub(r"@\g<0>", text) if "_" in text else text


def without_emails(text: str) -> str:
    """Return ``text`` without the sentences that hold an e-mail address."""
    return _close_gaps(EMAIL.sub(BROKEN, text)) if _MAYBE_EMAIL.search(text) else text


def without_urls(text: str) -> str:
    """Return ``text`` without URLs and bare domains, and without the sentences that need them."""
    return _close_gaps(URL.sub(HOLE, text)) if "://" in text or _MAYBE_URL.search(text) else text


def without_phones(text: str) -> str:
    """Return ``text`` without the sentences that hold a phone number."""
    if not _MAYBE_PHONE.search(text):
        return text
    return _close_gaps(PHONE.sub(lambda match: BROKEN if is_phone(match[0]) else match[0], text))


def without_handles(text: str) -> str:
    """Return ``text`` without handles, so that it still reads.

    What stands next to a sentence is removed alone: who came along, who is spoken to, a list at its end. Who surely is somebody that does
    something becomes "a friend". Any other sentence that a handle is part of is dropped.
    """
    text = mark_handles(text)
    if "@" not in text:
        return text
    done, end = [], 0  # mentions are looked for around each @ only, which saves nine tenths of the time
    while (at := text.find("@", end)) >= 0 and (match := _MENTION.search(text, _after_last_word(text, max(end, at - _LEAD), at))):
        done += [text[end : match.start()], _without_mention(match)]
        end = match.end()
    text = "".join([*done, text[end:]])
    return _close_gaps(_TAIL.sub("", _LABEL.sub("", text)) if HOLE in text else text)


def _after_last_word(text: str, start: int, at: int) -> int:
    """Return the end of the last word of ``text`` between ``start`` and a handle ``at`` that can't lead to it: no mention begins before."""
    for word in reversed(list(_ANY_WORD.finditer(text, start, at))):
        if (bare := word[0].lower().strip("_")) and bare not in _LEADS:
            return word.end()
    return start


def _without_mention(match: re.Match[str]) -> str:
    """Return what stays of a mention: a mark that it can go, or that its sentence can't do without it, or "a friend"."""
    before = match.string[max(0, match.start() - _LONGEST_SENTENCE) : match.start()]
    sentence = _BREAK.split(before)[-1].rstrip()
    needs = _NEEDS_COMPANY if match["lead"].strip(" ,(|") else _NEEDS_SOMEBODY
    if needs.search(sentence) or _POINTED_AT.search(before):
        return BROKEN
    begins = NEW_SENTENCE.match(match.string, match.end()) or (not sentence and NEW_IF_NONE_OPEN.match(match.string, match.end()))
    if begins or _ENDS.match(match.string, match.end()):
        return BROKEN if _NEEDS_NOUN.search(sentence[-20:]) and not match["lead"].strip() else HOLE
    return _as_friend(match, sentence) or BROKEN


def _as_friend(match: re.Match[str], sentence: str) -> str:
    """Return a mention inside ``sentence`` as "a friend", or nothing if it might be no person."""
    if _BUSINESS.search(match[0]):
        return ""
    friend = "friends" if match[0].count("@") > 1 else "a friend"
    lead = match["lead"].strip(" ,").lower()
    if lead in ("with", "w/"):
        return f"{match['lead'].rstrip()} {friend}" if sentence and _GOES_ON.match(match.string, match.end()) else ""
    follows = _WORD_AFTER.match(match.string, match.end())
    word = follows[1] if follows else ""
    does = word in _DOES or (word.endswith("ed") and word not in _FELT and _TWO_WORDS.match(match.string, match.end()))
    last = sentence.split(" ")[-1].lower()
    if lead in ("and", "&") and sentence:
        return f"{match['lead'].rstrip()} {friend}" if (does and word != "and") or word in _IS else ""
    if lead:
        return ""
    if last in _BEFORE_SOMEBODY or (last in _BEFORE_CLAUSE and (does or word in _IS)):
        return f" {friend}"
    if sentence or not (does or _IS_SOMEBODY.match(match.string, match.end())):
        return ""
    return f"{' ' if match['lead'] else ''}{friend.capitalize()}"


def _close_gaps(text: str) -> str:
    """Return ``text`` with its holes closed, and without the empty brackets and stray commas that a removal leaves."""
    text = _EMPTY_BRACKETS.sub("", close_holes(text))
    text = text if "(" in text else _LONE_BRACKET.sub("", text)
    text = _LABEL_OF_NOTHING.sub("", text) if ":." in text else text
    return tidy(_LOOSE_ENDS.sub("", _LONE_COLON.sub(" ", _STRAY_MARK.sub(r"\1", text))))
