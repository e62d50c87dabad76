"""Which captions are worth posting: a score from features that a reader understands, and faults that reject outright.

The score is a logistic regression over the values of ``features``, trained on generated captions that two readers rated
without knowing where they came from (``tools/train_ranking.py``); ``data/RANKING.md`` is its card.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import emoji

from .. import language, storage
from ..text import folded_words

if TYPE_CHECKING:
    from ..models import LoadedModel

#: Rows whose likelihoods are computed at a time.
ROWS = 32
#: Words that are likelier than this (by rank in the list of English words) say little when they come twice.
COMMON_WORDS = 150
#: A content word so many times, or so many words in a row twice: a loop.
LOOP_WORD, LOOP_RUN = 4, 5
#: The same emoji so many times in a row, or so many emoji in a row at all.
EMOJI_AGAIN, EMOJI_RUN = 4, 7

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CLOCK = re.compile(r"(?<![\d.:])(\d{1,3})(?::(\d{2}))?\s*([ap])\.?m\b|(?<![\d.:])(\d{1,2}):(\d{2})(?![\d:])", re.IGNORECASE)
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of ``text``, without what has no word."""
    return [part for part in _SENTENCE_END.split(text) if re.search(r"\w", part)]


def features(text: str, prompt: str, mean_logprob: float, coherence: float) -> dict[str, float]:
    """Return the features of a caption, the same keys for each.

    ``words``: logarithm of their number. ``sentences``: those after the first. ``repeated_words`` and ``repeated_pairs``: share
    of its content words, and of its pairs of words, that came before. ``emoji``, ``numbers``: how many. ``echo``: whether the
    prompt comes again.

    Args:
        mean_logprob: of its sampled tokens under the model, in nats.
        coherence: see ``coherences``.
    """
    words = folded_words(text)
    content = [word for word in words if is_content(word)]
    pairs = [*pairwise(words)]
    found = [match["emoji"] for match in emoji.emoji_list(text)] if not text.isascii() else []
    beginning = " ".join(folded_words(prompt))
    return {
        "words": math.log(max(len(words), 1)),
        "sentences": float(max(len(sentences(text)) - 1, 0)),
        "repeated_words": (len(content) - len(set(content))) / max(len(content), 1),
        "repeated_pairs": (len(pairs) - len(set(pairs))) / max(len(pairs), 1),
        "emoji": float(len(found)),
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
    """Return whether ``text`` holds a skin tone that belongs to no emoji, or a run of emoji (``EMOJI_AGAIN``, ``EMOJI_RUN``)."""
    if text.isascii():
        return False
    found = emoji.emoji_list(text)
    if any(one["emoji"] in _SKIN_TONES for one in found):
        return True
    run, again = 1, 1
    for last, one in pairwise(found):
        adjoins = not text[last["match_end"] : one["match_start"]].strip()
        run = run + 1 if adjoins else 1
        again = again + 1 if adjoins and last["emoji"] == one["emoji"] else 1
        if run >= EMOJI_RUN or again >= EMOJI_AGAIN:
            return True
    return False


def has_impossible_time(text: str) -> bool:
    """Return whether ``text`` names a time that no clock shows, such as 27:10 or 14 p.m."""
    for hour, minute, half, hour_24, minute_24 in _CLOCK.findall(text):
        if (half and not 1 <= int(hour) <= 12) or int(hour_24 or 0) > 24 or int(minute or minute_24 or 0) > 59:
            return True
    return False


# -- the score


def score(values: Mapping[str, float]) -> float:
    """Return how probably a reader finds a caption with these ``features`` fit to post, 0 to 1."""
    weights = _weights()
    logit = weights["intercept"] + sum(
        weight["weight"] * (values[name] - weight["mean"]) / weight["deviation"] for name, weight in weights["features"].items()
    )
    return round(1 / (1 + math.exp(-logit)), 5)


@cache
def _weights() -> Any:
    return storage.read_json(storage.data_file("ranking.json"))


def coherences(loaded: LoadedModel, texts: Sequence[str]) -> list[float]:
    """Return how well the sentences of each text follow from each other, in nats a token under the model.

    For each sentence but the first: the log-likelihood after the sentence before it minus that without it, divided by its
    tokens. Of several the lowest counts, because one sentence that doesn't follow spoils a caption; 0 for one sentence.
    """
    tokenizer = loaded.tokenizer
    rows: list[tuple[list[int], int]] = []
    pairs: list[int] = []
    for number, text in enumerate(texts):
        for before, after in pairwise(sentences(text)):
            first, second = (list(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in (before, f" {after}"))
            if second and len(first) + len(second) < loaded.max_positions:
                rows += [([loaded.start, *first, *second], len(second)), ([loaded.start, *second], len(second))]
                pairs.append(number)
    likelihoods = _log_likelihoods(loaded, rows)
    found = [0.0] * len(texts)
    gains: dict[int, float] = {}
    for i, number in enumerate(pairs):
        gain = (likelihoods[2 * i] - likelihoods[2 * i + 1]) / rows[2 * i][1]
        gains[number] = min(gain, gains.get(number, math.inf))
    for number, gain in gains.items():
        found[number] = round(gain, 3)  # rounding between batch sizes doesn't reach this
    return found


def _log_likelihoods(loaded: LoadedModel, rows: Sequence[tuple[list[int], int]]) -> list[float]:
    """Return the log-likelihood of the last so many tokens of each row, in nats."""
    import torch

    found = [0.0] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    with torch.inference_mode():
        for start in range(0, len(order), ROWS):
            some = order[start : start + ROWS]
            ids = torch.zeros(len(some), len(rows[some[-1]][0]), dtype=torch.long, device=loaded.model.device)
            for place, i in enumerate(some):
                ids[place, : len(rows[i][0])] = torch.tensor(rows[i][0])
            logits = loaded.model(input_ids=ids, use_cache=False).logits[:, :-1]
            for place, i in enumerate(some):
                last, counted = len(rows[i][0]) - 1, rows[i][1]
                own = torch.log_softmax(logits[place, last - counted : last].float(), dim=-1)
                found[i] = float(own.gather(1, ids[place, last - counted + 1 : last + 1, None]).sum())
    return found
