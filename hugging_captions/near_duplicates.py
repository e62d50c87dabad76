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
    rank = _ranks(sets)
    twins: dict[int, int] = {}
    kept_with: dict[int, list[int]] = {}
    for i in order:
        size = len(sets[i])
        rarest = sorted(sets[i].tolist(), key=lambda gram: (rank.get(gram, 0), gram))[: size - math.ceil(threshold * size) + 1]
        shared = [gram for gram in rarest if gram in rank]
        candidates = {j for gram in shared for j in kept_with.get(gram, ())}
        twin = next((j for j in sorted(candidates) if _jaccard(sets[i], sets[j]) > threshold), None)
        if twin is None:
            for gram in shared:
                kept_with.setdefault(gram, []).append(i)
        else:
            twins[i] = twin
    return twins


def _ranks(sets: Sequence[np.ndarray]) -> dict[int, int]:
    """Return how often each 3-gram occurs that occurs more than once; the others need no look-up."""
    if not len(sets):
        return {}
    grams, counts = np.unique(np.concatenate(sets), return_counts=True)
    return dict(zip(grams[counts > 1].tolist(), counts[counts > 1].tolist()))


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
