"""Operations on matrices of class probabilities (N, K), done in blocks of rows so that no second matrix is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import rng

__all__ = [
    "LEAST",
    "LOWEST",
    "Labels",
    "Probabilities",
    "blocks",
    "clipped",
    "given_column",
    "order_by",
    "row_maxima",
    "row_sums",
    "sample_rows",
    "shares",
]

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]

LOWEST = 1e-4  # a judge is never surer than this
LEAST = 1e-30  # smaller probabilities of others say the same
_BLOCK = 1 << 17  # entries of a block: it and what is computed from it stay in the processor's cache
_SAMPLE, _ROWS = 1 << 18, 20_000  # entries and rows that a fit of few numbers looks at, at most


def blocks(p: npt.NDArray[Any]) -> Iterator[tuple[slice, Probabilities]]:
    """Consecutive rows of `p` as float32, with their place.

    All blocks share one buffer, which may be written to: a block is gone when the next one comes.
    """
    samples, classes = p.shape
    step = min(max(1, _BLOCK // classes), samples)
    buffer = np.empty((step, classes), np.float32)
    halves = np.empty((step, classes), np.float16) if p.dtype == np.float16 else None
    for start in range(0, samples, step):
        rows = slice(start, min(start + step, samples))
        part = buffer[: rows.stop - start]
        if halves is None:
            part[:] = p[rows]
        else:  # torch converts float16 several times faster than numpy, from memory that may be written to
            half = halves[: len(part)]
            half[:] = p[rows]
            torch.from_numpy(part).copy_(torch.from_numpy(half))
        yield rows, part


def row_sums(part: Probabilities) -> npt.NDArray[np.float32]:
    """Sums of the rows of a block, (N,)."""
    return np.asarray(torch.from_numpy(part).sum(1))


def row_maxima(part: Probabilities) -> npt.NDArray[np.float32]:
    """Largest entries of the rows of a block, (N,)."""
    return np.asarray(torch.from_numpy(part).amax(1))


def clipped(p: npt.NDArray[Any]) -> Probabilities:
    """`p` with no entry below 1e-4, rows adding up to 1; rows of zeros or NaN become even ones."""
    found = np.nan_to_num(np.asarray(p, dtype=np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    np.maximum(found, LOWEST, out=found)
    found /= found.sum(1, keepdims=True)
    return found


def given_column(p: npt.NDArray[Any], given: Labels) -> npt.NDArray[np.float32]:
    """Each row's probability of its given label, (N,)."""
    return np.asarray(p[np.arange(len(given)), given], dtype=np.float32)


def order_by(key: npt.NDArray[Any], then: npt.NDArray[Any]) -> Labels:
    """Positions by increasing `key`, equal keys by `then`: `np.lexsort((then, key))`, faster where few keys are equal.

    Example:
        >>> order_by(np.array([2, 1, 2]), np.array([5, 0, 4])).tolist()
        [1, 2, 0]
    """
    order = np.argsort(key)
    same = key[order[1:]] == key[order[:-1]]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    among = np.sort(order[tied]) if len(tied) else order[:0]
    order[tied] = among[np.lexsort((then[among], key[among]))]
    return np.asarray(order, dtype=np.int64)


def sample_rows(count: int, classes: int) -> Labels:
    """Rows that stand for all where one number is fitted: all of them, or a fixed random choice of many."""
    enough = max(1_000, min(_ROWS, _SAMPLE // classes))
    if count <= enough:
        return np.arange(count)
    words = rng.random_uint64(count, 0, "diagnose")
    return np.flatnonzero(words < np.partition(words, enough)[enough])


def shares(counts: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Rows divided by their sums; a row of zeros becomes the row of the unit matrix."""
    values = np.asarray(counts, dtype=np.float64)
    sums = values.sum(1, keepdims=True)
    return np.where(sums > 0, values / np.where(sums > 0, sums, 1.0), np.eye(len(values)))
