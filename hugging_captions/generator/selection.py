"""Which captions are worth posting: a score from features that a reader understands, and faults that reject outright.

The score is a logistic regression over ``FEATURES``, trained on generated captions that two readers rated blind
(``tools/train_ranking.py``); ``data/RANKING.md`` has what each feature is worth. It ranks the attempts for one prompt.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import emoji

from .. import language, storage
from ..text import folded_words

#: The features of the score, in the order of its weights.
FEATURES = ("words", "sentences", "repeated_words", "repeated_pairs", "emoji", "stray_emoji", "numbers", "echo", "likelihood", "coherence")
#: Words that are likelier than this (by rank in the list of English words) say little when they come twice.
COMMON_WORDS = 150
#: A content word so many times, or so many words in a row twice: a loop.
LOOP_WORD, LOOP_RUN = 4, 5

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CLOCK = re.compile(r"(?<![\d.:])(\d{1,3})(?::(\d{2}))?\s*([ap])\.?m\b|(?<![\d.:])(\d{1,2}):(\d{2})(?![\d:])", re.IGNORECASE)
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of ``text``, without what has no word."""
    return [part for part in _SENTENCE_END.split(text) if re.search(r"\w", part)]


def features(text: str, prompt: str, mean_logprob: float, coherence: float) -> dict[str, float]:
    """Return the value of each of ``FEATURES`` of a caption.

    Args:
        mean_logprob: of its sampled tokens under the model, in nats.
        coherence: by how many nats a token the sentences are likelier after those before them than alone; 0 for one sentence.
    """
    words = folded_words(text)
    content = [word for word in words if is_content(word)]
    pairs = [*zip(words, words[1:])]
    found = [match["emoji"] for match in emoji.emoji_list(text)] if not text.isascii() else []
    beginning = " ".join(folded_words(prompt))
    return {
        "words": math.log(max(len(words), 1)),
        "sentences": float(max(len(sentences(text)) - 1, 0)),
        "repeated_words": (len(content) - len(set(content))) / max(len(content), 1),
        "repeated_pairs": (len(pairs) - len(set(pairs))) / max(len(pairs), 1),
        "emoji": float(len(found)),
        "stray_emoji": float(has_stray_emoji(text)),
        "numbers": float(len(_NUMBER.findall(text))),
        "echo": float(bool(beginning) and " ".join(words).count(beginning) > 1),
        "likelihood": mean_logprob,
        "coherence": coherence,
    }


def is_content(word: str) -> bool:
    """Return whether ``word`` is none of the commonest words."""
    return len(word) > 2 and word not in _common_words()


@cache
def _common_words() -> frozenset[str]:
    return frozenset(sorted(costs := language.word_costs(), key=costs.__getitem__)[:COMMON_WORDS])


def is_loop(text: str) -> bool:
    """Return whether ``text`` says the same again: a content word ``LOOP_WORD`` times, or ``LOOP_RUN`` words in a row twice."""
    words = folded_words(text)
    runs = Counter(tuple(words[i : i + LOOP_RUN]) for i in range(len(words) - LOOP_RUN + 1))
    counts = Counter(filter(is_content, words))
    return max(counts.values(), default=0) >= LOOP_WORD or max(runs.values(), default=0) > 1


def has_stray_emoji(text: str) -> bool:
    """Return whether ``text`` holds a skin tone that belongs to no emoji, or one emoji four times in a row."""
    if text.isascii():
        return False
    found = [match["emoji"] for match in emoji.emoji_list(text)]
    return any(one in _SKIN_TONES for one in found) or any(len({*found[i : i + 4]}) == 1 for i in range(len(found) - 3))


def has_impossible_time(text: str) -> bool:
    """Return whether ``text`` names a time that no clock shows, such as 27:10 or 14 p.m."""
    for hour, minute, half, hour_24, minute_24 in _CLOCK.findall(text):
        if (half and not 1 <= int(hour) <= 12) or int(hour_24 or 0) > 24 or int(minute or minute_24 or 0) > 59:
            return True
    return False
