"""A loss as a node of autograd: its gradient is made together with its value and handed on in backward.

All tensors go through `save_for_backward`, as in torch's own operators: what is changed in place before backward
raises, activation checkpointing frees them, and hooks on saved tensors see them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, is_grad_enabled
from torch.autograd.function import Function

from noiseproof.losses._kernels import cpu
from noiseproof.losses._kernels.context import graph_is_kept, is_batched, transforms_are_active
from noiseproof.losses._kernels.formula_blocks import by_formula
from noiseproof.losses._kernels.plan import Call, Kernel, Plan

__all__ = ["LabelOutOfRangeError", "apply", "gradient_of_plan"]


class LabelOutOfRangeError(Exception):
    """The kernel refuses a label; the formula says so in torch's words."""


class _Rows(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor, weight: Tensor | None, call: Call, kernel: Kernel) -> Tensor:
        # float16 must not round a gradient before the loss scale is applied: there it is made in backward.
        grad = None if scores.dtype is torch.float16 else torch.empty_like(scores)
        value = kernel.run(call, scores, target, weight, grad)
        if value is None:
            raise LabelOutOfRangeError
        ctx.call, ctx.kernel = call, kernel
        ctx.save_for_backward(scores, target, weight, grad)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scores, target, weight, grad = ctx.saved_tensors
        return _gradient(ctx.call, ctx.kernel, scores, target, weight, grad, upstream), None, None, None, None


def _gradient(
    call: Call,
    kernel: Kernel,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad: Tensor | None,
    upstream: Tensor,
) -> Tensor:
    """The gradient on the scores, from what was saved; `grad` is that of the loss itself, if it was made."""
    if is_grad_enabled():  # a derivative of this derivative is wanted
        value = by_formula(call, scores, target, weight, call.reduction)
        return torch.autograd.grad(value, scores, upstream, create_graph=True)[0]
    many = is_batched(upstream) or transforms_are_active()
    if grad is None:
        grad = torch.empty_like(scores)
        if kernel.run(call, scores, target, weight, grad, None if many else upstream) is None:
            raise RuntimeError("a label is out of range in backward that was not in forward")
        if not many:
            return grad
    if many or graph_is_kept():
        return grad * (upstream.unsqueeze(-1) if upstream.dim() else upstream)
    kernel.scale(grad, upstream)
    return grad


def gradient_of_plan(
    settings: tuple[Plan, int, str, float], tensors: tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]
) -> Tensor:
    """The same for the node of node.cpp: the fields of a `Call`; scores, target, weight, grad and upstream."""
    return _gradient(Call(*settings), cpu, *tensors)


# The base class's `apply` also looks for transforms of torch.func, which `answer` has ruled out.
apply: Callable[..., Any] = super(Function, _Rows).apply
