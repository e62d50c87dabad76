"""How much of a set of captions is copied from the training captions, and how varied it is.

Reads text/<tag>/captions.txt and the checkpoint's run.json (which captions were held out). A suffix array over the words of
all training captions gives, for every position of a text, the exact length of the longest run of words that also occurs in a
caption. The figures of held-out human captions are the reference, because people repeat each other too.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import emoji
import numpy as np

from .. import console
from ..errors import InputError
from ..storage import Store, read_captions, read_json
from ..text import fold, folded_words, hash64

log = logging.getLogger(__name__)

N_GRAMS = (3, 4, 5, 8)
#: The figures of a set of captions.
MEANINGS = {
    "captions": "number of captions",
    "mean_words": "words in a caption, mean",
    **{f"novelty_{n}": f"share of runs of {n} words that no training caption has" for n in N_GRAMS},
    "mean_copied_span": "longest run of words that is also in one training caption, mean",
    "longest_copied_span": "longest such run in any caption",
    "copied_share": "share of a caption's words in that run, mean",
    "exact_copies": "captions that are training captions",
    "folded_copies": "the same except for case, punctuation, emoji and tags",
    "near_copies": "captions that share most of their words with a training caption",
    "distinct_1": "share of distinct words",
    "distinct_2": "share of distinct pairs of words",
    "distinct_3": "share of distinct runs of 3 words",
    "compression_ratio": "high where captions repeat themselves or each other",
    "emoji_share": "share of captions with an emoji",
    "tag_share": "share of captions with a tag",
}
#: The figures that a summary shows.
FEW_FIGURES = ("mean_words", "novelty_4", "longest_copied_span", "near_copies", "distinct_2")
#: Two texts are near copies above this Jaccard similarity of their word 3-grams (as in the cleaning).
NEAR = 0.7
#: A word before each caption that no text has.
_BREAK, _UNKNOWN = 0, -1

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Copied:
    """The overlap of a text with the corpus.

    ``matches[i]`` is the length in words of the longest run from word i on that occurs in one caption. ``span`` is the greatest
    of them, ``span_words`` its words, ``nearest`` the index of its caption (None if no word is known). ``kind`` is ``exact``,
    ``folded`` or ``near`` if the text is such a copy of a whole caption, otherwise None.
    """

    words: tuple[str, ...]
    matches: tuple[int, ...]
    span: int
    nearest: int | None
    kind: str | None = None

    @property
    def span_words(self) -> str:
        """Return the longest copied run, folded."""
        start = self.matches.index(self.span) if self.matches else 0
        return " ".join(self.words[start : start + self.span])

    def known(self, n: int) -> tuple[int, int]:
        """Return the number of n-grams in the text, and how many of them occur in a caption."""
        starts = max(0, len(self.matches) - n + 1)
        return starts, sum(match >= n for match in self.matches[:starts])


class CopyIndex:
    """A searchable index of the words of a corpus."""

    def __init__(self, captions: Sequence[str]) -> None:
        """Index ``captions``; an empty one is never found, but has a number in ``nearest``."""
        self._vocabulary: dict[str, int] = {}
        words = [_BREAK]
        self._exact, self._folded = {hash64(caption) for caption in captions if caption}, set[int]()
        for caption in captions:
            own = folded_words(caption)
            words += [self._vocabulary.setdefault(word, len(self._vocabulary) + 1) for word in own]
            words.append(_BREAK)
            if own:
                self._folded.add(hash64(" ".join(own)))
        self._words = np.array(words, dtype=np.int32)
        self._order = _sorted_positions(self._words)
        self._breaks = np.flatnonzero(self._words == _BREAK)
        # where each word's positions begin in the order
        self._first = np.searchsorted(self._words[self._order], np.arange(len(self._vocabulary) + 2))

    def search(self, texts: Sequence[str]) -> list[Copied]:
        """Return the overlap of each of ``texts`` with the corpus; all are searched at once."""
        split = [tuple(folded_words(text)) for text in texts]
        ids = np.array([i for words in split for i in (*self._ids(words), _UNKNOWN)], dtype=np.int32)
        low, high, matched = self._intervals(ids)
        found, start = [], 0
        for text, words in zip(texts, split):
            matches = tuple(matched[start : start + len(words)].tolist())
            span, best = max(matches, default=0), start + int(matched[start : start + len(words) + 1].argmax())
            # of several captions that have the longest run, the first
            nearest = int(self._captions(self._order[low[best] : high[best]].min())) if span else None
            copied = Copied(words, matches, span, nearest)
            found.append(replace(copied, kind=self._kind(text, copied)))
            start += len(words) + 1
        return found

    def _ids(self, words: Sequence[str]) -> list[int]:
        return [self._vocabulary.get(word, _UNKNOWN) for word in words]

    def _kind(self, text: str, copied: Copied) -> str | None:
        if hash64(text) in self._exact:
            return "exact"
        if copied.words and hash64(" ".join(copied.words)) in self._folded:
            return "folded"
        grams, known = copied.known(3)
        return "near" if grams and known > NEAR * grams and self._has_near(np.array(self._ids(copied.words), dtype=np.int32)) else None

    def _has_near(self, ids: np.ndarray) -> bool:
        """Return whether a caption is a near copy of a text: more than ``NEAR`` of the 3-grams of both are in both (Jaccard)."""
        mine = _triples(ids)
        low, high, depth = self._intervals(ids, 3)
        places = {tuple(ids[i : i + 3].tolist()): self._order[low[i] : high[i]] for i in np.flatnonzero(depth == 3)}
        shared = Counter(caption for found in places.values() for caption in np.unique(self._captions(found)).tolist())
        for caption, count in shared.most_common():
            if count <= NEAR * len(mine):
                return False
            theirs = _triples(self._words[self._breaks[caption] + 1 : self._breaks[caption + 1]])
            if count > NEAR * (len(mine) + len(theirs) - count):
                return True
        return False

    def _captions(self, positions: np.ndarray) -> np.ndarray:
        """Return the number of the caption at each of ``positions``."""
        return np.searchsorted(self._breaks, positions) - 1

    def _intervals(self, ids: np.ndarray, most: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for each position of ``ids`` the interval of the order with the longest match, and its length (at most ``most`` words)."""
        low, high, matched = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        active = np.flatnonzero(ids != _UNKNOWN)
        low[active], high[active] = self._first[ids[active]], self._first[ids[active] + 1]
        matched[active] = 1
        for offset in range(1, most or len(ids)):
            active = active[active + offset < len(ids)]
            if not active.size:
                break
            wanted = ids[active + offset]
            active, wanted = active[wanted != _UNKNOWN], wanted[wanted != _UNKNOWN]
            begin = self._bound(low[active], high[active], wanted, offset, right=False)
            hit = (begin < high[active]) & (self._at(np.minimum(begin, len(self._order) - 1), offset) == wanted)
            active, begin = active[hit], begin[hit]
            end = self._bound(begin, high[active], wanted[hit], offset, right=True)
            low[active], high[active], matched[active] = begin, end, offset + 1
        return low, high, matched

    def _at(self, places: np.ndarray, offset: int) -> np.ndarray:
        """Return the words ``offset`` after the positions at ``places`` of the order."""
        return self._words[np.minimum(self._order[places] + offset, len(self._words) - 1)]

    def _bound(self, low: np.ndarray, high: np.ndarray, wanted: np.ndarray, offset: int, right: bool) -> np.ndarray:
        """Return where in each interval the words at ``offset`` exceed ``wanted`` (or reach it, without ``right``); binary search."""
        low, high = low.copy(), high.copy()
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low[open_] + high[open_]) // 2
            words = self._at(middle, offset)
            below = words <= wanted[open_] if right else words < wanted[open_]
            low[open_[below]] = middle[below] + 1
            high[open_[~below]] = middle[~below]
        return low


