"""Near duplicates: which captions share most of their words with a better one.

An exact prefix-filter join (Chaudhuri et al. 2006) over word 3-grams: two captions whose Jaccard
similarity is above the threshold share one of their rarest few 3-grams, so only those are looked up,
and each pair found is verified exactly.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

#: Captions with fewer words are compared by character 5-grams: 3-grams of so few words say little.
MIN_WORDS = 6
#: Odd factors that spread the hashes of three words over that of their 3-gram (the first two primes of xxHash).
_FACTORS = np.array([0x9E3779B1, 0x85EBCA77], np.uint32)
#: Captions that are looked up, and candidates that are compared, at a time.
AT_ONCE = 256


@dataclass(slots=True)
class ShingleSets:
    """The shingles of many captions one behind the other, four bytes each; ``sets[i]`` is those of caption ``i``."""

    flat: array[int] = field(default_factory=lambda: array("I"))
    ends: array[int] = field(default_factory=lambda: array("Q", [0]))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        return np.frombuffer(self.flat, np.uint32)[self.ends[i] : self.ends[i + 1]]

    def append(self, shingles: np.ndarray) -> None:
        """Add those of one more caption."""
        self.flat.frombytes(shingles.tobytes())
        self.ends.append(len(self.flat))

    def extend(self, other: ShingleSets) -> None:
        """Add those of other captions behind these."""
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
    grams.sort()
    return grams[np.concatenate(([True], grams[1:] != grams[:-1]))]


def find(sets: ShingleSets, order: Sequence[int], threshold: float) -> dict[int, int]:
    """Return for each near duplicate the caption that it is a twin of.

    Args:
        sets: the shingles of each caption.
        order: the captions to compare, best first; one is dropped for a better one, never the reverse.
        threshold: a pair is near above this Jaccard similarity.

    No two captions of ``order`` outside the result are near each other.
    """
    grams, counts = _repeated(sets)
    twins: dict[int, int] = {}
    kept_with: dict[int, list[int]] = {}
    for start in range(0, len(order), AT_ONCE):
        part = order[start : start + AT_ONCE]
        for place, (i, shared) in enumerate(zip(part, _rarest([sets[i] for i in part], grams, counts, threshold)), start):
            if not shared:
                continue
            places = sorted({better for gram in shared for better in kept_with.get(gram, ())})
            twin = _first_near(sets, i, [order[better] for better in places], threshold)
            if twin is None:
                for gram in shared:
                    kept_with.setdefault(gram, []).append(place)
            else:
                twins[i] = twin
    return twins


def _repeated(sets: ShingleSets) -> tuple[np.ndarray, np.ndarray]:
    """Return the 3-grams that occur more than once, sorted, and how often each does; the others need no look-up."""
    flat = np.frombuffer(sets.flat, np.uint32)
    grams, counts = [], []
    for part in range(16):  # by the first four bits: counting all at once takes eight times the memory of the shingles
        own, often = np.unique(flat[flat >> 28 == part], return_counts=True)
        grams.append(own[often > 1])
        counts.append(often[often > 1].astype(np.uint32))
    return np.concatenate(grams), np.concatenate(counts)


def _rarest(sets: Sequence[np.ndarray], grams: np.ndarray, counts: np.ndarray, threshold: float) -> list[list[int]]:
    """Return for each caption those of its rarest 3-grams that another caption has; one near to it shares at least one of them."""
    if not len(grams):
        return [[] for _ in sets]
    flat = np.concatenate(sets)
    places = np.minimum(np.searchsorted(grams, flat), len(grams) - 1)
    often = np.where(grams[places] == flat, counts[places], 0)
    found: list[list[int]] = []
    start = 0
    for own in sets:
        mine = often[start : start + len(own)]
        start += len(own)
        first = len(own) - math.ceil(threshold * len(own)) + 1
        alone = len(own) - np.count_nonzero(mine)
        found.append(own[np.argsort(mine, kind="stable")[alone:first]].tolist() if alone < first else [])
    return found


def _first_near(sets: ShingleSets, i: int, candidates: Sequence[int], threshold: float) -> int | None:
    """Return the first of ``candidates`` that is near caption ``i``; many are compared at once, for spam has thousands of them."""
    own = sets[i]
    for start in range(0, len(candidates), AT_ONCE):
        others = {j: sets[j] for j in candidates[start : start + AT_ONCE]}
        part = [j for j, other in others.items() if threshold * len(own) <= len(other) and threshold * len(other) <= len(own)]
        if not part:
            continue
        sizes = np.array([len(others[j]) for j in part])
        grams = np.concatenate([others[j] for j in part])
        hits = own[np.minimum(np.searchsorted(own, grams), len(own) - 1)] == grams
        shared = np.add.reduceat(hits, np.cumsum(sizes) - sizes, dtype=np.int64)
        near = np.flatnonzero(shared / (len(own) + sizes - shared) > threshold)
        if len(near):
            return part[int(near[0])]
    return None
