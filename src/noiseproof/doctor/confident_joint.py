"""The confident joint: transition matrix and noise rate from counts of samples that are confidently of a class."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.doctor.probabilities import Labels, blocks, given_column, shares

__all__ = ["confident_joint"]


def confident_joint(
    p: npt.NDArray[Any], given: Labels, predicted: Labels | None = None
) -> tuple[npt.NDArray[np.float64], float]:
    """The transition matrix and the noise rate from samples that are confidently of a class.

    A sample counts for class j if p_j is at least the mean p_j of the samples given j; if that holds for several, for
    the likeliest. The counts are scaled to the given labels' own frequencies.

    Example:
        >>> given = np.array([0] * 80 + [1] * 20 + [1] * 100)
        >>> p = np.where(np.arange(200)[:, None] < 100, [0.9, 0.1], [0.1, 0.9])
        >>> transition, rate = confident_joint(p, given)
        >>> transition.round(2).tolist(), round(rate, 2)
        ([[0.8, 0.2], [0.0, 1.0]], 0.1)

    Source: Northcutt et al., JAIR 2021 (arXiv:1911.00068), eq. 1 and 2.
    """
    classes = p.shape[1]
    counts = np.bincount(given, minlength=classes)
    own = given_column(p, given)
    thresholds = np.bincount(given, weights=own, minlength=classes) / np.maximum(counts, 1)
    thresholds = np.where(counts > 0, thresholds - 1e-6, np.inf).astype(np.float32)  # as cleanlab allows for rounding
    surely = np.full(len(given), -1)
    for rows, part in blocks(p):
        true = part.argmax(1) if predicted is None else predicted[rows].copy()
        counted = given_column(part, true) >= thresholds[true]
        unsure = np.flatnonzero(~counted)  # the likeliest class is not confident; another one may be
        confident = part[unsure]
        np.copyto(confident, np.float32(-1), where=confident < thresholds)
        true[unsure] = confident.argmax(1)
        counted[unsure] = given_column(confident, true[unsure]) >= 0
        surely[rows][counted] = true[counted]
    counted = surely >= 0
    pairs = np.bincount(given[counted] * classes + surely[counted], minlength=classes**2)
    table = pairs.reshape(classes, classes)
    empty = table.sum(1) == 0
    table[empty] = np.eye(classes, dtype=table.dtype)[empty]
    joint = shares(table) * counts[:, None] / counts.sum()
    return shares(joint.T), float(1 - joint.trace())