def _triples(ids: np.ndarray) -> set[tuple[int, ...]]:
    listed = ids.tolist()
    return {tuple(listed[i : i + 3]) for i in range(len(listed) - 2)}


def _sorted_positions(words: np.ndarray) -> np.ndarray:
    """Return all positions sorted by the words from each on, to the end of a caption (prefix doubling, Manber and Myers 1990)."""
    ranks, length = words.astype(np.int64), 1
    longest = int(np.diff(np.flatnonzero(words == _BREAK)).max(initial=0))
    while length < longest and int(ranks.max()) < len(words) - 1:
        following = np.zeros_like(ranks)
        following[:-length] = ranks[length:]
        keys = ranks * (int(ranks.max()) + 1) + following
        order = np.argsort(keys)
        ordered = keys[order]
        ranks = np.empty_like(ranks)
        ranks[order] = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        length *= 2
    return np.argsort(ranks, kind="stable").astype(np.int32)


@dataclass(frozen=True)
class Reference:
    """The captions for comparison: an index of the training captions, and the held-out captions.

    ``index`` is None if captions.txt is missing; ``note`` lists the checks that were not possible. ``training`` are the captions
    by their number in ``Copied.nearest``.
    """

    index: CopyIndex | None
    held_out: tuple[str, ...] = ()
    note: str = ""
    training: tuple[str, ...] = ()

    def search(self, texts: Sequence[str]) -> list[Copied | None]:
        """Return the overlap of each text with the training captions, None if they are missing."""
        return [None] * len(texts) if self.index is None else list(self.index.search(texts))


