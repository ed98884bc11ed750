"""A linear layer and a loss as one: the scores of all classes are never held at once.

With very many classes the (N, K) scores, not the network, fill the memory. Here they are made a few rows at a time,
turned into their gradient in place and folded into the gradients of features, weight and bias: 2 NDK operations more
than none, and a few MiB instead of N K values.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, is_grad_enabled
from torch.autograd.function import Function

from noiseproof.losses._kernels.context import graph_is_kept, is_batched, transforms_are_active
from noiseproof.losses.base import Loss
from noiseproof.losses.reduction import denominator
from noiseproof.losses.value_with_gradient import value_and_grad

__all__ = ["linear_loss"]

_SCORES = 1 << 23  # held at once: 32 MiB in float32
_HALF = (torch.float16, torch.bfloat16)


def linear_loss(loss: Loss, hidden: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None = None) -> Tensor:
    """loss(hidden @ weight.T + bias, target), without holding the scores.

    Any loss, with its class weights, `ignore_index`, `label_smoothing` and `reduction`. Gradients for features,
    weight and bias are made in the forward pass, except under reduction="none", which makes the scores twice.

    Args:
        loss: with its options.
        hidden: (..., D) features.
        weight: (K, D), as in `torch.nn.Linear`.
        target: (...) class indices, or (..., K) probabilities.
        bias: (K,).

    Example:
        >>> from noiseproof import losses
        >>> hidden, layer = torch.ones(3, 2), torch.nn.Linear(2, 5)
        >>> y, jal = torch.tensor([0, 1, 4]), losses.parse("nce + amse(a=30)")
        >>> value = linear_loss(jal, hidden, layer.weight, y, layer.bias)
        >>> bool(value.isclose(jal(layer(hidden), y)))
        True
    """
    if hidden.dim() < 1 or weight.dim() != 2 or hidden.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"hidden must be (..., D) and weight (K, D), got {tuple(hidden.shape)} and {tuple(weight.shape)}"
        )
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    soft = target.is_floating_point()
    if target.shape[: target.dim() - soft] != hidden.shape[:-1]:
        raise ValueError(f"target must be {tuple(hidden.shape[:-1])} class indices, got {tuple(target.shape)}")
    rows = hidden.reshape(-1, hidden.shape[-1])
    labels = target.reshape(-1, target.shape[-1]) if soft else target.reshape(-1)
    if not rows.shape[0] or not _fits(loss, rows, weight, labels, bias):
        value: Tensor = loss(F.linear(rows, weight, bias), labels)
    elif torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (rows, weight, bias)):
        value = _Linear.apply(rows, weight, bias, labels, loss.weight, loss)  # type: ignore[no-untyped-call]
    else:
        value, _ = _sweep(loss, rows, weight, bias, labels, (False, False, False), None)
    return value.reshape(hidden.shape[:-1]) if loss.reduction == "none" else value


def _fits(loss: Loss, *tensors: Tensor | None) -> bool:
    """True if rows can be taken one chunk after the other: nothing sees every operation, and what else is learned
    (soft targets, class weights, parameters of the loss) is not: that gets its gradient from the loss itself."""
    others = (*loss.parameters(), *loss.buffers(), tensors[2])
    learned = any(each is not None and each.requires_grad for each in others)
    plain = all(each is None or type(each) in (Tensor, torch.nn.Parameter) for each in tensors)
    return plain and not learned and not transforms_are_active()


class _Linear(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        class_weight: Tensor | None,
        loss: Loss,
    ) -> Tensor:
        ctx.loss = loss.with_options(weight=None)  # as it is now; its class weights are saved as the other tensors are
        needs = ctx.needs_input_grad[:3]
        at_once = loss.reduction != "none" and hidden.dtype is not torch.float16
        one = torch.ones((), device=hidden.device)
        value, grads = _sweep(loss, hidden, weight, bias, target, needs, one if at_once else None)
        ctx.save_for_backward(hidden, weight, bias, target, class_weight, *grads)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, target, class_weight, *grads = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        loss = ctx.loss.with_options(weight=class_weight)
        at_once = any(grad is not None for grad in grads)
        many = is_batched(upstream) or transforms_are_active()
        if is_grad_enabled() or (many and not at_once):  # a derivative of this derivative, or one for each row
            with torch.enable_grad():
                leaves = [leaf for leaf, need in zip((hidden, weight, bias), needs, strict=True) if need]
                value = loss.formula(F.linear(hidden, weight, bias), target)
            made = iter(torch.autograd.grad(value, leaves, upstream, create_graph=is_grad_enabled()))
            return *(next(made) if need else None for need in needs), None, None, None
        if not at_once:
            _, grads = _sweep(loss, hidden, weight, bias, target, needs, upstream)
        elif many or graph_is_kept():
            grads = [None if grad is None else grad * upstream for grad in grads]
        elif not (upstream.is_cpu and upstream.item() == 1):
            for grad in grads:
                if grad is not None:
                    grad.mul_(upstream)
        return *grads, None, None, None


Grads = list[Tensor | None]


def _sweep(
    loss: Loss,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    needs: tuple[bool, ...],
    upstream: Tensor | None,
) -> tuple[Tensor, Grads]:
    """The loss and, times `upstream`, the gradients that are needed, over chunks of rows."""
    count, classes = hidden.shape[0], weight.shape[0]
    each_row = loss.reduction == "none"
    part = loss.with_options(reduction="none" if each_row else "sum")
    below = torch.ones((), device=hidden.device)
    if loss.reduction == "mean":
        below = denominator(target, loss.weight, loss.ignore_index)
    step = max(1, _SCORES // classes)
    buffer = torch.empty(min(step, count), classes, dtype=hidden.dtype, device=hidden.device)
    # half precision would lose what a chunk adds to a long sum
    wide = torch.float32 if hidden.dtype in _HALF else hidden.dtype
    on_hidden = torch.empty_like(hidden) if needs[0] else None
    on_weight = torch.zeros(weight.shape, dtype=wide, device=weight.device) if needs[1] else None
    on_bias = torch.zeros(classes, dtype=wide, device=weight.device) if needs[2] else None

    values = []
    for start in range(0, count, step):
        rows = slice(start, start + step)
        x, scores = hidden[rows], buffer[: len(hidden[rows])]
        torch.mm(x, weight.t(), out=scores) if bias is None else torch.addmm(bias, x, weight.t(), out=scores)
        if upstream is None:
            values.append(part(scores, target[rows]))
            continue
        share = upstream[rows] if each_row else upstream / below
        value, grad = value_and_grad(part, scores, target[rows], upstream=share, inplace=True)
        values.append(value)
        if on_hidden is not None:
            torch.mm(grad, weight, out=on_hidden[rows])
        if on_weight is not None and wide is hidden.dtype:
            on_weight.addmm_(grad.t(), x)
        elif on_weight is not None:
            on_weight += grad.t() @ x
        if on_bias is not None:
            on_bias += grad.sum(0, dtype=wide)
    value = torch.cat(values) if each_row else (torch.stack(values).double().sum() / below).to(values[0].dtype)
    if upstream is None:
        return value, [None, None, None]
    return value, [
        on_hidden,
        None if on_weight is None else on_weight.to(weight.dtype),
        None if on_bias is None else on_bias.to(weight.dtype),
    ]
