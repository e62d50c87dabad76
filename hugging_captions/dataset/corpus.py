"""The corpus of one or more tags, and its split into training and held-out captions.

Reads text/<tag>/captions.txt, and cleaning.json to detect a captions.txt that was changed later.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..console import listed
from ..errors import InputError, NothingLeftError
from ..storage import Store, read_captions, read_json, sha256
from ..text import fold

log = logging.getLogger(__name__)

#: Smaller corpora train without held-out captions.
MIN_CAPTIONS_FOR_SPLIT = 200
#: Fewest and most held-out captions.
MIN_VAL, MAX_VAL = 20, 2000


@dataclass(frozen=True)
class Split:
    """Indices into a corpus of the training captions and of the held-out captions (may be empty)."""

    train: tuple[int, ...]
    val: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """The captions of one or more tags, each once.

    ``tags[i]`` is the tag that ``captions[i]`` came from; ``sha256`` is of all captions in order; ``languages`` are those that
    the tags were cleaned to, empty if one of them isn't known.
    """

    captions: tuple[str, ...]
    tags: tuple[str, ...]
    split: Split
    sha256: str
    languages: tuple[str, ...] = ()

    @property
    def training(self) -> list[str]:
        """The captions to train on."""
        return [self.captions[i] for i in self.split.train]

    @property
    def held_out(self) -> list[str]:
        """The captions used for evaluation only."""
        return [self.captions[i] for i in self.split.val]


def load(tags: Sequence[str], store: Store, val_fraction: float, seed: int) -> Corpus:
    """Return the captions of ``tags``, split; a caption that several tags share (``text.fold``) stays with the first.

    Args:
        val_fraction: share of the captions to hold out, see ``split_captions``.
        seed: seed of the split.

    Raises:
        InputError: a tag has no captions.txt; the hint names the tags that have one.
        NothingLeftError: there is no caption in any of them.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for tag in tags:
        for caption in _read(tag, store):
            folded = fold(caption) or caption
            if folded not in seen:
                seen.add(folded)
                found[caption] = tag
    if not found:
        raise NothingLeftError(
            f"cannot train on tag {', '.join(tags)!r}: {store.captions(tags[0])} holds no caption",
            f"loosen the cleaning:  {store.command('pull_and_clean.py', '--tag', *tags, '--skip-pull', '--min-likes', '0')}",
        )
    digest = hashlib.sha256("\0".join(found).encode("utf-8")).hexdigest()
    split = split_captions(len(found), val_fraction, seed)
    return Corpus(tuple(found), tuple(found.values()), split, digest, _languages(tags, store))


def _languages(tags: Sequence[str], store: Store) -> tuple[str, ...]:
    try:
        codes = [read_json(store.cleaning(tag))["options"]["language"] for tag in tags]
    except (InputError, KeyError, TypeError):
        return ()
    return () if "any" in codes else tuple(dict.fromkeys(codes))


def _read(tag: str, store: Store) -> list[str]:
    path = store.captions(tag)
    if not path.exists():
        clean = store.command("pull_and_clean.py", "--tag", tag)
        raise InputError(
            f"cannot train on tag {tag!r}: {path} does not exist",
            f"run  {clean}  first; tags with captions here: {listed(store.tags_with_captions())}",
        )
    _warn_if_changed(tag, store)
    return read_captions(path)


def _warn_if_changed(tag: str, store: Store) -> None:
    """Warn if captions.txt has changed since cleaning wrote it; a user's own corpus has no cleaning.json and needs no warning."""
    if not store.cleaning(tag).exists():
        return
    try:
        written = read_json(store.cleaning(tag))["captions_sha256"]
    except (InputError, KeyError, TypeError):
        written = None
    if written != sha256(store.captions(tag)):
        clean = store.command("pull_and_clean.py", "--tag", tag, "--skip-pull")
        log.warning("%s was changed since it was cleaned (edited or damaged); to clean again run  %s", store.captions(tag), clean)


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
