"""Noise generators of published code, bit for bit as that code draws them.

They are here so that a published number can be compared with ours on the same labels. Each draws from the stream
its code uses: numpy's `RandomState`, whose numbers numpy promises never to change, or Python's `random`.
The rates they really give are in docs/noise.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from noiseproof.errors import InputError
from noiseproof.labels import Labels
from noiseproof.noise.base import Task
from noiseproof.noise.class_maps import CIFAR10
from noiseproof.transition_matrix import Matrix

__all__ = [
    "ALIASES",
    "COUNTING",
    "Generator",
    "apl_asymmetric",
    "apl_symmetric",
    "dividemix_asymmetric",
    "dividemix_symmetric",
    "jal",
]

# (labels, rate, where a wrong label of each class goes) -> given labels
Generator = Callable[[Task, float, Matrix], Labels]

ALIASES = {"anl": "jal"}  # the ANL code draws the same labels


def jal(task: Task, rate: float, where: Matrix) -> Labels:
    """Counts of every pair of classes, cut to whole numbers: int(T[c, t] * n_c) labels of c become t.

    Cutting loses up to one label a pair: CIFAR-100 at 0.8 has 0.792, and 100 classes of 50 at 0.4 have none.

    Source: github.com/cswjl/joint-asymmetric-loss ("method2"), github.com/Virusdoll/Active-Negative-Loss.
    """
    stream = _legacy(task)
    given = task.clean.copy()
    possible = where > 0
    # rate / (K-1), not rate * (1 / (K-1)): a last bit less may cost a label in the cut
    shares = possible * (rate / np.maximum(possible.sum(1, keepdims=True), 1))
    counts = (shares * task.per_class[:, None]).astype(np.int64)
    for c in range(task.num_classes):
        pool = np.flatnonzero(task.clean == c)
        for t in np.flatnonzero(counts[c]):
            chosen = stream.choice(pool, counts[c, t], replace=False)
            given[chosen] = t
            pool = np.setdiff1d(pool, chosen, assume_unique=True)
    return given


def apl_symmetric(task: Task, rate: float, where: Matrix) -> Labels:
    """The same whole number of labels in every class, each redrawn among the other classes.

    Source: github.com/HanxunH/Active-Passive-Losses, dataset.py.
    """
    stream = _legacy(task)
    given = task.clean.copy()
    each = int(int(rate * len(given)) / task.num_classes)
    if each > task.per_class.min():
        raise InputError(
            f"convention=apl flips {each} labels in every class, but class {task.per_class.argmin()} has only "
            f"{task.per_class.min()}; use convention=exact for classes of unequal size"
        )
    chosen = [stream.choice(np.flatnonzero(task.clean == c), each, replace=False) for c in range(task.num_classes)]
    for row in np.concatenate(chosen):
        draw = stream.randint(0, task.num_classes - 1)  # choice(list) of numpy draws this way
        given[row] = draw + (draw >= given[row])
    return given


def apl_asymmetric(task: Task, rate: float, where: Matrix) -> Labels:
    """CIFAR-10: arc after arc on labels already changed; other maps: each label on its own.

    On CIFAR-10 the arc dog -> cat comes after cat -> dog and draws from dogs and former cats, so that some cats
    return: at 0.4 only 0.24 of the cats end up wrong and 0.184 of all labels instead of 0.2.

    Source: github.com/HanxunH/Active-Passive-Losses, dataset.py.
    """
    stream = _legacy(task)
    given = task.clean.copy()
    if _is_cifar10(where):
        for source, target in CIFAR10.items():
            pool = np.flatnonzero(given == source)
            given[stream.choice(pool, int(rate * len(pool)), replace=False)] = target
        return given
    matrix = np.eye(task.num_classes)
    moved = where.any(1)
    matrix[moved] = (1.0 - rate) * matrix[moved] + rate * where[moved]
    for row, c in enumerate(task.clean):
        given[row] = stream.multinomial(1, matrix[c]).argmax()
    return given


def dividemix_symmetric(task: Task, rate: float, where: Matrix) -> Labels:
    """A random share `rate` of all labels, each redrawn among all classes, its own included.

    So the share of wrong labels is rate * (K-1) / K: 0.45 for 0.5 and ten classes.

    Source: github.com/LiJunnan1992/DivideMix, dataloader_cifar.py.
    """
    stream, chosen = _dividemix(task, rate)
    given = task.clean.copy()
    for row in chosen:
        given[row] = stream.randint(0, task.num_classes - 1)
    return given


def dividemix_asymmetric(task: Task, rate: float, where: Matrix) -> Labels:
    """A random share `rate` of all labels, each replaced by what its class is taken for, if anything.

    Source: github.com/LiJunnan1992/DivideMix, dataloader_cifar.py.
    """
    _, chosen = _dividemix(task, rate)
    target = np.where(where.any(1), where.argmax(1), np.arange(task.num_classes))
    given = task.clean.copy()
    given[chosen] = target[given[chosen]]
    return given


#: Those that flip a fixed number of labels; the others have their rate on average.
COUNTING = frozenset((jal, apl_symmetric))


def _dividemix(task: Task, rate: float) -> tuple[random.Random, list[int]]:
    stream = random.Random(task.seed)  # noqa: S311 - the published generator, reproduced
    rows = list(range(len(task.clean)))
    stream.shuffle(rows)
    return stream, sorted(rows[: int(rate * len(rows))])


def _is_cifar10(where: Matrix) -> bool:
    return {int(c): int(where[c].argmax()) for c in np.flatnonzero(where.any(1))} == CIFAR10


def _legacy(task: Task) -> np.random.RandomState:
    if task.seed >= 2**32:
        raise InputError(f"published generators take seeds below 2^32, got seed={task.seed}; use a smaller one")
    return np.random.RandomState(task.seed)  # frozen by numpy, and what the code uses
