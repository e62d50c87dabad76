"""Selection of captions that are fit to post: the reasons that reject one, and the score that orders the others.

The score is a logistic regression over the values of ``features``, trained on generated captions that two readers rated
without knowing their source (``tools/train_ranking.py``); ``data/RANKING.md`` is its card.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import emoji

from .. import console, language, storage
from ..models import LoadedModel
from ..options import GenerateOptions
from ..text import fold, folded_words, holds_private_data
from .novelty import Copied

#: The reasons to reject a caption, in the order of the checks; the first that applies counts.
REASONS = {
    "empty": "no text after the prompt",
    "cut_off": "reached --max-length without a complete sentence",
    "duplicate": "repeats a kept caption",
    "exact_copy": "is a training caption",
    "folded_copy": "is a training caption except for case, marks and tags",
    "near_copy": "shares most of its words with a training caption",
    "copied_span": "copies more than --max-copied-span words in a row",
    "private_data": "has a handle, link, e-mail address or phone number",
    "broken": "has unbalanced quotes or brackets, or stray characters",
    "loop": "repeats itself",
    "wrong_language": "is not in --keep-language",
    "outranked": "fit to keep, but others have a better score",
}
#: Words commoner than this (by rank in the list of English words) may be repeated.
COMMON_WORDS = 150
#: A loop is a content word this many times, or this many words in a row twice.
LOOP_WORD, LOOP_RUN = 4, 5
#: The penalty for being the same as a chosen caption, in units of the score.
SIMILARITY_COST = 0.25
#: Emoji are stray if one is repeated this many times, or if this many are in a row.
EMOJI_AGAIN, EMOJI_RUN = 4, 7

_EMOTICON = re.compile(r"(?<!\w)[:;=8xX]['’]?-?[()\[\]{}|/\\*DPpOo3]+|<3|\^_*\^|[(\[][:;=](?!\w)|¯\\_\(ツ\)_/¯")
_LIST_MARK = re.compile(r"(?m)(?:^|(?<=\s))(?:\d{1,2}|[a-zA-Z])[.)]+(?=\s)")
_INCHES = re.compile(r"(?<=\d)[\"”″]")
_REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]+")
#: A joiner or modifier without a character to join: at an end, after a space, twice.
_HALF_EMOJI = re.compile("(?:^|\\s)[\u200d\ufe0f\U0001f3fb-\U0001f3ff]|\u200d(?:\\s|$|\u200d)|[\ud800-\udfff]")
#: A special token that was sampled as text.
_SPECIAL = re.compile(r"<\|\w+\|>|</?s>|<(?:bos|eos|pad|unk)>")
_CLOSING = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|\n+")
_CLOCK = re.compile(r"(?<![\d.:])(\d{1,3})(?::(\d{2}))?\s*([ap])\.?m\b|(?<![\d.:])(\d{1,2}):(\d{2})(?![\d:])", re.IGNORECASE)
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


@dataclass
class Caption:
    """One generated caption, with its prompt and without the end token.

    ``row`` and ``seed`` determine its random numbers. ``tokens`` includes the prompt, ``sampled`` the end token. ``ended`` is true
    if the model ended it, false if the length limit did; ``shortened`` is true if it was then cut after its last whole sentence.
    ``mean_logprob`` is the mean log-probability (nats) of its sampled tokens under the model. ``copied`` is None if copies
    weren't searched, ``reason`` if the caption is kept, ``score`` if the captions aren't ranked.
    """

    text: str
    prompt: str
    seed: int
    row: int
    tokens: int
    sampled: int
    ended: bool
    mean_logprob: float
    shortened: bool = False
    copied: Copied | None = None
    reason: str | None = None
    score: float | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing follows the prompt."""
        return not self.text[len(self.prompt) :].strip()

    def record(self) -> dict[str, object]:
        """Return the caption as an object of the .jsonl file; ``nearest`` is the number of a caption of the corpus, from 1."""
        record: dict[str, object] = {
            "text": self.text, "prompt": self.prompt, "seed": self.seed, "row": self.row, "tokens": self.tokens,
            "ended": self.ended, "shortened": self.shortened, "mean_logprob": self.mean_logprob, "score": self.score,
        }  # fmt: skip
        if self.copied is not None:
            nearest = None if self.copied.nearest is None else self.copied.nearest + 1
            record |= {"copied_span": self.copied.span, "copied_words": self.copied.span_words, "nearest": nearest}
        return record


def rejections(caption: Caption, options: GenerateOptions, kept: Container[str]) -> Iterator[str]:
    """Yield the ``REASONS`` that apply, in order; each is checked lazily.

    Args:
        kept: ``identity`` of the captions kept so far.
    """
    text, copied, wanted = caption.text, caption.copied, options.keep_language
    if caption.is_empty:
        yield "empty"
    if not (caption.ended or caption.shortened):
        yield "cut_off"
    if identity(text) in kept:
        yield "duplicate"
    if copied is not None and copied.kind:
        yield f"{copied.kind}_copy"
    if copied is not None and copied.span > options.max_copied_span:
        yield "copied_span"
    if holds_private_data(text):
        yield "private_data"
    if is_broken(text):
        yield "broken"
    if is_loop(text):
        yield "loop"
    if wanted and language.detect(text)[0] not in (wanted, language.UNKNOWN):
        yield "wrong_language"


