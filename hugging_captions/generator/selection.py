"""Selection of captions that are fit to post: a score from interpretable features, and faults that reject a caption.

The score is a logistic regression over the values of ``features``, trained on generated captions that two readers rated
without knowing their source (``tools/train_ranking.py``); ``data/RANKING.md`` is its card.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import emoji

from .. import language, storage
from ..text import folded_words

#: Words commoner than this (by rank in the list of English words) may be repeated.
COMMON_WORDS = 150
#: A loop is a content word this many times, or this many words in a row twice.
LOOP_WORD, LOOP_RUN = 4, 5
#: The penalty for being the same as a chosen caption, in units of the score.
SIMILARITY_COST = 0.25
#: Emoji are stray if one is repeated this many times, or if this many are in a row.
EMOJI_AGAIN, EMOJI_RUN = 4, 7

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")
_CLOCK = re.compile(r"(?<![\d.:])(\d{1,3})(?::(\d{2}))?\s*([ap])\.?m\b|(?<![\d.:])(\d{1,2}):(\d{2})(?![\d:])", re.IGNORECASE)
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of ``text`` that have a word."""
    return [part for part in _SENTENCE_END.split(text) if re.search(r"\w", part)]


def features(text: str, mean_logprob: float) -> dict[str, float]:
    """Return the features of a caption, the same keys for each.

    ``words``: logarithm of their number. ``sentences``: those after the first. ``repeated_words``: share of its content words
    that are repeated. ``emoji``: how many. ``likelihood``: ``mean_logprob``, the mean log-probability (nats) of its sampled tokens.
    """
    words = folded_words(text)
    content = [word for word in words if is_content(word)]
    return {
        "words": math.log(max(len(words), 1)),
        "sentences": float(max(len(sentences(text)) - 1, 0)),
        "repeated_words": (len(content) - len(set(content))) / max(len(content), 1),
        "emoji": 0.0 if text.isascii() else float(emoji.emoji_count(text)),
        "likelihood": mean_logprob,
    }


def is_content(word: str) -> bool:
    """Return whether ``word`` is not among the commonest words."""
    return len(word) > 2 and word not in _common_words()


@cache
def _common_words() -> frozenset[str]:
    return frozenset(sorted(costs := language.word_costs(), key=costs.__getitem__)[:COMMON_WORDS])


def is_loop(text: str) -> bool:
    """Return whether ``text`` repeats itself: a content word ``LOOP_WORD`` times, or ``LOOP_RUN`` words in a row twice."""
    words = folded_words(text)
    runs = Counter(tuple(words[i : i + LOOP_RUN]) for i in range(len(words) - LOOP_RUN + 1))
    counts = Counter(filter(is_content, words))
    return max(counts.values(), default=0) >= LOOP_WORD or max(runs.values(), default=0) > 1


def has_stray_emoji(text: str) -> bool:
    """Return whether ``text`` has a skin tone without an emoji, or a run of emoji (``EMOJI_AGAIN``, ``EMOJI_RUN``)."""
    if text.isascii():
        return False
    found = emoji.emoji_list(text)
    if any(one["emoji"] in _SKIN_TONES for one in found):
        return True
    run, again = 1, 1
    for last, one in pairwise(found):
        adjoins = not text[last["match_end"] : one["match_start"]].strip(" \n\u200d\ufe0f")
        run = run + 1 if adjoins else 1
        again = again + 1 if adjoins and last["emoji"] == one["emoji"] else 1
        if run >= EMOJI_RUN or again >= EMOJI_AGAIN:
            return True
    return False


def has_impossible_time(text: str) -> bool:
    """Return whether ``text`` has an impossible time of day, such as 27:10 or 14 p.m."""
    for hour, minute, half, hour_24, minute_24 in _CLOCK.findall(text):
        if (half and not 1 <= int(hour) <= 12) or int(hour_24 or 0) > 24 or int(minute or minute_24 or 0) > 59:
            return True
    return False


def choose(texts: Sequence[str], scores: Sequence[float], prompt: str, wanted: int) -> list[int]:
    """Return the indices of ``wanted`` texts with good scores and different content, best first.

    Each next text has the highest score minus ``SIMILARITY_COST`` times its greatest similarity to a chosen one (maximal
    marginal relevance, Carbonell and Goldstein 1998). Similarity is the share of the shorter text's word pairs, without those
    of the prompt, that the other text has.
    """
    known = len(folded_words(prompt))
    pairs = [set(pairwise(folded_words(text)[max(known - 1, 0) :])) for text in texts]
    similar, left, chosen = [0.0] * len(texts), set(range(len(texts))), list[int]()
    while left and len(chosen) < wanted:
        best = max(left, key=lambda i: (scores[i] - SIMILARITY_COST * similar[i], -i))
        left.remove(best)
        chosen.append(best)
        for i in left:
            fewest = min(len(pairs[i]), len(pairs[best]))
            similar[i] = max(similar[i], len(pairs[i] & pairs[best]) / fewest if fewest else 0.0)
    return sorted(chosen, key=lambda i: (-scores[i], i))


# -- the score


def score(values: Mapping[str, float]) -> float:
    """Return the probability (0 to 1) that a reader finds a caption with these ``features`` fit to post."""
    weights = _weights()
    logit = weights["intercept"] + sum(
        weight["weight"] * (values[name] - weight["mean"]) / weight["deviation"] for name, weight in weights["features"].items()
    )
    return round(1 / (1 + math.exp(-logit)), 5)


@cache
def _weights() -> Any:
    return storage.read_json(storage.data_file("ranking.json"))
