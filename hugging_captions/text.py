"""Text functions of several stages: words, folding, hashes, private data.

Pure functions. The cleaner applies them to posts, the dataset and the generator to captions.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

#: The ranges of nearly all emoji, for a class of characters.
EMOJI = r"\ufe0f\u2190-\u2bff\U0001f000-\U0001faff"
#: A number of one or two digits isn't a tag: "my #1 hut".
TAG = r"\#(?!\d\d?\b)\w+"  # escaped for re.VERBOSE
HANDLE = r"@[A-Za-z0-9_.]*[A-Za-z0-9_]"
TAG_OR_HANDLE = re.compile(rf"{TAG}|{HANDLE}")

URL = re.compile(
    r"""
    (?:\b(?:(?:(?:read|see|find|learn|hear)\s+)?more\s+)?(?:at|on|via|visit|see|from|by|here)\b:?\s*)?  # introducing words
    (?:
        (?:https?://|\bwww\.(?=\w))[^\s<>]+
      | (?<![@.\w-])(?:[a-z0-9-]+\.)+
        (?:com|edu|gov|org|net|info|io|co|ly|me|tv|uk|de|fr|es|it|ca|au|la|nl|eu|us|biz|xyz|fm|ru|jp|br|se|dk|pl|shop|store|blog|app)\b
        (?:/[^\s<>]*)?
    )
    """,
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
#: An e-mail address, complete or cut off ("somebody@mail..."), or a name glued to a word; the search starts at the @.
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]*[^\W_]@(?=\w)[\w.-]*\w(?:\.{2,})?")
PHONE = re.compile(r"(?<![\w.,])(?:\+|00)?\(?\d[\d\s().\-/]{5,18}\d(?!\w)")
_HANDLE_ALONE = re.compile(rf"@(?<![^\W_]@){HANDLE[1:]}")
_DATE = re.compile(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\s*")

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
#: Thai, Lao, Khmer, Japanese and Chinese: written without spaces, so each character counts as a word.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff])")


def word_set(spaced: str) -> frozenset[str]:
    """Return the words of a list written with spaces, as a set."""
    return frozenset(spaced.split())


def word_count(text: str, enough: int | None = None) -> int:
    """Return how many words ``text`` has; counting stops at ``enough``. A character of an unspaced script counts as one."""
    count = 0
    for match in _WORD.finditer(text):
        count += len(match[0]) if match[0] >= "\u0e00" and _UNSPACED.match(match[0]) else 1
        if enough is not None and count >= enough:
            break
    return count


def fold(text: str) -> str:
    """Return ``text`` in a form that ignores case, punctuation, emoji, tags, handles and spacing."""
    bare = TAG_OR_HANDLE.sub(" ", text) if "#" in text or "@" in text else text
    return " ".join(_words_only(bare).split())


def _words_only(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_WORDS_ONLY)


def folded_words(text: str) -> list[str]:
    """Return the words of ``fold(text)``, each character of an unspaced script as one."""
    folded = fold(text)
    return (_UNSPACED.sub(r" \1 ", folded) if _UNSPACED.search(folded) else folded).split()


def word_places(text: str) -> list[tuple[int, int]]:
    """Return the span in ``text`` of each of its ``folded_words``: start and end index."""
    bare = TAG_OR_HANDLE.sub(lambda match: " " * len(match[0]), text)
    places: list[tuple[int, int]] = []
    start, in_word = 0, False
    while start < len(bare):
        end = start + 1
        while end < len(bare) and bare[end] >= "\u0300" and unicodedata.category(bare[end])[0] == "M":  # a combining mark
            end += 1
        for char in _folded_letter(bare[start:end]):
            if char != " " and in_word:
                places[-1] = places[-1][0], end
            elif char != " ":
                places.append((start, end))
            in_word = char != " "
        start = end
    return places


@lru_cache(1 << 14)
def _folded_letter(letter: str) -> str:
    return _UNSPACED.sub(r" \1 ", _words_only(letter))


class _WordsOnly(dict[int, int]):
    """A table for ``str.translate`` that keeps letters, numbers and spacing marks and replaces the rest by a space."""

    def __missing__(self, code: int) -> int:
        category = unicodedata.category(chr(code))
        self[code] = code if category[0] in "LN" or category == "Mc" else 32
        return self[code]


_WORDS_ONLY = _WordsOnly()


def hash64(text: str) -> int:
    """Return 64 bits of the BLAKE2b hash of ``text``."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def is_phone(text: str) -> bool:
    """Return whether a run of digits and marks has the 7 to 15 digits of a phone number (E.164) and isn't a date or an amount."""
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 15 or _DATE.fullmatch(text):
        return False
    return text.lstrip().startswith(("+", "00", "(")) or len(digits) >= 9 or bool(re.search(r"\d[\s.\-]\d{4}$", text))


def holds_private_data(text: str) -> bool:
    """Return whether ``text`` contains a handle, a URL, an e-mail address or a phone number."""
    holds_handle = "@" in text and _HANDLE_ALONE.search(text)
    return bool(holds_handle or URL.search(text) or EMAIL.search(text) or any(map(is_phone, PHONE.findall(text))))
