"""The fast path of the losses: one kernel that makes value and gradient of a row of scores in one visit.

A loss's formula (`per_class`) is its definition; here is its twin, chosen automatically where it gives the same answer
sooner. `answer` returns None where the formula must answer: soft targets, label smoothing, float64, `torch.func`,
`torch.compile`, a loss without a form. `NOISEPROOF_KERNEL=0` turns the fast path off.

    forms.py     each loss as a function of a row's statistics, in the paper's symbols
    program.py   ... traced into a list of steps that every device can run
    plan.py      which losses have a form
    cpu.py, *.c  the kernel for CPUs
    closed.py    the same with torch operations, where there was no C compiler
    gpu.py       the kernel for GPUs
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, int64, is_grad_enabled
from torch.autograd import forward_ad
from torch.autograd.function import Function
from torch.compiler import is_compiling

from noiseproof.losses._kernels import closed, cpu
from noiseproof.losses._kernels.plan import AnyLoss, Call, plan

__all__ = ["answer", "enabled", "transforms_are_active", "value_and_grad"]

enabled = os.environ.get("NOISEPROOF_KERNEL", "1") != "0"

_PLAIN = (Tensor, torch.nn.Parameter)
_SCORES = (torch.float32, torch.bfloat16, torch.float16)
_LABELS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_REDUCTIONS = ("mean", "sum", "none")
_functorch_is_active: Callable[[], bool] = torch._C._are_functorch_transforms_active
_is_batched: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor
_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
_tracing_state: Callable[[], Any] = torch._C._get_tracing_state


def answer(loss: AnyLoss, input: Tensor, target: Tensor) -> Tensor | None:
    """The loss of the given labels, with its gradient made at once; None where the formula must answer."""
    if input.dim() > 2:
        return _answer_flat(loss, input, target)
    prepared = _prepare(loss, input, target)
    if prepared is None:
        return None
    if not (input.requires_grad and is_grad_enabled()):
        call, kernel = prepared
        return kernel.run(call, input, None)
    try:
        value: Tensor = _apply(input if input.stride(1) == 1 else input.contiguous(), *prepared)
    except _LabelOutOfRangeError:
        return None  # the formula says so in torch's words
    return value


def _answer_flat(loss: AnyLoss, input: Tensor, target: Tensor) -> Tensor | None:
    """The same of (N, K, d1, ...) scores, as rows."""
    if not _are_plain(input, target) or target.shape != input.shape[:1] + input.shape[2:]:
        return None
    flat = answer(loss, input.movedim(1, -1).flatten(0, -2), target.flatten())
    return flat if flat is None or loss.reduction != "none" else flat.reshape(target.shape)


def value_and_grad(
    loss: AnyLoss, logits: Tensor, target: Tensor, *, upstream: Tensor | None = None, inplace: bool = False
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient on the scores at once, outside autograd.

    Args:
        loss: any loss.
        logits: (N, K) scores.
        target: (N,) class indices.
        upstream: factor of the gradient: a scalar, or one a row under reduction="none".
        inplace: the gradient overwrites the scores, so that no second (N, K) tensor is needed.

    Example:
        >>> from noiseproof import losses
        >>> logits, y = torch.zeros(1, 2), torch.tensor([0])
        >>> value, grad = value_and_grad(losses.parse("mae"), logits, y, inplace=True)
        >>> value.item(), grad.tolist()                               # 2 (1 - p_y), 2 p_y (p - e_y)
        (1.0, [[-0.5, 0.5]])
        >>> logits.tolist()                                           # overwritten
        [[-0.5, 0.5]]
    """
    logits = logits.detach()
    prepared = _prepare(loss, logits, target)
    if prepared is not None and logits.dim() == 2 and logits.stride(1) == 1:
        call, kernel = prepared
        grad = logits if inplace else torch.empty_like(logits)
        value = kernel.run(call, logits, grad, upstream)
        if value is not None:
            return value, grad
    with torch.enable_grad():
        leaf = logits.clone().requires_grad_() if inplace else logits.requires_grad_()
        value = loss.formula(leaf, target)
        ones = torch.ones_like(value)
        (grad,) = torch.autograd.grad(value, leaf, ones if upstream is None else (ones * upstream).to(value.dtype))
    return value.detach(), logits.copy_(grad) if inplace else grad


