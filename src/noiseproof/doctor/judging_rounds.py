"""Two rounds of judging vectors: by the given labels, and once more by the posterior of the true ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from noiseproof.doctor.calibration import tempered
from noiseproof.doctor.judge_mixture import blend
from noiseproof.doctor.judges.base import MANY, Judge, Task, folds_of, one_hot
from noiseproof.doctor.judges.boosting import Boosting
from noiseproof.doctor.judges.discriminant import Discriminant
from noiseproof.doctor.judges.forests import ExtraTrees, RandomForest
from noiseproof.doctor.judges.kernel_ridge import KernelRidge
from noiseproof.doctor.judges.logistic_regression import LogisticRegression
from noiseproof.doctor.neighbours import FEWEST, neighbour_support
from noiseproof.doctor.posterior import posterior, refined_transition
from noiseproof.doctor.probabilities import Labels, Probabilities
from noiseproof.doctor.ranking_and_rate import Evidence, Opinion, opinion_of

__all__ = ["JudgeProgress", "Judgement", "judge_vectors"]

_FOR_SCALE = 5_000  # samples that the scale of wide vectors is chosen by

JudgeProgress = Callable[[float, str, float], object]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Result of the judges.

    Attributes:
        p: blended out-of-sample probabilities of the first round, (N, K).
        weights: of each judge in it, by name.
        evidence: what they say of the given labels.
        first, opinion: the posteriors after the first and after the second round.
        suspicion: of wide vectors, where the posteriors of both rounds, together with those of the neighbours, rank
            better than p of the given label.
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
        vectors: float32 (N, D), finite. Columns are standardised here; those of wide vectors keep their scale where a
            linear discriminant then predicts the given labels better, as with the features of a network.
        given: labels, 0 to K-1.
        classes: K.
        folds: parts of the judges that are cross-validated.
        seed: of folds, trees and landmarks.
        on_progress: called with the share of the work that is done, what comes next and the estimated seconds left.
    """
    fold = folds_of(given, min(folds, len(given)), seed)
    task = Task(_standardised(vectors), given, one_hot(given, classes), fold, seed)
    judges: list[Judge] = [LogisticRegression(), RandomForest(), ExtraTrees(), KernelRidge()]
    discriminant = Discriminant() if task.vectors.shape[1] >= Discriminant.fewest_columns else None
    many = len(given) > MANY
    more: list[Judge] = [Boosting()] if classes <= Boosting.most_classes and not many else []
    if discriminant is not None:
        judges.append(discriminant)
    progress = _Clock([*judges, *more, *judges], task, on_progress)
    with threadpool_limits(1):
        if discriminant is not None:
            task = _best_scaled(task, _on_one_scale(vectors))
        p, weights = _round([*judges, *more], task, progress)
        evidence = Evidence.of(p, given)
        first = opinion_of(p, given, evidence.transition)
        suspicion = None if discriminant is None else first.log_odds
        if many and not evidence.direction.significant:
            refined = refined_transition(p, given, evidence.transition, first.exponent)
            opinion = replace(first, transition=refined)
        else:
            soft = posterior(p, given, evidence.transition, first.exponent)
            second, _ = _round(judges, replace(task, targets=soft), progress)
            refined = refined_transition(second, given, evidence.transition)
            opinion = opinion_of(second, given, refined, 1.0)
            if discriminant is not None and not many and len(given) >= FEWEST * classes:
                support = neighbour_support(task.vectors, soft, given, discriminant.shrinkage)
                suspicion = rankdata(first.log_odds) + rankdata(opinion.log_odds) + rankdata(-support)
    return Judgement(p, weights, evidence, first, opinion, suspicion)


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


def _best_scaled(task: Task, other: npt.NDArray[np.float32]) -> Task:
    """The task with the vectors that a linear discriminant predicts the given labels better from, on some samples."""
    rows = np.sort(task.order[:_FOR_SCALE])
    fits = []
    for vectors in (task.vectors, other):
        judge = Discriminant()
        judge.judge(Task(vectors[rows], task.given[rows], task.targets[rows], task.fold[rows] % 2, task.seed))
        fits.append(judge.fit)
    return replace(task, vectors=other) if fits[1] > fits[0] else task


def _on_one_scale(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centred vectors over one number, so that the mean variance of a column is 1."""
    centred = vectors - vectors.mean(0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.mean(np.square(centred), dtype=np.float64))
    return np.asarray(centred / np.float32(max(deviation, 1e-30)))


def _standardised(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    mean, deviation = vectors.mean(0, dtype=np.float64), vectors.std(0, dtype=np.float64)
    varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    if not varies.any():
        return np.zeros((len(vectors), 1), np.float32)
    return np.asarray((vectors[:, varies] - mean[varies].astype(np.float32)) / deviation[varies].astype(np.float32))
