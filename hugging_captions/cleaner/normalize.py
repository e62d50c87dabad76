"""Normalize a caption: encoding, characters, separator lines, repeated marks, the gap where a part was removed.

Pure text functions; each leaves its own result unchanged.
"""

from __future__ import annotations

import re
import unicodedata

from ..text import EMOJI, word_set

_R_ESCAPE = re.compile(r"<U\+([0-9A-Fa-f]{4,8})>")
_ENTITY = re.compile(r"&#?\w{1,24};")
#: A sign of mojibake: the first byte of a UTF-8 sequence read as a letter of some old encoding, then another byte that is neither a
#: Russian letter nor an emoji; or a C1 control.
_MOJIBAKE = re.compile(
    r"""
    [\xa0-\u058f√\u2500-\u257f][^\x00-\x7f\u0410-\u044f\u0590-\u1fff\u2600-\u2bff\ufe0f\U0001f000-\U0001faff]
    | [ÂÃâÎÏÐÑРС√├┬][ ]
    | [\x80-\x9f]
    """,
    re.VERBOSE,
)
#: A letter of two bytes read as two of Latin-1, in a word: "KÃ¥mp". ftfy skips a letter that may be a word and a currency sign.
_TWO_BYTES = re.compile("(?<=[a-z])Ã[\xa1-\xbf]|Ã[\xa1-\xbf](?=[a-z])")
_LINE_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_ODD_SPACES = re.compile(r"[\t\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\uffa0]")
#: Soft hyphen, zero-width space, word joiners, bidi marks, BOM and other controls. ZWJ, ZWNJ and the
#: variation selectors stay, because emoji and several scripts need them.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_LOOSE_JOINER = re.compile(r"(?:(?<=[\s\x00-\x7f])|^)[\u200c\u200d]+|[\u200c\u200d]+(?=[\s\x00-\x7f]|$)")
_FANCY_LETTERS = re.compile(r"[\U0001d400-\U0001d7ff]+")
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) +(?=(?:[.,;]|[!?]+)(?:\s*$|\s+[^\s.]))")
_SPACES, _SPACED_BREAK, _BREAKS_IN_A_ROW = re.compile(" {2,}"), re.compile(r" ?\n ?"), re.compile(r"\n{3,}")

