"""Variation ratio: how unevenly a loss pulls a label, from implausible to certain."""

from __future__ import annotations

import math

import torch

from noiseproof.theory.kinds import checked_classes
from noiseproof.theory.risk import HasPerClass, per_class_of

__all__ = ["variation_ratio"]

_POINTS = 4001
_FARTHEST = 1e-12  # from 0 and from 1
_UNBOUNDED = 1e6


def variation_ratio(loss: HasPerClass | str, num_classes: int = 10) -> float:
    """Largest over smallest size of the slope of L in the given label's p, the other classes sharing 1 - p evenly.

    1 for a loss that is linear in p (MAE), inf for cross-entropy, (1+a)/a for `vce(a)`. The closer to 1, the less the
    loss prefers samples that it finds implausible, and the more slowly it fits. Measured at 4001 probabilities from
    1e-12 to 1 - 1e-12; a ratio above a million is reported as inf.

    Args:
        loss: a loss, its text, or anything that has `per_class(logits)`.
        num_classes: K.

    Example:
        >>> round(variation_ratio("vce(a=4)"), 4), round(variation_ratio("mae"), 4), variation_ratio("ce")
        (1.25, 1.0, inf)

    Source: arXiv:2511.12143, definition of the variation ratio.
    """
    classes, per_class = checked_classes(num_classes), per_class_of(loss)
    odds = torch.linspace(math.log(_FARTHEST), -math.log(_FARTHEST), _POINTS, dtype=torch.float64)
    score = (odds + math.log(classes - 1)).requires_grad_()
    logits = torch.cat([score[:, None], torch.zeros(_POINTS, classes - 1, dtype=torch.float64)], 1)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(per_class(logits)[:, 0].sum(), score)
    p, rest = odds.sigmoid(), (-odds).sigmoid()
    sizes = (slope / (p * rest)).abs()  # d score / d p = 1 / (p (1-p))
    smallest, largest = float(sizes.min()), float(sizes.max())
    return math.inf if smallest <= largest / _UNBOUNDED else largest / smallest
