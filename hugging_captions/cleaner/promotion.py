"""Promotion and pleas: a short list of certain signs, and a linear model for everything else that doesn't belong in a corpus.

The model scores each sentence by its words, pairs of words and groups of 3 to 5 bytes, hashed (Weinberger et al., "Feature Hashing for
Large Scale Multitask Learning", 2009), and the caption by its words and the scores of its sentences. tools/train_promotion.py trains it on
labelled captions. Reads data/promotion.npz once; data/PROMOTION.md is its card.
"""

from __future__ import annotations

import math
import operator
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..storage import data_file
from ..text import word_set

Integers = NDArray[np.int64]

WEIGHTS = "promotion.npz"
#: Bits of a hash: of words and pairs of words, and of groups of bytes.
BITS = 17
#: Lengths of the groups of bytes, within a word and the spaces around it.
GROUPS = (3, 4, 5)
#: Bytes of a caption that the model reads.
LONGEST = 1 << 13
#: Logits are clipped to this.
MOST = 7.0

#: Certain signs of promotion. The tags of paid posts are from the FTC's "Disclosures 101 for Social Media Influencers" (2019).
SIGNS: dict[str, re.Pattern[str]] = {
    "paid partnership": re.compile(
        r"""
        \#(?:ads?|advert\w*|spons?|(?!not)\w*sponsored\w*|gifted|paidpartnership|anzeige|werbung|liketkit|\w*giveaways?|gewinnspiel)\b
        | \bliketk\.it\b | (?:^|[|/(]|\s[*])\s*(?:sponsored|ad)\b\s*(?:$|[|/):*]) | (?:^|\s)[/*(]ad\b
        | \bin\s+(?:paid\s+)?(?:collaboration|partnership)\s+with\b
        """,
        re.VERBOSE | re.IGNORECASE,
    ),
    "link in bio": re.compile(
        r"\blinks?\s*(?:is\s+|are\s+)?(?:in|on)\s+(?:(?:my|our|the|their)\s+)?(?:bio|profile)\b|#linkin(?:bio|profile)\b", re.I
    ),
    "code": re.compile(
        r"\b(?:code|coupon)\s*:?\s*[\"“'‘]?(?-i:[A-Z0-9]*(?:[A-Z]{3}|[A-Z]\d|\d[A-Z])[A-Z0-9]*)\b|\b\d{1,2}\s?%\s+(?:off|discount)\b", re.I
    ),
    "price": re.compile(
        r"[$€£]\s?\d[^.!?\n]{0,40}\b(?:off|order|buy|shop|shipping|tickets?|each)\b|\b(?:buy|shop|order|only)\b[^.!?\n]{0,40}[$€£]\s?\d",
        re.I,
    ),
    "plea": re.compile(
        r"""
        \btag\s+(?:an?|the|your|some\w*|any\w*|who|\d|\w+\s+friends?|me|us|one)\b | \bsubscri(?:be|bers)\b
        | \bstay\s+tuned\b | \bdouble\s+tap\b
        | \bDMs?\s+(?:me|us|for|to)\b | \bcomments?\s+(?:below|down\s+below|section)\b | \bfollow\s+(?:me|us)\s+(?:on|for)\b
        | \bcheck\s+(?:out\s+)?(?:my|our|the)\s+(?:latest|new|stor(?:y|ies)|blog|bio|link|profile|website)\b
        | \b(?:new|latest)\s+(?:\w+\s+)?(?:post|video|vlog|blog)\s+(?:is\s+)?(?:now\s+)?(?:up|out|live)\b
        """,
        re.VERBOSE | re.IGNORECASE,
    ),
}  # fmt: skip
#: Every match of a sign's pattern contains one of these in lower case; finding them takes a tenth of the time.
_MARKS = {
    "paid partnership": (
        "#ad", "spons", "#gift", "#paid", "liketk", "giveaway", "#anzeige", "#werbung", "gewinnspiel", "/ad", "(ad", "*ad", "|ad", "| ad",
        "tion with", "ship with",
    ),
    "link in bio": ("link",),
    "code": ("code", "coupon", "%"),
    "price": ("$", "€", "£"),
    "plea": ("tag", "subscri", "tuned", "double", "dm", "comment", "follow ", "check ", "new ", "latest "),
}  # fmt: skip
_REPLACED = (
    (re.compile(r"https?://\S+|www\.\S+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|co|de|tv|me|it|ly|shop|store)\b\S*"), " xxurl ", "."),
    (re.compile(r"@[\w.]+"), " xxhandle ", "@"),
    (re.compile(r"#(\w+)"), r" xxtag \1 ", "#"),
    (re.compile(r"[$€£][ ]?\d[\d.,]*"), " xxprice ", ""),
    (re.compile(r"\d+[ ]?%"), " xxpercent ", "%"),
    (re.compile(r"\d+"), " xxnum ", ""),
)
#: Words and marks of a sentence whose forms are read.
MOST_FORMS = 60
#: Pronouns by person.
_PRONOUNS = {
    "i": word_set("i i'm i've i'll my me mine"),
    "w": word_set("we our us we're"),
    "y": word_set("you your yours you're u"),
    "h": word_set("he she they his her their him them"),
}
#: How replaced tokens are shown to the user.
_SHOWN = {
    "xxurl": "a link", "xxhandle": "a handle", "xxtag": "a tag", "xxprice": "a price", "xxpercent": "a percentage", "xxnum": "a number",
    "xxstart": "how it begins", "xxend": "how it ends",
}  # fmt: skip
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_NO_WORDS = re.compile(r"https?://\S+|www\.\S+|[@#][\w.]+")

