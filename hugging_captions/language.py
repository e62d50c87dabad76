"""Which language a short caption is in.

A fast first pass, then a careful second one. What has enough of the commonest English words is English: more than a third of real
captions, on which the careful one agrees but for one in 400, short English ones that it took for another language. The others go to
py3langid 0.4: of the candidates it is the one that tells English from romanised Hindi, the hard case. English or not, tags, handles
and emoji taken out first: accuracy 0.953 on 6,000 tweets in 8 languages and 0.999 on 7,500 sentences in 75, English recall 0.99 and
1.00; fastText (lid.176 lite) reaches 0.914 and 0.953, CLD2 0.885 and 0.990 (benchmarks/clean.py).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from .errors import UsageError
from .repair import words

#: A caption with fewer letters than this is in no language that could be told.
MIN_LETTERS = 6
UNKNOWN = "unknown"
#: A part with so many letters makes a caption bilingual: if it is so surely in another language, or so surely not in the caption's and
#: so many of its words begin small, or all are in capitals (names are in no language). So do more letters of another script.
MIN_LETTERS_OF_SECOND, SURE, RULED_OUT, SMALL_WORDS, FOREIGN = 13, 0.65, 0.015, 3, 1

#: Captions in loose English are now and then taken for Nigerian Pidgin, with English next; romanised Hindi is too, but seldom with
#: English next. Taking every Pidgin for English costs 0.008 of the accuracy on the tweets.
_PIDGIN = "pcm"

_ANOTHER_SCRIPT = re.compile(r"[^\W\d_A-Za-zªºÀ-ɏɐ-ʯʰ-˿Ḁ-ỿⱠ-Ɀ꜠-ꟿﬀ-ﬆ]")
#: Where a caption may change its language: a line, a bar, the end of a sentence, an emoji.
_BREAK = re.compile(r"\n+|[.!?]+\s|\s[|/•~–—-]+\s|[\u2190-\u2bff\U0001f000-\U0001faff]+")
#: Words that English has and that no other language of the Latin script has often: not "love", "like", "good", which all have borrowed.
_ENGLISH = words(
    "the and of you your my this that with for it it's we at was be have from our i'm not what when all just so by out up are they their "
    "there been were would could should about can't don't didn't how why who which these those because than then them him his her has had "
    "more some very into over after before where being where's that's he's she's we're you're i've i'll we'll isn't doesn't "
    "one get got going back here now every always never thing things people still"
)
#: A text with so many different ones of them, and so large a share, is English without a closer look.
ENGLISH_WORDS, ENGLISH_SHARE = 2, 0.25
#: Of so many words of a text in another language one may look like an English one.
TOKENS_WITH_ONE = 12
_MARKS = str.maketrans(".,!?-’", "     '")
_TAG_HANDLE_OR_URL = re.compile(r"[#@][\w.]+|https?://\S+")
_ENOUGH_LETTERS = re.compile(rf"(?:[^\W\d_][\W\d_]*){{{MIN_LETTERS}}}")


class _OfLanguage(dict[int, int]):
    """A table for ``str.translate`` that keeps letters, spaces and the marks of sentences, and makes a space of the rest."""

    def __missing__(self, code: int) -> int:
        char = chr(code)
        self[code] = code if char.isspace() or char in "'’.,!?-" or (char.isalnum() and not char.isdecimal()) else 32
        return self[code]


_OF_LANGUAGE = _OfLanguage()


def detect(text: str) -> tuple[str, float]:
    """Return the ISO 639-1 code of ``text``'s language (639-3 where it has none) and its probability, 1 where its words alone tell.

    Judged without tags, handles, URLs, emoji and digits; with fewer than ``MIN_LETTERS`` letters left, and those no
    plain English, it is ``unknown`` with probability 0. The same text always gives the same answer.
    """
    bare = _bare(text)
    if _is_plain_english(bare):
        return "en", 1.0
    if not _ENOUGH_LETTERS.search(bare):
        return UNKNOWN, 0.0
    code, probability = identifier().classify(bare)
    if code == _PIDGIN and identifier().rank(bare)[1][0] == "en":
        code = "en"
    return str(code), round(float(probability), 4)


def refuse_unknown(code: str, flag: str) -> None:
    """Return if ``code`` is a language that ``detect`` can tell.

    Raises:
        UsageError: it is none.
    """
    if code != "en" and code not in (known := identifier().labels):
        raise UsageError(f"{flag} {code}: no such language", "the codes (ISO 639-1): " + " ".join(sorted(c for c in known if len(c) == 2)))


def _bare(text: str) -> str:
    """Return what of ``text`` is judged, in lower case."""
    if "#" in text or "@" in text or "://" in text:
        text = _TAG_HANDLE_OR_URL.sub(" ", text)
    return text.translate(_OF_LANGUAGE).lower()


def _is_plain_english(bare: str) -> bool:
    tokens = _tokens(bare)
    found = [token for token in tokens if token in _ENGLISH]
    return len(set(found)) >= ENGLISH_WORDS and len(found) >= ENGLISH_SHARE * len(tokens) and bare.replace("’", "'").isascii()


def _has_english(lower: str) -> bool:
    """Return whether one in ``TOKENS_WITH_ONE`` words of ``lower``, or one in all, is one of the commonest English ones."""
    tokens = _tokens(lower)
    return sum(token in _ENGLISH for token in tokens) > len(tokens) // TOKENS_WITH_ONE


def _tokens(lower: str) -> list[str]:
    return lower.translate(_MARKS).split()


def second(text: str, code: str) -> str:
    """Return another language than ``code`` that a part of ``text`` is surely in, or an empty string.

    More than ``FOREIGN`` letters of another script than Latin count as well: a caption told twice, or half in each.
    """
    foreign = len(_ANOTHER_SCRIPT.findall(text)) if not text.isascii() else 0
    if FOREIGN < foreign < sum(map(str.isalpha, text)) / 2:
        return "another script"
    pieces = _BREAK.split(text)
    for piece in pieces if len(pieces) > 1 else ():
        if (
            len(piece) < MIN_LETTERS_OF_SECOND
            or sum(map(str.isalpha, piece)) < MIN_LETTERS_OF_SECOND
            or (code == "en" and _has_english(piece.lower()))
        ):
            continue
        ranked = identifier().rank(_bare(piece))
        other, probability = ranked[0]
        if other == code or (other == _PIDGIN and code == "en"):
            continue
        tokens = set(piece.split())
        small = len(tokens) if piece.isupper() else sum(token[0].islower() for token in tokens)
        if (probability >= SURE and len(tokens) > 1) or (small >= SMALL_WORDS and dict(ranked)[code] < RULED_OUT):
            return str(other)
    return ""


@cache
def identifier() -> Any:
    """Return py3langid's model, read once; processes forked after the first call share it.

    Its weights are widened to 32 bits: it takes 29 MB more and a quarter less time, for numpy has no fast product of 16 bits.
    """
    from py3langid import langid

    found = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    found.nb_ptc = found.nb_ptc.astype("float32")
    return found
