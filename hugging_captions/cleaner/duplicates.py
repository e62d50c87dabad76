"""Duplicates: captions that are equal, equal except for case and marks, or share most words with a better one.

Near duplicates are found by an exact prefix-filter join (Chaudhuri et al. 2006) over word 3-grams: two captions whose Jaccard
similarity is above the threshold share one of their rarest few 3-grams. Where many share one, as captions of one template do,
bitmaps of the 3-grams exclude nearly all (Sandes et al. 2020); the rest are compared exactly.
"""

from __future__ import annotations

import logging
import math
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .. import console
from ..options import CleanOptions
from ..text import fold, hash64

log = logging.getLogger(__name__)

#: Captions with fewer words are compared by character 5-grams, because so few words have too few 3-grams.
MIN_WORDS = 6
#: Odd factors that spread the hashes of three words over that of their 3-gram (the first two primes of xxHash).
_FACTORS = np.array([0x9E3779B1, 0x85EBCA77], np.uint32)
#: Captions prepared at a time, and candidates compared at a time.
AT_ONCE = 256
#: Captions from which on the search for near duplicates is slow enough to log its start.
MANY = 20_000
#: 64-bit words in a bitmap.
BITMAP = 4
#: Where more than this share of the kept captions are candidates, reading the bitmaps of all in a row is faster.
SCAN = 0.25


@dataclass(slots=True)
class ShingleSets:
    """The shingles of many captions in one array, four bytes each; ``sets[i]`` are those of caption ``i``."""

    flat: array[int] = field(default_factory=lambda: array("I"))
    ends: array[int] = field(default_factory=lambda: array("Q", [0]))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        return np.frombuffer(self.flat, np.uint32)[self.ends[i] : self.ends[i + 1]]

    def append(self, shingles: np.ndarray) -> None:
        """Add the shingles of one caption."""
        self.flat.frombytes(shingles.tobytes())
        self.ends.append(len(self.flat))

    def extend(self, other: ShingleSets) -> None:
        """Append the shingles of other captions."""
        before = len(self.flat)
        self.flat.extend(other.flat)
        self.ends.extend(before + end for end in other.ends[1:])


def shingles(folded: str) -> np.ndarray:
    """Return the distinct word 3-grams of a folded caption (``text.fold``) as sorted uint32 hashes."""
    words = folded.encode("utf-8", "replace").split()
    if len(words) >= MIN_WORDS:
        hashes = np.fromiter(map(zlib.crc32, words), np.uint32, len(words))
        grams = (hashes[:-2] * _FACTORS[0] + hashes[1:-1]) * _FACTORS[1] + hashes[2:]  # modulo 2^32
    else:
        parts = [folded[i : i + 5].encode("utf-8", "replace") for i in range(max(1, len(folded) - 4))]
        grams = np.fromiter(map(zlib.crc32, parts), np.uint32, len(parts))
    distinct: np.ndarray = np.unique(grams)
    return distinct


@dataclass(slots=True)
class Survivors:
    """The posts that no earlier rule dropped, in columns to save memory: there may be millions."""

    shortcodes: list[str] = field(default_factory=list)
    likes: array[int] = field(default_factory=lambda: array("q"))
    exact: array[int] = field(default_factory=lambda: array("Q"))
    folded: array[int] = field(default_factory=lambda: array("Q"))
    shingles: ShingleSets = field(default_factory=ShingleSets)

    def __len__(self) -> int:
        return len(self.shortcodes)

    def append(self, shortcode: str, likes: int | None, text: str) -> None:
        """Add one post, with its clean text."""
        folded = fold(text) or text
        self.shortcodes.append(shortcode)
        self.likes.append(-1 if likes is None else likes)
        self.exact.append(hash64(text))
        self.folded.append(hash64(folded))
        self.shingles.append(shingles(folded))

    def extend(self, other: Survivors) -> None:
        """Append other posts."""
        self.shortcodes += other.shortcodes
        self.likes += other.likes
        self.exact += other.exact
        self.folded += other.folded
        self.shingles.extend(other.shingles)