def identity(text: str) -> str:
    """Return the folded text, by which captions count as duplicates; a caption of only emoji and tags is unchanged."""
    return fold(text) or text.strip()


def fewest_attempts(options: GenerateOptions) -> int:
    """Return how many attempts for a prompt are made at least: with a ranking more than captions are wanted."""
    is_ranked = not (options.keep_all or options.rank == "none")
    return math.ceil(options.num_captions * (options.attempts_per_caption if is_ranked else 1))


def count_reasons(attempts: Sequence[Caption]) -> dict[str, int]:
    """Return how many of ``attempts`` were rejected for each reason, the commonest first."""
    return dict(Counter(caption.reason for caption in attempts if caption.reason).most_common())


def biggest_reasons(attempts: Sequence[Caption]) -> str:
    """Return the three commonest reasons of ``attempts`` with their counts, for a message."""
    return ", ".join(f"{count:,} {name}" for name, count in list(count_reasons(attempts).items())[:3])


# -- faults


def is_broken(text: str) -> bool:
    """Return whether ``text`` has unbalanced quotes or brackets, replacement characters, special tokens, half or stray emoji,
    or an impossible time.

    Emoticons, the marks of a list and the sign for inches don't count as brackets or quotes.
    """
    if "\ufffd" in text or _HALF_EMOJI.search(text) or any(len(run) % 2 for run in _REGIONAL.findall(text)):
        return True
    if _SPECIAL.search(text) or has_stray_emoji(text) or has_impossible_time(text):
        return True
    plain = _INCHES.sub("", _LIST_MARK.sub("", _EMOTICON.sub("", text)))
    return plain.count('"') % 2 == 1 or not _is_balanced(plain)


def _is_balanced(text: str) -> bool:
    open_: list[str] = []
    for char in text:
        if char in _CLOSING.values():
            open_.append(char)
        elif char in _CLOSING and (not open_ or open_.pop() != _CLOSING[char]):
            return False
    return not open_


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


# -- the score, and the choice by it


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


def select(captions: Sequence[Caption], by: str, wanted: int, base: LoadedModel | None) -> list[Caption]:
    """Return the ``wanted`` best captions of each prompt, best first, with their ``score`` set; mark the others ``outranked``.

    ``score``: the probability that a reader finds it fit to post; captions with different content are preferred. ``likelihood``:
    mean log-probability of the sampled tokens. ``contrast``: that minus the base model's value for the same text, per sampled
    token (after Li et al. 2023); ``likelihood`` if there is no base model. ``none``: the first, without a score.

    Args:
        captions: by prompt, then row.
    """
    if by != "none":
        for caption in console.progress(captions, unit="caption", label="scoring"):
            caption.score = caption.mean_logprob
            if by == "score":
                caption.score = score(features(caption.text, caption.mean_logprob))
            elif by == "contrast" and base is not None:
                caption.score = round(caption.mean_logprob - log_likelihood(base, caption) / caption.sampled, 5)
    selected: list[Caption] = []
    for prompt in dict.fromkeys(caption.prompt for caption in captions):
        own = sorted((caption for caption in captions if caption.prompt == prompt), key=lambda caption: -(caption.score or 0.0))
        chosen = choose(own, wanted) if by == "score" else range(len(own))[:wanted]
        for index in {*range(len(own))}.difference(chosen):
            own[index].reason = "outranked"
        selected += [own[index] for index in chosen]
    return selected


def choose(captions: Sequence[Caption], wanted: int) -> list[int]:
    """Return the indices, in order, of ``wanted`` captions of one prompt with good scores and different content.

    Each next caption has the highest score minus ``SIMILARITY_COST`` times its greatest similarity to a chosen one (maximal
    marginal relevance, Carbonell and Goldstein 1998). Similarity is the share of the shorter text's word pairs, without those
    of the prompt, that the other text has.
    """
    known = len(folded_words(captions[0].prompt))
    pairs = [set(pairwise(folded_words(caption.text)[max(known - 1, 0) :])) for caption in captions]
    similar, left, chosen = [0.0] * len(captions), list(range(len(captions))), list[int]()
    while left and len(chosen) < wanted:
        best = max(left, key=lambda i: (captions[i].score or 0.0) - SIMILARITY_COST * similar[i])
        left.remove(best)
        chosen.append(best)
        for i in left:
            fewest = min(len(pairs[i]), len(pairs[best]))
            similar[i] = max(similar[i], len(pairs[i] & pairs[best]) / fewest if fewest else 0.0)
    return sorted(chosen)


def log_likelihood(base: LoadedModel, caption: Caption) -> float:
    """Return the log-probability (nats) of ``caption`` after its prompt, its end included, under ``base``."""
    import torch

    tokenizer = base.tokenizer
    start = 1 + len(tokenizer(caption.prompt, add_special_tokens=False)["input_ids"])
    ids = [base.start, *tokenizer(caption.text, add_special_tokens=False)["input_ids"]]
    ids = (ids + [base.end] * caption.ended)[: base.max_positions]
    tensor = torch.tensor([ids], device=base.model.device)
    with torch.inference_mode():
        logprobs = torch.log_softmax(base.model(input_ids=tensor, use_cache=False).logits[0, :-1].float(), dim=-1)
    return float(logprobs.gather(1, tensor[0, 1:, None])[start - 1 :].sum())
