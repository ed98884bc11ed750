"""torch's `cross_entropy` rule: from the loss of every label to the loss of the given ones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from noiseproof.losses.types import PerClass

__all__ = ["denominator", "reduce"]


def reduce(
    per_class: PerClass,
    target: Tensor,
    *,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """Apply torch's `cross_entropy` rule to the loss of every label.

    Args:
        per_class: (N, K) losses.
        target: (N,) class indices, or (N, K) probabilities.
        weight: (K,) factors of the classes.
        ignore_index: the label of samples that count nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: from 0 to 1.
    """
    count, classes = per_class.shape
    weighted = per_class if weight is None else per_class * weight
    if target.is_floating_point():
        smoothed = target * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else target
        # The loss of a masked class may be infinite; where the target gives it no share it costs nothing.
        weighted = weighted.masked_fill((smoothed == 0) & weighted.isinf(), 0.0)
        losses = (weighted * smoothed).sum(1)
        return losses if reduction == "none" else losses.sum() / (count if reduction == "mean" else 1)

    if weight is None or not weight.requires_grad:
        # nll_loss(-L, y) is L_y with torch's own checks, weights, ignored labels and derivatives of every order.
        given = F.nll_loss(-per_class, target, weight, ignore_index=ignore_index, reduction=reduction)
    else:  # it knows no derivative by the weight
        given = _of_given(per_class, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return given
    kept = target != ignore_index
    even = weighted.sum(1).masked_fill(~kept, 0.0)
    if reduction == "mean":
        shares = kept if weight is None else weight[target.long().where(kept, 0)] * kept
        even = even.sum() / shares.sum()
    elif reduction == "sum":
        even = even.sum()
    return (1 - label_smoothing) * given + label_smoothing / classes * even


def _of_given(per_class: PerClass, target: Tensor, weight: Tensor, ignore_index: int, reduction: str) -> Tensor:
    each = F.nll_loss(-per_class, target, ignore_index=ignore_index, reduction="none")
    kept = target != ignore_index
    shares = weight[target.long().where(kept, 0)] * kept
    if reduction == "none":
        return shares * each
    whole = (shares * each).sum()
    return whole / shares.sum() if reduction == "mean" else whole


def denominator(target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """Denominator of the mean, in float64: the summed weights of the kept labels; for probabilities the samples.

    A label out of range counts nothing here: whoever takes the loss of it refuses it.
    """
    if target.is_floating_point():
        return target.new_full((), target.shape[0]).double()
    kept = target != ignore_index
    if weight is None:
        return kept.sum().double()
    inside = kept & (target >= 0) & (target < len(weight))
    return weight.double()[target.long().where(inside, 0)].where(inside, 0.0).sum()