def find(survivors: Survivors, options: CleanOptions) -> Iterator[tuple[str, str]]:
    """Yield for each survivor the reason to drop it and the shortcode of the post that stays instead; both are empty if it stays.

    Of two duplicates the one with more likes stays, or else the earlier one. Posts are not compared by shortcode:
    one may come under several tags, and has to stay with one of them.
    """
    import pandas as pd

    columns = {"likes": survivors.likes, "exact-duplicate": survivors.exact, "folded-duplicate": survivors.folded}
    left = pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})
    left = left.sort_values("likes", ascending=False, kind="stable")
    reasons = np.full(len(survivors), "", object)
    better = np.zeros(len(survivors), np.int64)
    for reason in ("exact-duplicate", "folded-duplicate"):
        if reason not in options.skip_rule:
            first = left.index.to_series().groupby(left[reason], sort=False).transform("first")
            same = first != first.index
            reasons[left.index[same]], better[left.index[same]] = reason, first[same]
            left = left[~same]
    if "near-duplicate" not in options.skip_rule:
        for i, j in near(survivors.shingles, left.index.tolist(), options.near_threshold).items():
            reasons[i], better[i] = "near-duplicate", j
    return ((reason, survivors.shortcodes[j] if reason else "") for reason, j in zip(reasons, better))


def near(sets: ShingleSets, order: Sequence[int], threshold: float) -> dict[int, int]:
    """Return for each near duplicate, above the Jaccard similarity ``threshold``, the caption that stays instead.

    ``order`` has the captions to compare, best first. Each is dropped for the first caption that stays and is near it, so no two
    that stay are near each other.
    """
    if len(order) > MANY:
        log.info("looking for near duplicates among %s captions", f"{len(order):,}")
    grams, counts = _repeated(sets)
    kept = _Kept(sets, len(order), threshold)
    found: dict[int, int] = {}
    with console.progress(total=len(order), unit="caption", label="near duplicates") as bar:
        for start in range(0, len(order), AT_ONCE):
            part = order[start : start + AT_ONCE]
            own = [sets[i] for i in part]
            for i, rare, bitmap in zip(part, _rarest(own, grams, counts, threshold), _bitmaps(own)):
                better = kept.first_near(i, rare, bitmap)
                if better is None:
                    kept.add(i, rare, bitmap)
                else:
                    found[i] = better
            bar.update(len(part))
    return found


class _Rare(NamedTuple):
    """The rarest 3-grams of a caption that another caption has, rarest first; ``alone`` counts the rarer ones that no other has."""

    alone: int
    grams: list[int]


