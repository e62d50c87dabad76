"""The clean corpus of a hashtag, and a reason for every post that is not in it.

Reads text/<tag>/posts.jsonl; ``clean`` writes captions.txt, dropped.jsonl and cleaning.json next to it, ``draw``
cleaning.png. ``explain`` shows what each rule does to one post. ``forget`` removes posts from posts.jsonl as well.
"""

from .forget import forget
from .pipeline import clean
from .report import draw
from .rules import explain

__all__ = ["clean", "draw", "explain", "forget"]
