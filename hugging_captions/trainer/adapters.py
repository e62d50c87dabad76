"""LoRA: train small adapters instead of all weights, for models that would not fit (Hu et al. 2021).

peft is an optional dependency. The adapters are merged into the weights at the end, so the saved
folder is as plain as any other.
"""

from __future__ import annotations

from typing import Any

from ..errors import UsageError


def add(model: Any, rank: int) -> Any:
    """Return ``model`` with trainable adapters of ``rank`` on every linear layer but the head, all else frozen.

    Raises:
        UsageError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UsageError("--lora needs the package peft, which is not installed", "pip install peft") from error
    from transformers.pytorch_utils import Conv1D

    transposed = any(isinstance(module, Conv1D) for module in model.modules())  # GPT-2 keeps its weights so
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=transposed)
    return get_peft_model(model, config)


def merge(model: Any) -> Any:
    """Return the model with its adapters added into the weights, the same function in the plain class."""
    return model.merge_and_unload()
