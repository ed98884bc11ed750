r"""A method and its parameters from the number of classes and the noise alone: no training, no clean label.

The method is NCE + AMSE, the joint asymmetric loss. Its three parameters each answer one question:

- `a`, does it tolerate the noise: at least twice the smallest a of the AMSE theorem, and at least 30;
- NCE's factor, does training start: a model that knows nothing (every p = 1/K) is pulled towards the given label as
  strongly as with 10 classes and factor 0.4, where NCE pulls with $(1 - 1/K) / (K \ln K)$;
- AMSE's factor, does the noise lose in the end: at p = 1/2 a label is pulled with $2 a \beta / K$ times 1/4, as
  strongly as with 10 classes, a = 30 and factor 0.03. More learns faster, and wrong labels too.

The pulls to match were chosen on the digits; docs/which-loss.md says how well they carry over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof import losses
from noiseproof.errors import InputError, in_range
from noiseproof.theory import smallest_a
from noiseproof.theory.kinds import checked_classes
from noiseproof.theory.tolerance import checked_transition

__all__ = ["Suggestion", "suggest"]

_A = 30.0
_AT_TEN = 10  # the number of classes whose pulls are matched
_ALPHA_AT_TEN = 0.4
_BETA_AT_TEN = 0.03


@dataclass(frozen=True)
class Suggestion:
    """A method text and why; `str` gives both."""

    method: str
    a: float
    smallest_a: float
    """What the noise asks for; inf where some class's own label does not lead."""
    margin: float | None
    """The smallest lead of a class's own label over its likeliest wrong one; None where the noise is not known."""
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.method, *(f"  {reason}" for reason in self.reasons)])

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite is None."""
        return {
            "method": self.method,
            "a": self.a,
            "smallest_a": self.smallest_a if math.isfinite(self.smallest_a) else None,
            "margin": self.margin,
            "reasons": list(self.reasons),
        }


def suggest(
    num_classes: int,
    transition: npt.NDArray[np.floating] | list[list[float]] | None = None,
    rate: float | None = None,
) -> Suggestion:
    """A loss with parameters for this many classes and this noise.

    Args:
        num_classes: K.
        transition: (K, K), T[i, j] = P(given j | clean i), known or estimated.
        rate: the share of wrong labels, where no matrix is known; taken as spread evenly over the wrong classes.

    Raises:
        InputError: both or impossible ones are given.

    Example:
        >>> suggest(10, rate=0.4).method
        '0.4*nce + 0.03*amse'
        >>> suggest(10, rate=0.87).method                         # 30 is not twice the smallest a any more
        '0.4*nce + 0.015*amse(a=60)'
    """
    classes = checked_classes(num_classes)
    matrix = _matrix(classes, transition, rate)
    need, margin, reasons = _needed(classes, matrix, rate)
    a = _A if not math.isfinite(need) else max(_A, float(f"{2 * need:.2g}"))
    alpha = _rounded(_ALPHA_AT_TEN * _starting_pull(_AT_TEN) / _starting_pull(classes))
    beta = _rounded(_BETA_AT_TEN * _A / _AT_TEN * classes / a)
    loss = alpha * losses.parse("nce") + beta * losses.parse(f"amse(a={a!r})")
    reasons += [
        f"{alpha:g}*nce pulls an untrained model to the given label with {alpha * _starting_pull(classes):.2g}, as at "
        f"{_AT_TEN} classes (NCE itself with {_starting_pull(classes):.2g})",
        f"{beta:g}*amse pulls with {a * beta / classes / 2:.2g} at p = 1/2, and an untrained model with "
        f"{2 * a * beta * (1 - 1 / classes) / classes**2:.2g}"
        + (": alone, it would underfit with so many classes" if classes > 20 else ""),
    ]
    return Suggestion(str(loss), a, need, margin, tuple(reasons))


def _matrix(classes: int, transition: object, rate: float | None) -> npt.NDArray[np.float64] | None:
    if transition is not None and rate is not None:
        raise InputError("give the transition matrix or the rate, not both")
    if rate is not None:
        rate = in_range("rate", rate, 0.0, 1.0, below=True)
        even = np.full((classes, classes), rate / (classes - 1))
        np.fill_diagonal(even, 1 - rate)
        return even
    if transition is None:
        return None
    matrix = checked_transition(transition)
    if len(matrix) != classes:
        raise InputError(f"the transition matrix is of {len(matrix)} classes, num_classes is {classes}")
    return matrix


def _needed(
    classes: int, matrix: npt.NDArray[np.float64] | None, rate: float | None
) -> tuple[float, float | None, list[str]]:
    """The smallest a of the hardest class whose own label leads, the smallest margin, and what there is to say."""
    if matrix is None:
        return 1.0, None, [f"a = {_A:g}: tolerates every noise that leaves each true label ahead by {1 / _A:.3f}"]
    others = matrix - 2 * np.eye(classes)
    margins = matrix.diagonal() - others.max(1)
    leading = [row for row, margin in zip(matrix, margins, strict=True) if margin > 1e-12]
    lost = np.flatnonzero(margins <= 1e-12)
    needs = [float(smallest_a(row)) for row in leading]
    hardest = int(margins.argmin())
    reasons = []
    if needs and not len(lost):
        reasons.append(
            f"the noise asks for a >= {max(needs):.3g}: class {hardest} is called so {margins[hardest]:.3g} more often "
            f"than {int(others[hardest].argmax())}"
        )
    if len(lost):
        named = ", ".join(map(str, lost[:10].tolist()))
        reasons.append(f"no loss can be expected to learn class {named}: its own label is not its most frequent one")
    if rate is not None and rate >= 0.5:
        reasons.append("noise of this rate is only tolerable if it is spread over many classes, as assumed here")
    return (max(needs) if needs and not len(lost) else math.inf), float(margins.min()), reasons


def _starting_pull(classes: int) -> float:
    """How strongly NCE pulls the given label's score where every p is 1/K: the norm of its slope there."""
    return (1 - 1 / classes) / (classes * math.log(classes))


def _rounded(number: float) -> float:
    return float(f"{number:.2g}")
