"""Any classifier around which the doctor cleans the labels stays a scikit-learn classifier."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator

from conftest import count
from noiseproof import CleanedClassifier, noise
from noiseproof.errors import InputError, UnknownNameError
from noiseproof.integrations.boosting import objective

CHECKS = ("check_estimators_pickle", "check_classifiers_classes", "check_fit2d_1sample", "check_n_features_in")
CHECKS += (
    "check_estimator_sparse_array",
    "check_dtype_object",
    "check_estimators_unfitted",
    "check_classifiers_one_label",
)


def test_it_obeys_scikit_learns_contract():
    model = CleanedClassifier(LogisticRegression(), how="drop", random_state=0)
    for estimator, check in estimator_checks_generator(model):
        name = check.func.__name__
        if name in CHECKS or count(0, 1):
            check(estimator)


@pytest.fixture(scope="module")
def cancer():
    features, labels = load_breast_cancer(return_X_y=True)
    train, test, train_y, test_y = train_test_split(features, labels, test_size=0.4, random_state=0, stratify=labels)
    return train, noise.corrupt(train_y, "symmetric(0.3)", num_classes=2, seed=0).labels, test, test_y


def test_trees_on_cleaned_labels_beat_trees_on_given_ones(cancer):
    train, given, test, truth = cancer
    trees = HistGradientBoostingClassifier(max_iter=40, random_state=0)
    model = CleanedClassifier(trees, random_state=0).fit(train, given)
    assert set(model.agreement_) == {"none", "drop", "relabel", "weight"}
    assert model.how_ == max(model.agreement_, key=model.agreement_.get) != "none"
    assert model.score(test, truth) > clone(trees).fit(train, given).score(test, truth) + 0.05
    assert abs(model.issues_.rate - 0.3) < 0.1
    assert len(model.issues_.score) == len(given)


def test_frames_text_labels_and_grid_search():
    pandas = pytest.importorskip("pandas")
    data = load_iris(as_frame=True)
    labels = pandas.Series(np.array(["a", "b", "c"])[data.target])
    search = GridSearchCV(
        CleanedClassifier(DecisionTreeClassifier(random_state=0), how="drop", folds=3, random_state=0),
        {"estimator__max_depth": [1, 3]}, cv=2,
    ).fit(data.data, labels)  # fmt: skip
    assert search.best_params_ == {"estimator__max_depth": 3}
    assert set(search.predict(data.data)) == {"a", "b", "c"}
    assert list(search.best_estimator_.feature_names_in_) == list(data.data.columns)


def test_sample_weights_reach_the_classifier_or_are_refused(cancer):
    train, given, *_ = cancer
    weight = np.ones(len(given))
    weight[::2] = 0
    model = CleanedClassifier(DecisionTreeClassifier(random_state=0), how="none", random_state=0)
    weighted = model.fit(train[:60], given[:60], sample_weight=weight[:60]).predict(train)
    alone = DecisionTreeClassifier(random_state=0).fit(train[:60], given[:60], sample_weight=weight[:60])
    np.testing.assert_array_equal(weighted, alone.predict(train))
    with pytest.raises(InputError, match="takes no sample_weight"):
        CleanedClassifier(KNeighborsClassifier()).fit(train, given, sample_weight=weight)
    with pytest.raises(InputError, match="how='drop' or 'relabel'"):
        CleanedClassifier(KNeighborsClassifier(), how="weight").fit(train, given)


def test_a_way_that_does_not_exist_is_refused():
    with pytest.raises(UnknownNameError, match="must be one of auto, none, drop, relabel, weight; got 'remove'"):
        CleanedClassifier(how="remove").fit(np.eye(4), [0, 1, 0, 1])


def test_a_pipeline_takes_weights_through_its_last_step(cancer):
    train, given, test, _ = cancer
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    model = CleanedClassifier(pipeline, how="weight", random_state=0).fit(train, given)
    trust = np.maximum(1 - model.issues_.score, 1e-3)
    alone = clone(pipeline).fit(train, given, logisticregression__sample_weight=trust)
    np.testing.assert_array_equal(model.predict_proba(test), alone.predict_proba(test))


def test_boosters_with_an_objective_of_their_own_predict_labels_and_probabilities(cancer):
    lightgbm = pytest.importorskip("lightgbm")
    train, given, test, truth = cancer
    names = np.array(["benign", "malignant"])
    booster = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, objective=objective("gce"))
    model = CleanedClassifier(booster, how="none", random_state=0).fit(train, names[given])
    assert model.score(test, names[truth]) > 0.8
    p = model.predict_proba(test)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-model.estimator_.predict(test, raw_score=True))), atol=1e-12)
    np.testing.assert_array_equal(model.predict(test), names[p.argmax(1)])


def test_text_labels_go_with_classifiers_that_take_only_numbers(cancer):
    xgboost = pytest.importorskip("xgboost")
    train, given, test, truth = cancer
    names = np.array(["benign", "malignant"])
    model = CleanedClassifier(xgboost.XGBClassifier(n_estimators=20, n_jobs=1), how="drop", random_state=0)
    assert model.fit(train, names[given]).score(test, names[truth]) > 0.8


@pytest.mark.parametrize("informative", [True, False])
def test_what_the_doctor_flags_is_dropped_and_the_worst_where_it_dares_not_flag(informative):
    features, labels = load_iris(return_X_y=True)
    labels[::7] = (labels[::7] + 1) % 3
    if not informative:
        features = np.random.default_rng(0).normal(size=(150, 2))
    model = CleanedClassifier(KNeighborsClassifier(3), how="drop", random_state=0).fit(features, labels)
    assert model.issues_.informed is informative
    dropped = len(model.issues_) if informative else round(model.issues_.rate * len(labels))
    assert model.estimator_.n_samples_fit_ == len(labels) - dropped < len(labels)


def test_no_class_disappears():
    features = np.concatenate([np.random.default_rng(0).normal(size=(60, 3)), np.zeros((2, 3))])
    labels = np.array(["a", "b"])[(features[:, 0] > 0).astype(int)]
    labels[-2:] = "c"  # in the midst of the others
    for how in ("drop", "relabel"):
        model = CleanedClassifier(DecisionTreeClassifier(random_state=0), how=how, random_state=0)
        assert model.fit(features, labels).predict_proba(features).shape == (62, 3)


def test_missing_labels_and_regressors_are_refused():
    with pytest.raises(InputError, match="y holds 1 missing labels, the first in row 2; leave these rows out"):
        CleanedClassifier().fit(np.eye(4), np.array(["a", "b", None, "a"], dtype=object))
    with pytest.raises(InputError, match="needs a classifier, got the regressor LinearRegression"):
        CleanedClassifier(LinearRegression()).fit(np.eye(4), [0, 1, 0, 1])