_BASE = 0x9E3779B97F4A7C15
_BYTES: NDArray[np.uint64] = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)


#: The finalizer of MurmurHash3 (Appleby, public domain), and the salt that separates words from groups of the same bytes.
_MIX, _HALF, _REST, _SALT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(33), np.uint64(64 - BITS), np.uint64(0x5BD1E995)
_POWERS, _INVERSE = (np.uint64(base) ** np.arange(LONGEST, dtype=np.uint64) for base in (_BASE, pow(_BASE, -1, 2**64)))


def sign(text: str) -> str:
    """Return the words in ``text`` that are a certain sign of promotion, or an empty string."""
    holds = text.lower().__contains__
    for name, pattern in SIGNS.items():
        if any(map(holds, _MARKS[name])) and (match := pattern.search(text)):
            return match[0].strip()
    return ""


@dataclass(frozen=True, slots=True)
class Features:
    """The hashed parts of a caption, each once a sentence: its sentence, in order, and its slot, in order."""

    sentences: Integers
    slots: Integers


def features(sentences: Sequence[str]) -> Features:
    """Return the hashed parts of a caption's sentences: words and pairs in the first ``2**BITS`` slots, groups of bytes in the second."""
    text, lengths = _tokens(sentences)
    slots, start, end = _hashed(text)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    keys = _different(np.sort(owner[np.minimum(start, end - 2)] << (BITS + 1) | slots))
    return Features(keys >> (BITS + 1), keys & ((2 << BITS) - 1))


