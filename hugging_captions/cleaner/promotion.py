"""What advertises or begs: a short list of certain signs, and a linear model of what else doesn't belong.

The model scores each sentence by its words, pairs of words and groups of 3 to 5 bytes, hashed (Weinberger et al., "Feature Hashing for
Large Scale Multitask Learning", 2009), and the caption by its words and the scores of its sentences. tools/train_promotion.py trains it on
judged captions. Reads data/promotion.npz once; data/PROMOTION.md is its card.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..storage import data_file

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WEIGHTS = "promotion.npz"
#: Bits of a hash: of words and pairs of words, and of groups of bytes.
BITS = 17
#: Lengths of the groups of bytes, within a word and the spaces around it.
GROUPS = (3, 4, 5)
#: Bytes of a caption that are looked at.
LONGEST = 1 << 13
#: A logit beyond this tells no more.
MOST = 7.0

#: What surely advertises. Of each the tags of paid posts are those of the FTC's "Disclosures 101 for Social Media Influencers" (2019).
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
        \btag\s+(?:an?|the|your|some\w*|any\w*|who|\d|\w+\s+friends?|me|us|one)\b | \bsubscri(?:be|bers)\b | \bdouble\s+tap\b
        | \bDMs?\s+(?:me|us|for|to)\b | \bcomments?\s+(?:below|down\s+below|section)\b | \bfollow\s+(?:me|us)\s+(?:on|for)\b
        | \bcheck\s+(?:out\s+)?(?:my|our|the)\s+(?:latest|new|stor(?:y|ies)|blog|bio|link|profile|website)\b
        | \b(?:new|latest)\s+(?:\w+\s+)?(?:post|video|vlog|blog)\s+(?:is\s+)?(?:now\s+)?(?:up|out|live)\b
        """,
        re.VERBOSE | re.IGNORECASE,
    ),
}  # fmt: skip
#: One of these, in lower case, is in everything that the sign's pattern matches; they are found in a tenth of the time.
_IN_SIGN = {
    "paid partnership": ("#", "liketk", "sponsored", "ad", "collaboration with", "partnership with"),
    "link in bio": ("bio", "profile"),
    "code": ("code", "coupon", "%"),
    "price": ("$", "€", "£"),
    "plea": ("tag", "subscri", "double", "dm", "comment", "follow ", "check ", "new ", "latest "),
}
_REPLACED = (
    (re.compile(r"https?://\S+|www\.\S+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|co|de|tv|me|it|ly|shop|store)\b\S*"), " xxurl ", "."),
    (re.compile(r"@[\w.]+"), " xxhandle ", "@"),
    (re.compile(r"#(\w+)"), r" xxtag \1 ", "#"),
    (re.compile(r"[$€£][ ]?\d[\d.,]*"), " xxprice ", ""),
    (re.compile(r"\d+[ ]?%"), " xxpercent ", "%"),
    (re.compile(r"\d+"), " xxnum ", ""),
)
#: How what is replaced is shown.
_SHOWN = {
    "xxurl": "a link",
    "xxhandle": "a handle",
    "xxtag": "a tag",
    "xxprice": "a price",
    "xxpercent": "a percentage",
    "xxnum": "a number",
}
_SHOWN |= {"xxstart": "how it begins"}
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_NO_WORDS = re.compile(r"https?://\S+|www\.\S+|[@#][\w.]+")

_BASE = 0x9E3779B97F4A7C15
_BYTES: NDArray[np.uint64] = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)


