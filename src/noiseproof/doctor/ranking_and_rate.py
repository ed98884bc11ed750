"""The verdict on given labels: ranking, noise rate, flags and scores are four questions with an answer each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import rankdata

from noiseproof.doctor.calibration import best_exponent
from noiseproof.doctor.confident_joint import confident_joint
from noiseproof.doctor.posterior import posterior_blocks
from noiseproof.doctor.probabilities import Labels, blocks, given_column, order_by, row_maxima, row_sums
from noiseproof.doctor.sure_regions import Direction, SureRegions, anchored_transition, direction_of, sure_regions

__all__ = ["Evidence", "Opinion", "Verdict", "opinion_of", "verdict"]

Matrix = npt.NDArray[np.float64]
_STEEPER = 1.2  # factor of the log-odds of scores: the blend is a little too modest
_BELOW, _ABOVE = 0.04, 0.08  # added to the ends of the interval of the rate


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of out-of-sample probabilities about given labels, before any posterior.

    Attributes:
        own: p of the given label, (N,).
        rival: the largest p of another label, (N,).
        predicted: the class of the largest p, (N,).
        second_choice: how often the given label comes second where it does not come first, chance removed.
        regions: the small sure regions.
        direction: of the noise.
        transition: anchored in the sure regions, (K, K).
        joint, joint_rate: of the confident joint.
    """

    own: Matrix
    rival: Matrix
    predicted: Labels
    second_choice: float
    regions: SureRegions
    direction: Direction
    transition: Matrix
    joint: Matrix
    joint_rate: float

    @classmethod
    def of(cls, p: npt.NDArray[Any], given: Labels) -> Evidence:
        """Look at probabilities (N, K) and labels (N,), in blocks of rows."""
        small, large = sure_regions(p, given)
        own = given_column(p, given)
        rival, predicted = np.empty_like(own), np.empty_like(given)
        second = 0
        for rows, others in blocks(p):
            others[np.arange(len(others)), given[rows]] = -1
            best = others.argmax(1)
            rival[rows] = given_column(others, best)
            predicted[rows] = _larger(own[rows], given[rows], rival[rows], best)
            wrong = np.flatnonzero(rival[rows] > own[rows])
            others[wrong, best[wrong]] = -1
            second += int((own[rows][wrong] >= row_maxima(others[wrong])).sum())
        chance = 1 / max(p.shape[1] - 1, 1)
        share = second / max(int((rival > own).sum()), 1)
        joint, joint_rate = confident_joint(p, given, predicted)
        return cls(
            own=own.astype(np.float64),
            rival=rival.astype(np.float64),
            predicted=predicted,
            second_choice=(share - chance) / max(1 - chance, 1e-9) if p.shape[1] > 2 else 0.0,
            regions=small,
            direction=direction_of(p, given, small, large),
            transition=anchored_transition(small),
            joint=joint,
            joint_rate=joint_rate,
        )

    @property
    def at_borders(self) -> bool:
        """True where labels slipped to the runner-up: the given label is mostly the second choice."""
        return self.second_choice > 0.5

    def disagreement(self, given: Labels) -> float:
        """Share of samples whose given label is not the predicted one."""
        return float((self.predicted != given).mean())

    def is_informed(self, given: Labels) -> bool:
        """True where predictions agree with the labels better than the most frequent label would, or tell them apart.

        On unbalanced data a good judge may predict one class throughout; then its likelihood has to be better than that
        of the classes' frequencies. Better means by more than twice the standard error.
        """
        frequencies = np.bincount(given, minlength=len(self.transition)) / len(given)
        most = frequencies.max()
        lead = 1 - self.disagreement(given) - most
        if (self.predicted != self.predicted[0]).any() and lead > 2 * np.sqrt(most * (1 - most) / len(given)):
            return True
        gain = np.log(np.maximum(self.own, 1e-12)) - np.log(frequencies[given])
        return bool(gain.mean() > 2 * gain.std() / np.sqrt(len(gain)))

    def suspicion(self) -> Matrix:
        """The larger, the more suspect: -p of the given label, or the margin where given labels come second.

        Labels that slipped to the runner-up lie at borders: there the margin ranks better, elsewhere worse.
        """
        return self.rival - self.own if self.at_borders else -self.own


@dataclass(frozen=True, eq=False)
class Opinion:
    """Posterior of the true label of each sample, summed up: odds of the given label, the likeliest class."""

    log_odds: Matrix
    """Log-odds that the given label is wrong, (N,)."""
    likely: Labels
    other: Labels
    transition: Matrix
    exponent: float


def opinion_of(p: npt.NDArray[Any], given: Labels, transition: Matrix, exponent: float | None = None) -> Opinion:
    """Posterior under a transition matrix; the exponent that suits the given labels unless one is given."""
    power = best_exponent(p, given, transition) if exponent is None else exponent
    log_odds = np.empty(len(given))
    likely, other = np.empty_like(given), np.empty_like(given)
    for rows, q in posterior_blocks(p, given, transition, power):
        at = np.arange(len(q))
        own = given_column(q, given[rows])
        q[at, given[rows]] = 0
        other[rows] = q.argmax(1)
        likely[rows] = _larger(own, given[rows], given_column(q, other[rows]), other[rows])
        wrong, own = (np.maximum(one, 1e-38, dtype=np.float64) for one in (row_sums(q), own))
        log_odds[rows] = np.log(wrong) - np.log(own)
    return Opinion(log_odds, likely, other, transition, power)