def _different(ordered: Integers) -> Integers:
    """Return each number of ``ordered`` once; np.unique takes four times as long for so few."""
    new = np.empty(len(ordered), bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def _tokens(sentences: Sequence[str]) -> tuple[bytes, list[int]]:
    """Return the words and marks of ``sentences`` with a space before and behind each, and the bytes of each sentence."""
    text = "\n".join(sentences)
    for pattern, mark, literal in _REPLACED:
        if literal in text:
            text = pattern.sub(mark, text)
    pieces = [
        " ".join(["xxstart", *_TOKEN.findall(line), "xxend", *_style(sentence)]).encode("utf-8", "replace")
        for line, sentence in zip(text.lower().split("\n"), sentences)
    ]
    return (b" " + b" ".join(pieces) + b" ")[: LONGEST - 1], [len(piece) + 1 for piece in pieces[:-1]] + [LONGEST]


def _style(sentence: str) -> list[str]:
    """Return the style of ``sentence`` as words: shares of names, capitals and lower case, length, and grammatical persons.

    These distinguish a place, a credit or a list of names from personal text.
    """
    words = _TOKEN.findall(sentence)
    letters = _LETTERS.findall(sentence)
    names = sum(word[0].isupper() for word in letters)
    small = set(sentence.lower().replace("’", "'").split())
    persons = "".join(mark for mark, pronouns in _PRONOUNS.items() if not pronouns.isdisjoint(small))
    asks = ("q" if "?" in sentence else "") + ("x" if "!" in sentence else "")
    return [
        "xxform" + "".join(map(_form, words[:MOST_FORMS])),
        f"xxnames{min(4, 5 * names // max(1, len(letters)))}",
        f"xxlong{min(7, len(letters).bit_length())}",
        f"xxof{persons}{asks}",
    ]


def _form(word: str) -> str:
    if word.isalpha():
        return "l" if word[0].islower() else "q" if len(word) > 1 and word.isupper() else "c"
    return "d" if word.isdigit() else "h" if word in "#@" else "z" if word >= "\u2190" else "p"


def _hashed(text: bytes) -> tuple[Integers, Integers, Integers]:
    """Return the slot, the start and the end of each part of ``text``."""
    codes = np.frombuffer(text, np.uint8)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(_BYTES[codes] * _POWERS[: len(codes)], out=sums[1:])
    spaces = codes == ord(" ")
    passed = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(spaces, out=passed[1:])
    gaps = np.flatnonzero(spaces)
    starts, ends = [gaps[:-1], gaps[:-2]], [gaps[1:] + 1, gaps[2:] + 1]
    words = len(starts[0]) + len(starts[1])
    for length in GROUPS:
        start = np.flatnonzero(passed[length - 1 : -1] == passed[1 : len(codes) - length + 2])  # no space inside
        starts.append(start)
        ends.append(start + length)
    start, end = np.concatenate(starts), np.concatenate(ends)
    hashes = (sums[end] - sums[start]) * _INVERSE[start]
    hashes[:words] ^= _SALT
    hashes = (hashes ^ hashes >> _HALF) * _MIX
    slots = (hashes >> _REST).astype(np.int64)
    slots[words:] += 1 << BITS
    return slots, start, end


@dataclass(frozen=True, slots=True)
class Facts:
    """The findings of the rules about a sentence before the model runs."""

    words: int
    removed: str  # the rule that removed it, or nothing
    sign: bool  # it contains a certain sign


class Model:
    """The weights of data/promotion.npz."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.words, self.whole = arrays["words"], arrays["whole"]  # of a sentence: not natural, and a pitch; of a caption
        self.bias = arrays["bias"].tolist()
        self.sentence, self.caption = arrays["sentence"].tolist(), arrays["caption"].tolist()

    def scores(self, sentences: Sequence[str], facts: Sequence[Facts]) -> tuple[list[float], float]:
        """Return the probability of each sentence that it isn't natural text, and of the caption that it doesn't belong in a corpus."""
        logits = self.logits(features(sentences), len(sentences))
        caption = _dot(caption_features(*logits, facts), self.caption)
        rows = sentence_features(*logits, caption, facts)
        return [probability(_dot(row, self.sentence)) for row in rows], probability(caption)

    def logits(self, found: Features, count: int) -> tuple[list[float], list[float], float]:
        """Return the logits of the words alone: of ``count`` sentences not natural, of each a pitch, and of the caption as a whole."""
        weighed = self.words[found.slots] * values(found)[:, None]
        starts = np.searchsorted(found.sentences, np.arange(count))
        natural, pitch = np.add.reduceat(weighed, np.minimum(starts, len(weighed) - 1), axis=0).T.tolist()
        slots, value = in_whole(found)
        whole = float(self.whole[slots] @ value) + self.bias[2]
        return [_bound(logit + self.bias[0]) for logit in natural], [_bound(logit + self.bias[1]) for logit in pitch], _bound(whole)

    def deciding_words(self, sentence: str, most: int = 3) -> list[str]:
        """Return the words of ``sentence`` with the strongest evidence against it, strongest first."""
        text, _ = _tokens([sentence])
        slots, start, end = _hashed(text)
        weights = self.words[slots, 0] * values(Features(np.zeros_like(slots), slots))
        spread = np.zeros(len(text) + 1)
        np.add.at(spread, start, weights / (end - start))
        np.add.at(spread, end, -weights / (end - start))
        against = np.cumsum(spread)
        found = re.finditer(rb"[^ ]+", text)
        words = [(match[0].decode("utf-8", "replace"), against[match.start() : match.end()].sum()) for match in found]
        strongest = [_SHOWN.get(word, word) for word, weight in sorted(words, key=lambda item: -item[1]) if weight > 0]
        return [word for word in strongest if not word.startswith("xx")][:most]


def _bound(logit: float) -> float:
    return min(max(logit, -MOST), MOST)


def _dot(row: Sequence[float], weights: Sequence[float]) -> float:
    """Return the dot product of ``row`` and ``weights`` plus the last weight, the bias."""
    return float(sum(map(operator.mul, row, weights))) + weights[-1]


@cache
def model() -> Model:
    """Return the model.

    Raises:
        InputError: its weights are missing or damaged.
    """
    path = data_file(WEIGHTS)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for name in ("words", "whole"):
            arrays[name] = arrays[name].astype(np.float32) * arrays.pop(f"{name}_scale")
        return Model(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"cannot read the weights of the promotion rule: {path} is missing or damaged",
            f"restore it:  git checkout -- {path}  (or install the package again; --skip-rule promotion needs no weights)",
        ) from error


def values(found: Features) -> NDArray[np.float32]:
    """Return the value of each part: one over the root of the number of parts of its kind in its sentence."""
    kind = found.sentences * 2 + (found.slots >> BITS)
    return np.asarray((1 / np.sqrt(np.maximum(1, np.bincount(kind)))).astype(np.float32)[kind])


def in_whole(found: Features) -> tuple[Integers, NDArray[np.float32]]:
    """Return the different parts of a caption as a whole, and the value of each."""
    slots = _different(np.sort(found.slots)) if found.sentences[-1] else found.slots
    words = int(np.searchsorted(slots, 1 << BITS))
    value = np.empty(len(slots), np.float32)
    value[:words], value[words:] = max(1, words) ** -0.5, max(1, len(slots) - words) ** -0.5
    return slots, value


def caption_features(natural: Sequence[float], pitch: Sequence[float], whole: float, facts: Sequence[Facts]) -> list[float]:
    """Return the features of a caption's score: its own logit, its sentences' logits and what the rules removed."""
    words = [max(1, fact.words) for fact in facts]
    total = sum(words)
    left = [logit for logit, fact in zip(natural, facts) if not fact.removed]
    good = sum(probability(-logit) * count for logit, count, fact in zip(natural, words, facts) if not fact.removed)
    mean, sold = (sum(map(operator.mul, logits, words)) / total for logits in (natural, pitch))
    least = min(left, default=MOST)
    stays = sum(count for count, fact in zip(words, facts) if not fact.removed)
    removed = [
        sum(count for count, fact in zip(words, facts) if fact.removed == name) / total
        for name in ("credits", "handles", "tags", "language")
    ]
    return [
        whole, max(whole, 0), mean, max(mean, 0), sold, max(sold, 0), max(natural), least, max(least, 0), max(pitch),
        natural[0], natural[-1], pitch[0], pitch[-1],
        math.log(total), math.log1p(good), good / total, stays / total, not left, math.log(len(facts)),
        any(fact.sign for fact in facts), *removed,
    ]  # fmt: skip


def sentence_features(
    natural: Sequence[float], pitch: Sequence[float], whole: float, caption: float, facts: Sequence[Facts]
) -> list[list[float]]:
    """Return a row for each sentence: its own logits, those of its neighbours and of the others, and that of the ``caption``."""
    last = len(natural) - 1
    caption, total, top = _bound(caption), sum(natural), sorted(natural)
    return [
        [
            natural[i], max(natural[i], 0), pitch[i], caption, max(caption, 0), whole, (total - natural[i]) / max(1, last),
            top[-1] if natural[i] != top[-1] else top[-2] if last else 0,
            natural[i - 1] if i else 0, natural[i + 1] if i < last else 0, pitch[i - 1] if i else 0,
            i == 0, i == last, last == 0, math.log1p(facts[i].words), facts[i].sign,
        ]
        for i in range(last + 1)
    ]  # fmt: skip


def probability(logit: float) -> float:
    """Return the probability of a logit."""
    return 1 / (1 + math.exp(-min(max(logit, -30), 30)))


def word_count(text: str) -> int:
    """Return the number of words with two letters or more in ``text``, without tags, handles and addresses."""
    return len(_LETTERS.findall(_NO_WORDS.sub(" ", text) if "@" in text or "#" in text or "." in text else text))
