"""Any scikit-learn classifier, fitted on what the doctor leaves of noisy labels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone, is_regressor
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    indexable,
    validate_data,
)

from noiseproof.errors import InputError, one_of
from noiseproof.integrations._estimators import labels_of, probabilities_of, takes_codes, weights_name
from noiseproof.integrations._rows import refuse_gaps, refuse_numbers

__all__ = ["WAYS", "CleanedClassifier"]

WAYS = ("none", "drop", "relabel", "weight")  # of using what the doctor found; ties go to the earlier one
_FOLDS = 3  # over which `how="auto"` chooses
_FEWEST = 20  # samples below which nothing is judged

Indices = npt.NDArray[np.int64]


class CleanedClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Any classifier, fitted on cleaned labels: LightGBM, XGBoost, CatBoost, scikit-learn, skorch, a pipeline.

    The doctor's judges, cross-validated on the training samples alone, say how probably each given label is wrong. Then
    the classifier is fitted without the labels that they flag (`drop`), with the labels that they find likelier
    (`relabel`), or with each sample weighted by the probability that its label is right (`weight`). Where the judges
    know too little to flag any, the worst labels count as flagged, as many as seem wrong; those without a likelier
    label are dropped in either way.

    Args:
        estimator: the classifier; it is copied, never changed. None: LogisticRegression. Those of XGBoost and skorch,
            which take no other labels, are fitted on the numbers of the classes.
        how: "drop", "relabel", "weight", "none", or "auto": the way whose classifiers predict held-out *given* labels
            best, over three folds of the training samples; each label counts by its probability of being right.
        folds: of the judges.
        random_state: seed of folds and judges.

    Attributes:
        estimator_: the fitted copy.
        classes_: the labels, sorted.
        how_: the way that was used.
        issues_: the doctor's `LabelIssues` of the training samples (`score`, `is_issue`, `likely`, `rate`, ...); None
            where there were too few samples to judge.
        agreement_: held-out agreement of each way that was tried, from 0 to 1.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> features, labels = load_iris(return_X_y=True)
        >>> model = CleanedClassifier(DecisionTreeClassifier(random_state=0), how="drop", random_state=0)
        >>> model.fit(features, labels).predict(features[:3])
        array([0, 0, 0])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        how: str = "auto",
        folds: int = 5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.how = how
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, **fit_params: Any) -> Self:
        """Judge the given labels, then fit the classifier on what is left of them.

        Args:
            X: (N, D) numbers, dense or sparse, a frame, or whatever else the classifier takes and `diagnose` reads.
            y: (N,) given labels.
            sample_weight: (N,) factors, multiplied into the doctor's; the classifier must take weights.
            fit_params: handed to the classifier's `fit`.

        Raises:
            InputError: `how` is no way, or the classifier takes no weights where they are needed.
        """
        one_of("how", self.how, ["auto", *WAYS])
        if is_regressor(self._base()):
            raise InputError(f"CleanedClassifier needs a classifier, got the regressor {type(self._base()).__name__}")
        X, codes = self._read(X, y)
        takes_weights = weights_name(self._base()) is not None
        weights = None
        if sample_weight is not None:
            if not takes_weights:
                raise InputError(f"{type(self._base()).__name__}.fit takes no sample_weight; leave it out")
            weights = _check_sample_weight(sample_weight, np.empty((len(codes), 1)), ensure_non_negative=True)
        if self.how == "weight" and not takes_weights:
            raise InputError(f"{type(self._base()).__name__}.fit takes no sample_weight; use how='drop' or 'relabel'")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self.issues_ = self._judge(X, codes, seed)
        self.agreement_: dict[str, float] = {}
        self.how_ = self.how if self.issues_ is not None else "none"
        if self.how_ == "auto":
            ways = [way for way in WAYS if takes_weights or way != "weight"]
            self.how_ = self._chosen(X, codes, weights, ways, seed, fit_params)
        rows = np.arange(len(codes))
        self.estimator_ = self._fitted(self.how_, X, codes, rows, self.issues_, weights, fit_params)
        return self

    def _base(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression()

    def _read(self, X: Any, y: npt.ArrayLike) -> tuple[Any, Indices]:
        refuse_gaps(y)
        if _is_plain(X):
            X, labels = validate_data(
                self, X, y, accept_sparse=["csr"], dtype=None, ensure_all_finite=False, ensure_min_samples=2
            )
        else:
            X, labels = indexable(X, column_or_1d(y, warn=True))
            if hasattr(X, "columns"):
                self.feature_names_in_ = np.asarray(X.columns, dtype=object)
                self.n_features_in_ = len(X.columns)
        refuse_numbers(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Classifier can't train when only one class is present: {self.classes_[0]!r}")
        return X, codes.astype(np.int64)

    def _judge(self, X: Any, codes: Indices, seed: int) -> Any:
        """The doctor's issues of these samples; None for too few of them."""
        if len(codes) < _FEWEST or np.bincount(codes).max() == len(codes):
            return None
        from noiseproof.doctor.diagnosis import diagnose

        if getattr(X, "dtype", None) == np.dtype(object) and _is_plain(X):
            X = X.astype(np.float64)  # raises what every estimator raises for things that are no numbers
        return diagnose(X, codes, folds=min(self.folds, len(codes)), seed=seed % 2**31).issues

    def _chosen(self, X: Any, codes: Indices, weights: Any, ways: list[str], seed: int, fit_params: Any) -> str:
        """The way that predicts held-out given labels best; each fold is judged without its held-out part.

        A held-out label counts by the probability that it is right: counted alike, wrong labels decide by chance.
        """
        folds = min(_FOLDS, int(np.bincount(codes).min()))
        if folds < 2:
            return "drop"
        trust = 1 - np.asarray(self.issues_.score)
        right = dict.fromkeys(ways, 0.0)
        for train, held_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(codes, codes):
            issues = self._judge(_some(X, train), codes[train], seed)
            for way in ways:
                model = self._fitted(way, X, codes, train, issues, weights, fit_params)
                right[way] += float(trust[held_out] @ (self._codes_of(model, _some(X, held_out)) == codes[held_out]))
        self.agreement_ = {way: share / float(trust.sum()) for way, share in right.items()}
        return max(ways, key=lambda way: self.agreement_[way])

    def _codes_of(self, model: Any, X: Any) -> npt.NDArray[np.int64]:
        return np.searchsorted(self.classes_, labels_of(model, X, self.classes_))

    def _fitted(
        self, how: str, X: Any, codes: Indices, rows: Indices, issues: Any, weights: Any, fit_params: Any
    ) -> Any:
        """A copy of the classifier, fitted on `rows`, of which `issues` speak."""
        labels, keep, trust = codes[rows], np.ones(len(rows), bool), np.ones(len(rows))
        if issues is not None and how != "none":
            wrong, likely = np.asarray(issues.score), np.asarray(issues.likely)
            suspect = _suspects(issues)
            for code in np.setdiff1d(labels, labels[~suspect]):  # no class disappears: its most trusted sample stays
                own = np.flatnonzero(labels == code)
                suspect[own[wrong[own].argmin()]] = False
            if how == "drop":
                keep = ~suspect
            elif how == "relabel":
                keep = ~suspect | (likely != labels)  # a suspect without a likelier label is left out
                labels = np.where(suspect, likely, labels)
            else:
                trust = np.maximum(1 - wrong, 1e-3)
        if weights is not None:
            trust = trust * weights[rows]
        named = dict(fit_params)
        if how == "weight" or weights is not None:
            named[weights_name(self._base()) or ""] = trust[keep]
        model = clone(self._base())
        known = labels[keep] if takes_codes(model) else self.classes_[labels[keep]]
        model.fit(_some(X, rows[keep]), known, **named)
        return model

    # Predicting

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The fitted classifier's labels, (N,)."""
        check_is_fitted(self)
        return labels_of(self.estimator_, self._checked(X), self.classes_)

    @available_if(lambda self: hasattr(self._fitted_or_base(), "predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities of the classes of `classes_`, (N, K)."""
        check_is_fitted(self)
        return probabilities_of(self.estimator_, self._checked(X))

    @available_if(lambda self: hasattr(self._fitted_or_base(), "decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """The fitted classifier's decision values."""
        check_is_fitted(self)
        values: npt.NDArray[np.float64] = self.estimator_.decision_function(self._checked(X))
        return values

    def _fitted_or_base(self) -> Any:
        return getattr(self, "estimator_", None) or self._base()

    def _checked(self, X: Any) -> Any:
        if not _is_plain(X):
            return X
        return validate_data(self, X, accept_sparse=["csr"], dtype=None, ensure_all_finite=False, reset=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        base = get_tags(self._base())
        tags.input_tags.sparse = base.input_tags.sparse
        tags.input_tags.allow_nan = base.input_tags.allow_nan
        return tags


def _suspects(issues: Any) -> npt.NDArray[np.bool_]:
    """Flags of the labels to drop or to exchange."""
    flagged = np.array(issues.is_issue)
    if not issues.informed:
        flagged[issues.ranking[: round(issues.rate * len(flagged))]] = True
    return flagged


def _is_plain(X: Any) -> bool:
    """Numbers in a matrix; frames, pictures and texts go to the classifier as they are."""
    if hasattr(X, "columns") or (isinstance(X, list | tuple) and X and isinstance(X[0], str)):
        return False
    return getattr(X, "ndim", 2) == 2 or np.ndim(X) <= 2


def _some(X: Any, rows: Indices) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else [X[index] for index in rows.tolist()]
