r"""The AMSE theorem: for which weights, a and q the asymmetric mean square error tolerates noise.

AMSE's weighted risk is $F(u) = \frac1K \sum_k [w_k (a - u_k)^q + (W - w_k) u_k^q]$ with $W = \sum_k w_k$. With the
largest weight w_m and the second largest w_n it is minimal at e_m

- q <= 1: always (F is concave, the best vertex is the heaviest);
- q > 1: iff $w_m (a-1)^{q-1} \ge w_n a^{q-1} + \sum_{i \ne m} w_i$ (F is convex, this is its slope along the
  edge from e_m to e_n); for q = 2 that is a >= W / (w_m - w_n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.errors import InputError, in_range

__all__ = ["Bound", "Condition", "SmallestA", "Weights", "amse_condition", "excess_risk_bound", "smallest_a"]

Weights = Sequence[float] | npt.NDArray[np.floating] | torch.Tensor

_ROUNDING = 1e-12  # of the largest term: equality in exact numbers counts as holding


def checked_weights(weights: Weights) -> npt.NDArray[np.float64]:
    """Weights as a float64 vector.

    Raises:
        InputError: not at least two finite, non-negative numbers with a positive one among them.
    """
    raw = weights.detach().cpu().numpy() if isinstance(weights, torch.Tensor) else weights
    try:
        values = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"weights must be numbers, one for each class, got {weights!r}") from None
    if values.ndim != 1 or len(values) < 2:
        raise InputError(f"weights must be a vector of at least 2 classes, got shape {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise InputError(f"weights must be finite, not negative and not all zero, got {values.tolist()}")
    return values


def two_largest(weights: npt.NDArray[np.float64]) -> tuple[int, float, float]:
    """The class of the largest weight, that weight and the second largest."""
    clean = int(weights.argmax())
    return clean, float(weights[clean]), float(np.delete(weights, clean).max())


class Condition(NamedTuple):
    """Result of AMSE's condition, with its margin: the left side minus the right side."""

    holds: bool
    margin: float

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'violated'}, margin {self.margin:.6g}"


def amse_condition(weights: Weights, a: float, q: float = 2.0) -> Condition:
    r"""Is AMSE(a, q) minimal at the heaviest class: $w_m (a-1)^{q-1} \ge w_n a^{q-1} + \sum_{i \ne m} w_i$.

    Without divisions, since w_n may be zero. For q <= 1 the condition is w_m > w_n. Equality holds (up to
    rounding) except between the two largest weights: without a single heaviest class nothing can hold.

    Args:
        weights: (K,) not negative, P(given label k | sample) or anything proportional.
        a: AMSE's target, at least 1.
        q: AMSE's power, above 0.

    Returns:
        (holds, margin), true as `holds`; the margin is the left side minus the right side.

    Example:
        >>> symmetric = [0.2] + 9 * [0.8 / 9]                  # 80 % symmetric noise, 10 classes
        >>> bool(amse_condition(symmetric, a=9)), bool(amse_condition(symmetric, a=8.9))
        (True, False)
        >>> print(amse_condition([0.6, 0.4, 0], a=5, q=3))     # 0.6*16 - 0.4*25 - 0.4
        violated, margin -0.8

    Source: the AMSE theorem of Joint Asymmetric Loss (arXiv:2507.17692), divided by nothing.
    """
    w = checked_weights(weights)
    a, q = in_range("a", a, 1.0), in_range("q", q, 0.0, above=True)
    m, w_m, w_n = two_largest(w)
    if q <= 1:
        return Condition(w_m > w_n, w_m - w_n)
    others = float(np.delete(w, m).sum())
    with np.errstate(over="ignore"):
        terms = (
            w_m * float(np.power(a - 1, q - 1)),
            -w_n * float(np.power(a, q - 1)) if w_n else 0.0,
            -others,
        )
    if not all(map(math.isfinite, terms)):
        raise InputError(f"a^(q-1) is beyond floating point for a={a:g}, q={q:g}; give a smaller a or q")
    margin = math.fsum(terms)
    return Condition(w_m > w_n and margin >= -_ROUNDING * max(map(abs, terms)), margin)


class SmallestA(float):
    """A float: the smallest a that satisfies AMSE's condition (inf: none does). True if there is one."""

    q: float
    margin: float

    def __new__(cls, a: float, q: float, margin: float) -> SmallestA:
        number = super().__new__(cls, a)
        number.q, number.margin = q, margin
        return number

    def __getnewargs__(self) -> tuple[float, float, float]:  # type: ignore[override]
        return float(self), self.q, self.margin

    def __bool__(self) -> bool:
        return math.isfinite(self)

    def __str__(self) -> str:
        if not self:
            return f"no a satisfies AMSE's condition (w_m - w_n = {self.margin:.4g})"
        return f"a >= {float(self):.6g} (q = {self.q:g}, w_m - w_n = {self.margin:.4g})"


