"""Gradient-boosted trees, judged by cross-validation."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from noiseproof.doctor.judges.base import Task
from noiseproof.doctor.probabilities import Probabilities, clipped

__all__ = ["Boosting"]


class Boosting:
    """60 rounds of small boosted trees; for few classes, since their cost grows with the number of classes."""

    name = "boosted trees"
    most_classes = 3

    def judge(self, task: Task) -> Probabilities:
        p = np.zeros_like(task.targets)
        for number in range(int(task.fold.max()) + 1):
            held_out = task.fold == number
            seen = np.unique(task.given[~held_out])
            if len(seen) < 2:
                p[held_out, seen] = 1
                continue
            model = HistGradientBoostingClassifier(
                max_iter=60, max_leaf_nodes=6, l2_regularization=5.0, early_stopping=False, random_state=task.seed
            )
            model.fit(task.vectors[~held_out], task.given[~held_out])
            p[np.ix_(held_out, model.classes_)] = model.predict_proba(task.vectors[held_out])
        return clipped(p)

    def seconds(self, samples: int, columns: int, classes: int) -> float:
        return 0.1 + 3e-7 * samples * columns * max(classes - 1, 1)
