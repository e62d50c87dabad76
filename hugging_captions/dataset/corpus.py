"""Captions to token batches: the corpus of one or more tags, the held-out split, the batches.

Reads text/<tag>/captions.txt. One caption is one document, ``eos caption eos``: the first eos is
the start signal, so an empty prompt works, and the last one is trained, so the model learns to stop.
"""

from __future__ import annotations

import hashlib
import logging
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..errors import InputError, NothingLeftError
from ..storage import Store, read_captions, read_json, sha256
from ..text import fold

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

#: Label of a position that is not trained: padding, and the start signal that nothing predicts.
IGNORED = -100
#: Fewer captions than this train without a held-out split.
MIN_CAPTIONS_FOR_SPLIT = 200
#: Bounds of a held-out split, in captions.
MIN_VAL, MAX_VAL = 20, 2000
#: Captions that are encoded at a time: what a tokenizer returns is dozens of times as large as the tokens.
ENCODED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Corpus:
    """The captions of one or more tags, each once.

    ``tags[i]`` is the tag that ``captions[i]`` came from; ``sha256`` is of all captions in order.
    """

    captions: tuple[str, ...]
    tags: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Split:
    """Indices into a corpus: what is trained on and what is held out (may be empty)."""

    train: tuple[int, ...]
    val: tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """Token ids of each caption, ``eos caption eos``, four bytes each, and how many had to be cut (those lack the last eos)."""

    rows: tuple[array[int], ...]
    cut: int


def load_corpus(tags: Sequence[str], store: Store) -> Corpus:
    """Return the captions of ``tags``; one that several tags share (``text.fold``) stays with the first.

    Raises:
        InputError: a tag has no captions.txt; the hint names the tags that have one.
        NothingLeftError: there is no caption in any of them.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for tag in tags:
        path = store.captions(tag)
        if not path.exists():
            others = ", ".join(store.tags_with_captions()) or "none"
            raise InputError(
                f"cannot train on tag {tag!r}: {path} does not exist",
                f"run  python pull_and_clean.py --tag {tag}  first; tags with captions here: {others}",
            )
        _warn_if_changed(tag, store)
        for caption in read_captions(path):
            folded = fold(caption) or caption
            if folded not in seen:
                seen.add(folded)
                found[caption] = tag
    if not found:
        raise NothingLeftError(
            f"cannot train on tag {', '.join(tags)!r}: {store.captions(tags[0])} holds no caption",
            f"loosen the cleaning:  python pull_and_clean.py --tag {' '.join(tags)} --skip-pull --min-likes 0",
        )
    digest = hashlib.sha256("\0".join(found).encode("utf-8")).hexdigest()
    return Corpus(tuple(found), tuple(found.values()), digest)


def _warn_if_changed(tag: str, store: Store) -> None:
    """Say so if captions.txt is not what cleaning wrote; a corpus of the user's own has no cleaning.json and is fine."""
    if not store.cleaning(tag).exists():
        return
    try:
        written = read_json(store.cleaning(tag))["captions_sha256"]
    except (InputError, KeyError, TypeError):
        written = None
    if written != sha256(store.captions(tag)):
        advice = "if that was not you, clean again with  python pull_and_clean.py --skip-pull --tag"
        log.warning("%s was changed since it was cleaned: edited, or damaged; %s %s", store.captions(tag), advice, tag)


def split_captions(count: int, val_fraction: float, seed: int) -> Split:
    """Return a seeded split of ``count`` captions.

    The held-out part is ``val_fraction`` of them, at least ``MIN_VAL`` and at most ``MAX_VAL``;
    a corpus under ``MIN_CAPTIONS_FOR_SPLIT``, or a fraction of 0, gives none.
    """
    order = list(range(count))
    if count < MIN_CAPTIONS_FOR_SPLIT or val_fraction == 0:
        return Split(tuple(order), ())
    size = min(max(round(count * val_fraction), MIN_VAL), MAX_VAL)
    held_out = set(random.Random(seed).sample(order, size))
    return Split(tuple(i for i in order if i not in held_out), tuple(sorted(held_out)))


def encode_captions(captions: Sequence[str], tokenizer: Any, max_positions: int) -> Encoded:
    """Return each caption as ``eos caption eos``.

    A caption longer than the model's ``max_positions`` is cut at a word and loses its last eos,
    so that the model doesn't learn to stop in the middle of a sentence.
    """
    eos = tokenizer.eos_token_id
    rows, cut = [], 0
    for caption, ids in zip(captions, _token_ids(captions, tokenizer)):
        if len(ids) + 2 <= max_positions:
            rows.append(array("i", (eos, *ids, eos)))
        else:
            cut += 1
            rows.append(array("i", (eos, *_cut_at_word(caption, tokenizer, max_positions - 1))))
    return Encoded(tuple(rows), cut)


