"""The fast path of the losses: kernels that make value and gradient of a row of scores in one visit.

A loss's formula (`per_class`) is its definition; here is its twin, chosen automatically where it gives the same answer
sooner, or in less memory. `answer` returns None where the formula must answer: `torch.func`, `torch.compile`, targets
and class weights that need a gradient, a loss that is not the package's own. `NOISEPROOF_KERNEL=0` turns it off.
README.md, beside this file, says what is where.
"""

from __future__ import annotations

import os
from functools import cache

import torch
from torch import Tensor, float32, int64, is_grad_enabled, strided

from noiseproof.losses._kernels import cpu, formula_blocks, torch_fallback
from noiseproof.losses._kernels.autograd import LabelOutOfRangeError, apply
from noiseproof.losses._kernels.context import is_compiling, transforms_are_active
from noiseproof.losses._kernels.node import build_node, load
from noiseproof.losses._kernels.plan import AnyLoss, Call, Kernel, plan

__all__ = ["Prepared", "answer", "are_plain", "build_node", "cpp_node", "enabled", "prepare", "transforms_are_active"]

enabled = os.environ.get("NOISEPROOF_KERNEL", "1") != "0"
cpp_node = load()  # None: not compiled

Prepared = tuple[Tensor, Tensor, Tensor | None, Call, Kernel]

_PLAIN = (Tensor, torch.nn.Parameter)
_SCORES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_LABELS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_REDUCTIONS = ("mean", "sum", "none")


def answer(loss: AnyLoss, input: Tensor, target: Tensor) -> Tensor | None:
    """The loss of the given labels, with its gradient made at once; None where the formula must answer."""
    if cpp_node is not None and enabled and not is_compiling():
        value = cpp_node(loss, input, target)
        if value is not None:
            return value
    if not are_plain(input, target):
        return None
    if input.dim() > 2:
        return _answer_flat(loss, input, target)
    prepared = prepare(loss, input, target)
    if prepared is None:
        return None
    scores, labels, weight, call, kernel = prepared
    if not (scores.requires_grad and is_grad_enabled()):
        return kernel.run(call, scores, labels, weight, None)
    try:
        made: Tensor = apply(*prepared)
    except LabelOutOfRangeError:
        return None  # the formula says so in torch's words
    return made


def _answer_flat(loss: AnyLoss, input: Tensor, target: Tensor) -> Tensor | None:
    """The same of (N, K, d1, ...) scores, as rows."""
    soft = target.is_floating_point()
    expected = input.shape if soft else input.shape[:1] + input.shape[2:]
    if target.shape != expected:
        return None
    rows = target.movedim(1, -1).flatten(0, -2) if soft else target.flatten()
    flat = answer(loss, input.movedim(1, -1).flatten(0, -2), rows)
    return flat if flat is None or loss.reduction != "none" else flat.reshape(input.shape[:1] + input.shape[2:])


def prepare(loss: AnyLoss, input: Tensor, target: Tensor) -> Prepared | None:
    """Arguments of a kernel: (N, K) scores, labels, class weights, settings; and the kernel that takes them.

    With few rows this is a good part of the whole, so each look is the cheapest there is.
    """
    shape, dtype = input.shape, input.dtype
    if len(shape) != 2 or dtype not in _SCORES or not shape[0] or loss.reduction not in _REDUCTIONS:
        return None
    form = plan(loss)
    if form is None or not 0 < shape[1] < form.below or input.layout is not strided:
        return None
    weight, wide = getattr(loss, "weight", None), float32
    if weight is not None:
        if weight.requires_grad or weight.shape != shape[1:] or weight.device != input.device:
            return None
        if type(weight) not in _PLAIN:
            return None
        wide = dtype if dtype is torch.float64 else float32
        weight = weight.to(wide).contiguous().resolve_neg()
    call = Call(form, loss.ignore_index, loss.reduction, loss.label_smoothing)
    if target.dtype is int64 and target.shape == shape[:1]:
        if not target.is_contiguous() or target.is_neg():
            target = target.contiguous().resolve_neg()
    elif target.dtype in _LABELS and target.shape == shape[:1]:
        target = target.long().contiguous()
    elif target.is_floating_point() and target.shape == shape and not target.requires_grad and call.ignore_index < 0:
        pass
    else:
        return None
    if target.device != input.device:
        return None
    if input.is_neg():
        input = input.resolve_neg()
    kernel = _kernel(call, input, target)
    if kernel is None:
        return None
    return input if input.stride(1) == 1 else input.contiguous(), target, weight, call, kernel


def _kernel(call: Call, input: Tensor, target: Tensor) -> Kernel | None:
    """The kernel that takes this call, if one does."""
    if not 0 <= call.label_smoothing <= 1:
        return None
    if call.plan.program is not None:
        if input.is_cpu and cpu.kernel is not None:
            return cpu
        if call.label_smoothing == 0 and input.dtype is not torch.float64 and not target.is_floating_point():
            return torch_fallback if input.is_cpu else _gpu() if input.is_cuda else None
    return formula_blocks if formula_blocks.worth_it(input) else None


def are_plain(input: Tensor, target: Tensor) -> bool:
    """True if the fast path is on and the tensors are torch's own, without tracing or transforms."""
    return enabled and type(input) in _PLAIN and type(target) in _PLAIN and not transforms_are_active()


@cache
def _gpu() -> Kernel | None:
    try:
        from noiseproof.losses._kernels import gpu
    except ImportError:  # no Triton
        return None
    return gpu
