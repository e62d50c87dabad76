"""A checkpoint to captions that a person could post.

Reads trained_models/<corpus>/ (the model and its run.json) and text/<tag>/captions.txt; writes
text/generated_text/<corpus>_gen.txt, .jsonl, .csv and .json, and with --compare-base .compare.txt.
"""

from .generate import epoch_writer, generate, sample
from .plan import plan

__all__ = ["epoch_writer", "generate", "plan", "sample"]