def load_reference(tags: Sequence[str], store: Store, model: str) -> Reference:
    """Return an index of the training captions of ``tags``, and the captions that the checkpoint of corpus ``model`` has not seen.

    Held out are those whose hash is in run.json; all others count as training captions, including those added later.
    Checks that are not possible are logged and listed in ``note``.
    """
    try:
        captions = _read_corpus(tags, store)
    except InputError as error:
        note = f"copies and novelty could not be checked: {error}"
        log.warning("%s", note)
        return Reference(None, note=note)
    hashes, note = _held_out_hashes(captions, store.model(model) / "run.json")
    held_out = dict.fromkeys(caption for caption in captions if f"{hash64(caption):016x}" in hashes)  # in order
    index = CopyIndex(["" if caption in held_out else caption for caption in captions])
    return Reference(index, tuple(held_out), note, tuple(captions))


def _read_corpus(tags: Sequence[str], store: Store) -> list[str]:
    """Return the captions of ``tags``; one that several tags share stays with the first, as in the training."""
    found: dict[str, str] = {}
    for tag in tags:
        for caption in read_captions(store.captions(tag)):
            found.setdefault(fold(caption) or caption, caption)
    if not found:
        raise InputError(f"{store.captions(tags[0])} holds no caption")
    return list(found.values())


def _held_out_hashes(captions: Sequence[str], path: Path) -> tuple[frozenset[str], str]:
    """Return the hashes of the held-out captions in the run.json at ``path``, and a note where it has none."""
    if not path.exists():  # a checkpoint from another program
        return frozenset(), ""
    try:
        run = read_json(path)
        trained_on, hashes = run["corpus_sha256"], run.get("held_out")
        found = frozenset(map(str, hashes or ()))
    except (InputError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s can't be used (%s): all captions count as training captions", path, error)
        return frozenset(), ""
    if hashes is None:
        note = "the model was trained by an earlier version: its held-out captions are unknown, so all captions count as training captions"
        log.warning("%s", note)
        return found, note
    if trained_on != hashlib.sha256("\0".join(captions).encode("utf-8")).hexdigest():
        log.info("captions.txt has changed since the training: added captions count as training captions")
    return found, ""


def figures(texts: Sequence[str], copied: Sequence[Copied | None], sample: int | None = None) -> Figures:
    """Return the figures of ``texts`` that ``MEANINGS`` describes.

    Those of copies cover the texts that were searched, and are None if none was. ``novelty_<n>`` is the n-novelty of Merrill et al.
    2024, ``distinct_<n>`` from Li et al. 2016. ``distinct_<n>`` and ``compression_ratio`` use only the first ``sample`` captions,
    because both depend on the amount of text. A caption is an exact, a folded or a near copy, whichever is first.
    """
    words = [folded_words(text) if found is None else list(found.words) for text, found in zip(texts, copied)]
    result: Figures = {"captions": len(texts), "mean_words": _mean([len(own) for own in words])}
    result |= _copy_figures([found for found in copied if found is not None])
    result |= {f"distinct_{n}": _distinct(words[:sample], n) for n in (1, 2, 3)}
    joined = "\n".join(texts[:sample]).encode("utf-8", "replace")
    result["compression_ratio"] = round(len(joined) / len(zlib.compress(joined, 9)), 4) if joined else None
    result["emoji_share"] = _mean([not text.isascii() and emoji.emoji_count(text) > 0 for text in texts])
    result["tag_share"] = _mean(["#" in text for text in texts])
    return result


def _copy_figures(copied: Sequence[Copied]) -> Figures:
    result: Figures = {}
    for n in N_GRAMS:
        known = [found.known(n) for found in copied]
        grams = sum(all_ for all_, _ in known)
        result[f"novelty_{n}"] = round(1 - sum(hits for _, hits in known) / grams, 4) if grams else None
    result["mean_copied_span"] = _mean([found.span for found in copied])
    result["longest_copied_span"] = max((found.span for found in copied), default=None)
    result["copied_share"] = _mean([found.span / len(found.words) for found in copied if found.words])
    kinds = [found.kind for found in copied]
    return result | {f"{kind}_copies": kinds.count(kind) if copied else None for kind in ("exact", "folded", "near")}


def table(columns: Mapping[str, Figures], complete: bool = True) -> str:
    """Return a table of the figures of several sets of captions, or only of ``FEW_FIGURES``."""
    keys = [key for key in next(iter(columns.values())) if complete or key in FEW_FIGURES]
    return console.table([[key, *(shown(figures[key]) for figures in columns.values())] for key in keys], ("novelty", *columns))


def shown(value: float | None) -> str:
    """Return a figure as text: counts with commas, shares with three decimals, ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _distinct(words: Sequence[Sequence[str]], n: int) -> float | None:
    """Return the share of distinct n-grams."""
    grams = [tuple(own[i : i + n]) for own in words for i in range(len(own) - n + 1)]
    return round(len(set(grams)) / len(grams), 4) if grams else None
