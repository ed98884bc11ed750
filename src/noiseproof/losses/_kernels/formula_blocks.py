"""Any loss in blocks of rows: value and gradient from its own formula, without an (N, K) intermediate.

What autograd would keep of a whole batch (up to forty tensors of the scores' size) exists for a few rows at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.losses._kernels.context import small_graph
from noiseproof.losses._kernels.plan import Call
from noiseproof.losses.reduction import denominator, reduce

__all__ = ["by_formula", "run", "scale", "worth_it"]

_BLOCK = 1 << 15  # scores of a block; what comes of them stays in the cache
_BLOCKS = 128  # on a GPU, where each takes launches


def worth_it(scores: Tensor) -> bool:
    """True if there is more than one block."""
    return scores.numel() > _size(scores)


def by_formula(call: Call, scores: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The loss of (N, K) scores, differentiable as often as you like."""
    wide = scores.dtype if scores.dtype is torch.float64 else torch.float32
    return reduce(
        call.plan.per_class(scores.to(wide)),
        target.to(wide) if target.is_floating_point() else target,
        weight=None if weight is None else weight.to(wide),
        ignore_index=call.ignore_index,
        reduction=reduction,
        label_smoothing=call.label_smoothing,
    )


def run(
    call: Call,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad: Tensor | None,
    upstream: Tensor | None = None,
) -> Tensor:
    """As `cpu.run`, for scores of any floating dtype; a label out of range raises as in torch."""
    rows, classes = scores.shape
    wide = scores.dtype if scores.dtype is torch.float64 else torch.float32
    below = denominator(target, weight, call.ignore_index) if call.reduction == "mean" else None
    factor = torch.ones((), dtype=wide, device=scores.device) if upstream is None else upstream.to(wide)
    factor = factor if below is None else (factor / below).to(wide)
    values = torch.empty(rows, dtype=wide, device=scores.device)
    step = max(1, _size(scores) // classes)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        if grad is None:
            values[part] = by_formula(call, scores[part], target[part], weight, "none")
            continue
        with small_graph():
            leaf = scores[part].detach().to(wide, copy=True).requires_grad_()
            value = by_formula(call, leaf, target[part].clone(), None if weight is None else weight.clone(), "none")
            shares = factor[part] if factor.dim() else factor.expand(len(value))
            (slopes,) = torch.autograd.grad(value, leaf, shares.clone())
        values[part] = value.detach()
        grad[part] = slopes
    if call.reduction == "none":
        return values
    whole = values.double().sum()  # like the kernel: in double, and rounded once
    return (whole if below is None else whole / below).to(wide)


def scale(grad: Tensor, upstream: Tensor) -> None:
    """Multiply the rows of a gradient by what arrives from above."""
    grad.mul_(upstream.unsqueeze(1) if upstream.dim() else upstream)


def _size(scores: Tensor) -> int:
    return max(_BLOCK, scores.numel() // _BLOCKS) if scores.is_cuda else _BLOCK