def smallest_a(weights: Weights, q: float = 2.0) -> SmallestA:
    r"""The smallest a with which AMSE(a, q) tolerates these weights.

    q = 2: W / (w_m - w_n). q <= 1: 1. Other q: the one root of the condition, found in log(a - 1), because it
    grows like $(\sum_{i \ne m} w_i / (w_m - w_n))^{1/(q-1)}$ as q -> 1.

    Returns:
        A float with `.q` and `.margin` (w_m - w_n); inf where the two largest weights are equal or the root
        lies beyond floating point.

    Example:
        >>> print(smallest_a([0.2] + 9 * [0.8 / 9]))
        a >= 9 (q = 2, w_m - w_n = 0.1111)
        >>> round(smallest_a([0.6, 0.4, 0, 0], q=3), 2)
        5.83
        >>> print(smallest_a([0.4, 0.4, 0.2]))
        no a satisfies AMSE's condition (w_m - w_n = 0)
    """
    w = checked_weights(weights)
    q = in_range("q", q, 0.0, above=True)
    m, w_m, w_n = two_largest(w)
    margin, others = w_m - w_n, float(np.delete(w, m).sum())
    if margin <= 0:
        return SmallestA(math.inf, q, margin)
    if q <= 1 or others == 0:
        return SmallestA(1.0, q, margin)
    if q == 2:
        return SmallestA(float(w.sum()) / margin, q, margin)
    return SmallestA(_root(w_m, w_n, others, q - 1), q, margin)


def _root(w_m: float, w_n: float, others: float, power: float) -> float:
    """The a > 1 with w_m (a-1)^power = w_n a^power + others, from above, by bisection in log(a - 1)."""

    def enough(log_less: float) -> bool:  # logarithms: the powers overflow long before the root does
        left = math.log(w_m) + power * log_less
        right = math.log(w_n) + power * float(np.logaddexp(0.0, log_less)) if w_n else -math.inf
        return left >= float(np.logaddexp(right, math.log(others)))

    low, high = -700.0, 709.0
    if not enough(high):
        return math.inf
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return 1 + math.exp(high)
        low, high = (low, middle) if enough(middle) else (middle, high)


class Bound(float):
    """A float: the largest share of samples whose predicted class can differ from the clean one. True if below 1."""

    slope: float

    def __new__(cls, share: float, slope: float) -> Bound:
        number = super().__new__(cls, share)
        number.slope = slope
        return number

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        return float(self), self.slope

    def __bool__(self) -> bool:
        return self < 1

    def __str__(self) -> str:
        return f"at most {100 * self:.4g} % wrong (risk rises by {self.slope:.4g} for each wrong sample)"


def excess_risk_bound(excess: float, weights: Weights, *, a: float, q: float = 2.0, beta: float = 1.0) -> Bound:
    r"""P(argmax f != clean) <= excess noisy risk / (the least that a wrong sample adds to it).

    A sample whose argmax is not the clean class has u_m <= 1/2, which adds at least, divided by K,

    - q = 2: $a (w_m - w_n) - 3W/4$;
    - q > 1: $\frac q2 [w_m (a-1)^{q-1} - w_n a^{q-1} - \sum_{i \ne m} w_i]$, half the slope at the vertex;
    - q <= 1: $\frac12 (w_m - w_n) (1 + a^q - (a-1)^q)$.

    Derived in docs/theory.md. For NCE + beta*AMSE under symmetric noise the same holds, because NCE's part of
    the excess is not negative. A classifier that is right about all samples has a bound of 0 only in the limit.

    Args:
        excess: R_noisy(f) - R*_noisy of AMSE (the mean over the K classes, as `losses.AMSE` takes it).
        weights: (K,) of the hardest class, or (K, K) a transition matrix: the worst row counts.
        a: AMSE's target.
        q: AMSE's power.
        beta: AMSE's factor in the loss.

    Raises:
        InputError: a is smaller than `smallest_a`: then the risk bounds nothing.

    Example:
        >>> print(excess_risk_bound(0.01, [0.8, 0.1, 0.1], a=5))       # 0.01 * 3 / (5 * 0.7 - 0.75)
        at most 1.091 % wrong (risk rises by 0.9167 for each wrong sample)
    """
    excess = in_range("excess", excess, 0.0)
    beta = in_range("beta", beta, 0.0, above=True)
    rows = _rows(weights)
    slope = min(_least_rise(row, a, q) for row in rows) * beta
    return Bound(min(1.0, excess / slope) if slope > 0 else 1.0, slope)


def _rows(weights: Weights) -> list[npt.NDArray[np.float64]]:
    raw = weights.detach().cpu().numpy() if isinstance(weights, torch.Tensor) else np.asarray(weights, dtype=np.float64)
    return [checked_weights(row) for row in (raw if raw.ndim == 2 else [raw])]


def _least_rise(w: npt.NDArray[np.float64], a: float, q: float) -> float:
    condition = amse_condition(w, a, q)
    if not condition:
        raise InputError(
            f"AMSE's condition is violated (margin {condition.margin:.4g}): no bound follows from the noisy risk; "
            f"{smallest_a(w, q)}"
        )
    _, w_m, w_n = two_largest(w)
    if q <= 1:
        rise = (w_m - w_n) * (1 + a**q - (a - 1) ** q) / 2
    elif q == 2:
        rise = a * (w_m - w_n) - 0.75 * float(w.sum())
    else:
        rise = q / 2 * condition.margin
    return float(rise / len(w))
