"""Extra trees judged out of bag, and boosting on the rows that they do not contradict; both end as plain arrays.

Source: Geurts, Ernst & Wehenkel, Machine Learning 63, 2006 (extra trees).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.learners.heads import Trees

__all__ = ["boosting", "extra_trees", "trees_of_boosting", "trees_of_forest"]

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

_LEAF = 5
_TREES = 300


def extra_trees(
    vectors: Vectors, given: Labels, classes: int, *, seed: int = 0, trees: int = _TREES
) -> tuple[Any, Array]:
    """A forest with leaves of at least 5 rows, and out-of-bag probabilities of the rows it learned, (N, K)."""
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(
        trees, min_samples_leaf=min(_LEAF, max(1, len(given) // (4 * classes))), bootstrap=True, oob_score=True,
        max_features="sqrt", random_state=seed, n_jobs=1,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a row in no bag's rest: every class is as likely
        forest.fit(vectors, given)
    found = np.zeros((len(given), classes))
    judged = np.nan_to_num(forest.oob_decision_function_, nan=1 / len(forest.classes_))
    found[:, forest.classes_] = judged
    return forest, found


def boosting(vectors: Vectors, given: Labels, *, seed: int = 0) -> Any:
    """Gradient boosting with small trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    machine = HistGradientBoostingClassifier(
        learning_rate=0.1, max_iter=100, max_leaf_nodes=8, l2_regularization=5.0, min_samples_leaf=10,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    return machine.fit(vectors, given)


def trees_of_forest(forest: Any, classes: int) -> Trees:
    """The arrays of a fitted forest; its probabilities, exactly."""
    parts, depth = [], 0
    for estimator in forest.estimators_:
        tree = estimator.tree_
        value = np.zeros((tree.node_count, classes))
        counts = tree.value[:, 0, :]
        value[:, forest.classes_.astype(int)] = counts / counts.sum(1, keepdims=True)
        parts.append((tree.feature, tree.threshold, tree.children_left, tree.children_right, value))
        depth = max(depth, tree.max_depth)
    return _joined(parts, depth, True, np.zeros(classes))


def trees_of_boosting(machine: Any, classes: int) -> Trees:
    """The arrays of a fitted boosting machine; its logits, exactly."""
    present = machine.classes_.astype(int)
    baseline = np.asarray(machine._baseline_prediction).reshape(-1)
    bias, parts, depth = np.full(classes, -30.0), [], 0  # a class without rows has no chance
    two = len(baseline) == 1
    bias[present] = (-baseline[0] / 2, baseline[0] / 2) if two else baseline
    for round_ in machine._predictors:
        for number, predictor in enumerate(round_):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            value = np.zeros((len(nodes), classes))
            if two:
                value[leaf, present[0]], value[leaf, present[1]] = -nodes["value"][leaf] / 2, nodes["value"][leaf] / 2
            else:
                value[leaf, present[number]] = nodes["value"][leaf]
            left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
            left[leaf] = right[leaf] = -1
            parts.append((nodes["feature_idx"].astype(np.int64), nodes["num_threshold"], left, right, value))
            depth = max(depth, int(nodes["depth"].max()))
    return _joined(parts, depth, False, bias)


def _joined(parts: Sequence[tuple[Any, ...]], depth: int, probabilities: bool, bias: Array) -> Trees:
    """All trees one after the other; a leaf leads to itself."""
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
    columns: dict[str, list[npt.NDArray[Any]]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value")
    }
    for (feature, threshold, left, right, value), start in zip(parts, offsets[:-1], strict=True):
        here = np.arange(len(feature)) + start
        leaf = np.asarray(left) < 0
        columns["feature"].append(np.where(leaf, 0, feature))
        columns["threshold"].append(np.where(leaf, 0, _just_below(threshold)))
        columns["left"].append(np.where(leaf, here, left + start))
        columns["right"].append(np.where(leaf, here, right + start))
        columns["value"].append(value)
    arrays = {name: np.concatenate(column) for name, column in columns.items()}
    return Trees({**arrays, "roots": offsets[:-1], "bias": bias}, depth, probabilities)


def _just_below(threshold: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The largest float32 that is at most the threshold: float32 features fall on the same side of both."""
    near = np.asarray(threshold).astype(np.float32)
    found: npt.NDArray[np.float32] = np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
    return found
