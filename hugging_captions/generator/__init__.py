"""Generation: a checkpoint to captions that are fit to post.

Reads trained_models/<corpus>/ (the model and its run.json) and text/<tag>/captions.txt; writes
text/generated_text/<corpus>_gen.txt, .jsonl, .csv, .json and .html, and with --compare-base .compare.txt. ``Session`` writes captions
for one prompt after another.
"""

from .generate import check, epoch_writer, generate, plan, sample
from .interactive import Session

__all__ = ["Session", "check", "epoch_writer", "generate", "plan", "sample"]
