"""How much of a set of captions is copied from the training captions, and how varied it is.

Reads text/<tag>/captions.txt and the checkpoint's run.json (which captions were held out); writes the
index over the others beside captions.txt. The figures of held-out human captions are the measure: people
repeat each other too.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import console
from ..dataset import corpus as dataset
from ..errors import InputError, NothingLeftError, ResourceError
from ..storage import Store, corpus_name, read_json
from ..text import folded_words
from .copies import Copied, CopyIndex

log = logging.getLogger(__name__)

N_GRAMS = (3, 4, 5, 8)


@dataclass(frozen=True)
class Reference:
    """What captions are compared with: the index of the training captions and the held-out ones.

    ``index`` is None where captions.txt is gone; ``note`` then says what could not be checked.
    """

    index: CopyIndex | None
    held_out: tuple[str, ...] = ()
    note: str = ""

    def search(self, texts: Sequence[str]) -> list[Copied | None]:
        """Return what each text shares with the training captions, None where that is not known."""
        return [None] * len(texts) if self.index is None else list(self.index.search(texts))


def load_reference(tags: Sequence[str], store: Store) -> Reference:
    """Return the training captions of the checkpoint of ``tags`` as an index, and the captions that it has not seen.

    The index is built once for each state of captions.txt and kept beside it. Where captions.txt is gone, or has
    changed since the training, that is logged and the result holds what can still be said.
    """
    try:
        corpus = dataset.load_corpus(tags, store)
    except (InputError, NothingLeftError) as error:
        note = f"copies and novelty could not be checked: {str(error).partition(': ')[2]}"
        log.warning("%s", note)
        return Reference(None, note=note)
    captions, held_out = _sides(corpus, corpus_name(tags), store)
    key = hashlib.sha256("\0".join([corpus.sha256, *map(str, held_out)]).encode()).hexdigest()
    path = store.novelty_index(tags, key)
    index = CopyIndex.load(path)
    if index is None or len(index) != len(captions):
        index = CopyIndex.build(captions)
        try:
            index.save(path)
        except ResourceError as error:  # it can be built again
            log.warning("%s; the index is built anew each time", error)
    return Reference(index, tuple(corpus.captions[i] for i in held_out))


def _sides(corpus: dataset.Corpus, name: str, store: Store) -> tuple[list[str], tuple[int, ...]]:
    """Return the captions that the checkpoint was trained on, and the indices of those held out."""
    path = store.model(name) / "run.json"
    try:
        run = read_json(path)
        options, seed, trained_on = run["options"], run["seed"], run["corpus_sha256"]
        val_fraction = options["val_fraction"]
    except (InputError, KeyError, TypeError) as error:  # a checkpoint made by something else has none
        if path.exists():
            log.warning("%s can't be used (%s): all captions count as training captions, none as held out", path, error)
        return list(corpus.captions), ()
    if trained_on != corpus.sha256:
        log.info("captions.txt has changed since the training: all of it counts as training captions, none as held out")
        return list(corpus.captions), ()
    split = dataset.split_captions(len(corpus.captions), val_fraction, seed)
    return [corpus.captions[i] for i in split.train], split.val


def figures(texts: Sequence[str], copied: Sequence[Copied | None], index: CopyIndex | None, sample: int | None = None) -> dict[str, Any]:
    """Return the novelty and diversity figures of ``texts``; those that need an index are None without one.

    ``novelty_<n>``: share of word n-grams that no training caption has (n-novelty, Merrill et al. 2024).
    ``mean_copied_span``, ``longest_copied_span`` (words) and ``copied_share`` (of a caption's words, mean).
    ``exact_copies``, ``folded_copies``, ``near_copies``: captions; each counts once, in this order.
    ``distinct_<n>`` (Li et al. 2016) and ``compression_ratio`` (bytes by zlib's) of the first ``sample`` captions only, because
    both depend on the amount of text. ``emoji_share``, ``tag_share``: captions that have one.
    """
    import emoji

    words = [folded_words(text) if found is None else list(found.words) for text, found in zip(texts, copied)]
    count = len(texts)
    result: dict[str, Any] = {"captions": count, "mean_words": _mean([len(own) for own in words])}
    result |= _copy_figures(texts, [found for found in copied if found is not None], index)
    result |= {f"distinct_{n}": _distinct(words[:sample], n) for n in (1, 2, 3)}
    joined = "\n".join(texts[:sample]).encode("utf-8", "replace")
    result["compression_ratio"] = round(len(joined) / len(zlib.compress(joined, 9)), 4) if joined else None
    result["emoji_share"] = _mean([not text.isascii() and emoji.emoji_count(text) > 0 for text in texts])
    result["tag_share"] = _mean(["#" in text for text in texts])
    return result


def _copy_figures(texts: Sequence[str], copied: Sequence[Copied], index: CopyIndex | None) -> dict[str, Any]:
    keys = [*(f"novelty_{n}" for n in N_GRAMS), "mean_copied_span", "longest_copied_span", "copied_share"]
    if index is None or not copied:
        return dict.fromkeys([*keys, "exact_copies", "folded_copies", "near_copies"])
    result: dict[str, Any] = {}
    for n in N_GRAMS:
        known = [found.known(n) for found in copied]
        grams = sum(all_ for all_, _ in known)
        result[f"novelty_{n}"] = round(1 - sum(hits for _, hits in known) / grams, 4) if grams else None
    result["mean_copied_span"] = _mean([found.span for found in copied])
    result["longest_copied_span"] = max(found.span for found in copied)
    result["copied_share"] = _mean([found.span / len(found.words) for found in copied if found.words])
    kinds = [copy_kind(text, found, index) for text, found in zip(texts, copied)]
    return result | {f"{kind}_copies": kinds.count(kind) for kind in ("exact", "folded", "near")}


def copy_kind(text: str, found: Copied, index: CopyIndex) -> str | None:
    """Return ``exact``, ``folded`` or ``near`` where ``text`` is such a copy of a whole training caption, otherwise None."""
    if index.is_exact(text):
        return "exact"
    if index.is_folded(text):
        return "folded"
    return "near" if index.near(found) is not None else None


def table(columns: dict[str, dict[str, Any]]) -> str:
    """Return the figures of several sets of captions side by side."""
    keys = list(next(iter(columns.values())))
    rows = [[key, *(_shown(figures_[key]) for figures_ in columns.values())] for key in keys]
    return console.table(rows, ["", *columns])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _distinct(words: Sequence[Sequence[str]], n: int) -> float | None:
    """Return the share of n-grams that are different ones."""
    grams = [tuple(own[i : i + n]) for own in words for i in range(len(own) - n + 1)]
    return round(len(set(grams)) / len(grams), 4) if grams else None