def _token_ids(captions: Sequence[str], tokenizer: Any) -> Iterator[list[int]]:
    waiting = iter(captions)
    while some := list(islice(waiting, ENCODED_AT_ONCE)):
        # verbose=False: the length warning would be given here, where the cut is still to come
        yield from tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]


def _cut_at_word(caption: str, tokenizer: Any, length: int) -> list[int]:
    """Return at most ``length`` token ids of the beginning of ``caption``, ending with a whole word."""
    ids = tokenizer(caption, add_special_tokens=False, verbose=False)["input_ids"][:length]
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False).rstrip("\ufffd")
    whole = text.rsplit(None, 1)[0] if any(char.isspace() for char in text) else text
    return tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"][:length]


class TokenBatches:
    """Batches of row indices: like lengths together, at most ``batch_tokens`` with padding.

    Each epoch deals rows of equal length anew and shuffles the batches, from ``seed`` and the
    epoch alone. Every epoch has the same number of batches, because the sorted lengths are the same.
    """

    def __init__(self, lengths: Sequence[int], batch_tokens: int, seed: int, shuffle: bool = True) -> None:
        self.lengths = lengths
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self._count = len(self._deal())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._deal())

    def useful_share(self) -> float:
        """Return the share of positions in all batches that hold a token and not padding."""
        padded = sum(len(batch) * max(self.lengths[i] for i in batch) for batch in self._deal())
        return sum(self.lengths) / padded if padded else 0.0

    def _deal(self) -> list[list[int]]:
        dice = random.Random(f"{self.seed}:{self.epoch}")
        order = list(range(len(self.lengths)))
        if self.shuffle:
            dice.shuffle(order)
        order.sort(key=lambda i: self.lengths[i], reverse=True)  # stable: equal lengths stay shuffled
        batches: list[list[int]] = []
        longest = 0
        for i in order:
            if not batches or (len(batches[-1]) + 1) * longest > self.batch_tokens:
                batches.append([])
                longest = self.lengths[i]
            batches[-1].append(i)
        if self.shuffle:
            dice.shuffle(batches)
        return batches


class RankBatches:
    """One process's share of each of ``batches``: its rows dealt out over all ``ranks``, longest first.

    A step thus trains on the same captions however many processes share it. A share may be empty
    (``collate`` makes a row of padding of it), so that every process takes every step.
    """

    def __init__(self, batches: TokenBatches, rank: int, ranks: int) -> None:
        self.batches, self.rank, self.ranks = batches, rank, ranks

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.rank :: self.ranks] for batch in self.batches)


def collate(rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Return ``input_ids`` and ``labels``, int64 ``[rows, longest]``, padded on the right.

    Labels are the ids themselves (the model shifts them); the start signal and the padding are
    ``IGNORED``, the final eos is not. No attention mask is needed: a causal model never looks right.
    No rows at all give one row of padding, on which nothing is trained.
    """
    import torch

    longest = max((len(row) for row in rows), default=2)
    input_ids = torch.zeros(max(len(rows), 1), longest, dtype=torch.long)
    labels = torch.full(input_ids.shape, IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        labels[i, 1 : len(row)] = input_ids[i, 1 : len(row)]
    return {"input_ids": input_ids, "labels": labels}


def parts(batch: dict[str, torch.Tensor], count: int) -> list[dict[str, torch.Tensor]]:
    """Return ``batch`` cut into at most ``count`` parts of equal rows, each trimmed to its own longest row."""
    found = []
    for labels, input_ids in zip(batch["labels"].chunk(count), batch["input_ids"].chunk(count)):
        used = (labels != IGNORED).any(0).nonzero()
        longest = max(int(used[-1]) + 1 if len(used) else 0, 2)
        found.append({"input_ids": input_ids[:, :longest], "labels": labels[:, :longest]})
    return found


def blocks(rows: Sequence[Sequence[int]], size: int) -> tuple[array[int], ...]:
    """Return all ``rows`` one after the other, one eos between them, cut every ``size`` tokens.

    The 2020 recipe and Hugging Face's run_clm.py group texts so: captions see each other and are cut anywhere.
    The rest that fills no block is left out, unless it is all there is.
    """
    stream = array("i", (token for i, row in enumerate(rows) for token in (row if i == 0 else row[1:])))
    whole = [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)]
    return tuple(whole) or (stream,)


def byte_count(captions: Sequence[str]) -> int:
    """Return the UTF-8 bytes of ``captions``, each with one more for its end: the unit of bits per byte."""
    return sum(len(caption.encode("utf-8")) + 1 for caption in captions)
