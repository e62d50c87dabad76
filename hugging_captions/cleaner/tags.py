"""Tags of a sentence: leading and trailing ones are removed, a tag inside a sentence is replaced by its words.

Pure functions of a sentence.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from ..language import word_costs
from ..text import EMOJI, TAG, TAG_OR_HANDLE, word_set
from .normalize import close_gap, leads_on, needs_more, tidy

#: A tag of only an emoji, a # without a tag, a tag with a bracket in it, and a run of # at the end of a text.
_EMPTY_TAG = re.compile(r"#(?:(?=[^\w\s\x00-\x7f])|(?=\s+[^\W\d])|\(\w*[^\W\d]\w*\)\w*)|(?<!\S)(?<!#\s)(?<!#\s\s)#[#\s]*+$")
_GLUED_TAG = re.compile(r"#(?<=\w#)(?=\w)")
_HANDLE_BEHIND_TAG = re.compile(rf"({TAG})@(?=\w)")
_TAG = re.compile(TAG)
_NO_EMOJI = re.compile(r"[ .•·|–—-]+(?=\W*$)")
#: Tags before a sentence.
_LEADING = re.compile(rf"^[^\w\#@]*(?:{TAG}(?!\w)[ ,.:|/•·–-]*)+(?=[\"“'‘(]?[A-Z0-9]|[{EMOJI}])")
#: Characters allowed between and after the tags at the end of a sentence.
_GAP = re.compile(r"[^\w#@]*")
#: A tag after a clause: the sentence is complete without it.
_BEHIND_CLAUSE = re.compile(rf"\s*(?:$|[,.;:!?)–—{EMOJI}]|- |\||(?:and|but|so|because|when|while)\b)")

#: A word of this length may be several joined words ("throwback" is not, "happyweekend" is); one of this length that can't be split is a
#: name or an abbreviation. A longer word outside ASCII, which is not split, counts as several.
SHORTEST_GLUED, SHORTEST_UNREADABLE, LONGEST_WORD = 7, 8, 12
#: Longest word that is searched in a tag.
LONGEST_LISTED = 24
#: A tag is split into two words, or three with a word of time at the end, if all are among this many commonest ones: #earthday is
#: Earth Day, but #actonclimate is not Acton Climate.
COMMONEST = 3000
LONGEST_ACRONYM = 8
#: Words missing in the word list.
_WHOLE = word_set(
    "selfie selfies badass tshirt tshirts influencer influencers hashtag hashtags instagram podcast podcasts podcaster airbnb vlogger "
    "vlogging blogger bloggers blogging emoji emojis staycation glamping babymoon brunching brunched crossfit bulletproof balayage "
    "edamame cappadocia portofino glutamine agrotourism foodie foodies rewilding upcycled upcycling crowdfunding bitcoin smoothie smoothies"
)
#: Words of one or two letters that may be joined to others.
_SMALL = word_set("a i is in on of to my me we as at by it so up us go no or an am be do he if oh la el de")
_TIMES = word_set("day days week weekend month year night morning evening")
#: Letters with digits that aren't one word: a year after a name, the days of a challenge; "4th", "10k" and "mp3" are words.
_WITH_DIGITS = re.compile(r"[^\W\d_]{3,}\d{2,}|(?=\w*\d)(?=\w*[^\W\d])\w{6,}")
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def without_tags(text: str, inline_tags: str = "word") -> str:
    """Return a sentence without the tags around it; a tag inside it becomes its words, or stays or goes (``inline_tags``).

    The result is empty if the sentence has only tags, or needs a tag that can't be split into words with certainty.
    """
    if "#" not in text:
        return text
    text = _HANDLE_BEHIND_TAG.sub(r"\1 @", _GLUED_TAG.sub(" #", _EMPTY_TAG.sub("", text)))
    bare = _without_trailing(_LEADING.sub("", text))
    if "#" not in bare:
        return _if_words_are_left(close_gap(bare)) if bare != text else tidy(text)
    if inline_tags == "keep":
        return tidy(bare)
    done, end = [], 0
    for match in _TAG.finditer(bare):
        words = _as_words(match[0]) if inline_tags == "word" else ""
        before = bare[: match.start()]
        if not words and (needs_more(before) or not _BEHIND_CLAUSE.match(bare, match.end()) or not before.strip()):
            return ""
        done += [bare[end : match.start()], words]
        end = match.end()
    return _if_words_are_left(close_gap("".join([*done, bare[end:]])))


def _if_words_are_left(text: str) -> str:
    """Return ``text``, or an empty text if only a label is left without its tags: a word without punctuation after it."""
    return text if "@" in text or " " in text.strip() or text[-1:] in ".!?…" or not text.isascii() else ""


def _without_trailing(text: str) -> str:
    """Return ``text`` without the tags at its end; the first one stays if the words before it require it, and handles stay."""
    tokens = list(TAG_OR_HANDLE.finditer(text))
    first, end = len(tokens), len(text)
    while first and _GAP.fullmatch(text, tokens[first - 1].end(), end):
        first -= 1
        end = tokens[first].start()
    run = tokens[first:]
    if not any(token[0][0] == "#" for token in run):
        return text
    before = text[:end]
    stays = [token[0] for token in run if token[0][0] == "@"]
    if run[0][0][0] == "#" and before.strip() and leads_on(before):
        stays.insert(0, run[0][0])
    elif not stays:
        before = before.rstrip(" ,;|/•·&+~–—_*-.") if before.endswith((" .", "•", "·")) else before.rstrip(" ,;|/•·&+~–—_*-")
    behind = text[run[-1].end() :]
    return f"{before.rstrip()} {' '.join(stays)}{behind if stays else _NO_EMOJI.sub('', behind)}".strip()


def _as_words(tag: str) -> str:
    """Return the words of a tag ("Rocky Mountain Park" of #RockyMountain_Park, "follow me" of #followme), empty if uncertain."""
    parts = _WORD_START.sub(" ", tag[1:]).replace("_", " ").split()
    if not parts or any(_is_unclear(part, len(parts)) for part in parts):
        return ""
    may_be_glued = (part.isascii() and (part.islower() or (part.isupper() and len(part) > LONGEST_ACRONYM)) for part in parts)
    words = [_unglued(part.lower()) if glued else part for part, glued in zip(parts, may_be_glued)]
    return " ".join(words) if all(words) else ""


def _is_unclear(part: str, parts: int) -> bool:
    """Return whether one of the ``parts`` of a tag can't be used as a word in a sentence."""
    return bool(
        (len(part) > LONGEST_WORD and part.islower() and not part.isascii())
        or _WITH_DIGITS.fullmatch(part)
        or (parts == 1 and part.isdigit())
        or (len(part) == 1 and part.isalpha() and (parts == 1 or part not in "AIaiOo"))
        or (parts > 1 and part.istitle() and " " in _unglued(part.lower()))  # "Livewith" of #LivewithAnn
    )


@lru_cache(maxsize=4096)
def _unglued(word: str) -> str:
    """Return the words that make up ``word``, ``word`` itself if it is one, and an empty text for a name or a phrase."""
    if len(word) < SHORTEST_GLUED or not word.isalpha() or word in _WHOLE:
        return word
    parts = _likeliest_words(word)
    if len(parts) == 1 or parts[-1] == "s":
        return word
    common = math.log(COMMONEST * math.log(len(word_costs())))
    few = len(parts) == 2 or (len(parts) == 3 and parts[-1] in _TIMES)
    if few and all((len(part) > 2 or part in _SMALL) and word_costs().get(part, math.inf) <= common for part in parts):
        return " ".join(parts)
    return word if len(word) < SHORTEST_UNREADABLE else ""


def _likeliest_words(glued: str) -> list[str]:
    """Return the likeliest words that make up ``glued``; letters in none of them are separate items."""
    costs = word_costs()
    best, starts = [0.0], [0]  # for each prefix: the lowest cost, and the start of its last word
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
