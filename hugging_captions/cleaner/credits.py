"""Remove credits from a sentence: photographer, reposted account, roles, clothes, camera.

Pure functions of a sentence. The rest stays: "Photo by @x. Two foxes asleep" keeps the foxes.
"""

from __future__ import annotations

import re

from ..text import EMOJI, HANDLE, TAG, TAG_OR_HANDLE, word_set
from .normalize import close_gap
from .privacy import HANDLES, mark_handles

_CAMERA = r"[📷📸🎥📹🎬©️]\ufe0f?"
_WORK = (
    r"(?:photo(?:graph(?:er|y|ed)?)?s?|foto|pics?|pictures?|images?|videos?|vid|shot|captured?|film(?:ed)?|edit(?:ed)?|words|text|caption|story"
    r"|art(?:work)?|illustration|design|regram|re-?post(?:ed)?|rg|rp|ph|pc|📷|📸|🎥|📹|credits?|cr|creds?|source|via|feat|model|muah?"
    r"|make-?up|hair|styl(?:ing|ed|ist)|glam|nails|brows?|lashes|lips|outfit|dress|top|shoes|bag|jacket|jeans|suit|swim(?:suit|wear)?|bikini"
    r"|wearing|sunnies|sunglasses|watch|location|venue|planner|florist|flowers|cake|music|song|🎵|🎶|👗|👠|👜|👕|👖|👟|👻|🏙|💄|📍)"
)
_BY = (
    r"(?:(?:[ ]*(?:credits?|creds?|courtesy|taken|shot|was|is|goes|thanks))*[ ]*"
    r"(?:\b(?:by|from|of|via|to|with|on|for)\b|[:©@|/–—-]|[ ](?=[@\#]))+)"
)
#: A credit of handles or tags at the beginning of a sentence, with the place: "Image by @x/@y.", "📷: @x at @y".
_AT_START = re.compile(
    rf"""
    ^[^\w@\#]*(?:{_CAMERA}[ ]*:?[ ]*)?(?:\#?{_WORK}\b)?(?:[ ]+(?:&|and)[ ]+{_WORK}\b)?
    (?:(?<=[📷📸🎥📹🎬👻📍:️])[ ]*|{_BY})[ ]*:?[ ]*(?:by[ ]+)?(?:{HANDLES}|{TAG})
    (?:[ ,]+(?:at|for|on|in|via|from|with|and|on[ ]board)[ ]+{HANDLES})*[)\]]?[ .:,|–-]*
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: The same after a sentence, with or without brackets.
_AT_END = re.compile(
    rf"""
    [ ]*[(\[|/,–—-]*[ ]*(?:\b(?:with|by)\b[ ]*)?
    (?:{_CAMERA}[ ]*:?[ ]*(?:(?:by|cred(?:it)?s?|via)\b[ ]*:?[ ]*)?
      |\b(?:photo(?:graph)?s?|pics?|pictures?|images?|video|shot|repost|regram|edit|hair|make-?up)\b[ ]*
       (?:cred(?:it)?s?\b[ ]*)?(?:\bby\b|\bfrom\b|\bvia\b|:)[ ]*:?[ ]*
      |\b{_WORK}[ ]*:[ ]*)
    (?:{HANDLES})[)\]]?[.! ]*(?:[{EMOJI} ]*)$
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAME = r"(?:[^\W\d_a-z][\w.'’&-]*)"
#: A credit of a name: "Photo by Ann Lee", "Photograph © Ann Lee for the museum", "📷: Ann"; in brackets as well.
_NAMED = re.compile(
    rf"""
    (?:^|[(\[|][ ]*)[^\w(]*
    (?:
        (?:[Pp]hoto(?:graph(?:y|er|s|ed)?)?s?|[Pp]ic(?:ture)?s?|[Ii]mages?|[Vv]ideo|[Ff]oto|PHOTO|[Ss]hot|[Tt]ext|[Ww]ords|[Ss]tory|[Cc]aption|[Ff]ilmed
          |[Ee]dited|[Tt]aken|[Cc]aptured|[Aa]rt(?:work)?|[Dd]esign(?:ed)?|[Mm]akeup|[Hh]air|[Pp]roject|[Mm]odel)
        (?:[ ](?:and|&)[ ]\w+)?(?:[ ][Cc]red(?:it)?s?)?
        (?:[ ]?(?:taken|shot|written)?[ ](?:by|via|courtesy[ ]of)[ :]|[ ]?[:©]|[ ]by:)[ ]?(?:©[ ]?)?
      | (?:{_CAMERA}|PH|Ph|IG|ph|PC|pc)[ ]?:?[ ]?(?:©[ ]?|by[ ])?(?=[A-Z])
      | ©[ ]?
    )
    (?:(?:me|my\b\w*|{_NAME})(?:[ ](?:{_NAME}|van|von|de|der|of|&|and(?=[ ][A-Z]))){{0,4}})
    (?:[ ](?:for|at|from|in|on)[ ](?:the[ ])?{_NAME}(?:[ ]{_NAME}){{0,4}})?
    (?:[)\]]|[ ]*[.|:–—-]*$|(?=[ ]+[A-Z“"]))
    """,
    re.VERBOSE,
)
#: A maker, or the role of a handle, in brackets.
_BRACKETED = re.compile(
    rf"[ ]*\((?:{_CAMERA}[^()\n]{{1,30}}|(?:photo|pic|image|edit|make-?up|hair|credit)s?\b[^()\n]{{1,30}}"
    rf"|[^()\n@]{{0,40}}{HANDLE}[^()\n]{{0,60}})\)",
    re.IGNORECASE,
)
#: A label with a colon: role, clothes, place.
_LABELLED = re.compile(
    rf"""
    ^[^\w\n{EMOJI}]*(?:(?=[{EMOJI}])|[{EMOJI}]*[^\w\n]*)(?:
        (?:eyes?|lips?|brows?|lash(?:es)?|(?:eye)?liner|eyeshadows?|glitter|highlight(?:er)?|contour|foundation|mascara|concealer|blush
          |bronzer|primer|lipstick|d[ee]{{1,2}}ts|formula|nails?|hair|makeup|outfit(?:[ ]details)?|location|loc|camera|lens|film|gear|model
          |music|song|source|photographer|photo|year|title|medium|size|gym|tool|effect|edit(?:or)?|exif|settings|materials?|caption
          |photo[ ]?creds?)\b[^:\n]{{0,16}}:.*
      | [🎸🎹🎤🎵🎶🎧📍📷📸🎥🔍]\ufe0f?[ ]?:[ ]?\w.*
      | Published[ ]in[ ][A-Z].*
      | (?:o[ ]u[ ]t[ ]f[ ]i[ ]t|outfit(?:[ ]details)?|via[ ]\w+|credits?|(?:photo|pic|picture|video|caption|repost|regram)s?)[^\w\n]*
      | [^\W\d_][\w&/ ]{{0,20}}[:;|•-][ ]*{HANDLE}.*
    )$
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: Roles with names: three of these in a line, or one with only a name.
_ROLE_OF = re.compile(
    rf"""
    ^[^\w\n]*(?:Stylist|Styling|Make-?[Uu]p|MUA|Hair|Model|Director|Producer|Retouch\w*|Assistant|Designer|Artist|Architects?|Photographer)s?
    (?:[ ](?:and|&)[ ][\w-]+)?[ :|–-]+(?:by[ ])?{_NAME}(?:[ ]{_NAME}){{0,3}}[.!]?$
    """,
    re.VERBOSE,
)
_ROLE = re.compile(
    r"\b(?:Photograph(?:er|y)|Director|Stylist|Styl(?:ing|ed)|Designer|Make-?[Uu]p|MUA|Hair|Model|Assistant|Producer|Retouch\w*|Casting)\b"
)
#: Camera, lens and settings. Two of them, one a setting, make a list of gear; names and fractions occur in sentences too.
_GEAR = re.compile(
    r"""
    (?P<setting>\bISO[ -]?\d+|\bf/?[ ]?\d+(?:\.\d)?\b|\b(?:\d+-)?\d+[ ]?mm\b|\bshot[ ](?:with|on)[ ](?=[A-Z]))
    | \b\d/\d{2,4}\b
    | \b(?:sony|canon|nikon|fuji(?:film|non)?|leica|minolta|olympus|lumix|sigma|tamron|hasselblad|ricoh|kodak|portra|ilford|gopro|iphone)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAYBE_GEAR = re.compile(
    r"\d|[SsCcNnFfLlMmOoTtHhRrKkPpIiGg]"
    r"(?:ony|anon|ikon|uji|eica|inolta|lympus|umix|igma|amron|assel|icoh|odak|ortra|lford|oPro|opro|Phone|hot o|hot w)"
)
_TAKEN_WITH = re.compile(
    rf"""
    ^[^\w\n]*(?:taken|shot|captured|edited|filmed|photographed)[ ](?:(?:and[ ]\w+|entirely)[ ])?(?:with|on|using)[ ]
    (?:(?:a|an|my|the)[ ])?(?=[^.!?\n]{{0,40}}(?:\d|camera|lens|phone|gopro|drone|filter|film|@|lightroom))
  | ^[^\w\n]*(?:taken|shot|captured|edited|filmed|photographed|styled)[ ](?:by|in)[ ](?:me\b|{HANDLE})
  | ^[^\w\n]*(?:(?:photo(?:graph)?|image|picture)[ ](?:was[ ])?(?:taken|shot)[ ])
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: A maker after "by"; days, times, lakes and rivers are excluded.
_MADE_BY = re.compile(
    r"\b[Bb]y (?!\w+day\b|(?:Night|Day|Christmas|Easter|I|Me|Lake|River|Creek|Beach)\b|\w+ (?:Lake|River|Creek|Beach)\b)[^\W\d_a-z]"
)
#: Most words of a title with its maker, and most lower-case words among them, without these.
_LONGEST_TITLE, _SMALL_IN_TITLE = 16, 1
_OF_TITLES = word_set("a an and at by for from in of the to with")
_WORD = re.compile(r"\w+")
#: A lower-case word that no list of gear has.
_SMALL_WORD = re.compile(r"\b(?!(?:shot|with|and|lens|film|edited|taken|camera|preset)\b)[a-z]{3,}\b")
#: Every credit and every label contains one of these.
_MAYBE_NAMED = re.compile(r"[©:📷📸🎥📹🎬]|[ ](?:by|via|courtesy)\b|[PpIi][HhCcGg][ ]")
_MAYBE_HANDLE, _MAYBE_LABEL = re.compile("[@#]"), re.compile("[:;|@]")
#: Most characters of a label without a colon, a bar or a handle.
_LONGEST_LABEL = 40
#: A credit followed by this many words is followed by a sentence.
_FEWEST = 3
_BEGINS = re.compile(r"[\"“'‘(]?[^\W_a-z]")


def without_credits(text: str) -> str:
    """Return a sentence without the credit before or after it; nothing if it is only a credit or a list of gear, roles or clothes."""
    marked = mark_handles(text)
    if _is_list(marked):
        return ""
    if "(" in marked:
        marked = _BRACKETED.sub("", marked)
    for find, maybe in ((_AT_START.match, _MAYBE_HANDLE), (_NAMED.search, _MAYBE_NAMED)):
        if maybe.search(marked) and (match := find(marked)) and match[0].strip():
            rest = f"{marked[: match.start()].rstrip()} {marked[match.end() :]}".strip()
            if len(_WORD.findall(TAG_OR_HANDLE.sub("", rest))) < _FEWEST:
                return ""
            if match.start() > 0 or _BEGINS.match(rest):
                marked = rest
    if "@" in marked and (match := _AT_END.search(marked)):
        marked = marked[: match.start()]
        if len(_WORD.findall(TAG_OR_HANDLE.sub("", marked))) < 2:
            return ""
    return close_gap(marked) if marked != mark_handles(text) else text


def _is_list(text: str) -> bool:
    if (len(text) < _LONGEST_LABEL or _MAYBE_LABEL.search(text)) and _LABELLED.match(text):
        return True
    if _TAKEN_WITH.match(text) or _ROLE_OF.match(text) or len(set(_ROLE.findall(text))) >= 3:
        return True
    gear = list(_GEAR.finditer(text)) if _MAYBE_GEAR.search(text) else []
    small = len(_SMALL_WORD.findall(text)) if gear else 0
    return (bool(gear) and not small) or (len(gear) >= 2 and any(part["setting"] for part in gear) and small < 3) or _is_title(text)


def _is_title(text: str) -> bool:
    """Return whether ``text`` is a title with the name of a maker: "The Glass Hut by Ann Lee Architects in Oslo"."""
    if ("by " not in text and "By " not in text) or not _MADE_BY.search(text):
        return False
    words = _WORD.findall(text)
    return len(words) <= _LONGEST_TITLE and sum(word[0].islower() and word not in _OF_TITLES for word in words) <= _SMALL_IN_TITLE
