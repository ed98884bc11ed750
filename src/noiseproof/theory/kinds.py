"""Kinds of losses: symmetric, active or passive, and the asymmetry ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from noiseproof import losses
from noiseproof.errors import InputError, in_range
from noiseproof.losses import LOSSES, Loss
from noiseproof.theory.risk import APPROACH, HasPerClass, limit, per_class_of, points

__all__ = ["Activity", "Ratio", "Symmetry", "asymmetry_ratio", "is_active", "is_passive", "is_symmetric"]


@dataclass(frozen=True)
class Symmetry:
    """Result of the symmetry test: do the losses of all labels add up to a constant? Truthy if it holds."""

    holds: bool
    constant: float
    """Their sum at the even point."""
    spread: float
    """The largest difference of that sum between two of the points tried."""

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        if self.holds:
            return f"symmetric: the losses of all labels add up to {self.constant:.6g}"
        return f"not symmetric: the sum over all labels varies by {self.spread:.6g}"


def is_symmetric(loss: HasPerClass | str, num_classes: int = 10) -> Symmetry:
    r"""Is $\sum_k L(u, k)$ the same for all u? Then symmetric noise below (K-1)/K does no harm.

    Tried at 577 points, from the middle of the simplex to probabilities of 1e-278, to a relative 1e-9.

    Example:
        >>> print(is_symmetric("mae", 4))                           # 2 (K - 1)
        symmetric: the losses of all labels add up to 6
        >>> bool(is_symmetric("ce", 4))
        False
    """
    classes = checked_classes(num_classes)
    per_class = per_class_of(loss)
    middle = torch.zeros(1, classes, dtype=torch.float64, device="cpu")
    sharp = 8 * points(64, classes, "theory/sharp").clamp_min(-80.0)
    sums = per_class(torch.cat([middle, points(512, classes, "theory/symmetric"), sharp])).sum(1)
    spread = float(sums.max() - sums.min())
    return Symmetry(spread <= 1e-9 * max(1.0, float(sums.abs().max())), float(sums[0]), spread)


@dataclass(frozen=True)
class Activity:
    """Result of the active (or passive) test; truthy if it holds."""

    holds: bool
    active: tuple[str, ...]
    """The terms that look at the given label only."""
    passive: tuple[str, ...]
    """The terms in which another label contributes."""
    reason: str

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        kind = "active and passive terms" if self.active and self.passive else "active" if self.active else "passive"
        return f"{kind}: {self.reason}"


def is_active(loss: HasPerClass | str, num_classes: int = 10) -> Activity:
    r"""Is the loss active: written as $\sum_k l(u_k, e_k)$, only the given label contributes?

    A property of how a loss is written, not of its values (MAE = 2 (1 - p_y) is passive by its sum over all
    classes), so a registered loss says it itself, and a sum is active when all its terms are. A loss of your own is
    judged by its values: it is active when the other classes' probabilities do not matter.

    Example:
        >>> bool(is_active("ce")), bool(is_active("mae"))
        (True, False)

    Source: Ma et al., ICML 2020 (arXiv:2006.13554), definitions 1 and 2.
    """
    active, passive, reasons = _sorted_terms(loss, checked_classes(num_classes))
    return Activity(not passive, active, passive, "; ".join(reasons))


def is_passive(loss: HasPerClass | str, num_classes: int = 10) -> Activity:
    """Is the loss passive: does some label besides the given one contribute? The opposite of `is_active`.

    Example:
        >>> bool(is_passive("mae")), bool(is_passive("nce"))
        (True, False)
    """
    active, passive, reasons = _sorted_terms(loss, checked_classes(num_classes))
    return Activity(bool(passive), active, passive, "; ".join(reasons))


def _sorted_terms(loss: HasPerClass | str, classes: int) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    if isinstance(loss, str):
        loss = losses.parse(loss)
    terms: list[HasPerClass] = [term for _, term in loss.terms()] if isinstance(loss, Loss) else [loss]
    active: list[str] = []
    passive: list[str] = []
    reasons: list[str] = []
    for term in terms:
        name = str(term) if isinstance(term, Loss) else type(term).__name__
        claim = LOSSES[term.name].claims.get("active") if isinstance(term, Loss) and hasattr(term, "name") else None
        if claim is None:
            claim = _only_the_given_label_matters(term, classes)
            reasons.append(f"{name} {'depends' if claim else 'does not depend'} on the given label's probability alone")
        else:
            reasons.append(f"{name} is {'active' if claim else 'passive'} by its definition")
        (active if claim else passive).append(name)
    return tuple(active), tuple(passive), reasons


def _only_the_given_label_matters(loss: HasPerClass, classes: int) -> bool:
    """True if L(u, k) stays the same when the other classes' probabilities are redistributed."""
    given = points(64, classes, "theory/active")[:, :1].clamp(-30.0, -1e-3)
    shares = [points(64, classes - 1, f"theory/active/{i}") for i in range(3)]
    per_class = per_class_of(loss)
    values = [per_class(torch.cat([given, torch.log(-torch.expm1(given)) + share], 1))[:, 0] for share in shares]
    return all(torch.allclose(value, values[0], rtol=1e-9, atol=1e-9) for value in values[1:])


