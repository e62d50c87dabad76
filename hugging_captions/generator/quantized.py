"""Linear layers in int8 for a CPU: activations quantized as they come, weights once.

It changes the text, and makes it depend a little on the number of rows decoded together (one scale for the
activations of all rows): an option, off by default.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ..errors import UsageError


def quantize(model: Any) -> Any:
    """Return ``model``, on the CPU and in float32, with int8 weights in every linear layer, the output layer included.

    Raises:
        UsageError: this build of torch has no quantized kernels.
    """
    engines = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]
    if not engines or not hasattr(torch.ao, "quantization"):
        raise UsageError("--quantize int8 is not supported by this build of torch", "leave it out")
    _conv_to_linear(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated for torchao, which is a package more
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def is_quantized(model: Any) -> bool:
    """Return whether ``quantize`` made ``model``."""
    return any(isinstance(module, torch.ao.nn.quantized.dynamic.Linear) for module in model.modules())


def _conv_to_linear(module: nn.Module) -> None:
    """Replace GPT-2's ``Conv1D``, which is a linear layer with its weight transposed."""
    for name, child in module.named_children():
        if isinstance(child, Conv1D):
            linear = nn.Linear(child.nx, child.nf)
            linear.weight, linear.bias = nn.Parameter(child.weight.detach().t().contiguous()), child.bias
            setattr(module, name, linear)
        else:
            _conv_to_linear(child)
