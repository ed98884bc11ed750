"""A scikit-learn classifier of the user's, judged by cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from torch import Tensor

from noiseproof.data.dataset import Texts, is_frame
from noiseproof.doctor.probabilities import Labels, Probabilities, clipped
from noiseproof.errors import InputError

__all__ = ["judged_by_estimator"]


def judged_by_estimator(estimator: Any, inputs: Any, given: Labels, classes: int, fold: Labels) -> Probabilities:
    """Probabilities (N, K) of each sample by a copy of the estimator that was fitted on the other folds.

    Args:
        estimator: with `fit` and `predict_proba`; fitted or not, since copies are fitted anew.
        inputs: of a split: numbers go to the estimator as (N, D), texts as a list, a frame as it is.
        given: labels, 0 to K-1.
        classes: K.
        fold: of each sample.

    Raises:
        InputError: it has no `predict_proba`, cannot be copied, or cannot be fitted to these samples.
    """
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict_proba"):
        raise InputError(
            f"judge must be a classifier with fit and predict_proba, got {type(estimator).__name__}; "
            "CalibratedClassifierCV gives predict_proba to those that lack it"
        )
    samples = inputs.numpy() if isinstance(inputs, Tensor) else inputs
    p = np.zeros((len(given), classes), np.float32)
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        seen = np.unique(given[~held_out])
        if len(seen) < 2:
            p[np.ix_(held_out, seen)] = 1
            continue
        try:
            model = clone(estimator)
        except TypeError as error:
            raise InputError(f"judge cannot be copied for each fold: {error}") from None
        try:
            model.fit(_some(samples, ~held_out), given[~held_out])
            judged = model.predict_proba(_some(samples, held_out))
        except (TypeError, ValueError) as error:
            why = str(error).partition("\n")[0]
            raise InputError(f"judge {type(estimator).__name__} cannot be fitted to these samples: {why}") from error
        p[np.ix_(held_out, np.asarray(model.classes_, dtype=np.int64))] = judged
    return clipped(p)


def _some(samples: Any, keep: Any) -> Any:
    if is_frame(samples):
        return samples[keep]
    if isinstance(samples, tuple):
        chosen = [samples[i] for i in np.flatnonzero(keep).tolist()]
        return chosen if isinstance(samples, Texts) else np.array(chosen, dtype=object)
    return samples[keep]