class Kernel(Protocol):
    """What cpu.py, closed.py and gpu.py each are."""

    def run(self, call: Call, scores: Tensor, grad: Tensor | None, upstream: Tensor | None = None) -> Tensor | None:
        """The loss of (N, K) scores; fills `grad`."""
        ...

    def scale(self, grad: Tensor, upstream: Tensor) -> None:
        """Multiplies a gradient by what arrives from above."""
        ...


def _prepare(loss: AnyLoss, input: Tensor, target: Tensor) -> tuple[Call, Kernel] | None:
    """The call of (N, K) scores and (N,) labels and the kernel that takes it, if one can.

    With few rows this is a good part of the whole, so each look is the cheapest there is.
    """
    if not _are_plain(input, target):
        return None
    if input.is_cpu and target.is_cpu:
        kernel: Kernel | None = cpu if cpu.kernel is not None else closed
    else:
        kernel = _gpu() if input.is_cuda and target.device == input.device else None
    shape = input.shape
    if kernel is None or len(shape) != 2 or input.dtype not in _SCORES or target.shape != (shape[0],):
        return None
    found = plan(loss)
    if found is None or loss.label_smoothing != 0 or loss.reduction not in _REDUCTIONS:
        return None
    if not 0 < shape[1] < found.below or not shape[0]:
        return None
    weight = loss._buffers["weight"]
    if weight is not None:
        if weight.requires_grad or weight.shape != shape[1:] or weight.device != input.device:
            return None
        weight = weight.float().contiguous()
    if target.dtype is not int64 or not target.is_contiguous():
        if target.dtype not in _LABELS:
            return None
        target = target.long().contiguous()
    return Call(loss, found, target, weight, loss.ignore_index, loss.reduction), kernel


def _are_plain(input: Tensor, target: Tensor) -> bool:
    return enabled and type(input) in _PLAIN and type(target) is Tensor and not transforms_are_active()


def transforms_are_active() -> bool:
    """Whether something looks at every operation: torch.compile or .jit.trace, torch.func, forward AD, modes."""
    return (
        is_compiling()
        or _functorch_is_active()
        or _dispatch_modes() > 0
        or forward_ad._current_level >= 0
        or _tracing_state() is not None
    )


@cache
def _gpu() -> Kernel | None:
    try:
        from noiseproof.losses._kernels import gpu
    except ImportError:  # no Triton
        return None
    return gpu


class _LabelOutOfRangeError(Exception):
    pass


class _Rows(Function):
    """A loss whose gradient was made together with its value; backward hands it on."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, call: Call, kernel: Kernel) -> Tensor:
        ctx.call, ctx.kernel = call, kernel
        # float16 must not round a gradient before the loss scale is applied: there it is made in backward.
        ctx.grad = None if scores.dtype is torch.float16 else torch.empty_like(scores)
        ctx.save_for_backward(scores)
        value = kernel.run(call, scores, ctx.grad)
        if value is None:
            raise _LabelOutOfRangeError
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, None, None]:
        grad = ctx.grad
        if grad is None or is_grad_enabled() or _is_batched(upstream):
            return _gradient_anew(ctx, upstream), None, None
        ctx.grad = None  # handed out once; a second backward makes it anew
        ctx.kernel.scale(grad, upstream)
        return grad, None, None


def _gradient_anew(ctx: Any, upstream: Tensor) -> Tensor:
    call, kernel = ctx.call, ctx.kernel
    (scores,) = ctx.saved_tensors
    if is_grad_enabled():  # a derivative of this derivative is wanted
        value = call.loss.formula(scores, call.target)
        differentiable: Tensor = torch.autograd.grad(value, scores, upstream, create_graph=True)[0]
        return differentiable
    grad = torch.empty_like(scores)
    if _is_batched(upstream):  # rows of a Jacobian, all at once
        kernel.run(call, scores, grad)
        return grad * (upstream.unsqueeze(-1) if upstream.dim() else upstream)
    kernel.run(call, scores, grad, upstream)
    return grad


# The base class's `apply` also looks for transforms of torch.func, which `answer` has ruled out.
_apply: Callable[..., Any] = super(Function, _Rows).apply
