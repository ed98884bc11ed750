"""The door to the C kernel (kernel.c): tensors become addresses."""

from __future__ import annotations

import struct
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, empty_like, float32, float64, get_num_threads

from noiseproof.losses._kernels.plan import Call

__all__ = ["has_pairs", "kernel", "run", "run_pairs", "scale"]

try:
    kernel: Any = import_module("noiseproof.losses._kernels._kernel")
except ImportError:  # installed without a C compiler
    kernel = None

has_pairs = hasattr(kernel, "run_pairs")  # not in a library that was compiled before it
_CALL = struct.Struct("7P7qd4i").pack  # the `Call` of call.h
_PAIRS = struct.Struct("6P6qd4i").pack  # the `PairCall` of pairs.h
_DTYPE = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.float64: 3}
_REDUCTION = {"none": 0, "mean": 1, "sum": 2}
_VALUE = {dtype: torch.zeros((), dtype=dtype, device="cpu") for dtype in (float32, float64)}


def run(
    call: Call,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad: Tensor | None,
    upstream: Tensor | None = None,
) -> Tensor | None:
    """The loss of (N, K) scores; fills `grad`, which may be `scores`. None where a label is out of range.

    Args:
        call: the settings.
        scores: float32, bfloat16, float16 or float64.
        target: (N,) labels, contiguous int64; or (N, K) probabilities.
        weight: (K,) contiguous, of the wide dtype: float64 for float64 scores, else float32.
        grad: of the scores' shape and dtype, contiguous along the classes.
        upstream: factor of the gradient: a scalar, or one a row under reduction="none".
    """
    rows, classes = scores.shape
    apart, step = scores.stride()
    if step != 1:
        scores, apart = scores.contiguous(), classes
    dtype = scores.dtype
    wide = dtype if dtype is float64 else float32
    soft_apart, soft = 0, len(target.shape) == 2
    if soft:
        if target.dtype is not wide or target.stride(1) != 1 or target.is_neg():
            target = target.to(wide).contiguous().resolve_neg()
        soft_apart = target.stride(0)
    if upstream is not None:
        upstream = upstream.to(wide).resolve_neg()
    value = _VALUE[wide].new_empty(rows) if call.reduction == "none" else empty_like(_VALUE[wide])
    labels = target.data_ptr()
    packed = _CALL(
        scores.data_ptr(),
        0 if soft else labels,
        labels if soft else 0,
        0 if weight is None else weight.data_ptr(),
        0 if grad is None else grad.data_ptr(),
        0 if upstream is None else upstream.data_ptr(),
        value.data_ptr(),
        rows,
        classes,
        apart,
        soft_apart,
        0 if grad is None else grad.stride(0),
        upstream.stride(0) if upstream is not None and upstream.dim() else 0,
        call.ignore_index,
        call.label_smoothing,
        _DTYPE[dtype],
        _REDUCTION[call.reduction],
        get_num_threads(),
        0,
    )
    return value if kernel.run(call.plan.packed, packed) < 0 else None


def run_pairs(
    packed: bytes,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    grad: Tensor | None,
    reduction: str,
) -> Tensor | None:
    """The sigmoid form of a loss; fills `grad`, of the scores' shape. None where a score is infinite or NaN.

    Args:
        packed: the loss's program.
        scores: float32 or float64.
        target: of the scores' shape and dtype, as all others are.
        weight: factor of each entry.
        pos_weight: factor of the positive part of each entry.
        grad: contiguous.
        reduction: as in `binary_cross_entropy_with_logits`.
    """
    columns = scores.shape[-1] if scores.dim() else 1
    shape = (scores.numel() // columns, columns)
    scores, target = scores.contiguous().resolve_neg(), target.contiguous().resolve_neg()
    factors = [None if each is None else each.to(scores.dtype).resolve_neg() for each in (weight, pos_weight)]
    rows = [None if each is None else each.expand(scores.shape).reshape(shape) for each in factors]
    value = torch.empty_like(scores) if reduction == "none" else empty_like(_VALUE[scores.dtype])
    call = _PAIRS(
        scores.data_ptr(),
        target.data_ptr(),
        *(0 if each is None else each.data_ptr() for each in rows),
        0 if grad is None else grad.data_ptr(),
        value.data_ptr(),
        *shape,
        *(stride for each in rows for stride in ((0, 0) if each is None else each.stride())),
        1 / scores.numel() if reduction == "mean" else 1.0,
        _DTYPE[scores.dtype],
        0 if reduction == "none" else 1,
        get_num_threads(),
        0,
    )
    return value if kernel.run_pairs(packed, call) else None


def scale(grad: Tensor, upstream: Tensor) -> None:
    """Multiply the rows of a gradient by what arrives from above, which mostly is 1."""
    if upstream.dim():
        grad.mul_(upstream.unsqueeze(1))
    elif upstream.item() != 1:
        grad.mul_(upstream)
