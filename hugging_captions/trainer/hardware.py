"""What the machine accelerates, and what a training will cost on it.

Number formats and kernels are chosen by what the device has units for, never by habit; time and
memory are estimated before the first step and compared with what was measured after the last.
"""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from typing import Any

import torch

from ..models import dtype_of

#: torch.compile costs up to a minute: only a run estimated longer than this many seconds pays for it.
COMPILE_PAYS = 600
#: Bytes of a parameter in training: float32 weight, gradient and two moments of AdamW.
TRAINED_BYTES = 16
#: Bytes of activations per token, layer and unit of width in half precision, twice that in float32: what autograd keeps
#: of transformers' GPT-2 with dropout and the fused GELU (counted with saved_tensors_hooks; 34 in, Korthikanti et al. 2022).
ACTIVATION_BYTES = 45
#: Bytes of a logit: itself, its softmax and its gradient in float32; half precision adds two of its own.
LOGIT_BYTES = {"fp32": 12, "bf16": 16, "fp16": 16}


def allow_tf32(device: str) -> None:
    """Let float32 products use the tensor cores of Ampere and later (10 bits of mantissa)."""
    if device == "cuda" and torch.cuda.get_device_capability()[0] >= 8:
        torch.set_float32_matmul_precision("high")


def fuse_activations(model: Any) -> None:
    """Replace GPT-2's GELU, eight operations in transformers, by torch's single kernel of the same function.

    The same to rounding (Hendrycks and Gimpel 2016, the tanh form), and half the activations to keep.
    The config still names the original.
    """
    from transformers.activations import NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


#: mallopt's parameters (glibc's malloc.h): freed memory at the top of the heap above which it goes back, and how many
#: blocks may be mapped one by one.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory(device: str) -> None:
    """Let the C library keep what training on a CPU frees, instead of giving it back to the kernel at every step.

    glibc maps each large tensor anew and the kernel clears its pages, a third of the time of a step (benchmarks/RESULTS.md).
    The process stays as large as it was at its peak. Does nothing for other devices and other C libraries.
    """
    if device != "cpu":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows, macOS, musl
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)  # never


def compile_pays(asked: str, device: str, seconds: float) -> bool:
    """Return whether to torch.compile a training of estimated ``seconds``."""
    return asked == "on" or (asked == "auto" and device == "cuda" and seconds > COMPILE_PAYS)


def estimate_memory(model: Any, tokens: int, precision: str, checkpointing: bool) -> int:
    """Return the bytes that training ``model`` on ``tokens`` tokens at once will take, the process itself not counted."""
    config = model.config
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    width, layers = getattr(config, "hidden_size", 768), getattr(config, "num_hidden_layers", 12)
    layer = ACTIVATION_BYTES * (2 if precision == "fp32" else 1)
    per_unit = layer + 4 * layers if checkpointing else layer * layers  # one layer at a time, and each one's input
    logits = config.vocab_size * LOGIT_BYTES[precision]
    return trained * TRAINED_BYTES + frozen * 4 + tokens * (width * per_unit + logits)


def reset_peak_memory(device: str) -> int:
    """Begin to measure and return the bytes to subtract from ``peak_memory``: what the process took before training."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return 0
    return peak_memory(device)


def peak_memory(device: str) -> int:
    """Return the most bytes taken so far: on the card, or by the whole process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes but on macOS


def seconds_per_token(model: Any, batch: dict[str, torch.Tensor], precision: str) -> float:
    """Return an estimate of the seconds to train on one token, from one forward pass over (part of) ``batch``.

    The backward pass costs twice the forward one (Kaplan et al. 2020, section 2.1); the optimizer is left out.
    """
    device = next(model.parameters()).device
    rows = batch["input_ids"].to(device)
    if device.type == "cpu":  # 128 tokens keep this under a second for 100 M parameters
        rows = rows[: max(1, 128 // rows.shape[1]), :128]
    with torch.no_grad(), torch.autocast(device.type, dtype_of(precision), enabled=precision != "fp32"):
        for _ in range(2):  # the first pass loads kernels
            start = time.perf_counter()
            model(input_ids=rows, use_cache=False)
            if device.type == "cuda":
                torch.cuda.synchronize()
    return 3 * (time.perf_counter() - start) / rows.numel()
