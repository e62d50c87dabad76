"""What in a text was copied from the corpus: the longest run of words, n-grams, whole captions.

A suffix array over the words of all captions, sorted by the first ``DEPTH`` words, answers for every
position of a text how many of its words stand in a caption in that order: exactly, without hashes
of n-grams, in about 8 bytes a word. Written once beside captions.txt and read from then on.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..storage import atomic_write
from ..text import folded_words

#: Words by which positions are sorted; longer runs are followed from there, word by word.
DEPTH = 8
#: Pairs of positions that are compared at a time.
PAIRS = 1 << 20
#: Two texts are near copies above this Jaccard similarity of their word 3-grams (as in the cleaning).
NEAR = 0.7
#: Before each caption stands this word, which no text has.
_BREAK, _UNKNOWN = 0, -1


@dataclass(frozen=True)
class Copied:
    """What a text shares with the corpus.

    ``matches[i]`` is how many words from word i on stand in one caption in that order; ``span`` the greatest of them,
    ``span_words`` those words, ``nearest`` the caption (by index) that has them, None where no word is known.
    """

    words: tuple[str, ...]
    matches: tuple[int, ...]
    span: int
    nearest: int | None

    @property
    def span_words(self) -> str:
        """Return the longest copied run, folded."""
        start = self.matches.index(self.span) if self.matches else 0
        return " ".join(self.words[start : start + self.span])

    def known(self, n: int) -> tuple[int, int]:
        """Return how many n-grams the text has and how many of them a caption has too."""
        starts = max(0, len(self.words) - n + 1)
        return starts, sum(match >= n for match in self.matches[:starts])


class CopyIndex:
    """The words of a corpus, ready to be searched. ``len`` is the number of captions."""

    def __init__(self, vocabulary: dict[str, int], words: np.ndarray, order: np.ndarray, exact: np.ndarray, folded: np.ndarray) -> None:
        self._vocabulary, self._words, self._order = vocabulary, words, order
        self._exact, self._folded = exact, folded
        self._exact_set, self._folded_set = frozenset(exact.tolist()), frozenset(folded.tolist())
        self._breaks = np.flatnonzero(words == _BREAK)
        self._first = np.searchsorted(words[order], np.arange(len(vocabulary) + 2))  # where each word's positions begin in ``order``

    def __len__(self) -> int:
        return len(self._exact)

    @classmethod
    def build(cls, captions: Sequence[str]) -> CopyIndex:
        """Return the index of ``captions``, in their order."""
        vocabulary: dict[str, int] = {}
        words, folded = [_BREAK], []
        for caption in captions:
            own = folded_words(caption)
            words += [vocabulary.setdefault(word, len(vocabulary) + 1) for word in own]
            words.append(_BREAK)
            folded.append(_digest(" ".join(own)) if own else 0)
        flat = np.array(words, dtype=np.int32)
        exact = np.array([_digest(caption) for caption in captions], dtype=np.uint64)
        return cls(vocabulary, flat, _sorted_positions(flat), exact, np.array(folded, dtype=np.uint64))

    def is_exact(self, text: str) -> bool:
        """Return whether ``text`` is a caption, letter by letter."""
        return _digest(text) in self._exact_set

    def is_folded(self, text: str) -> bool:
        """Return whether ``text`` is a caption but for case, punctuation, emoji, tags, handles and spaces."""
        words = folded_words(text)
        return bool(words) and _digest(" ".join(words)) in self._folded_set

    def search(self, texts: Sequence[str]) -> list[Copied]:
        """Return what each of ``texts`` shares with the corpus; all are searched at once."""
        split = [tuple(folded_words(text)) for text in texts]
        known = self._vocabulary.get
        ids = np.array([i for words in split for i in (*[known(word, _UNKNOWN) for word in words], _UNKNOWN)], dtype=np.int32)
        low, high, depth = self._intervals(ids)
        self._follow(ids, low, high, depth)
        starts = np.cumsum([0, *(len(words) + 1 for words in split[:-1])]) if split else np.zeros(0, int)
        best = [int(depth[start : start + len(words) + 1].argmax()) for start, words in zip(starts.tolist(), split)]
        spans = depth[starts + best].tolist()
        nearest = self._captions(self._order[low[starts + best]] if len(self._order) else starts).tolist()
        return [
            Copied(words, tuple(depth[start : start + len(words)].tolist()), span, caption if span else None)
            for words, start, span, caption in zip(split, starts.tolist(), spans, nearest)
        ]

    def near(self, copied: Copied) -> int | None:
        """Return a caption that is a near copy of a text that was searched, or None.

        Of two near texts' n word 3-grams more than ``NEAR`` are shared, so one of any (1 - NEAR) n + 1 is: those that the
        corpus has least often are looked up, and what has them is compared exactly.
        """
        grams, known = copied.known(3)
        if not grams or known <= NEAR * grams:
            return None
        ids = np.array([self._vocabulary.get(word, _UNKNOWN) for word in copied.words], dtype=np.int32)
        mine = _triples(ids)
        low, high, depth = self._intervals(ids, 3)
        counts = {
            tuple(ids[i : i + 3].tolist()): (int(low[i]), int(high[i]) if depth[i] == 3 else int(low[i])) for i in range(len(ids) - 2)
        }
        rarest = sorted(counts.values(), key=lambda interval: interval[1] - interval[0])
        seen: set[int] = set()
        for begin, end in rarest[: int((1 - NEAR) * len(mine)) + 1]:
            seen.update(self._captions(self._order[begin:end]).tolist())
        for caption in sorted(seen):
            theirs = _triples(self._words[self._breaks[caption] + 1 : self._breaks[caption + 1]])
            if len(mine & theirs) > NEAR * len(mine | theirs):
                return caption
        return None

    def _captions(self, positions: np.ndarray) -> np.ndarray:
        """Return the number of the caption at each of ``positions``."""
        return np.searchsorted(self._breaks, positions) - 1

    def _intervals(self, ids: np.ndarray, depth: int = DEPTH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for each position of ``ids`` the part of ``order`` that matches longest, and for how many words."""
        low, high, matched = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        active = np.flatnonzero(ids != _UNKNOWN)
        low[active], high[active] = self._first[ids[active]], self._first[ids[active] + 1]
        matched[active] = 1
        for offset in range(1, depth):
            active = active[active + offset < len(ids)]
            wanted = ids[active + offset]
            active, wanted = active[wanted != _UNKNOWN], wanted[wanted != _UNKNOWN]
            begin = self._bound(low[active], high[active], wanted, offset, right=False)
            hit = (begin < high[active]) & (self._at(np.minimum(begin, len(self._order) - 1), offset) == wanted)
            active, begin = active[hit], begin[hit]
            end = self._bound(begin, high[active], wanted[hit], offset, right=True)
            low[active], high[active], matched[active] = begin, end, offset + 1
        return low, high, matched

    def _at(self, places: np.ndarray, offset: int) -> np.ndarray:
        """Return the words ``offset`` behind the positions at ``places`` of the order."""
        return self._words[np.minimum(self._order[places] + offset, len(self._words) - 1)]

    def _bound(self, low: np.ndarray, high: np.ndarray, wanted: np.ndarray, offset: int, right: bool) -> np.ndarray:
        """Return where in each interval the words at ``offset`` pass ``wanted`` (are it, without ``right``); binary search."""
        low, high = low.copy(), high.copy()
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low[open_] + high[open_]) // 2
            words = self._at(middle, offset)
            below = words <= wanted[open_] if right else words < wanted[open_]
            low[open_[below]] = middle[below] + 1
            high[open_[~below]] = middle[~below]
        return low

    def _follow(self, ids: np.ndarray, low: np.ndarray, high: np.ndarray, depth: np.ndarray) -> None:
        """Set ``low`` and ``depth`` of the positions that match ``DEPTH`` words to the caption that matches most, and how many."""
        deep = np.flatnonzero(depth == DEPTH)
        sizes = high - low
        for part in np.array_split(deep, 1 + int(sizes[deep].sum()) // PAIRS):
            if not len(part):
                continue
            starts = np.cumsum(sizes[part]) - sizes[part]
            query = np.repeat(part, sizes[part])
            places = np.arange(len(query)) + np.repeat(low[part] - starts, sizes[part])
            lengths, active = np.full(len(query), DEPTH), np.arange(len(query))
            while active.size:
                following = ids[query[active] + lengths[active]]
                active = active[(following != _UNKNOWN) & (following == self._words[self._order[places[active]] + lengths[active]])]
                lengths[active] += 1
            depth[part] = np.maximum.reduceat(lengths, starts)
            longest = np.flatnonzero(lengths == depth[query])[::-1]  # the first of equals is written last
            low[query[longest]] = places[longest]

    def save(self, path: Path) -> None:
        """Write the index, replacing others of the same captions.txt; it is read back by ``load``.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        letters = np.frombuffer("\n".join(self._vocabulary).encode("utf-8", "surrogatepass"), dtype=np.uint8)
        with atomic_write(path, binary=True) as handle:
            np.savez(handle, letters=letters, words=self._words, order=self._order, exact=self._exact, folded=self._folded)
        for old in path.parent.glob(f"{path.name.rpartition('-')[0]}-*.novelty.npz"):
            if old != path:
                old.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> CopyIndex | None:
        """Return the index in ``path``, or None where there is none or it is damaged: it can be built again."""
        try:
            with np.load(path) as arrays:
                letters = arrays["letters"].tobytes().decode("utf-8", "surrogatepass")
                vocabulary = {word: i for i, word in enumerate(letters.split("\n"), start=1)} if letters else {}
                return cls(vocabulary, arrays["words"], arrays["order"], arrays["exact"], arrays["folded"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _triples(ids: np.ndarray) -> set[tuple[int, ...]]:
    listed = ids.tolist()
    return {tuple(listed[i : i + 3]) for i in range(len(listed) - 2)}


def _sorted_positions(words: np.ndarray) -> np.ndarray:
    """Return all positions sorted by the ``DEPTH`` words from each on (prefix doubling, Manber and Myers 1990)."""
    ranks, length = words.astype(np.int64), 1
    while length < DEPTH:
        following = np.zeros_like(ranks)
        following[:-length] = ranks[length:]
        keys = ranks * (int(ranks.max(initial=0)) + 1) + following
        order = np.argsort(keys)
        ordered = keys[order]
        ranks = np.empty_like(ranks)
        ranks[order] = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        length *= 2
    return np.argsort(ranks, kind="stable").astype(np.int32)
