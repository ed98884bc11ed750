"""The door to the C kernel (kernel.c): tensors become addresses."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from noiseproof.losses._kernels.plan import Call

__all__ = ["kernel", "run", "scale"]

try:
    kernel: Any = import_module("noiseproof.losses._kernels._kernel")
except ImportError:  # installed without a C compiler
    kernel = None

_DTYPE = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_SCALAR = torch.zeros((), dtype=torch.float32, device="cpu")
_REDUCTION = {"none": 0, "mean": 1, "sum": 2}


def run(call: Call, scores: Tensor, grad: Tensor | None, upstream: Tensor | None = None) -> Tensor | None:
    """The loss of (N, K) scores; fills `grad`, which may be `scores`. None where a label is out of range.

    Args:
        call: the loss and its labels.
        scores: float32, bfloat16 or float16.
        grad: of the scores' shape and dtype, contiguous along the classes.
        upstream: factor of the gradient: a scalar, or one a row under reduction="none".
    """
    rows, classes = scores.shape
    apart, step = scores.stride()
    if step != 1:
        scores, apart = scores.contiguous(), classes
    if upstream is not None:
        upstream = upstream.float()
    value = _SCALAR.new_empty(rows) if call.reduction == "none" else torch.empty_like(_SCALAR)
    bad_row = kernel.run(
        call.plan.packed,
        scores.data_ptr(),
        _DTYPE[scores.dtype],
        apart,
        rows,
        classes,
        call.target.data_ptr(),
        0 if call.weight is None else call.weight.data_ptr(),
        call.ignore_index,
        _REDUCTION[call.reduction],
        value.data_ptr(),
        0 if grad is None else grad.data_ptr(),
        0 if grad is None else grad.stride(0),
        0 if upstream is None else upstream.data_ptr(),
        upstream.stride(0) if upstream is not None and upstream.dim() else 0,
        torch.get_num_threads(),
    )
    return value if bad_row < 0 else None


def scale(grad: Tensor, upstream: Tensor) -> None:
    """Multiplies the rows of a gradient by what arrives from above, which mostly is 1."""
    if upstream.dim():
        grad.mul_(upstream.unsqueeze(1))
    elif upstream.item() != 1:
        grad.mul_(upstream)
