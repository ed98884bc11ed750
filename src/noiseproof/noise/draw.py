"""Drawing given labels from class-conditional noise: the conventions `exact` and `independent`.

Sample i owns two random words that depend on the seed, the noise's name and i alone. The first decides whether
its label goes wrong, the second what it becomes. Hence the flips of a small rate are among those of a larger one,
with the same new labels. Words are compared as integers, so nothing is left to rounding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from noiseproof import rng
from noiseproof.labels import Labels
from noiseproof.noise.base import Task
from noiseproof.transition_matrix import Matrix

__all__ = ["flips_exact", "flips_independent", "targets"]

Words = npt.NDArray[np.uint64]


def flips_exact(task: Task, wrong: npt.NDArray[np.float64], words: Words, name: str) -> npt.NDArray[np.bool_]:
    """In class c the share `wrong[c]` of the samples, those with the smallest words.

    The number is exact to one sample in each class. Where the share is no whole number of samples, the classes
    round up or down at levels spread evenly over them, so that many small classes together still have the
    rate: 1,000 classes of 2 samples at 0.2 give 400 flips, not none.
    """
    size = task.per_class
    order = np.lexsort((words, task.clean))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    level = (rng.permutation(task.num_classes, task.seed, "noise", name, "rounding") + 0.5) / task.num_classes
    return rank + level[task.clean] < (wrong * size)[task.clean]


def flips_independent(task: Task, wrong: npt.NDArray[np.float64], words: Words) -> npt.NDArray[np.bool_]:
    """Each sample of class c on its own, with probability `wrong[c]`."""
    threshold = np.ceil(np.ldexp(wrong, 53)).astype(np.uint64)
    return (words >> np.uint64(11)) < threshold[task.clean]


def targets(task: Task, where: Matrix, words: Words, flipped: npt.NDArray[np.bool_]) -> Labels:
    """The labels with every flipped one of class c redrawn from `where[c]`, by its own word."""
    given = task.clean.copy()
    for c in np.unique(task.clean[flipped]):
        rows = np.flatnonzero(flipped & (task.clean == c))
        # Shares in units of 2^-31; the remainder of a 64-bit word is then even to one part in 2^33.
        ends = np.cumsum(np.rint(np.ldexp(where[c], 31)).astype(np.uint64))
        given[rows] = np.searchsorted(ends, words[rows] % ends[-1], side="right")
    return given
