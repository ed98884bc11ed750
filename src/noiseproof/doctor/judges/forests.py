"""Forests of bootstrapped trees, each sample judged by the trees that did not draw it (out of bag)."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from noiseproof import rng
from noiseproof.doctor.judges.base import MANY, Task
from noiseproof.doctor.probabilities import Probabilities, clipped, given_column

__all__ = ["ExtraTrees", "RandomForest"]

_LEAVES = (1, 3, 10)  # smallest leaves that are tried
_LEAF = 5  # of many samples
_FIRST, _LAST, _SOFT = 40, 120, 100  # trees of each leaf size, then of the best, and of the second round
_MANY_TREES = 70  # times MANY / N, of many samples
_MANY_CLASSES = 200  # from which on trees, whose cost grows with the classes, become fewer
_DRAWN, _FEW = 10_000, 5_000  # samples a tree draws at most, and of many samples


class RandomForest:
    """A random forest; the leaf size with the best out-of-bag likelihood of the given labels."""

    name = "random forest"
    _trees: tuple[type[Any], type[Any]] = (DecisionTreeClassifier, DecisionTreeRegressor)

    def __init__(self) -> None:
        self._leaf: int | None = None

    def judge(self, task: Task) -> Probabilities:
        if self._leaf is None and len(task.given) > MANY:
            self._leaf = _LEAF
            return self._grown(task, _Votes(task, _LEAF), _MANY_TREES).probabilities()
        if self._leaf is not None:
            return self._grown(task, _Votes(task, self._leaf), _SOFT).probabilities()
        tried = [self._grown(task, _Votes(task, leaf), _FIRST) for leaf in _LEAVES]
        best = min(tried, key=lambda votes: votes.loss())
        self._leaf = best.leaf
        return self._grown(task, best, _LAST).probabilities()

    def seconds(self, samples: int, columns: int, classes: int) -> float:
        grow = 2e-4 * _drawn(samples) * float(np.sqrt(columns))
        return 1e-3 * _trees_for(len(_LEAVES) * _FIRST + _LAST, samples, classes) * (0.5 + grow + 1e-4 * samples)

    def _grown(self, task: Task, votes: _Votes, trees: int) -> _Votes:
        kind = self._trees[int(task.is_soft)]
        threads = Parallel(n_jobs=min(trees, os.cpu_count() or 1), require="sharedmem", return_as="generator")
        first, trees = votes.trees, _trees_for(trees, len(task.given), task.classes)
        work = (delayed(_one)(kind, task, votes.leaf, f"{self.name} {first + i}") for i in range(trees))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")  # many classes are no regression
            for rows, p in threads(work):
                votes.add(rows, p)
        return votes


class ExtraTrees(RandomForest):
    """A forest of trees with random cuts."""

    name = "extra trees"
    _trees = (ExtraTreeClassifier, ExtraTreeRegressor)


def _drawn(samples: int) -> int:
    return min(samples, _DRAWN) if samples <= MANY else _FEW


def _trees_for(trees: int, samples: int, classes: int) -> int:
    """Trees that leave each sample out as often as `trees` bootstraps do; fewer of very many samples or classes."""
    left_out = float(np.exp(-min(samples, _DRAWN) / samples))
    share = min(1, MANY / samples, _MANY_CLASSES / classes)
    return max(4, int(np.ceil(trees * np.exp(-1) / left_out * share)))


class _Votes:
    """Sums of out-of-bag predictions."""

    def __init__(self, task: Task, leaf: int) -> None:
        self.leaf, self.trees = leaf, 0
        self._given = task.given
        self._sums = np.zeros(task.targets.shape, np.float32)

    def add(self, rows: npt.NDArray[np.intp], p: npt.NDArray[Any]) -> None:
        self._sums[rows] += p
        self.trees += 1

    def probabilities(self) -> Probabilities:
        sums = self._sums.sum(1, keepdims=True)
        return clipped(self._sums / np.maximum(sums, 1e-12))

    def loss(self) -> float:
        return float(-np.log(given_column(self.probabilities(), self._given)).mean())


def _one(kind: type[Any], task: Task, leaf: int, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The rows that one tree did not draw, and its predictions for them."""
    samples = len(task.given)
    random = np.random.default_rng(rng.key(task.seed, "diagnose", name))
    counts = np.bincount(random.integers(samples, size=_drawn(samples)), minlength=samples)
    drawn, out_of_bag = np.flatnonzero(counts), np.flatnonzero(counts == 0)
    model = kind(min_samples_leaf=leaf, max_features="sqrt", random_state=int(random.integers(2**31)))
    model.fit(task.vectors[drawn], (task.targets if task.is_soft else task.given)[drawn], sample_weight=counts[drawn])
    if not len(out_of_bag):
        return out_of_bag, np.empty((0, task.classes))
    judged = task.vectors[out_of_bag]
    if task.is_soft:
        return out_of_bag, model.predict(judged, check_input=False).reshape(len(judged), -1)
    p = np.zeros((len(judged), task.classes), np.float32)
    p[:, model.classes_] = model.predict_proba(judged, check_input=False)
    return out_of_bag, p
