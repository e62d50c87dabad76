"""Remove tags from a caption, or keep what they say: blocks of them are removed, a tag inside a sentence keeps its words.

Pure text functions, each of which leaves its own result as it is. Reads data/wordninja_words.txt.gz once.
"""

from __future__ import annotations

import gzip
import math
import re
from functools import cache, lru_cache

import numpy as np

from ..storage import data_file
from ..text import EMOJI, HANDLE, TAG, TAG_OR_HANDLE, word_set
from .normalize import BROKEN, HOLE, LEADS_ON, close_holes, tidy, without_separators

_TAGS_ONLY_LINE = re.compile(rf"^[^\w#@\n]*(?:(?:{TAG}|{HANDLE})[^\w#@\n]*)+$", re.MULTILINE)
#: What may stand between the tags of a block, and after it.
_BLOCK_GAP = re.compile(r"[^\w#@&+\"”’)]*")
#: Dots that lead to a block of tags on the same line.
_SPACED_DOTS = re.compile(r"(?:\s+[.•·]|\s*\|\.?)+\s*$")
_BLOCK_LEADS = " \n,•·|/-–—"
_NO_EMOJI = re.compile(r"[\s\x00-\x7f•·–—…]+")
#: A tag of nothing but an emoji, one that was never written, one with a bracket in it, and a run of # that ends a text, from its first one.
_EMPTY_TAG = re.compile(r"#(?:(?=[^\w\s\x00-\x7f])|(?=\s+[^\W\d])|\(\w*[^\W\d]\w*\)\w*)|(?<!\S)(?<!#\s)(?<!#\s\s)#[#\s]*+$")
_GLUED_TAG = re.compile(r"#(?<=\w#)(?=\w)")
_HANDLE_BEHIND_TAG = re.compile(rf"({TAG})@(?=\w)")
#: Who made it, as a tag that ends a line or a sentence.
_MAKER = re.compile(
    r"""
    \#(?:(?<=\bby[ ]\#)|(?<=\bBy[ ]\#)|(?<=\bvia[ ]\#)|(?<=\bcourtesy[ ]of[ ]\#))
    [a-z0-9_]+(?=\s*(?:$|[.!?\n\u2190-\u2bff\U0001f000-\U0001faff]))
    """,
    re.VERBOSE,
)
_ENDS = rf".!?…\"”{EMOJI}"
#: Tags that stand alone, in no sentence: after the end of one, before the end of the line, an emoji or the next one.
_STANDING = re.compile(
    rf"""
    (?:(?<=[{_ENDS}])|(?<=[{_ENDS}][ ])|^(?=\#[a-z0-9_]+[ ](?!I\b)[A-Z]))
    (?:
        (?:{TAG}[ ]*)+(?:[ .*•·]*$|(?=[{EMOJI}]+[ ]*(?:$|[A-Z])))
      | \#[a-z0-9_]+(?=[ ][A-Z])
    )
    | ^\#(?:[A-Z][a-z]+){{3,}}(?=[ ][A-Z])
    | (?:^|(?<=//[ ])){TAG}(?=[ ]*//)
    """,
    re.VERBOSE | re.MULTILINE,
)
_TAG_RUN = re.compile(rf"(?:{TAG}[ ]+){{2,}}{TAG}")
_TAG = re.compile(TAG)

#: A word of so many letters may be several glued ("throwback" is not, "happyweekend" is); one of so many that can't be split is a name
#: or an abbreviation. A longer one of another alphabet than ASCII, which is not split, is several.
SHORTEST_GLUED, SHORTEST_UNREADABLE, LONGEST_WORD = 7, 8, 12
#: Longer words are looked for in no tag.
LONGEST_LISTED = 24
#: A tag is split into two words that are both among so many: #earthday is Earth Day, #actonclimate is not Acton Climate.
COMMONEST = 3000
LONGEST_ACRONYM = 8
#: Words younger than the list that splits them.
_WHOLE = word_set(
    "selfie selfies badass tshirt tshirts influencer influencers hashtag hashtags instagram podcast podcasts podcaster airbnb vlogger "
    "vlogging blogger bloggers blogging emoji emojis staycation glamping babymoon brunching brunched crossfit bulletproof balayage "
    "edamame cappadocia portofino glutamine agrotourism foodie foodies rewilding upcycled upcycling crowdfunding bitcoin smoothie smoothies"
)
#: Words of one or two letters that others are glued to.
_SMALL = word_set("a i is in on of to my me we as at by it so up us go no or an am be do he if oh la el de")
#: Letters and digits that nobody writes as one word: a year after a name, the days of a challenge; "4th", "10k" and "mp3" are words.
_WITH_DIGITS = re.compile(r"[^\W\d_]{3,}\d{2,}|(?=\w*\d)(?=\w*[^\W\d])\w{6,}")
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def without_tags(text: str, inline_tags: str = "word") -> str:
    """Return ``text`` without tag lines and the trailing block of tags, also after a column of dots or glued.

    Args:
        inline_tags: what stays of a tag inside a sentence: with ``word`` its word, with ``keep`` the whole tag, with ``drop`` nothing.
    """
    if "#" not in text:
        return text
    text = _HANDLE_BEHIND_TAG.sub(r"\1 @", _GLUED_TAG.sub(" #", _EMPTY_TAG.sub("", text)))
    before = None
    while "#" in text and before != text:  # a block after a column of dots after a block
        before = text
        text = without_separators(_without_trailing_tags(_TAGS_ONLY_LINE.sub("", text).strip()))
    if "#" not in text:
        return tidy(text)
    text = _STANDING.sub(HOLE, _MAKER.sub(BROKEN, text))
    text = close_holes(_TAG_RUN.sub(HOLE, text))
    if inline_tags != "keep":
        text = close_holes(_TAG.sub(lambda match: _as_words(match[0]) if inline_tags == "word" else "", text))
    return tidy(text)


