"""Kernel ridge regression on class indicators, with closed-form leave-one-out predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from noiseproof import rng
from noiseproof.doctor.calibration import best_exponent, raised
from noiseproof.doctor.judges.base import MANY, Targets, Task, Vectors
from noiseproof.doctor.probabilities import Labels, Probabilities, clipped, given_column

__all__ = ["KernelRidge"]

Float32 = npt.NDArray[np.float32]

_EXACT = 3_000  # samples up to which the whole kernel is decomposed
_LANDMARKS, _FEW_LANDMARKS = 1_000, 200  # beyond: columns of the kernel it is approximated by, and of many samples
_FOR_WIDTH, _FOR_PENALTY = 400, 5_000  # samples that the width is chosen by, and of many samples the penalty
_WIDTHS = (0.3, 1.0, 3.0)  # over the median squared distance
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True, eq=False)
class _Basis:
    """Eigenvectors U (N, M) and eigenvalues s (M,) of the kernel matrix or of its Nystroem approximation."""

    vectors: Float32
    values: Float32

    def leave_one_out(self, targets: Targets, penalty: float, rows: Labels | slice = slice(None)) -> Float32:
        """Predictions of all rows or some, each without its own target: Y - A (Y - mean Y) / diag A, A residual maker.

        Source: the leave-one-out formula of linear smoothers (Wahba 1990, section 4.2).
        """
        shrink = self.values / (self.values + np.float32(penalty))
        vectors = self.vectors[rows]
        weighted = vectors * shrink
        centred = targets - targets.mean(0)
        residual = centred[rows] - weighted @ (self.vectors.T @ centred)
        leverage = np.minimum(np.einsum("nm,nm->n", weighted, vectors), 0.999)
        return np.asarray(targets[rows] - residual / (1 - leverage)[:, None], dtype=np.float32)


class KernelRidge:
    """Ridge regression under a Gaussian kernel; width, penalty and sharpness by the likelihood of the given labels."""

    name = "kernel ridge"

    def __init__(self) -> None:
        self._basis: _Basis | None = None

    def judge(self, task: Task) -> Probabilities:
        if self._basis is None:
            self._basis = _basis(task.vectors, _width(task), task.seed)
        basis, samples = self._basis, len(task.given)
        if samples <= MANY:
            return max((_probabilities(basis, task, one) for one in _PENALTIES), key=lambda fit: fit[0])[1]
        few = np.sort(task.order[:_FOR_PENALTY])
        best = max(_PENALTIES, key=lambda one: _probabilities(basis, task, one, few)[0])
        return _probabilities(basis, task, best)[1]

    def seconds(self, samples: int, columns: int, classes: int) -> float:
        size = samples if samples <= _EXACT else _landmarks(samples)
        return 0.1 + 1e-10 * samples * size * (size / 3 + 6 * classes)


def _probabilities(
    basis: _Basis, task: Task, penalty: float, rows: Labels | slice = slice(None)
) -> tuple[float, Probabilities]:
    """The mean log-likelihood of the given labels, or the expected one under soft targets, and the probabilities."""
    predicted = basis.leave_one_out(task.targets, penalty, rows)
    given, targets = task.given[rows], task.targets[rows]
    sharpness = best_exponent(np.exp(predicted), given)
    p = clipped(raised(predicted, sharpness))
    log_p = np.log(p)
    fit = np.einsum("nk,nk->", targets, log_p) / len(p) if task.is_soft else np.log(given_column(p, given)).mean()
    return float(fit), p


def _width(task: Task) -> float:
    few = rng.permutation(len(task.given), task.seed, "diagnose", "width")[:_FOR_WIDTH]
    some = Task(task.vectors[few], task.given[few], task.targets[few], task.fold[few], task.seed)
    median = float(np.median(_squared_distances(some.vectors, some.vectors)[np.triu_indices(len(few), 1)]))
    median = median if np.isfinite(median) and median > 0 else 1.0
    widths = [width / median for width in _WIDTHS]
    return max(
        widths, key=lambda w: max(_probabilities(_basis(some.vectors, w, 0), some, one)[0] for one in _PENALTIES)
    )


def _basis(vectors: Vectors, width: float, seed: int) -> _Basis:
    if len(vectors) <= _EXACT:
        values, basis = eigh(_kernel(vectors, vectors, width), overwrite_a=True, check_finite=False, driver="evd")
        keep = values > 1e-4
        return _Basis(basis[:, keep], values[keep])
    landmarks = vectors[rng.permutation(len(vectors), seed, "diagnose", "landmarks")[: _landmarks(len(vectors))]]
    values, basis = eigh(_kernel(landmarks, landmarks, width), overwrite_a=True, check_finite=False, driver="evd")
    keep = values > 1e-3
    features = _kernel(vectors, landmarks, width) @ (basis[:, keep] / np.sqrt(values[keep]))
    values, basis = eigh(features.T @ features, overwrite_a=True, check_finite=False, driver="evd")
    keep = values > 1e-3
    return _Basis(features @ (basis[:, keep] / np.sqrt(values[keep])), values[keep])


def _landmarks(samples: int) -> int:
    return _LANDMARKS if samples <= MANY else _FEW_LANDMARKS


def _kernel(left: Vectors, right: Vectors, width: float) -> Float32:
    kernel = _squared_distances(left, right)
    kernel *= np.float32(-width)
    np.exp(kernel, out=kernel)
    return kernel


def _squared_distances(left: Vectors, right: Vectors) -> Float32:
    squares: Float32 = left @ (-2 * right.T)
    squares += np.einsum("nd,nd->n", left, left)[:, None]
    squares += np.einsum("nd,nd->n", right, right)
    np.maximum(squares, 0, out=squares)
    return squares
