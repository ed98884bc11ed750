"""A linear layer and a loss as one: the scores of all classes are never held at once.

With very many classes the (N, K) scores, not the network, fill the memory. Here they are made a few rows at a time,
turned into their gradient in place and folded into the gradients of features, weight and bias: 2 NDK operations more
than none, and a few MiB instead of N K values.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from noiseproof.losses._kernels import transforms_are_active, value_and_grad
from noiseproof.losses.base import Loss

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
    learned = any(parameter.requires_grad for parameter in loss.parameters())  # by the loss itself
    if transforms_are_active() or learned or not rows.shape[0]:
        value: Tensor = loss(F.linear(rows, weight, bias), labels)
    else:
        value = _Linear.apply(rows, weight, bias, loss, labels)  # type: ignore[no-untyped-call]
    return value.reshape(hidden.shape[:-1]) if loss.reduction == "none" else value


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, loss: Loss, target: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, weight, bias)
        ctx.loss, ctx.target = loss, target
        needs = ctx.needs_input_grad[:3]
        at_once = any(needs) and loss.reduction != "none" and hidden.dtype is not torch.float16
        one = torch.ones((), device=hidden.device)
        value, ctx.grads = _sweep(loss, hidden, weight, bias, target, needs, one if at_once else None)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        grads, ctx.grads = ctx.grads, None  # handed out once; a second backward makes them anew
        if torch.is_grad_enabled():  # a derivative of this derivative is wanted
            leaves = [leaf for leaf, need in zip((hidden, weight, bias), needs, strict=True) if need]
            value = ctx.loss.formula(F.linear(hidden, weight, bias), ctx.target)
            found = iter(torch.autograd.grad(value, leaves, upstream, create_graph=True))
            return *(next(found) if need else None for need in needs), None, None
        if grads is None:
            _, grads = _sweep(ctx.loss, hidden, weight, bias, ctx.target, needs, upstream)
        elif not (upstream.is_cpu and upstream.item() == 1):
            for grad in grads:
                if grad is not None:
                    grad.mul_(upstream)
        return *grads, None, None


Grads = tuple[Tensor | None, Tensor | None, Tensor | None]


def _sweep(
    loss: Loss,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    needs: tuple[bool, ...],
    upstream: Tensor | None,
) -> tuple[Tensor, Grads | None]:
    """The loss and, times `upstream`, the gradients that are needed, over chunks of rows."""
    count, classes = hidden.shape[0], weight.shape[0]
    each_row = loss.reduction == "none"
    part = loss.with_options(reduction="none" if each_row else "sum")
    denominator = _denominator(loss, target) if loss.reduction == "mean" else torch.ones((), device=hidden.device)
    step = max(1, _SCORES // classes)
    buffer = hidden.new_empty(min(step, count), classes)
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
        share = upstream[rows] if each_row else upstream / denominator
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
    value = torch.cat(values) if each_row else (torch.stack(values).double().sum() / denominator).to(values[0].dtype)
    if upstream is None:
        return value, None
    return value, (
        on_hidden,
        None if on_weight is None else on_weight.to(weight.dtype),
        None if on_bias is None else on_bias.to(weight.dtype),
    )


def _denominator(loss: Loss, target: Tensor) -> Tensor:
    """What the mean divides by: the summed weights of the kept labels; for probabilities the number of samples."""
    if target.is_floating_point():
        return torch.full((), target.shape[0], dtype=torch.float64, device=target.device)
    kept = target != loss.ignore_index
    if loss.weight is None:
        return kept.sum().double()
    inside = kept & (target >= 0) & (target < len(loss.weight))  # a label out of range is refused with its chunk
    return loss.weight.double()[target.long().where(inside, 0)].where(inside, 0.0).sum()
