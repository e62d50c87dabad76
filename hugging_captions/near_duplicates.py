"""Near duplicates: which captions share most of their words with a better one.

An exact prefix-filter join (Chaudhuri et al. 2006) over word 3-grams: two captions whose Jaccard
similarity is above the threshold share one of their rarest few 3-grams, so only those are looked up,
and each pair found is verified exactly.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

#: Captions with fewer words are compared by character 5-grams: 3-grams of so few words say little.
MIN_WORDS = 6
#: Candidates that are compared at a time.
AT_ONCE = 256


def shingles(folded: str) -> np.ndarray:
    """Return the distinct word 3-grams of a folded caption (``rules.fold``) as sorted uint32 hashes."""
    words = folded.split()
    if len(words) >= MIN_WORDS:
        grams = {" ".join(words[i : i + 3]) for i in range(len(words) - 2)}
    else:
        grams = {folded[i : i + 5] for i in range(max(1, len(folded) - 4))}
    return np.array(sorted({zlib.crc32(gram.encode("utf-8", "replace")) for gram in grams}), dtype=np.uint32)


def find(sets: Sequence[np.ndarray], order: Sequence[int], threshold: float) -> dict[int, int]:
    """Return for each near duplicate the caption that it is a twin of.

    Args:
        sets: the shingles of each caption.
        order: indices into ``sets``, best first; a caption is dropped for a better one, never the reverse.
        threshold: a pair is near above this Jaccard similarity.

    No two captions outside the result are near each other.
    """
    grams, counts = _repeated(sets)
    twins: dict[int, int] = {}
    kept_with: dict[int, list[int]] = {}
    for i in order:
        shared = _rarest(sets[i], grams, counts, threshold)
        candidates = sorted({j for gram in shared for j in kept_with.get(gram, ())})
        twin = _first_near(sets, i, candidates, threshold)
        if twin is None:
            for gram in shared:
                kept_with.setdefault(gram, []).append(i)
        else:
            twins[i] = twin
    return twins


def _repeated(sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the 3-grams that occur more than once, sorted, and how often each does; the others need no look-up."""
    grams, counts = np.unique(np.concatenate([np.empty(0, np.uint32), *sets]), return_counts=True)
    often = counts > 1
    return grams[often], counts[often].astype(np.uint32)


def _rarest(own: np.ndarray, grams: np.ndarray, counts: np.ndarray, threshold: float) -> list[int]:
    """Return those of a caption's rarest 3-grams that another caption has; one near to it shares at least one of them."""
    if not len(grams):
        return []
    places = np.minimum(np.searchsorted(grams, own), len(grams) - 1)
    often = np.where(grams[places] == own, counts[places], 0)
    rarest = np.argsort(often, kind="stable")[: len(own) - math.ceil(threshold * len(own)) + 1]
    return own[rarest][often[rarest] > 0].tolist()


def _first_near(sets: Sequence[np.ndarray], i: int, candidates: Sequence[int], threshold: float) -> int | None:
    """Return the first of ``candidates`` that is near caption ``i``; many are compared at once, for spam has thousands of them."""
    own = sets[i]
    for start in range(0, len(candidates), AT_ONCE):
        part = [
            j for j in candidates[start : start + AT_ONCE] if threshold * len(own) <= len(sets[j]) and threshold * len(sets[j]) <= len(own)
        ]
        if not part:
            continue
        sizes = np.array([len(sets[j]) for j in part])
        grams = np.concatenate([sets[j] for j in part])
        hits = own[np.minimum(np.searchsorted(own, grams), len(own) - 1)] == grams
        shared = np.add.reduceat(hits, np.cumsum(sizes) - sizes, dtype=np.int64)
        near = np.flatnonzero(shared / (len(own) + sizes - shared) > threshold)
        if len(near):
            return part[int(near[0])]
    return None
