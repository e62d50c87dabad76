"""Training data: the corpus of one or more tags, its held-out captions, token rows and batches.

Reads text/<tag>/captions.txt and cleaning.json; writes nothing. ``load`` reads and splits, ``encode`` makes token rows.
"""

from .batches import encode
from .corpus import load

__all__ = ["encode", "load"]
