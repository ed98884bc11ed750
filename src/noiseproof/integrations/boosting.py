"""Robust losses as objectives of LightGBM, XGBoost and CatBoost: gradient, and a curvature that is always positive.

    LGBMClassifier(objective=objective("gce", 10))
    XGBClassifier(objective=objective("gce", 10))
    CatBoostClassifier(loss_function=objective("gce"), eval_metric="MultiClass")

For labels that are partly wrong, `noiseproof.CleanedClassifier` around a booster is usually better than any objective.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noiseproof import losses
from noiseproof.errors import InputError
from noiseproof.labels import class_labels

__all__ = ["Objective", "catboost_objective", "gradient_and_curvature", "objective"]

Floats = npt.NDArray[np.float64]

_ROWS = 65_536  # logits that are worked on at once


class Objective:
    """An objective `(y_true, y_pred, sample_weight=None) -> (gradient, curvature)` of a loss; also CatBoost's protocol.

    The gradient is the loss's own, times a scale: its longest is as long as cross-entropy's at even scores, or half as
    long for losses that give implausible labels up. With the booster's usual rate and rounds no loss underfits, or
    fits the wrong labels, for its scale alone. The curvature is 2 p (1 - p), which XGBoost and LightGBM use for
    cross-entropy: positive where a robust loss's own is not. So "ce" is the booster's own objective.

    Args:
        loss: a loss, its text, or a method that is one, such as "jal-ce".
        classes: number of classes; None: as many as the raw scores have columns, 2 for a flat vector.
    """

    def __init__(self, loss: losses.Loss | str, classes: int | None = None) -> None:
        if classes is not None and classes < 2:
            raise InputError(f"classes must be 2 or more, got {classes}")
        self.loss = loss
        self.classes = classes
        _loss_for(loss, classes or 2)  # a name that does not exist is refused here

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[Floats, Floats]:
        """Gradient and curvature in the shape of `y_pred`.

        Args:
            y_true: (N,) labels 0 to K-1; or what `lightgbm.train` and `xgboost.train` hand over in exchanged order.
            y_pred: raw scores (N, K), or (N,) for two classes; flat (N*K,), class after class, is taken as well.
            sample_weight: (N,) factors.

        Raises:
            InputError: labels that are no classes 0 to K-1, or scores of another number of classes.
        """
        if hasattr(y_pred, "get_label"):  # the native API: (scores, data set)
            y_true, y_pred, sample_weight = y_pred.get_label(), y_true, y_pred.get_weight()
        labels, scores = np.asarray(y_true), np.asarray(y_pred, dtype=np.float64)
        weight = None if sample_weight is None or not len(sample_weight) else np.asarray(sample_weight, np.float64)
        if scores.ndim == 1 and len(scores) == len(labels) and self.classes in (None, 2):
            return self._binary(labels, scores, weight)
        by_class = scores.ndim == 1  # old LightGBM: all scores of the first class, then of the second, ...
        rows = scores.reshape(-1, len(labels)).T if by_class else scores
        if rows.shape[0] != len(labels) or (self.classes or rows.shape[1]) != rows.shape[1]:
            raise InputError(
                f"scores of shape {scores.shape} do not fit {len(labels)} labels of {self.classes or '?'} classes; "
                "give the number of classes: objective(loss, classes), and num_class=classes to a native `train`"
            )
        gradient, curvature = self._slopes(rows, labels)
        if weight is not None:
            gradient, curvature = gradient * weight[:, None], curvature * weight[:, None]
        return (gradient.T.reshape(-1), curvature.T.reshape(-1)) if by_class else (gradient, curvature)

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> list[tuple[float, float]]:
        """CatBoost's protocol for two classes: derivatives of the *gain*, so the negative of the loss's."""
        gradient, curvature = self(np.asarray(targets), np.asarray(approxes), weights)
        return list(zip((-gradient).tolist(), (-curvature).tolist(), strict=True))

    def calc_ders_multi(self, approx: Any, target: float, weight: float) -> tuple[list[float], list[list[float]]]:
        """CatBoost's protocol for more classes: one sample at a time, with a diagonal of second derivatives."""
        gradient, curvature = self(np.array([target]), np.asarray(approx)[None])
        return (-gradient[0] * weight).tolist(), (np.diag(-curvature[0]) * weight).tolist()

    def _slopes(self, rows: Floats, labels: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        classes = rows.shape[1]
        whole = labels.astype(np.int64) if labels.dtype.kind == "f" and (labels == np.rint(labels)).all() else labels
        return gradient_and_curvature(_loss_for(self.loss, classes), rows, class_labels(whole, classes))

    def _binary(self, labels: npt.NDArray[Any], scores: Floats, weight: Any) -> tuple[Floats, Floats]:
        """Of one score z against 0: the sigmoid form."""
        gradient, curvature = self._slopes(np.stack([np.zeros_like(scores), scores], axis=1), labels)
        factor = 1.0 if weight is None else weight
        return gradient[:, 1] * factor, np.maximum(curvature[:, 1] / 2, _LEAST) * factor  # p (1 - p)

    def __repr__(self) -> str:
        return f"objective({str(self.loss)!r}{'' if self.classes is None else f', {self.classes}'})"


@lru_cache
def _loss_for(loss: losses.Loss | str, classes: int) -> losses.Loss:
    """The loss; of a published method such as "jal-ce", with the paper's parameters for so many classes."""
    return losses.parse(loss, num_classes=classes) if isinstance(loss, str) else loss


_STEPS = 48  # of each half of the path along which the scale is measured
_SHARE = 0.5  # of a loss that gives implausible labels up; longer steps fit the wrong labels within the usual rounds
_LEAST = 1e-6  # of a curvature: a leaf divides by their sum


def objective(loss: losses.Loss | str, classes: int | None = None) -> Objective:
    """The objective of a loss for `LGBMClassifier`, `XGBClassifier`, native `train` and `CatBoostClassifier`.

    LightGBM and native boosters predict raw scores with it: their softmax (sigmoid for two classes) is the
    probabilities. `CleanedClassifier(booster, how="none")` predicts labels and probabilities.

    Example:
        >>> gradient, curvature = objective("ce")(np.array([0, 1]), np.array([[0.0, 0.0], [0.0, 0.0]]))
        >>> gradient.tolist(), curvature.tolist()
        ([[-0.5, 0.5], [0.5, -0.5]], [[0.5, 0.5], [0.5, 0.5]])
    """
    return Objective(loss, classes)


def gradient_and_curvature(loss: losses.Loss, scores: Floats, labels: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Scaled gradient of each sample's loss and the bound 2 p (1 - p), both (N, K) and finite.

    Args:
        loss: any loss.
        scores: (N, K) raw scores.
        labels: (N,) from 0 to K-1.
    """
    summed = loss.with_options(reduction="sum")
    scale = _scale(loss, scores.shape[1])
    gradient, curvature = np.empty_like(scores), np.empty_like(scores)
    for first in range(0, len(scores), _ROWS):
        part = slice(first, first + _ROWS)
        with torch.enable_grad():
            z = torch.tensor(scores[part], dtype=torch.float64, device="cpu", requires_grad=True)
            (slope,) = torch.autograd.grad(summed(z, torch.from_numpy(labels[part])), z)
        p = z.detach().softmax(1)
        gradient[part] = (slope.nan_to_num(0.0, 0.0, 0.0) * scale).numpy()
        curvature[part] = (2 * p * (1 - p)).clamp_min(_LEAST).numpy()
    return gradient, curvature


@lru_cache
def _scale(loss: losses.Loss, classes: int) -> float:
    """Factor that brings the loss's longest gradient to its share of cross-entropy's at even scores."""

    def lengths(one: losses.Loss) -> Tensor:
        """Length of the gradient along a path: from a label that is implausible, by even scores, to a certain one."""
        with torch.enable_grad():
            path = torch.zeros(2 * _STEPS + 1, classes, dtype=torch.float64, device="cpu")
            path[:, 0] = torch.linspace(-12, 12, len(path), dtype=torch.float64, device="cpu")
            path.requires_grad_()
            label = torch.zeros(len(path), dtype=torch.int64, device="cpu")
            slope: Tensor = torch.autograd.grad(one.with_options(reduction="sum")(path, label), path)[0]
        length: Tensor = slope.norm(dim=1)
        return length

    own, usual = lengths(loss), lengths(losses.CE())
    if not own[_STEPS] > 0:
        raise InputError(f"{loss} has no gradient at even scores, where boosting starts; add one: ce + {loss}")
    share = _SHARE if own[0] < 0.5 * own.max() else 1.0
    return share * float(usual[_STEPS] / own[_STEPS:].max())


def catboost_objective(loss: losses.Loss | str) -> Objective:
    """A `loss_function` for CatBoost, the same as `objective`; give an `eval_metric` such as "MultiClass" with it.

    With more than two classes CatBoost calls Python for every sample: seconds a tree for ten thousand samples.
    """
    return objective(loss)