class _Kept:
    """The captions kept so far, numbered in order, and an index of their rarest 3-grams."""

    def __init__(self, sets: ShingleSets, most: int, threshold: float) -> None:
        self.sets, self.threshold = sets, threshold
        self.flat, self.ends = np.asarray(sets.flat), np.asarray(sets.ends).astype(np.int64)
        self.captions: array[int] = array("Q")
        self.sizes = np.zeros(most, np.int32)
        self.bitmaps = np.zeros((1 + BITMAP, most), np.uint64)
        #: by 3-gram: the smallest size, then the numbers
        self.having: dict[int, array[int]] = {}

    def add(self, i: int, rare: _Rare, bitmap: np.ndarray) -> None:
        """Keep caption ``i``; it is a candidate for those that share one of its ``rare`` 3-grams."""
        if not rare.grams:
            return
        number, size = len(self.captions), len(self.sets[i])
        self.captions.append(i)
        self.sizes[number] = size
        self.bitmaps[:, number] = bitmap
        for gram in rare.grams:
            having = self.having.setdefault(gram, array("I", [size]))
            having[0] = min(size, having[0])
            having.append(number)

    def first_near(self, i: int, rare: _Rare, bitmap: np.ndarray) -> int | None:
        """Return the first kept caption that is near ``i``, or None."""
        size = len(self.sets[i])
        # If the rarest common 3-gram is at place p of r, the two share at most r - p; a near pair of sizes r and s shares more than
        # (r + s) t / (1 + t). So s is at most (r - p)(1 + 1/t) - r.
        places = {gram: (size - place) * (1 + 1 / self.threshold) - size + 1e-6 for place, gram in enumerate(rare.grams, rare.alone)}
        lists = [having for gram, most in places.items() if (having := self.having.get(gram)) and having[0] <= most]
        if not lists:
            return None
        numbers = np.unique(self._candidates(lists, size, bitmap))
        for start in range(0, len(numbers), AT_ONCE):
            part = numbers[start : start + AT_ONCE]
            near = np.flatnonzero(self._similarity(self.sets[i], part) > self.threshold)
            if len(near):
                return int(self.captions[part[near[0]]])
        return None

    def _similarity(self, own: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the Jaccard similarity of ``own`` to each of the kept captions ``numbers``."""
        sizes = self.sizes[numbers]
        ends = np.cumsum(sizes)
        starts = self.ends[np.asarray(self.captions)[numbers]]
        grams = self.flat[np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])]
        hits = own[np.minimum(np.searchsorted(own, grams), len(own) - 1)] == grams
        shared = np.add.reduceat(hits, ends - sizes, dtype=np.int64)
        similarity: np.ndarray = shared / (len(own) + sizes - shared)
        return similarity

    def _candidates(self, lists: Sequence[array[int]], size: int, bitmap: np.ndarray) -> np.ndarray:
        """Return the numbers of kept captions that may be near a caption with ``size`` 3-grams and this ``bitmap``.

        A differing bit means a 3-gram that only one of the two has. A near pair of sizes r and s has fewer of those than
        (r + s)(1 - t)/(1 + t).
        """
        share = (1 - self.threshold) / (1 + self.threshold) + 1e-9
        at_most = int(min(64, size * (1 + 1 / self.threshold) * share))  # s is at most r/t
        if sum(map(len, lists)) > SCAN * len(self.captions):
            numbers = np.flatnonzero(np.bitwise_count(self.bitmaps[0, : len(self.captions)] ^ bitmap[0]) <= at_most)
        else:
            numbers = np.concatenate([np.asarray(having)[1:] for having in lists])
            numbers = numbers[np.bitwise_count(self.bitmaps[0].take(numbers) ^ bitmap[0]) <= at_most]
        differing = np.zeros(len(numbers), np.uint16)
        for own, row in zip(bitmap[1:], self.bitmaps[1:]):
            differing += np.bitwise_count(row.take(numbers) ^ own)
        return numbers[differing <= (self.sizes.take(numbers) + size) * share]


def _bitmaps(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Return the bitmap of each caption, ``[caption, word]``: a bit is set if an odd number of its 3-grams map to it.

    The first word covers all 3-grams, each of the others a part of them.
    """
    sizes = np.array([len(own) for own in sets])
    flat = np.concatenate(sets)
    bits = np.uint64(1) << (flat & 63).astype(np.uint64)
    words = (flat >> 6) % BITMAP
    starts = np.cumsum(sizes) - sizes
    parts = [np.bitwise_xor.reduceat(np.where(words == word, bits, np.uint64(0)), starts) for word in range(BITMAP)]
    return np.stack([np.bitwise_xor.reduce(parts), *parts], axis=1)


def _repeated(sets: ShingleSets) -> tuple[np.ndarray, np.ndarray]:
    """Return the 3-grams that occur more than once, sorted, and their counts."""
    flat = np.asarray(sets.flat)
    grams, counts = [], []
    for part in range(16):  # by the first four bits: counting all at once needs eight times the memory of the shingles
        own, often = np.unique(flat[flat >> 28 == part], return_counts=True)
        grams.append(own[often > 1])
        counts.append(often[often > 1].astype(np.uint32))
    return np.concatenate(grams), np.concatenate(counts)


def _rarest(sets: Sequence[np.ndarray], grams: np.ndarray, counts: np.ndarray, threshold: float) -> list[_Rare]:
    """Return enough of the rarest 3-grams of each caption that every near duplicate shares at least one of them."""
    if not len(grams):
        return [_Rare(0, [])] * len(sets)
    flat = np.concatenate(sets)
    places = np.minimum(np.searchsorted(grams, flat), len(grams) - 1)
    often = np.where(grams[places] == flat, counts[places], 0)
    found: list[_Rare] = []
    start = 0
    for own in sets:
        mine = often[start : start + len(own)]
        start += len(own)
        first = len(own) - math.ceil(threshold * len(own)) + 1
        alone = len(own) - np.count_nonzero(mine)
        found.append(_Rare(int(alone), own[np.argsort(mine, kind="stable")[alone:first]].tolist()))
    return found
