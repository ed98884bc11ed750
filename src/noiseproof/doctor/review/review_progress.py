"""Progress of a review: the precision seen so far, the corrected rate, and the yield of looking further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.doctor.cleaning.decisions import Decision
from noiseproof.doctor.cleaning.rules import Issue
from noiseproof.errors import InputError

__all__ = ["ReviewProgress", "progress_of", "review_progress"]

_STEP = 100


@dataclass(frozen=True)
class ReviewProgress:
    """Estimates from the reviewed samples.

    Attributes:
        reviewed: number of samples decided about.
        wrong: of them, those whose given label was found wrong.
        rate: share of wrong labels of the whole data set, corrected by the review.
        yields: expected number of wrong labels among each next hundred suspects.
    """

    reviewed: int
    wrong: int
    rate: float
    yields: tuple[float, ...]

    @property
    def precision(self) -> float | None:
        """Share of the reviewed labels that were wrong; None before the first."""
        return self.wrong / self.reviewed if self.reviewed else None

    def __str__(self) -> str:
        if not self.reviewed:
            return "nothing reviewed yet"
        counts = ", ".join(f"{count:.0f}" for count in self.yields[:5])
        following = f"; each next {_STEP} samples hold about {counts} more wrong labels" if self.yields else ""
        return (
            f"reviewed {self.reviewed:,}: {self.wrong:,} were wrong ({self.wrong / self.reviewed:.0%}); "
            f"corrected rate {self.rate:.1%}{following}"
        )

    def to_json(self) -> dict[str, Any]:
        """The progress as plain values."""
        return {
            "reviewed": self.reviewed,
            "wrong": self.wrong,
            "precision": self.precision,
            "rate": self.rate,
            "yields": list(self.yields),
        }


def progress_of(issues: Sequence[Issue], decisions: Sequence[Decision]) -> ReviewProgress:
    """Progress of a review from its files: every sample's suspicion, and what people decided.

    A label that was corrected or dropped was wrong, one that is kept was right; weights say neither.

    Raises:
        InputError: the two files name their samples by different columns.
    """
    if not issues or not decisions:
        return review_progress(np.array([one.suspicion for one in issues] or [0.0]), [])
    names = [name for name in issues[0].key if all(name in one.key for one in decisions)]
    key = next((name for name in names if len({one.key[name] for one in issues}) == len(issues)), None)
    if key is None:
        raise InputError(
            f"the decisions name their samples by {', '.join(decisions[0].key)}, the issues by "
            f"{', '.join(issues[0].key)}; are they of the same diagnosis?"
        )
    place = {one.key[key]: position for position, one in enumerate(issues)}
    decided = [
        (place[one.key[key]], one.decision in ("drop", "relabel"))
        for one in decisions
        if one.decision != "weight" and one.key[key] in place
    ]
    return review_progress(np.array([one.suspicion for one in issues]), decided)


def review_progress(suspicion: npt.NDArray[np.floating[Any]], decided: Sequence[tuple[int, bool]]) -> ReviewProgress:
    """Correct the suspicions by the decisions and count what is left.

    The suspicions of samples that nobody has looked at are multiplied by (wrong + 1) / (expected + 1), where `wrong` is
    the number of reviewed labels that were wrong and `expected` the sum of their suspicions.

    Args:
        suspicion: of every sample of the data set, (N,).
        decided: position and result (True: the given label is wrong) of each reviewed sample.

    Example:
        >>> review_progress(np.array([0.9, 0.8, 0.1, 0.1]), [(0, True), (1, False)])
        ReviewProgress(reviewed=2, wrong=1, rate=0.287..., yields=(0.148...,))
    """
    scores = np.asarray(suspicion, np.float64)
    places = np.array([place for place, _ in decided], np.int64)
    wrong = sum(result for _, result in decided)
    factor = (wrong + 1) / (scores[places].sum() + 1)
    left = np.delete(scores, places)
    left = np.minimum(np.sort(left)[::-1] * factor, 1.0)
    rate = (wrong + left.sum()) / len(scores)
    yields = tuple(float(left[start : start + _STEP].sum()) for start in range(0, min(len(left), 10 * _STEP), _STEP))
    return ReviewProgress(len(decided), int(wrong), float(rate), yields)