@dataclass(frozen=True)
class Ratio:
    """The asymmetry ratio of a loss l(p_y) of the given label's probability; `float(ratio)` is the number."""

    value: float
    at: tuple[float, float]
    """The (u1, u2) at which the infimum was found."""

    def __float__(self) -> float:
        return self.value

    def __bool__(self) -> bool:
        return self.value > 0

    def __str__(self) -> str:
        if not self:
            return "asymmetry ratio 0: no noise is tolerated by this condition"
        return f"asymmetry ratio {self.value:.6g}: enough where w_m / w_n >= {1 / self.value:.6g}"

    def tolerates(self, weights: object) -> bool:
        """True if (w_m / w_n) * ratio >= 1, which suffices for the loss to be asymmetric on these weights."""
        from noiseproof.theory.amse import checked_weights, two_largest

        _, w_m, w_n = two_largest(checked_weights(weights))  # type: ignore[arg-type]
        return w_m > w_n and w_m * self.value >= w_n * (1 - 1e-9)


def asymmetry_ratio(loss: HasPerClass | str, num_classes: int = 3) -> Ratio:
    r"""$r(l) = \inf \frac{l(u_1) - l(u_1 + u_2)}{l(0) - l(u_2)}$ over $u_1 \ge 0$, $u_2 > 0$, $u_1 + u_2 \le 1$.

    For a loss l(p_y) of the given label's probability alone; it is asymmetric on weights with w_m / w_n >= 1 / r.
    Closed forms: AGCE (a/(a+1))^(1-q) for q <= 1, else 1; AUL ((a-1)/a)^(q-1) for q > 1, else 1; AEL exp(-1/a);
    MAE 1; CE and GCE with q < 1 0.

    Raises:
        InputError: the loss looks at other probabilities too (NCE, AMSE, ...); use `is_asymmetric`.

    Example:
        >>> round(float(asymmetry_ratio("ael(a=2)")), 4), round(math.exp(-1 / 2), 4)
        (0.6065, 0.6065)

    Source: Zhou et al., ICML 2021 (arXiv:2106.03110), definition 4.
    """
    classes = checked_classes(num_classes)
    if isinstance(loss, str):
        loss = losses.parse(loss)
    if not _only_the_given_label_matters(loss, max(classes, 3)):
        raise InputError("the asymmetry ratio is for losses of p_y alone; use is_asymmetric(loss, weights) instead")
    per_class = per_class_of(loss)

    def slope(log_u: torch.Tensor) -> torch.Tensor:
        """-l'(u), from dl/dz = l'(u) u (1 - u)."""
        z = torch.stack([log_u, torch.log(-torch.expm1(log_u))], 1).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(per_class(z)[:, 0].sum(), z)
        return -gradient[:, 0] / (log_u.exp() * -torch.expm1(log_u))

    def value(u: torch.Tensor) -> torch.Tensor:
        z = torch.stack([u.clamp_min(1e-300).log(), torch.log1p(-u).clamp_min(-700.0)], 1)
        return per_class(z)[:, 0]

    # u2 -> 0 makes it a ratio of slopes, l'(u1) / l'(0); elsewhere a grid, fine at both ends.
    logs = logsigmoid(torch.linspace(-20.7, 20.7, 8001, dtype=torch.float64, device="cpu"))
    slopes = slope(logs)
    at_zero = limit(slope(torch.from_numpy(APPROACH)).tolist())[0]
    best = int(slopes.nan_to_num(torch.inf).argmin())
    found = (float(slopes[best]) / at_zero if at_zero else math.inf, float(logs[best].exp()), 0.0)

    grid = np.unique(np.concatenate([np.linspace(0, 1, 200), np.logspace(-12, 0, 100), 1 - np.logspace(-12, -1, 60)]))
    first, second = (torch.from_numpy(side.ravel()) for side in np.meshgrid(grid, grid))
    inside = first + second <= 1
    first, second = first[inside], second[inside]
    above = value(first) - value(first + second)
    below = value(torch.zeros_like(second)) - value(second)
    # Differences of nearly equal values are noise; the slopes have covered u2 -> 0.
    sharp = below.abs() > 1e-6 * below.abs().max()
    ratios = torch.where(sharp, above / below, torch.inf).nan_to_num(torch.inf)
    least = int(ratios.argmin())
    if float(ratios[least]) < found[0]:
        found = (float(ratios[least]), float(first[least]), float(second[least]))
    number = min(max(found[0], 0.0), 1.0)
    return Ratio(0.0 if number < 1e-9 else number, found[1:])


def checked_classes(num_classes: int) -> int:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer):
        raise InputError(f"num_classes must be a whole number, got {num_classes!r}")
    return int(in_range("num_classes", int(num_classes), 2, 10**6))
