"""Fine-tune a base model on the captions of one or more tags.

Reads text/<tag>/captions.txt; writes trained_models/<corpus>/: a plain Hugging Face folder with
run.json, history.jsonl, loss.png and a model card.
"""

from .train import TrainResult, plan, train

__all__ = ["TrainResult", "plan", "train"]
