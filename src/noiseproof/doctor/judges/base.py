"""The one interface of all judges, and the folds that some of them share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from noiseproof import rng
from noiseproof.doctor.probabilities import Labels, Probabilities
from noiseproof.errors import InputError

__all__ = ["MANY", "Judge", "Targets", "Task", "Vectors", "folds_of", "one_hot"]

Vectors = npt.NDArray[np.float32]  # (N, D)
Targets = npt.NDArray[np.float32]  # (N, K), rows add up to 1

MANY = 20_000  # samples from which on every judge learns from some of them, so that the work hardly grows
_LEARNED = 10_000  # of them by one model; more of wide vectors


@dataclass(frozen=True, eq=False)
class Task:
    """Inputs and labels that a judge learns from and judges.

    Attributes:
        vectors: float32 (N, D); columns standardised (mean 0, deviation 1) unless they are `scaled` on purpose.
        given: the labels that the samples came with, int64 (N,).
        targets: what a judge learns, (N, K): one-hot given labels in the first round, posteriors in the second.
        fold: fold of each sample, (N,), every class spread evenly.
        seed: of everything random.
    """

    vectors: Vectors
    given: Labels
    targets: Targets
    fold: Labels
    seed: int

    @property
    def classes(self) -> int:
        """K."""
        return int(self.targets.shape[1])

    @property
    def is_soft(self) -> bool:
        """True in the second round, where targets are posteriors."""
        return bool((self.targets.max(1) < 1).any())

    @cached_property
    def order(self) -> Labels:
        """A random order of the samples."""
        return rng.permutation(len(self.given), self.seed, "diagnose", "order")

    def learned(self, fold: int) -> Labels:
        """Samples that the model which judges this fold learns from: all others, of many a random part."""
        if len(self.given) <= MANY:
            return np.flatnonzero(self.fold != fold)
        most = max(_LEARNED, 20 * self.vectors.shape[1])
        return np.sort(self.order[self.fold[self.order] != fold][:most])


class Judge(Protocol):
    """A learner that judges every sample out of sample; what it chose may be kept for a second call on soft targets."""

    name: str

    def judge(self, task: Task) -> Probabilities:
        """Probabilities (N, K) of each sample by a model that has not seen that sample's target."""
        ...

    def seconds(self, samples: int, columns: int, classes: int) -> float:
        """Rough seconds of one call on one core."""
        ...


def one_hot(given: Labels, classes: int) -> Targets:
    """Rows of the unit matrix."""
    found = np.zeros((len(given), classes), np.float32)
    found[np.arange(len(given)), given] = 1
    return found


def folds_of(given: Labels, folds: int, seed: int) -> Labels:
    """Fold of each sample, every class spread evenly over the folds.

    Raises:
        InputError: fewer samples than folds, or fewer than two folds.
    """
    if folds < 2 or folds > len(given):
        raise InputError(f"folds must lie in [2, {len(given)}] for {len(given)} samples, got {folds}")
    order = rng.permutation(len(given), seed, "split", "folds")
    by_class = order[np.argsort(given[order], kind="stable")]
    fold = np.empty(len(given), np.int64)
    fold[by_class] = np.arange(len(given)) % folds
    return fold
