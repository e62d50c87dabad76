"""Cleaning: the corpus of a hashtag, and a reason for every post that is dropped.

Reads text/<tag>/posts.jsonl; ``clean`` writes captions.txt, dropped.jsonl and cleaning.json next to it, ``report``
cleaning.html and cleaning.png. ``explain`` shows one post sentence by sentence, ``review`` samples of dropped and
changed captions. ``forget`` removes posts from posts.jsonl as well.
"""

from .forget import forget
from .pipeline import clean, plan
from .report import explain, report, review
from .rules import refuse_unknown

__all__ = ["clean", "explain", "forget", "plan", "refuse_unknown", "report", "review"]