def _powers(base: int) -> NDArray[np.uint64]:
    powers = np.full(LONGEST, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


_POWERS, _INVERSE = _powers(_BASE), _powers(pow(_BASE, -1, 2**64))


def sign(text: str) -> str:
    """Return the words in ``text`` that surely advertise, or an empty string."""
    lower = text.lower()
    for name, pattern in SIGNS.items():
        if any(mark in lower for mark in _IN_SIGN[name]) and (match := pattern.search(text)):
            return match[0].strip()
    return ""


@dataclass(frozen=True, slots=True)
class Features:
    """The hashed parts of one caption: of each its slot, its sentence, and where in ``text`` it begins and ends (bytes)."""

    text: bytes
    slots: Integers
    sentences: Integers
    starts: Integers
    ends: Integers
    words: NDArray[np.bool_]  # a part is a word or a pair, not a group of bytes


def features(sentences: Sequence[str]) -> Features:
    """Return the hashed parts of a caption's sentences: words and pairs in the first ``2**BITS`` slots, groups of bytes in the second."""
    lines = _replaced("\n".join(sentences)).split("\n")
    pieces = [" ".join(["xxstart", *_TOKEN.findall(line)]).encode("utf-8", "replace") for line in lines]
    text = (b" " + b" ".join(pieces) + b" ")[: LONGEST - 1]
    lengths = np.array([len(piece) + 1 for piece in pieces])
    owner = np.repeat(np.arange(len(pieces)), lengths)
    codes = np.frombuffer(text, np.uint8)
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(_BYTES[codes] * _POWERS[: len(codes)], out=sums[1:])
    spaces = codes == ord(" ")
    passed = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(spaces, out=passed[1:])
    gaps = np.flatnonzero(spaces)
    starts, ends = [gaps[:-1], gaps[:-2]], [gaps[1:] + 1, gaps[2:] + 1]
    for length in GROUPS:
        start = np.arange(max(0, len(codes) - length + 1))
        start = start[passed[start + length - 1] == passed[start + 1]]  # no space inside
        starts.append(start)
        ends.append(start + length)
    counts = [len(part) for part in starts]
    start, end = np.concatenate(starts), np.concatenate(ends)
    word = np.arange(len(start)) < counts[0] + counts[1]
    hashes = (sums[end] - sums[start]) * _INVERSE[start] ^ np.where(word, np.uint64(0x5BD1E995), np.uint64(0))
    hashes = (hashes ^ hashes >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)  # the finalizer of MurmurHash3 (Appleby, public domain)
    slots = (hashes >> np.uint64(64 - BITS)).astype(np.int64) + np.where(word, 0, 1 << BITS)
    owners = owner[np.minimum(np.minimum(start, end - 2), len(owner) - 1)]
    _, once = np.unique(owners << (BITS + 1) | slots, return_index=True)
    return Features(text, slots[once], owners[once], start[once], end[once], word[once])


def _replaced(text: str) -> str:
    for pattern, mark, literal in _REPLACED:
        if literal in text:
            text = pattern.sub(mark, text)
    return text.lower()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules found out about a sentence before the model is asked."""

    words: int
    removed: str  # the rule that removed it, or nothing
    sign: bool  # it holds a certain sign


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model makes of a caption.

    ``sentences`` is of each sentence the probability that it isn't natural text, ``pitches`` that it is a plea or sells, and ``caption``
    the probability that the caption doesn't belong in a corpus.
    """

    sentences: Floats
    pitches: Floats
    caption: float


class Model:
    """The weights of data/promotion.npz."""

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.natural, self.pitch, self.whole = (arrays[name] for name in ("natural", "pitch", "whole"))
        self.bias = arrays["bias"]
        self.sentence, self.caption = arrays["sentence"], arrays["caption"]

    def scores(self, sentences: Sequence[str], facts: Sequence[Facts]) -> Scores:
        """Return the scores of a caption and its ``sentences``, in their order, as they are before a rule changed them."""
        found = features(sentences)
        logits = first_logits(self, found, len(sentences))
        of_caption = caption_features(*logits, facts)
        caption = float(of_caption @ self.caption[:-1] + self.caption[-1])
        of_sentences = sentence_features(*logits, caption, facts) @ self.sentence[:-1] + self.sentence[-1]
        return Scores(probability(of_sentences), probability(logits[1]), float(probability(np.array(caption))))

    def deciding_words(self, sentence: str, most: int = 3) -> list[str]:
        """Return the words of ``sentence`` that speak most against it, strongest first."""
        found = features([sentence])
        weights = self.natural[found.slots] * values(found, 1)
        spread = np.zeros(len(found.text) + 1)
        np.add.at(spread, found.starts, weights / (found.ends - found.starts))
        np.add.at(spread, found.ends, -weights / (found.ends - found.starts))
        against = np.cumsum(spread)
        words = [
            (match[0].decode("utf-8", "replace"), against[match.start() : match.end()].sum())
            for match in re.finditer(rb"[^ ]+", found.text)
        ]
        return [_SHOWN.get(word, word) for word, weight in sorted(words, key=lambda item: -item[1]) if weight > 0][:most]


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
        scales = arrays.pop("scales")
        for scale, name in zip(scales, ("natural", "pitch", "whole")):
            arrays[name] = arrays[name].astype(np.float32) * scale
        return Model(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"cannot read the weights of the promotion rule: {path} is missing or damaged",
            f"restore it:  git checkout -- {path}  (or install the package again; --skip-rule promotion needs no weights)",
        ) from error


def values(found: Features, count: int) -> Floats:
    """Return of each part its value: one over the root of how many parts of its kind its sentence has."""
    kind = found.sentences * 2 + found.words
    return np.asarray((1 / np.sqrt(np.maximum(1, np.bincount(kind, minlength=2 * count))))[kind])


def in_whole(found: Features) -> tuple[Integers, Floats]:
    """Return the different parts of a caption as a whole, and of each its value."""
    slots = np.unique(found.slots) if found.sentences[-1] else found.slots
    words = int(np.searchsorted(slots, 1 << BITS))
    return slots, np.repeat(1 / np.sqrt([max(1, words), max(1, len(slots) - words)]), [words, len(slots) - words])


def first_logits(model: Model, found: Features, count: int) -> tuple[Floats, Floats, float]:
    """Return the logits of a caption's words alone: of its ``count`` sentences not natural, a pitch, and of the caption as a whole."""
    value = values(found, count)
    natural, pitch = (
        np.bincount(found.sentences, weights[found.slots] * value, minlength=count) + bias
        for weights, bias in zip((model.natural, model.pitch), model.bias)
    )
    slots, value = in_whole(found)
    whole = float(model.whole[slots] @ value + model.bias[2])
    return np.minimum(np.maximum(natural, -MOST), MOST), np.minimum(np.maximum(pitch, -MOST), MOST), min(max(whole, -MOST), MOST)


def caption_features(natural: Floats, pitch: Floats, whole: float, facts: Sequence[Facts]) -> Floats:
    """Return what the verdict on a caption is made of: its own logit, its sentences' logits and what the rules removed."""
    words = np.array([max(1, fact.words) for fact in facts], float)
    left = np.array([not fact.removed for fact in facts])
    share = words / words.sum()
    good = probability(-natural) * left
    mean, sold = float(share @ natural), float(share @ pitch)
    least = float(natural[left].min()) if left.any() else MOST
    removed = [sum(share[i] for i, fact in enumerate(facts) if fact.removed == name) for name in ("credits", "handles", "tags", "language")]
    return np.array(
        [
            whole, max(whole, 0), mean, max(mean, 0), sold, max(sold, 0), natural.max(), least, max(least, 0), pitch.max(),
            natural[0], natural[-1], pitch[0], pitch[-1],
            np.log(words.sum()), np.log1p(good @ words), float(good @ share), float(left @ share), not left.any(),
            np.log(len(facts)), any(fact.sign for fact in facts), *removed,
        ]
    )  # fmt: skip


def sentence_features(natural: Floats, pitch: Floats, whole: float, caption: float, facts: Sequence[Facts]) -> Floats:
    """Return a row for each sentence: its own logits, those of its neighbours and of the others, and that of the ``caption``."""
    count = len(natural)
    others = (natural.sum() - natural) / max(1, count - 1)
    top = np.sort(natural)
    highest = np.where(natural == top[-1], top[-2] if count > 1 else 0, top[-1])
    words = np.array([fact.words for fact in facts], float)
    caption = min(max(caption, -MOST), MOST)
    edge = np.arange(count)
    return np.stack(
        [
            natural, np.maximum(natural, 0), pitch, np.full(count, caption), np.full(count, max(caption, 0)), np.full(count, whole), others,
            highest, np.concatenate([[0], natural[:-1]]), np.concatenate([natural[1:], [0]]), np.concatenate([[0], pitch[:-1]]),
            edge == 0, edge == count - 1, np.full(count, count == 1), np.log1p(words), [fact.sign for fact in facts],
        ],
        axis=1,
    )  # fmt: skip


def probability(logit: Floats) -> Floats:
    """Return the probability of a logit."""
    return np.asarray(1 / (1 + np.exp(np.minimum(np.maximum(-logit, -30), 30))))


def word_count(text: str) -> int:
    """Return how many words of two letters and more ``text`` has, without tags, handles and addresses."""
    return len(_LETTERS.findall(_NO_WORDS.sub(" ", text)))