#: A line of only these marks is a separator.
_SEPARATOR_LINE = re.compile(r"^[ .·•∙●○◦▪▫◾◽⬩⋅‧・。,_~\-‐-―=*+|/\\:;^⠿ー—–…➖〰☲▬➡⬅]+$", re.MULTILINE)
#: Isolated marks: at the end of a line, before its last emoji, at the beginning of a caption, several bars.
_LOOSE_AT_END = re.compile(
    rf"""
    (?<![|/•·⋅*_~➖〰☲▬ ]) (?<![ ][.\-])
    (?>[ ](?:[|/•·⋅*]+\.? | _(?!_) | ~ | -+ | \. | [➖〰☲▬]+\ufe0f?))+ [ ]*$
    | (?<=[.!?{EMOJI}])_{{3,}}[ ]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
_LOOSE_BEFORE_EMOJI = re.compile(rf" (?<![|•·⋅ ] )(?>[|•·⋅]+)(?> [|•·⋅]+)*(?=[ {EMOJI}]+$)", re.MULTILINE)
_LOOSE_AT_START = re.compile(r"\A(?:(?>[,;|/•·]+|:(?![-)(DPp'])|\.(?=[ \n])|[-–—]+(?![\d\W])) *)+(?=[ \w])")
_BARS_IN_A_ROW = re.compile(r"// +(?:// *)+")

_RUN = re.compile(r"([!?~_=*#$%^&+.-])\1{3,}")
_EMOJI_RUN = re.compile(r"([^\w\s\x00-\x7f]{1,8}?)\1{3,}")

#: Words that don't end a sentence: the next word belongs to it.
LEADS_ON: frozenset[str] = word_set(
    "a an the my our your his her its their this that these those in on at of to for from with w w/ and or but by via into "
    "near about love loved loving miss missing is are was were am be been being so very such no go visit visited explore exploring called "
    "named including include includes joined using wore tried meeting seeing trying getting over happy "
    "like as than x new & + feat ft featuring wearing meet check because when while if who whose shout shoutout props "
    "kudos credit credits courtesy writes starring currently mr. mrs. ms. dr. before after until since w/o without during versus vs vs. "
    "off around through along across under toward towards next aka"
)
#: Words among these that can also end a sentence: a removed part after them doesn't remove the sentence.
_MAY_END = word_set(
    "off around along over through across about so go love loved like new before after since without during next up see visit "
    "that this those him her"
)
#: Words that never end a sentence on purpose.
_NEEDS_MORE = word_set(
    "a an the my our your his their of to for from at with w/ and or & by via called named into "
    "quite a. an. the. my. our. your. and. or. but."
)
#: What stands before the name of an event: "the 2026", "our 5th annual".
_EVENT = re.compile(
    r"\b(?:the|this|our|my|their|its|an?)\ (?:(?:19|20)\d\d|(?:\d+(?:st|nd|rd|th)\ )?annual|upcoming|official|inaugural|first-ever)$",
    re.IGNORECASE | re.VERBOSE,
)
#: Praise of a removed name, and pointers to one.
_PRAISE = re.compile(
    r"""
    \b(?:by|with|from|to|via|in|the|these|our|my|this)(?:\ very|\ \w+ly|\ \w+\ and|\ my)?\ (?:
        talented|amazing|wonderful|lovely|gorgeous|incredible|awesome|beautiful|great|favou?rite|personal|majestic|magnificent|fabulous|new
      | (?!fo?rest|west|guest|quest|chest|nest|contest|request|test|rest|best|interest|harvest)\w+est
    )$
    | \b(?:check(?:ing)?\ out|th(?:is|ese)\ years?|brought\ to\ you(?:\ by)?|(?:is|are|was)\ always|by\ the\ best|picture\ perfect)$
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PAIRS = (('"', '"'), ("“", "”"), ("(", ")"), ("[", "]"))
_BEHIND = re.compile(rf"[\s{EMOJI}✔–—-]+$")
_LONE_BRACKET = re.compile(r"(?<=\s)[)\]](?=\s|$)")
_SMILEY = re.compile(r"[:;=][-'^]?[()]+")
_TRAILING_EMOJI = re.compile(rf"[\s{EMOJI}]+$")
_EMPTY_BRACKETS = re.compile(r"\([\s,.:/|&+]*\)|\[\s*\]")
_STRAY_MARK = re.compile(r"[ ,]+([,.!?;]|:(?![-)(DP]))")
_LOOSE_ENDS = re.compile(r"^[ ,;:|/–—]+(?![-)(DP])|^-+ |(?: [|.•·]+)+$|[ ,|/–—]+$|(?<![:;=-])\($| [-&+]$")


def repair_encoding(text: str) -> str:
    """Return ``text`` with mojibake, HTML entities and R's ``<U+1F5A4>`` escapes decoded; curly quotes stay.

    ftfy repairs the mojibake. It is slow, so it is called only on texts that may have some.
    """
    if "<U+" in text:
        text = _R_ESCAPE.sub(_escaped_character, text)
    if "&" in text and _ENTITY.search(text):
        import ftfy.fixes

        text = ftfy.fixes.unescape_html(text)
    if not text.isascii() and _MOJIBAKE.search(text):
        import ftfy.badness

        if ftfy.badness.is_bad(text):
            text = ftfy.fix_text(text, uncurl_quotes=False, normalization="NFC", unescape_html=True)
        text = _TWO_BYTES.sub(lambda match: match[0].encode("latin-1").decode(), text)
    return text


def _escaped_character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def plain_characters(text: str) -> str:
    """Return ``text`` in NFC without invisible characters and styled letters.

    Line breaks become newlines, and every other space a plain space.
    """
    text = _ODD_SPACES.sub(" ", _LINE_BREAKS.sub("\n", _SPACE_BEFORE_MARK.sub("", text)))
    text = _INVISIBLE.sub("", text)
    if "\u200c" in text or "\u200d" in text:
        text = _LOOSE_JOINER.sub("", text)
    text = _FANCY_LETTERS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return tidy(unicodedata.normalize("NFC", text))


def tidy(text: str) -> str:
    """Return ``text`` without runs of spaces, spaces at line ends, and more than one empty line."""
    if "  " not in text and " \n" not in text and "\n " not in text and "\n\n\n" not in text:
        return text.strip()
    return _BREAKS_IN_A_ROW.sub("\n\n", _SPACED_BREAK.sub("\n", _SPACES.sub(" ", text))).strip()


def without_separators(text: str) -> str:
    """Return ``text`` without lines of only dots, dashes and the like, and without such marks at line ends."""
    text = _LOOSE_BEFORE_EMOJI.sub("", _LOOSE_AT_END.sub("", _SEPARATOR_LINE.sub("", text)))
    text = _LOOSE_AT_START.sub("", _BARS_IN_A_ROW.sub("// ", text))
    return tidy(text.replace("\n. ", "\n"))


def short_runs(text: str) -> str:
    """Return ``text`` with at most three of the same punctuation mark or emoji in a row."""
    text = _RUN.sub(lambda match: match[1] * 3, text)
    return _EMOJI_RUN.sub(lambda match: match[1] * 3, text) if not text.isascii() else text


def without_emoji(text: str) -> str:
    """Return ``text`` without emoji."""
    import emoji

    return text if text.isascii() else tidy(emoji.replace_emoji(text, ""))


def close_gap(text: str) -> str:
    """Return ``text`` without the empty brackets, spaces and stray marks left by a removed part."""
    text = _LONE_BRACKET.sub("", text) if "(" not in text and "[" not in text else text
    return tidy(_LOOSE_ENDS.sub("", _STRAY_MARK.sub(r"\1", _EMPTY_BRACKETS.sub("", tidy(text)))))


def leads_on(text: str) -> bool:
    """Return whether a sentence can't end after ``text``, so that the word removed after it was part of it."""
    bare = without_end(text)
    last = last_word(bare)
    return last in LEADS_ON or last.endswith(("'s", "’s", ":")) or bool(_PRAISE.search(bare) or _EVENT.search(bare))


def needs_more(text: str) -> bool:
    """Return whether a sentence certainly can't end after ``text``."""
    return leads_on(text) and last_word(without_end(text)) not in _MAY_END


def without_end(text: str) -> str:
    """Return ``text`` without the spaces, emoji and dashes at its end."""
    return _BEHIND.sub("", text)


def last_word(text: str) -> str:
    """Return the last word of ``text`` in lower case, with its punctuation, without emoji after it."""
    return "".join(_TRAILING_EMOJI.sub("", text).split(" ")[-1:]).lower()


def without_lone_halves(before: str, after: str) -> str:
    """Return ``after`` without unpaired quotation marks or brackets at line ends that were pairs in ``before``."""
    for opening, closing in _PAIRS:
        if opening == closing:
            lone = after.count(opening) % 2 == 1 and before.count(opening) % 2 == 0
        else:
            lone = after.count(opening) != after.count(closing) and before.count(opening) == before.count(closing)
        if lone:
            opened = opening == closing or after.count(opening) > after.count(closing)
            half = rf"(?<!\S){re.escape(opening)}" if opened else rf"{re.escape(closing)}(?!\w)"
            after = re.sub(rf"(?<![:;=-]){half}", "", after, count=1)
    return after


def ends_open(text: str) -> bool:
    """Return whether ``text`` ends with a word that a sentence can't end with, or with a mark that requires a continuation."""
    last = last_word(text)
    return bool(last) and (last in _NEEDS_MORE or (last[-1] in ":,&(-–+@|/" and not _SMILEY.search(last)))
