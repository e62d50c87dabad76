"""Remove the lines that credit: who took the picture, who was reposted, who did what, what was worn.

Pure text functions; what names somebody inside a sentence is left to ``privacy``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..text import EMOJI, HANDLE, TAG_OR_HANDLE, holds_handle, word_set
from .normalize import BROKEN, close_holes, tidy
from .privacy import HANDLES, mark_handles

_WORD = re.compile(r"\w+")
_SMALL_WORD = re.compile(r" [a-z]")

# -- credits of a handle

#: A line about a picture and whose it is: "📷: @x", "Photo by @x", "Repost from @x".
_CREDIT_LINE = re.compile(
    rf"""
    ^[^\w@\n]*
    (?:
        [📷📸🎥📹🎬©️]+\s*:?\s*(?:(?:by|credit|cred|via)\b\s*:?\s*)?
      | (?:photo|pic|picture|image|video|shot|captured?|credits?|photographer|photography|edit|model|mua|hair|styling
          |repost(?:ed)?|regram(?:med)?|rg|rp)\b[^\n@]{{0,24}}
    )
    {HANDLE}.*$
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_PICTURE = r"(?:photo(?:graph)?|pic|picture|image|video|shot|edit|hair|make-?up|mua|styling|styled)s?"
#: The same in the middle of a line, and with a few words before it ("Lovely pic by @x") that are removed with it.
_INLINE_CREDIT = re.compile(
    rf"""
    \(?
    (?P<few>(?-i:(?:(?<![^\n])|(?<=[.!?…{EMOJI}][ ]))(?:[\w'’]+[ ]+){{1,3}}(?={_PICTURE}\b)))?
    (?:
        (?:(?<!\w)(?:with|by|from|and|&)[ ]|(?<=[.!?…{EMOJI}][ ])[A-Z]\w+[ ])?[📷📸🎥📹]\ufe0f?[ ]*:?
      | (?P<picture>\b{_PICTURE})(?:[ ]+(?:and|&)[ ]+\w+)?(?:[ ]+(?:credits?|cred))?(?:[ ]+(?:by|via|from)\b|[ ]*:)
    )
    [ ]*(?:by[ ]+)?{HANDLES}\)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: One of these, in lower case, is in everything that it matches; they are found in a fiftieth of the time.
_IN_INLINE_CREDIT = ("hoto", "pic", "mage", "video", "shot", "edit", "hair", "make", "mua", "styl", "📷", "📸", "🎥", "📹")
#: A list of who did what: "Planner: @x | Florist: @y".
_LABELLED = re.compile(rf"[|,/•(]?[ ]*[^\W\d_][\w&/ ]{{0,20}}[:;][ ]*{HANDLE}")
#: A line with a handle and no more words than this is about the handle: "Hair by @x", "Swimsuit @y".
_FEW_WORDS = 4

# -- credits of a name

_NAMED_CREDIT = re.compile(
    r"""
    (?:^|(?<=[|/.!?][ ])|(?=\())[|/ (]{0,6}
    (?:
        (?:(?:[Pp]h|F)oto(?:graph(?:y|er)?)?|[Pp]ic(?:ture)?|[Ii]mage|[Vv]ideo|[Vv]isual|PHOTO|Shot)s?
        (?:[ ]?[Cc]red(?:it)?s?)?(?:[ ]by[ ]|:[ ]?|[ ]by:[ ])
      | (?:[📷📸🎥]\ufe0f?|PH|Ph|IG|ph)[ ]?:[ ]?
    )
    (?:(?>[^\W\d_][\w.’'-]*|&)[ ]?){1,4}(?:[)|:/–—®-]+[ ]?|$)
    | \([📷📸🎥]\ufe0f?[^()\n@]{1,30}\)
    """,
    re.VERBOSE | re.MULTILINE,
)
#: The last word of a line that named somebody after it.
_TAIL_WORD = re.compile(rf"(?<=[.!?…{EMOJI}] )(?:Photo|Pic|Picture|Product|Artist|Model|Repost|Credit|Together)s?$", re.MULTILINE)
#: A name without a "by": "pics Audi", "picture ada®".
_BARE_CREDIT = re.compile(
    r"""
    [Pp]hoto[ ]credits?[ ]?[-–][ ]?\w+
    | ^(?:pics?|photos?|picture)[ ][A-Z]\w+(?:[ ]/[ ].*)?$
    | \bpicture[ ][\w.]+®
    | \b(?:Project|Designed|Images?)[ ](?:by|via):?[ ][A-Z][^.!?\n]{0,60}$
    | [|🎥📷📸 ]{0,6}©[ ]?[A-Z][\w .]*$
    | (?<!\|)\|\|+[ ]?(?:[🎥📷📸][ ]?)?\.*$
    """,
    re.VERBOSE | re.MULTILINE,
)
#: What was put on, a line each: "Lips: ...".
_WORN = re.compile(
    r"""
    ^[^\w\n]*(?:
        (?:eyes?|lips?|brows?|lash(?:es)?|(?:eye)?liner|eyeshadows?|glitter|highlight(?:er)?|contour|foundation|mascara|glow|concealer
          |blush|bronzer|primer|lipstick|dets|deets|formula)\b[^:\n]{0,16}:.*
      | \w+:{3,}.*
      | (?:o[ ]u[ ]t[ ]f[ ]i[ ]t|outfit(?:[ ]details)?)[^\w\n]*
    )$
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
#: Who did what, by name: a line of three of these.
_ROLE = re.compile(
    r"\b(?:Photograph(?:er|y)|Director|Stylist|Styl(?:ing|ed)|Designer|Make-?[Uu]p|MUA|Hair|Model|Assistant|Producer|Retouch\w*|Casting)\b"
)
#: Camera, lens and settings. Two of them in a line are a list of gear, if one is a setting: names and fractions are in sentences too.
_GEAR = re.compile(
    r"""
    (?P<setting>\bISO[ -]?\d+|\bf/?[ ]?\d+(?:\.\d)?\b|\b(?:\d+-)?\d+[ ]?mm\b|\bshot[ ](?:with|on)[ ](?=[A-Z]))
    | \b\d/\d{2,4}\b
    | \b(?:sony|canon|nikon|fujifilm|leica|minolta|olympus|lumix|sigma|tamron|hasselblad)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAYBE_GEAR = re.compile(r"\d|[hH][oO][tT] ")
#: A label that named somebody who has gone, alone on a line or after a bar ("soil with a low ph." isn't one).
_LABEL_ALONE = re.compile(
    r"(?:^|[/|])[ ]*(?:ph|cr)\.[ ]*$|^(?:photo|pic|picture|caption|credit|repost|regram)s?[.:]?$",
    re.IGNORECASE | re.MULTILINE,
)
#: A credit by name that begins a line and has no end of its own: "Photograph by Ann Lee Things look different from up there".
_NAMED_AT_START = re.compile(
    r"^(?:Photograph|Photo|Text|Story|Words) by [A-Z][\w.'’-]+(?: [A-Z][\w.'’-]+)?(?= [A-Z]|[ \W]*$)", re.MULTILINE
)
#: A sentence that says who made the picture, the text or what they show, or how: "Text written by Ann Lee.", "(Makeup by me)".
_SAID_BY = re.compile(
    rf"""
    (?:^|(?<=[.!?…{EMOJI}][ ])|(?<=[.!?…{EMOJI}]))[ (]*
    (?:
        (?:Photo(?:graph)?|Pic(?:ture)?|Image|Text|Story|Words|Caption|Article|Glam|Make-?[Uu]p|MUA|Hair|Styling|Art(?:work)?|Design)s?
        (?:[ ](?:written|taken|shot|done))?[ ]?
        (?:
            \b(?:by|via)[ ](?=(?:me|his|her)\b|[^\W\d_a-z]|the[ ](?:\w+[ ]){{0,4}}(?:photographer|shift|writer))
          | [-–:][ ]?(?=(?:me|Me|ME)\b)
        )
      | (?:Photograph(?:y|ed)?|Photo|Image|Picture)[ ](?:was[ ])?(?:taken|shot)[ ]
      | (?:Taken|Shot|Captured|Edited|Filmed)[ ](?:with|on|using)[ ](?:a|an|my|the)[ ]
        (?=[^.!?\n]{{0,20}}(?:\d|camera|lens|phone|gopro|drone|filter))
      | (?:[Ee]dited|[Ff]ilmed|[Ss]hot|[Tt]aken)[ ]by[ ](?=me\b|[^\W\d_a-z])
      | [^.!?\n]{{0,60}}[ ](?:
            (?:is|are|was|were)[ ]designed[ ](?:and[ ]built[ ])?by[ ](?=[^\W\d_a-z])
          | by[ ](?=(?:[^\W\d_a-z][\w+&.-]*[ ]){{1,4}}(?:Studio|Architect|Arquitect|Atelier|Associates))
        )
    )\b
    [^.!?\n@{EMOJI}]*(?:[.!?]+(?!\w)|[{EMOJI}]+(?=\))|(?=\)|[{EMOJI}])|$)\)?(?:[ ]Published[ ]in[ ][^\n]*)?
    """,
    re.VERBOSE | re.MULTILINE,
)
#: Who made something; a day, a time and a water are no makers.
_MADE_BY = re.compile(
    r"\b[Bb]y (?!\w+day\b|(?:Night|Day|Christmas|Easter|I|Me|Lake|River|Creek|Beach)\b|\w+ (?:Lake|River|Creek|Beach)\b)[^\W\d_a-z]"
)
#: A title and its maker are a line of their own of no more words than this, so few of them written small, these not counted.
_LONGEST_TITLE, _SMALL_IN_TITLE = 16, 1
_OF_TITLES = word_set("a an and at by for from in of the to with")
_SENTENCE_END = re.compile(r"[.!?] ")
#: Where it was taken or is from, and with what, each a line.
_LABEL_LINE = re.compile(
    rf"""
    (?:^[^\w\n]{{0,20}}|(?<=[.!?{EMOJI}][ ]))(?:Location|LOCATION|location|Loc)\b[ ]?:.*$
    | ^via[ ]\w+$
    | ^Caption:[ ].*$
    | [ /|]{{0,4}}\b[Ss]ource:?[ ][Uu]nknown\b[,.]?
    | ^(?:location|model|venue|designer)(?:[ ][\"“\#]?[^\W\d_a-z][^.!?\n]{{0,40}})?$
    | ^From[ ](?:the|my)[ ](?:project|series)[ ][\"“A-Z].{{0,60}}$
    | ^[🎸🎹🎤🎵📍📷📸🎥🔍]\ufe0f?[ ]?:[ ]?\w.*$
    """,
    re.VERBOSE | re.MULTILINE,
)


def without_credits(text: str) -> str:
    """Return ``text`` without what credits a picture, names the account reposted from, or lists who did what.

    A short line about an account ("Hair by @x") is removed too if another line stays.
    """
    for removed, literals in _REMOVED:
        if literals and not any(literal in text for literal in literals):
            continue
        if isinstance(removed, re.Pattern):
            text = removed.sub("", text)
        else:
            text = "\n".join(line for line in text.split("\n") if not removed(line))
    marked = mark_handles(text)
    if "@" not in marked:
        return tidy(text)
    without = _without_handle_credits(marked)
    return text if without == marked else without


def _is_gear(line: str) -> bool:
    """Return whether ``line`` lists with what camera, lens and settings a picture was taken."""
    parts = list(_GEAR.finditer(line)) if _MAYBE_GEAR.search(line) else []
    return len(parts) >= 2 and any(part["setting"] for part in parts)


def _is_title(line: str) -> bool:
    """Return whether ``line`` is the title of something with the name of its maker: "The Glass Hut by Ann Lee Architects in Oslo"."""
    if not _MADE_BY.search(line) or _SENTENCE_END.search(line):
        return False
    words = _WORD.findall(line)
    return len(words) <= _LONGEST_TITLE and sum(word[0].islower() and word not in _OF_TITLES for word in words) <= _SMALL_IN_TITLE


#: What is removed in turn: all that matches a pattern, and the lines that a function picks. Of the literals after it, if any, one is in
#: every such text; looking for these first halves the time of the rule.
_REMOVED: tuple[tuple[re.Pattern[str] | Callable[[str], bool], tuple[str, ...]], ...] = (
    (_NAMED_CREDIT, (":", " by ", "(📷", "(📸", "(🎥")),
    (_TAIL_WORD, ()),
    (_BARE_CREDIT, ("hoto", "pic", "roject", "esigned", "mage", "©", "||")),
    (_WORN, ()),
    (lambda line: len(set(_ROLE.findall(line))) >= 3, ()),
    (_is_gear, ()),
    (_LABEL_ALONE, ()),
    (_NAMED_AT_START, (" by ",)),
    (_SAID_BY, ("by ", "via ", "aken ", "hot ", "aptured ", "dited ", "ilmed ", "-", "–", ":")),
    (_is_title, ("by ", "By ")),
    (_LABEL_LINE, (":", "via ", "ource", "ocation", "model", "venue", "designer", "From ")),
)


def _without_handle_credits(text: str) -> str:
    text = _CREDIT_LINE.sub("", text)
    lower = text.lower()
    if any(part in lower for part in _IN_INLINE_CREDIT):
        text = close_holes(_INLINE_CREDIT.sub(_without_inline_credit, text))
    if "\n" not in text:
        return tidy(_without_labelled(text))
    lines = [_without_labelled(line) for line in text.split("\n")]
    lines = [line for line in lines if not holds_handle(line) or _other_words(line)]
    others = [line for line in lines if not holds_handle(line) or _other_words(line) > _FEW_WORDS]
    if len(others) < len(lines) and sum(map(_other_words, others)) >= 3:
        lines = others
    return tidy("\n".join(lines))


def _without_inline_credit(match: re.Match[str]) -> str:
    """Return nothing, or in the middle of a sentence a mark that takes it along: "a sick photo by @x that never made it"."""
    follows = _SMALL_WORD.match(match.string, match.end())
    if match["few"]:
        return BROKEN if follows else ""
    in_sentence = match.string[: match.start()].rstrip(" ")[-1:].isalpha() and match[0][0] != "("
    return BROKEN if in_sentence and (follows or (match["picture"] or "")[:1].islower()) else ""


def _other_words(line: str) -> int:
    """Return how many words of ``line`` are in no handle or tag."""
    return len(_WORD.findall(TAG_OR_HANDLE.sub("", line)))


def _without_labelled(line: str) -> str:
    labelled = list(_LABELLED.finditer(line)) if line.count("@") > 1 and (":" in line or ";" in line) else []
    return line[: labelled[0].start()] if len(labelled) > 1 else line
