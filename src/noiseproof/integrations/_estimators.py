"""Differences between classifiers of several libraries: names of weights, labels they take, what they predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.utils.validation import has_fit_parameter

__all__ = ["labels_of", "probabilities_of", "takes_codes", "weights_name"]

_CODES_ONLY = ("xgboost", "skorch")  # libraries whose classifiers take labels 0 to K-1 and nothing else


def weights_name(estimator: Any) -> str | None:
    """The parameter of `fit` for the samples' weights, in a pipeline that of its last step; None: it takes none."""
    if hasattr(estimator, "steps"):
        step, last = estimator.steps[-1]
        inner = weights_name(last)
        return inner and f"{step}__{inner}"
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


def takes_codes(estimator: Any) -> bool:
    """Test for a classifier that must be given codes 0 to K-1 in place of other labels."""
    return _library(_innermost(estimator)) in _CODES_ONLY


def labels_of(model: Any, X: Any, classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels (N,) that a fitted classifier predicts.

    Args:
        model: fitted on labels out of `classes`, or on their codes if it `takes_codes`.
        X: the samples.
        classes: (K,) labels, sorted.
    """
    if _gives_scores(model):
        return np.asarray(classes[probabilities_of(model, X).argmax(1)])
    found: npt.NDArray[Any] = np.asarray(model.predict(X)).reshape(-1)
    return np.asarray(
        classes[found.astype(np.int64)] if takes_codes(model) else found.astype(classes.dtype, copy=False)
    )


def probabilities_of(model: Any, X: Any) -> npt.NDArray[np.float64]:
    """Probabilities (N, K) that a fitted classifier predicts; made from raw scores where it gives no others."""
    if not _gives_scores(model):
        found: npt.NDArray[np.float64] = model.predict_proba(X)
        return found
    scores = np.asarray(model.predict(X, raw_score=True), dtype=np.float64)
    rows = np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores
    return np.asarray(softmax(rows, axis=1))


def _gives_scores(model: Any) -> bool:
    """Test for LightGBM with an objective of its own: it predicts raw scores for labels and probabilities alike."""
    inner = _innermost(model)
    return _library(inner) == "lightgbm" and callable(getattr(inner, "objective", None))


def _innermost(estimator: Any) -> Any:
    """The classifier at the end of a pipeline, or inside a search."""
    while True:
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "param_distributions") or hasattr(estimator, "param_grid"):
            estimator = estimator.estimator
        else:
            return estimator


def _library(estimator: Any) -> str:
    roots = (base.__module__.partition(".")[0] for base in type(estimator).__mro__)
    return next((root for root in roots if root in (*_CODES_ONLY, "lightgbm")), "")
