"""Verdict of the gate: too noisy only where the data leave no doubt, or where new suspects came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noiseproof.doctor.diagnosis import Diagnosis
from noiseproof.doctor.gate.before import Comparison
from noiseproof.errors import InputError

__all__ = ["Verdict", "judge", "share"]


def share(text: str) -> float:
    """A share as people type it: `5%` or `0.05`.

    Raises:
        InputError: it is none, or not from 0 to 1.

    Example:
        >>> share("5%"), share("0.05")
        (0.05, 0.05)
    """
    plain = text.strip()
    try:
        value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"a share of wrong labels is a text such as 5% or 0.05, got {text!r}")
    return value


@dataclass(frozen=True)
class Verdict:
    """Result of the gate; falsy if it fails, with the reasons."""

    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        return "gate: passed" if self else "gate: failed\n" + "\n".join(f"  {reason}" for reason in self.reasons)

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return {"passed": bool(self), "reasons": list(self.reasons)}


def judge(diagnosis: Diagnosis, max_noise: float | None, comparison: Comparison | None) -> Verdict:
    """Hold a diagnosis against a limit and a baseline.

    Args:
        diagnosis: of the data as they are.
        max_noise: largest share of wrong labels; passed unless the lower end of the interval is above it.
        comparison: with the baseline; failed if it has new suspects.
    """
    reasons = []
    low, high = diagnosis.rate_interval
    if max_noise is not None and low > max_noise:
        reasons.append(f"at least {low:.1%} of the labels are wrong (at most {high:.1%}); the limit is {max_noise:.1%}")
    if comparison is not None and comparison.new:
        reasons.append(f"{len(comparison.new):,} new suspect labels since the baseline")
    return Verdict(tuple(reasons))
