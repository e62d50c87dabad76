"""Captions to token rows, and token rows to batches.

One caption is one document, ``start caption end``: the start token is the one that began documents in the base model's
pretraining (``models.start_token``), so an empty prompt works. The end token is eos and is trained, so the model learns to stop.
"""

from __future__ import annotations

import logging
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ..console import count
from ..models import LoadedModel, Tokenizer
from .corpus import Corpus

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

#: Label of a position that is not trained: padding, and the start token, which nothing precedes.
IGNORED = -100
#: Captions encoded at a time: a tokenizer's output is dozens of times as large as the token ids.
ENCODED_AT_ONCE = 10_000

Row = Sequence[int]


@dataclass(frozen=True)
class HeldOut:
    """Token rows of the held-out captions, with the tag and the UTF-8 bytes (plus one for the end) of each."""

    rows: Sequence[Row]
    tags: Sequence[str]
    bytes: Sequence[int]


@dataclass(frozen=True)
class Encoded:
    """Token rows to train on (four bytes a token), the held-out captions, and the number of cut captions."""

    train: Sequence[Row]
    held_out: HeldOut
    cut: int


def encode(corpus: Corpus, base: LoadedModel, block: int | None = None) -> Encoded:
    """Return both parts of the corpus as token rows; log warnings about missing held-out and cut captions.

    Args:
        block: tokens of a training row if captions are grouped, see ``blocks``; None: one caption is one row.
    """
    if not corpus.held_out:
        log.warning("%s: none is held out, so there is no early stopping and no held-out figure", count(len(corpus.captions), "caption"))
    log.info("encoding %s", count(len(corpus.captions), "caption"))
    train, cut = encode_captions(corpus.training, base)
    rows, cut_too = encode_captions(corpus.held_out, base)
    if cut + cut_too:
        log.warning("%s cut at a word: longer than the model's %d positions", count(cut + cut_too, "caption"), base.max_positions)
    held_out = HeldOut(rows, [corpus.tags[i] for i in corpus.split.val], [len(text.encode()) + 1 for text in corpus.held_out])
    return Encoded(blocks(train, min(block, base.max_positions)) if block else train, held_out, cut + cut_too)


def encode_captions(captions: Sequence[str], base: LoadedModel) -> tuple[list[Row], int]:
    """Return each caption as ``start caption end``, and the number of cut captions.

    A caption longer than the model's positions is cut at a word and gets no end token,
    so that the model doesn't learn to stop in the middle of a sentence.
    """
    rows: list[Row] = []
    cut = 0
    for caption, ids in zip(captions, _token_ids(captions, base.tokenizer)):
        if len(ids) + 2 <= base.max_positions:
            rows.append(array("i", (base.start, *ids, base.end)))
        else:
            cut += 1
            rows.append(array("i", (base.start, *_cut_at_word(caption, base.tokenizer, base.max_positions - 1))))
    return rows, cut


def _token_ids(captions: Sequence[str], tokenizer: Tokenizer) -> Iterator[list[int]]:
    waiting = iter(captions)
    while some := list(islice(waiting, ENCODED_AT_ONCE)):
        # verbose=False: no warning about lengths here, because long rows are cut afterwards
        yield from tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]


def _cut_at_word(caption: str, tokenizer: Tokenizer, length: int) -> list[int]:
    """Return the first token ids of ``caption``, at most ``length``, ending with a whole word."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:length])

    text = tokenizer.decode(ids(caption), clean_up_tokenization_spaces=False).rstrip("\ufffd")
    return ids(text.rsplit(None, 1)[0] if any(char.isspace() for char in text) else text)


def blocks(rows: Sequence[Row], size: int) -> list[Row]:
    """Return all ``rows`` concatenated, with an end token between them, cut every ``size`` tokens.

    The 2020 recipe and Hugging Face's run_clm.py group texts in this way: captions see each other and are cut anywhere.
    An incomplete last block is dropped, unless it is the only one.
    """
    stream = array("i", (token for i, row in enumerate(rows) for token in (row if i == 0 else row[1:])))
    return [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)] or [stream]


class TokenBatches:
    """Batches of row indices: rows of similar length, at most ``batch_tokens`` positions with padding.

    Only a single row that is longer than ``batch_tokens`` makes a larger batch. ``epoch`` (set by the trainer) and
    ``seed`` alone decide which rows of equal length share a batch, and the order of the batches. Each epoch has the
    same number of batches, because the sorted lengths are the same.
    """

    def __init__(self, lengths: Sequence[int], batch_tokens: int, seed: int, shuffle: bool = True) -> None:
        self.lengths = lengths
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self._count = len(self._batches())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches())

    def positions(self, batch: Sequence[int]) -> int:
        """Return the positions of ``batch`` with padding."""
        return len(batch) * max(self.lengths[i] for i in batch)

    def largest(self, parts: int) -> list[int]:
        """Return the batch whose largest part has the most positions if each is split into ``parts`` by rows."""
        return max(self, key=lambda batch: self.positions(batch[: -(-len(batch) // parts)]))

    def _batches(self) -> list[list[int]]:
        shuffle = random.Random(f"{self.seed}:{self.epoch}").shuffle if self.shuffle else lambda _: None
        order = list(range(len(self.lengths)))
        shuffle(order)
        order.sort(key=lambda i: self.lengths[i], reverse=True)  # stable: equal lengths stay shuffled
        batches: list[list[int]] = []
        longest = 0
        for i in order:
            if not batches or (len(batches[-1]) + 1) * longest > self.batch_tokens:
                batches.append([])
                longest = self.lengths[i]
            batches[-1].append(i)
        shuffle(batches)
        return batches


class RankBatches:
    """One process's share of each of ``batches``: every ``processes``-th of its rows, longest first.

    A step trains on the same captions for any number of processes. A share may be empty
    (``collate`` turns it into a row of padding), so that every process takes every step.
    """

    def __init__(self, batches: TokenBatches, process: int, processes: int) -> None:
        self.batches, self.process, self.processes = batches, process, processes

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.process :: self.processes] for batch in self.batches)


def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Return ``input_ids`` and ``labels``, int64 ``[rows, longest]``, padded on the right.

    Labels are the ids themselves (the loss shifts them); the start token and the padding are
    ``IGNORED``, the end token is not. No attention mask is needed: a causal model never looks right.
    Without rows the result is one row of padding, on which nothing is trained.
    """
    import torch

    longest = max((len(row) for row in rows), default=2)
    input_ids = torch.zeros(max(len(rows), 1), longest, dtype=torch.long)
    labels = torch.full(input_ids.shape, IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        labels[i, 1 : len(row)] = input_ids[i, 1 : len(row)]
    return {"input_ids": input_ids, "labels": labels}


def parts(batch: dict[str, torch.Tensor], most: int) -> list[dict[str, torch.Tensor]]:
    """Return ``batch`` cut into at most ``most`` parts of equal rows, each trimmed to its own longest row."""
    found = []
    for labels, input_ids in zip(batch["labels"].chunk(most), batch["input_ids"].chunk(most)):
        used = (labels != IGNORED).any(0).nonzero()
        longest = max(int(used[-1]) + 1 if len(used) else 0, 2)
        found.append({"input_ids": input_ids[:, :longest], "labels": labels[:, :longest]})
    return found
