"""Take out the lines that credit: who took the picture, who was reposted, who did what, what was worn.

Pure text functions; what names somebody inside a sentence is ``privacy``'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from ..text import EMOJI, HANDLE, TAG_OR_HANDLE, holds_handle, word_set
from .automaton import automaton
from .normalize import BROKEN, close_holes, tidy
from .privacy import HANDLES, mark_handles

_WORD_RUN = re.compile(r"\w+")
#: The last word of a line that named somebody behind it.
_TAIL_WORD = re.compile(rf"(?<=[.!?…{EMOJI}] )(?:Photo|Pic|Picture|Product|Artist|Model|Repost|Credit|Together)s?$", re.MULTILINE)
#: A list of who did what: "Planner: @x | Florist: @y".
_LABELLED = re.compile(rf"[|,/•(]?[ ]*[^\W\d_][\w&/ ]{{0,20}}[:;][ ]*{HANDLE}")
#: A line with a handle and no more words than this is about the handle: "Hair by @x", "Swimsuit @y".
_FEW_WORDS = 4

_CREDIT_LINE = re.compile(
    rf"^[^\w@\n]*(?:[📷📸🎥📹🎬©️]+\s*:?\s*(?:(?:by|credit|cred|via)\b\s*:?\s*)?(?:{HANDLE})"
    rf"|(?:(?:photo|pic|picture|image|video|shot|captured?|credits?|photographer|photography|edit|model|mua|hair|styling|repost(?:ed)?|regram(?:med)?|rg|rp)\b"
    rf"[^\n@]{{0,24}}{HANDLE})).*$",
    re.IGNORECASE | re.MULTILINE,
)
_PICTURE = r"(?:photo(?:graph)?|pic|picture|image|video|shot|edit|hair|make-?up|mua|styling|styled)s?"
#: The same in the middle of a line, and with a few words before it ("Lovely pic by @x") that go along.
_INLINE_CREDIT = re.compile(
    rf"\(?(?P<few>(?-i:(?:(?<![^\n])|(?<=[.!?…{EMOJI}] ))(?:[\w'’]+ +){{1,3}}(?={_PICTURE}\b)))?"
    rf"(?:(?:(?<!\w)(?:with|by|from|and|&)[ ]|(?<=[.!?…{EMOJI}] )[A-Z]\w+[ ])?[📷📸🎥📹]\ufe0f?[ ]*:?"
    rf"|(?P<picture>\b{_PICTURE})(?:[ ]+(?:and|&)[ ]+\w+)?(?:[ ]+(?:credits?|cred))?(?:[ ]+(?:by|via|from)\b|[ ]*:))[ ]*(?:by[ ]+)?{HANDLES}\)?",
    re.IGNORECASE,
)
_SMALL_WORD = re.compile(r" [a-z]")
_NAMED_CREDIT = re.compile(
    r"(?:^|(?<=[|/.!?] )|(?=\())[|/ (]{0,6}(?:(?:(?:[Pp]h|F)oto(?:graph(?:y|er)?)?|[Pp]ic(?:ture)?|[Ii]mage|[Vv]ideo|[Vv]isual|PHOTO|Shot)s?"
    r"(?: ?[Cc]red(?:it)?s?)?(?: by |: ?| by: )|(?:[📷📸🎥]\ufe0f?|PH|Ph|IG|ph)[ ]?: ?)"
    r"(?:(?>[^\W\d_][\w.’'-]*|&) ?){1,4}(?:[)|:/–—®-]+ ?|$)|\([📷📸🎥]\ufe0f?[^()\n@]{1,30}\)",
    re.MULTILINE,
)
#: The same without a "by": "pics Audi", "picture ada®".
_BARE_CREDIT = re.compile(
    r"[Pp]hoto credits? ?[-–] ?\w+|^(?:pics?|photos?|picture) [A-Z]\w+(?: / .*)?$|\bpicture [\w.]+®|\b(?:Project|Designed|Images?) (?:by|via):? [A-Z][^.!?\n]{0,60}$|[|🎥📷📸 ]{0,6}© ?[A-Z][\w .]*$|(?<!\|)\|\|+ ?(?:[🎥📷📸] ?)?\.*$",
    re.MULTILINE,
)
#: Who did what, by name: a line of several of these.
_ROLE = re.compile(
    r"\b(?:Photograph(?:er|y)|Director|Stylist|Styl(?:ing|ed)|Designer|Make-?[Uu]p|MUA|Hair|Model|Assistant|Producer|Retouch\w*|Casting)\b"
)
_ROLES = 3
#: Camera, lens and settings; so many of them are a list.
_GEAR = re.compile(
    r"\bISO[ -]?\d+|\bf/? ?\d+(?:\.\d)?\b|\b\d/\d{2,4}\b|\b(?:\d+-)?\d+ ?mm\b|\bshot (?:with|on) (?=[A-Z])"
    r"|\b(?:sony|canon|nikon|fujifilm|leica|minolta|olympus|lumix|sigma|tamron|hasselblad)\b",
    re.IGNORECASE,
)
_GEAR_PARTS = 2
#: A label that named somebody who has gone, alone on a line or behind a bar ("soil with a low ph." is none).
_LABEL_ALONE = re.compile(
    r"(?:^|[ ]*[/|])[ ]*(?:ph|cr)\.[ ]*$|^(?:photo|pic|picture|caption|credit|repost|regram)s?[.:]?$", re.IGNORECASE | re.MULTILINE
)
#: A credit by name that begins a line and has no end of its own: "Photograph by Ann Lee Things look different from up there".
_NAMED_AT_START = re.compile(
    r"^(?:Photograph|Photo|Text|Story|Words) by [A-Z][\w.'’-]+(?: [A-Z][\w.'’-]+)?(?= [A-Z]|[ \W]*$)", re.MULTILINE
)
#: A sentence that says by whom the picture, the text or what they show is, or how it was taken: "Text written by Ann Lee.", "(Makeup by me)".
_SAID_BY = re.compile(
    rf"(?:^|(?<=[.!?…{EMOJI}] )|(?<=[.!?…{EMOJI}]))[ (]*"
    r"(?:(?:Photo(?:graph)?|Pic(?:ture)?|Image|Text|Story|Words|Caption|Article|Glam|Make-?[Uu]p|MUA|Hair|Styling|Art(?:work)?|Design)"
    r"s?(?: (?:written|taken|shot|done))? ?(?:\b(?:by|via) (?=(?:me|his|her)\b|[^\W\d_a-z]|the (?:\w+ ){0,4}(?:photographer|shift|writer))|[-–:] ?(?=(?:me|Me|ME)\b))"
    r"|(?:Photograph(?:y|ed)?|Photo|Image|Picture) (?:was )?(?:taken|shot) "
    r"|(?:Taken|Shot|Captured|Edited|Filmed) (?:with|on|using) (?:a|an|my|the) (?=[^.!?\n]{0,20}(?:\d|camera|lens|phone|gopro|drone|filter))"
    r"|(?:[Ee]dited|[Ff]ilmed|[Ss]hot|[Tt]aken) by (?=me\b|[^\W\d_a-z])"
    r"|[^.!?\n]{0,60} (?:(?:is|are|was|were) designed (?:and built )?by (?=[^\W\d_a-z])|by (?=(?:[^\W\d_a-z][\w+&.-]* ){1,4}(?:Studio|Architect|Arquitect|Atelier|Associates))))\b"
    rf"[^.!?\n@{EMOJI}]*(?:[.!?]+(?!\w)|[{EMOJI}]+(?=\))|(?=\)|[{EMOJI}])|$)\)?(?: Published in [^\n]*)?",
    re.MULTILINE,
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
    rf"(?:^[^\w\n]{{0,20}}|(?<=[.!?{EMOJI}] ))(?:Location|LOCATION|location|Loc)\b ?:.*$|^via \w+$|^Caption: .*$|[ /|]{{0,4}}\b[Ss]ource:? [Uu]nknown\b[,.]?"
    r"|^(?:location|model|venue|designer)(?: [\"“#]?[^\W\d_a-z][^.!?\n]{0,40})?$|^From (?:the|my) (?:project|series) [\"“A-Z].{0,60}$"
    r"|^[🎸🎹🎤🎵📍📷📸🎥🔍]\ufe0f? ?: ?\w.*$",
    re.MULTILINE,
)
#: What was put on, a line each: "Lips: ...".
_WORN = re.compile(
    r"^[^\w\n]*(?:eyes?|lips?|brows?|lash(?:es)?|(?:eye)?liner|eyeshadows?|glitter|highlight(?:er)?|contour|foundation|mascara|glow|concealer"
    r"|blush|bronzer|primer|lipstick|dets|deets|formula)\b[^:\n]{0,16}:.*$|^[^\w\n]*\w+:{3,}.*$|^[^\w\n]*(?:o u t f i t|outfit(?: details)?)[^\w\n]*$",
    re.IGNORECASE | re.MULTILINE,
)


#: What each of the credits without a handle has at least, for RE2.
_SIGNS = (
    r"(?:(?:[Pp]h|F)oto(?:graph(?:y|er)?)?|[Pp]ic(?:ture)?|[Ii]mage|[Vv]ideo|[Vv]isual|PHOTO|Shot)s?(?: ?[Cc]red(?:it)?s?)?(?: by |: ?| by: )\S"
    r"|(?:[📷📸🎥]\x{fe0f}?|PH|Ph|IG|ph) ?: ?\S|\([📷📸🎥]",
    r"(?m)[.!?…\x{fe0f}\x{2190}-\x{2bff}\x{1f000}-\x{1faff}] (?:Photo|Pic|Picture|Product|Artist|Model|Repost|Credit|Together)s?$",
    r"(?m)[Pp]hoto credits? ?[-–]|^(?:pics?|photos?|picture) [A-Z]|picture [^\s®]+®|(?:Project|Designed|Images?) (?:by|via):? [A-Z]|© ?[A-Z]|\|\|",
    r"(?mi):::|^[^a-z0-9_\n]*(?:eyes?|lips?|brows?|lash(?:es)?|(?:eye)?liner|eyeshadows?|glitter|highlight(?:er)?|contour|foundation"
    r"|mascara|glow|concealer|blush|bronzer|primer|lipstick|dets|deets|formula)\b[^:\n]{0,16}:|^[^a-z0-9_\n]*(?:o u t f i t|outfit)",
    "Photograph|Director|Styl|Designer|Make-?[Uu]p|MUA|Hair|Model|Assistant|Producer|Retouch|Casting",
    r"(?i)\b(?:iso|f)[ /-]*\d|\d ?mm\b|shot (?:with|on) |ph\.|cr\.|(?m:^)(?:photo|pic|picture|caption|credit|repost|regram)s?[.:]?(?m:$)",
    r"(?:Photograph|Photo|Text|Story|Words) by [A-Z]",
    r"(?:Photo|Pic|Image|Text|Story|Words|Caption|Article|Glam|Make|MUA|Hair|Styling|Art|Design)[A-Za-z-]*(?: [a-z]+)? ?(?:by|via|[-–:] ?[Mm][Ee])"
    r"|(?:Photo|Image|Picture)[a-z]* (?:was )?(?:taken|shot) |(?:Taken|Shot|Captured|Edited|Filmed) (?:with|on|using) |(?:dited|ilmed|hot|aken) by | designed (?:and built )?by "
    r"|by (?:[\pL\pN_+&.-]+ ){1,4}(?:Studio|Architect|Arquitect|Atelier|Associates)",
    r"\b[Bb]y \pL",
    r"(?m)[Ll](?:oc|OC)[A-Za-z]* ?:|^via |^Caption: |^(?:location|model|venue|designer)\b|^From (?:the|my) (?:project|series)|[Ss]ource:? [Uu]nk|^[^\x00-\x7f\pL]+ ?:",
)
_MENDS: tuple[Callable[[str], str], ...] = (
    lambda text: _NAMED_CREDIT.sub("", text),
    lambda text: _TAIL_WORD.sub("", text),
    lambda text: _BARE_CREDIT.sub("", text),
    lambda text: _WORN.sub("", text),
    lambda text: "\n".join(line for line in text.split("\n") if len(set(_ROLE.findall(line))) < _ROLES),
    lambda text: _LABEL_ALONE.sub("", "\n".join(line for line in text.split("\n") if not _is_gear(line))),
    lambda text: _NAMED_AT_START.sub("", text),
    lambda text: _SAID_BY.sub("", text),
    lambda text: "\n".join(line for line in text.split("\n") if not _is_title(line)),
    lambda text: _LABEL_LINE.sub("", text),
)


def _is_title(line: str) -> bool:
    """Return whether ``line`` is the title of something with the name of its maker: "The Glass Hut by Ann Lee Architects in Oslo"."""
    if not _MADE_BY.search(line) or _SENTENCE_END.search(line):
        return False
    found = _WORD_RUN.findall(line)
    return len(found) <= _LONGEST_TITLE and sum(word[0].islower() and word not in _OF_TITLES for word in found) <= _SMALL_IN_TITLE


def _is_gear(line: str) -> bool:
    """Return whether ``line`` lists with what camera, lens and settings a picture was taken."""
    return len(_GEAR.findall(line)) >= _GEAR_PARTS


def without_credits(text: str) -> str:
    """Return ``text`` without what credits a picture, names the account reposted from, or lists who did what.

    A short line about an account ("Hair by @x") goes too, where another line stays.
    """
    for i in signs(text):
        text = _MENDS[i](text)
    marked = mark_handles(text)
    if "@" not in marked:
        return tidy(text)
    without = _without_handle_credits(marked)
    return text if without == marked else without


@lru_cache(maxsize=1)  # asked for once to know whether the rule has work, once to do it
def signs(text: str) -> Sequence[int]:
    """Return which of the credits without a handle may be in ``text``."""
    return sorted(_looker().Match(text.encode("utf-8", "replace")) or ())


@cache
def _looker() -> Any:
    return automaton(_SIGNS)


@cache
def _inline_looker() -> Any:
    """Return what looks for the end of an inline credit: a word of pictures or a camera before a handle."""
    before = r"photo(?:graph)?s?|pic(?:ture)?s?|images?|videos?|shots?|edits?|hair|make-?up|mua|styl(?:ing|ed)s?|credits?|cred|by|via|from"
    return automaton([rf"(?i)(?:{before}|[&d] [\pL\pN_]+|[📷📸🎥📹]\x{{fe0f}}?) *:? *(?:by *)?@"])


def _without_handle_credits(text: str) -> str:
    text = _CREDIT_LINE.sub("", text)
    if _inline_looker().Match(text.encode("utf-8", "replace")):
        text = close_holes(_INLINE_CREDIT.sub(_without_inline_credit, text))
    if "\n" not in text:
        return tidy(_without_labelled(text))
    lines = [_without_labelled(line) for line in text.split("\n")]
    lines = [line for line in lines if not holds_handle(line) or _words_beside(line)]
    told = [line for line in lines if not holds_handle(line) or _words_beside(line) > _FEW_WORDS]
    if len(told) < len(lines) and sum(map(_words_beside, told)) >= 3:
        lines = told
    return tidy("\n".join(lines))


def _without_inline_credit(match: re.Match[str]) -> str:
    """Return nothing, or in the middle of a sentence a mark that takes it along: "a sick photo by @x that never made it"."""
    follows = _SMALL_WORD.match(match.string, match.end())
    if match["few"]:
        return BROKEN if follows else ""
    in_sentence = match.string[: match.start()].rstrip(" ")[-1:].isalpha() and match[0][0] != "("
    return BROKEN if in_sentence and (follows or (match["picture"] or "")[:1].islower()) else ""


def _words_beside(line: str) -> int:
    """Return how many words of ``line`` are in no handle or tag."""
    return len(_WORD_RUN.findall(TAG_OR_HANDLE.sub("", line)))


def _without_labelled(line: str) -> str:
    labelled = list(_LABELLED.finditer(line)) if line.count("@") > 1 and (":" in line or ";" in line) else []
    return line[: labelled[0].start()] if len(labelled) > 1 else line