def _larger(a: npt.NDArray[Any], at_a: Labels, b: npt.NDArray[Any], at_b: Labels) -> Labels:
    """The class of the larger of two values, row by row; the lower class where they are equal."""
    return np.where((a > b) | ((a == b) & (at_a < at_b)), at_a, at_b)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Ranking, score, flags and rate of given labels, as in `LabelIssues`; no flags where nothing is known."""

    ranking: Labels
    score: Matrix
    is_issue: npt.NDArray[np.bool_]
    rate: float
    rate_interval: tuple[float, float]
    informed: bool


def verdict(
    evidence: Evidence,
    opinion: Opinion,
    given: Labels,
    first: Opinion | None = None,
    suspicion: Matrix | None = None,
) -> Verdict:
    """Rank, score and flag the given labels, and estimate how many are wrong.

    Args:
        evidence: of the first round.
        opinion: posterior of the true label.
        given: labels (N,).
        first: posterior of the first round, which is calibrated better; the opinion unless given.
        suspicion: ranking where labels have no direction; the evidence's own unless given.
    """
    by_posterior = float(expit(opinion.log_odds).mean())
    disagreement = evidence.disagreement(given)
    rate = _rate(evidence, by_posterior, disagreement)
    base = evidence.suspicion() if suspicion is None else suspicion
    if evidence.direction.strong:
        order = opinion.log_odds
    elif evidence.direction.significant:
        order = 2 * rankdata(base) + rankdata(opinion.log_odds)
    else:
        order = base
    ranking = order_by(-order, -opinion.log_odds)
    informed = evidence.is_informed(given)
    flagged = round(len(given) * _flagged(evidence, rate, disagreement)) if informed else 0
    is_issue = np.zeros(len(given), bool)
    is_issue[ranking[:flagged]] = True
    score = np.empty(len(given))
    score[ranking] = -np.sort(-_with_mean(_STEEPER * (first or opinion).log_odds, rate))
    interval = _interval(evidence, given, by_posterior, disagreement, rate) if informed else (0.0, 1.0)
    return Verdict(ranking, score, is_issue, rate, interval, informed)


def _rate(evidence: Evidence, by_posterior: float, disagreement: float) -> float:
    """Share of wrong labels between what the posterior calls wrong and what the predictions disagree with.

    The posterior takes noise at borders for overlap and misses it; the disagreement counts the judge's own errors, too.
    """
    if evidence.direction.significant:
        return 0.6 * by_posterior + 0.4 * disagreement
    doubt = max(0.0, 1 - by_posterior / max(disagreement, 1e-9))  # the judge errs itself, so do its sure regions
    low = by_posterior + doubt * min(0.0, evidence.regions.cleanest - by_posterior)
    weight = 0.7 if evidence.at_borders else 0.4
    return (1 - weight) * low + weight * disagreement


def _flagged(evidence: Evidence, rate: float, disagreement: float) -> float:
    """Share of samples to flag; noise at borders ranks badly, and there more than are wrong are worth a look."""
    if len(evidence.transition) == 2:  # the only wrong label is the second choice, whatever the noise
        return max(evidence.joint_rate, 0.75 * disagreement)
    if evidence.at_borders and not evidence.direction.significant:
        return disagreement
    return (evidence.joint_rate + rate) / 2


def _interval(
    evidence: Evidence, given: Labels, by_posterior: float, disagreement: float, rate: float
) -> tuple[float, float]:
    frequencies = np.bincount(given, minlength=len(evidence.transition)) / len(given)
    in_regions = 1 - float(frequencies @ evidence.regions.shares.diagonal())
    chance = 0.5 / np.sqrt(len(given))  # the most that a share of so few samples strays by, one standard error
    low = min(in_regions, by_posterior, rate)
    if not evidence.direction.significant:
        low = min(low, evidence.regions.cleanest)
    low -= _BELOW + max(0.0, chance - 0.05)
    high = max(rate, (rate + disagreement) / 2) + _ABOVE + 2 * chance
    return float(max(0.0, low)), float(min(1.0, high))


def _with_mean(log_odds: Matrix, mean: float) -> Matrix:
    """Probabilities of these log-odds, moved by the one constant that gives them this mean.

    Example:
        >>> _with_mean(np.array([-1.0, 0.0, 1.0]), 0.5).round(3).tolist()
        [0.269, 0.5, 0.731]
    """
    log_odds = np.clip(log_odds, -30, 30)
    odds = torch.from_numpy(log_odds)
    mean = min(max(mean, 1e-12), 1 - 1e-12)
    moved = brentq(lambda by: float((odds + by).sigmoid_().mean()) - mean, -60, 60, xtol=1e-9)
    return np.asarray(expit(log_odds + moved), dtype=np.float64)
