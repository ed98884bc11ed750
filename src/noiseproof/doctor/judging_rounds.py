"""Two rounds of judging vectors: by the given labels, and once more by the posterior of the true ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from noiseproof.doctor.calibration import tempered
from noiseproof.doctor.judge_mixture import blend
from noiseproof.doctor.judges.base import MANY, Judge, Task, folds_of, one_hot
from noiseproof.doctor.judges.boosting import Boosting
from noiseproof.doctor.judges.discriminant import Discriminant
from noiseproof.doctor.judges.forests import ExtraTrees, RandomForest
from noiseproof.doctor.judges.kernel_ridge import KernelRidge
from noiseproof.doctor.judges.logistic_regression import LogisticRegression
from noiseproof.doctor.posterior import posterior, refined_transition
from noiseproof.doctor.probabilities import Labels, Probabilities
from noiseproof.doctor.ranking_and_rate import Evidence, Opinion, opinion_of

__all__ = ["JudgeProgress", "Judgement", "judge_vectors"]

JudgeProgress = Callable[[float, str, float], object]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Result of the judges.

    Attributes:
        p: blended out-of-sample probabilities of the first round, (N, K).
        weights: of each judge in it, by name.
        evidence: what they say of the given labels.
        first, opinion: the posteriors after the first and after the second round.
        suspicion: of wide vectors, where the posterior of the first round ranks better than p of the given label.
    """

    p: Probabilities
    weights: dict[str, float]
    evidence: Evidence
    first: Opinion
    opinion: Opinion
    suspicion: npt.NDArray[np.float64] | None = None


def judge_vectors(
    vectors: npt.NDArray[np.float32],
    given: Labels,
    classes: int,
    *,
    folds: int = 5,
    seed: int = 1,
    on_progress: JudgeProgress | None = None,
) -> Judgement:
    """Judge every sample by learners that have not seen its label.

    Args:
        vectors: float32 (N, D), finite; columns are standardised here.
        given: labels, 0 to K-1.
        classes: K.
        folds: parts of the judges that are cross-validated.
        seed: of folds, trees and landmarks.
        on_progress: called with the share of the work that is done, what comes next and the estimated seconds left.
    """
    task = Task(
        _standardised(vectors), given, one_hot(given, classes), folds_of(given, min(folds, len(given)), seed), seed
    )
    judges: list[Judge] = [LogisticRegression(), RandomForest(), ExtraTrees(), KernelRidge()]
    wide = task.vectors.shape[1] >= Discriminant.fewest_columns
    if wide:
        judges.append(Discriminant())
    many = len(given) > MANY
    more: list[Judge] = [Boosting()] if classes <= Boosting.most_classes and not many else []
    progress = _Clock([*judges, *more, *judges], task, on_progress)
    with threadpool_limits(1):
        p, weights = _round([*judges, *more], task, progress)
        evidence = Evidence.of(p, given)
        first = opinion_of(p, given, evidence.transition)
        if many and not evidence.direction.significant:
            refined = refined_transition(p, given, evidence.transition, first.exponent)
            opinion = replace(first, transition=refined)
        else:
            soft = posterior(p, given, evidence.transition, first.exponent)
            second, _ = _round(judges, replace(task, targets=soft), progress)
            refined = refined_transition(second, given, evidence.transition)
            opinion = opinion_of(second, given, refined, 1.0)
    return Judgement(p, weights, evidence, first, opinion, first.log_odds if wide else None)


def _round(judges: Sequence[Judge], task: Task, progress: _Clock) -> tuple[Probabilities, dict[str, float]]:
    judged = []
    for judge in judges:
        progress.next(judge)
        p = judge.judge(task)
        judged.append(p if task.is_soft else tempered(p, task.given))
    p, weights = blend(judged, task.given, task.targets if task.is_soft else None)
    return p, dict(zip((judge.name for judge in judges), weights.tolist(), strict=True))


class _Clock:
    """Progress through the judges: their shares of the work by a rough cost each, the time left by the clock so far."""

    def __init__(self, judges: Sequence[Judge], task: Task, on_progress: JudgeProgress | None) -> None:
        size = (*task.vectors.shape, task.classes)
        self._costs = [judge.seconds(*size) for judge in judges]
        self._on_progress, self._done, self._started = on_progress, 0, time.perf_counter()

    def next(self, judge: Judge) -> None:
        """Tell that this judge begins."""
        if self._on_progress is not None:
            before, total = sum(self._costs[: self._done]), sum(self._costs)
            elapsed = time.perf_counter() - self._started
            pace = elapsed / before if self._done > 1 else 1.0
            self._on_progress(before / total, judge.name, pace * (total - before))
        self._done += 1


def _standardised(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    mean, deviation = vectors.mean(0, dtype=np.float64), vectors.std(0, dtype=np.float64)
    varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    if not varies.any():
        return np.zeros((len(vectors), 1), np.float32)
    return np.asarray((vectors[:, varies] - mean[varies].astype(np.float32)) / deviation[varies].astype(np.float32))