def _without_trailing_tags(text: str) -> str:
    """Return ``text`` without the tags that end it and the handles among them; emoji after them stay.

    A tag on the line of a word that leads on to it is part of the sentence and stays.
    """
    cut, count, end = len(text), 0, len(text)
    tokens = list(TAG_OR_HANDLE.finditer(text))
    for token in reversed(tokens):
        if not _BLOCK_GAP.fullmatch(text, token.end(), end):
            break
        end = token.start()
        if text[end] == "#":
            cut, count = end, count + 1
    if count == 0:
        return text
    before = text[:cut]
    last_word = before.split()[-1:]
    if count == 1 and last_word and last_word[0].lower() in LEADS_ON and "\n" not in before[len(before.rstrip()) :]:
        return text
    if before.rstrip().endswith((".", "•", "·")):
        before = _SPACED_DOTS.sub("", before)
    return close_holes(f"{before.rstrip(_BLOCK_LEADS)}{HOLE} {_NO_EMOJI.sub('', text[tokens[-1].end() :])}")


def _as_words(tag: str) -> str:
    """Return the words of a tag, "Rocky Mountain Park" of #RockyMountain_Park, "follow me" of #followme; a ``HOLE`` if they are unclear."""
    parts = _WORD_START.sub(" ", tag[1:]).replace("_", " ").split()
    if not parts or any(_is_unclear(part, len(parts)) for part in parts):
        return HOLE
    may_be_glued = (part.isascii() and (part.islower() or (part.isupper() and len(part) > LONGEST_ACRONYM)) for part in parts)
    words = [_unglued(part.lower()) if glued else part for part, glued in zip(parts, may_be_glued)]
    return " ".join(words) if all(words) else HOLE


def _is_unclear(part: str, parts: int) -> bool:
    """Return whether one of the ``parts`` of a tag is no word that a sentence can do with."""
    return bool(
        (len(part) > LONGEST_WORD and part.islower() and not part.isascii())
        or _WITH_DIGITS.fullmatch(part)
        or (len(part) == 1 and part.isalpha() and part not in "AIaiOo")
        or (parts > 1 and part.istitle() and " " in _unglued(part.lower()))  # "Livewith" of #LivewithAnn
    )


@lru_cache(maxsize=4096)
def _unglued(word: str) -> str:
    """Return the two words that ``word`` is made of, ``word`` itself if it is one, and nothing for a name or a whole phrase."""
    if len(word) < SHORTEST_GLUED or not word.isalpha() or word in _WHOLE:
        return word
    parts = _likeliest_words(word)
    if len(parts) == 1 or parts[-1] == "s":
        return word
    common = math.log(COMMONEST * math.log(len(_costs())))
    if len(parts) == 2 and all((len(part) > 2 or part in _SMALL) and _costs().get(part, math.inf) <= common for part in parts):
        return " ".join(parts)
    return word if len(word) < SHORTEST_UNREADABLE else ""


def _likeliest_words(glued: str) -> list[str]:
    """Return the likeliest words that ``glued`` is made of; letters that are in none stand alone."""
    costs = _costs()
    best, starts = [0.0], [0]  # of each beginning: the lowest cost, and where its last word starts
    for end in range(1, len(glued) + 1):
        ways = [
            (best[start] + costs[word], start) for start in range(max(0, end - LONGEST_LISTED), end) if (word := glued[start:end]) in costs
        ]
        cost, start = min(ways, default=(math.inf, end - 1))
        best.append(cost)
        starts.append(start)
    parts, end = [], len(glued)
    while end:
        parts.append(glued[starts[end] : end])
        end = starts[end]
    return parts[::-1]


@cache
def _costs() -> dict[str, float]:
    """Return minus the logarithm of how likely each of 126,000 English words is, by Zipf's law from its rank."""
    ranked = gzip.decompress(data_file("wordninja_words.txt.gz").read_bytes()).decode().split()
    return dict(zip(ranked, np.log(np.arange(1, len(ranked) + 1) * math.log(len(ranked))).tolist()))
