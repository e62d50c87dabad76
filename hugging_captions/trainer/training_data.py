"""A corpus and a base model to the token rows that are trained on and those that are held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ..dataset import corpus as dataset
from ..models import LoadedModel
from ..options import TrainOptions
from .evaluation import HeldOut
from .recipe import CLASSIC_BLOCK

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """Token rows to train on, the held-out side, and how many captions had to be cut."""

    train: tuple[Sequence[int], ...]
    held_out: HeldOut
    train_captions: int
    cut: int


def prepare(corpus: dataset.Corpus, base: LoadedModel, options: TrainOptions, seed: int) -> Data:
    """Split and encode the corpus, and say what is unusual about it."""
    split = dataset.split_captions(len(corpus.captions), options.val_fraction, seed)
    if not split.val:
        log.warning("%d captions: none is held out, so there is no early stopping and no held-out figure", len(corpus.captions))
    sides = [
        dataset.encode_captions([corpus.captions[i] for i in side], base.tokenizer, base.max_positions) for side in (split.train, split.val)
    ]
    cut = sides[0].cut + sides[1].cut
    if cut:
        log.warning("%d captions are longer than the model's %d positions and were cut at a word", cut, base.max_positions)
    rows = sides[0].rows
    if options.recipe == "classic":
        rows = dataset.blocks(rows, min(CLASSIC_BLOCK, base.max_positions))
    held_out = HeldOut(
        sides[1].rows,
        tuple(corpus.tags[i] for i in split.val),
        tuple(dataset.byte_count([corpus.captions[i]]) for i in split.val),
    )
    return Data(rows, held_out, len(split.train), cut)
