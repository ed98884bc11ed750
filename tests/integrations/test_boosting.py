"""Objectives for boosted trees: gradient of the loss, positive curvature, labels in any booster's layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from noiseproof import losses, noise
from noiseproof.errors import InputError
from noiseproof.integrations.boosting import catboost_objective, gradient_and_curvature, objective
from noiseproof.losses import LOSSES

ROBUST = ["mae", "gce(q=0.7)", "nce + amse(a=30)", "5*nce + 5*nnce"]


def scores(rows: int, classes: int) -> np.ndarray:
    return np.random.default_rng(1).normal(scale=3, size=(rows, classes))


@pytest.mark.parametrize("text", ROBUST)
@pytest.mark.parametrize("classes", [2, 5])
def test_the_gradient_points_along_the_losss_own_and_the_curvature_is_positive(text, classes):
    raw, labels = scores(40, classes), np.arange(40) % classes
    gradient, curvature = gradient_and_curvature(losses.parse(text), raw, labels)
    z = torch.tensor(raw, requires_grad=True)
    losses.parse(text, reduction="sum")(z, torch.from_numpy(labels)).backward()
    scale = np.linalg.norm(gradient) / z.grad.norm().item()
    np.testing.assert_allclose(gradient, scale * z.grad.numpy(), rtol=1e-6, atol=1e-9)
    assert (curvature > 0).all()


def test_cross_entropy_is_the_boosters_own_objective():
    raw, labels = scores(30, 4), np.arange(30) % 4
    gradient, curvature = objective("ce")(labels, raw)
    p = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    np.testing.assert_allclose(gradient, p - np.eye(4)[labels], atol=1e-12)
    np.testing.assert_allclose(curvature, np.maximum(2 * p * (1 - p), 1e-6), atol=1e-12)
    z, sign = raw[:, 0], np.arange(30) % 2
    gradient, curvature = objective("ce")(sign, z)
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(gradient, p - sign, atol=1e-12)
    np.testing.assert_allclose(curvature, np.maximum(p * (1 - p), 1e-6), atol=1e-12)


@pytest.mark.parametrize("entry", list(LOSSES), ids=lambda entry: entry.name)
def test_every_loss_gives_finite_numbers_at_extreme_scores(entry):
    raw = np.array([[0.0, 0.0, 0.0], [700.0, -700.0, 0.0], [-50.0, 50.0, 0.0]])
    gradient, curvature = objective(entry.cls(), 3)(np.array([0, 1, 2]), raw)
    assert np.isfinite(gradient).all()
    assert (curvature > 0).all()


def test_weights_multiply_and_a_flat_vector_is_class_after_class():
    raw, labels, weight = scores(12, 3), np.arange(12) % 3, np.linspace(0, 2, 12)
    gradient, curvature = objective("gce", 3)(labels, raw)
    weighted, _ = objective("gce", 3)(labels, raw, weight)
    np.testing.assert_allclose(weighted, gradient * weight[:, None])
    flat, flat_curvature = objective("gce", 3)(labels, raw.T.reshape(-1))
    np.testing.assert_array_equal(flat, gradient.T.reshape(-1))
    np.testing.assert_array_equal(flat_curvature, curvature.T.reshape(-1))


def test_a_number_of_classes_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="do not fit 12 labels of 4 classes"):
        objective("gce", 4)(np.zeros(12), scores(12, 3))


@pytest.fixture(scope="module")
def table():
    features, labels = load_breast_cancer(return_X_y=True)
    train, test, train_y, test_y = train_test_split(features, labels, test_size=0.4, random_state=0, stratify=labels)
    return train, noise.corrupt(train_y, "symmetric(0.3)", num_classes=2, seed=0).labels, test, test_y


def test_lightgbm_with_a_robust_objective_beats_its_own_on_a_table_with_30_percent_wrong(table):
    lightgbm = pytest.importorskip("lightgbm")
    train, given, test, truth = table
    settings = {"n_estimators": 60, "verbose": -1, "n_jobs": 1}
    own = (lightgbm.LGBMClassifier(**settings).fit(train, given).predict(test) == truth).mean()
    model = lightgbm.LGBMClassifier(objective=objective("gce", 2), **settings).fit(train, given)
    assert ((model.predict(test, raw_score=True) > 0) == truth).mean() > own


def test_xgboost_takes_it_in_both_of_its_interfaces(table):
    xgboost = pytest.importorskip("xgboost")
    train, given, test, truth = table
    model = xgboost.XGBClassifier(n_estimators=20, n_jobs=1, objective=objective("gce", 2)).fit(train, given)
    assert ((model.predict(test, output_margin=True) > 0) == truth).mean() > 0.8
    three = xgboost.DMatrix(train[:90], label=np.arange(90) % 3)
    native = xgboost.train({"num_class": 3, "disable_default_eval_metric": True}, three, 2, obj=objective("gce", 3))
    assert native.predict(three, output_margin=True).shape == (90, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [2, 3])
def test_catboost_takes_it(table, classes):
    catboost = pytest.importorskip("catboost")
    train, given, test, truth = table
    labels = given if classes == 2 else np.where(train[:, 0] > 15, 2, given)
    metric = "Logloss" if classes == 2 else "MultiClass"
    model = catboost.CatBoostClassifier(
        iterations=5,
        verbose=0,
        thread_count=1,
        allow_writing_files=False,
        loss_function=catboost_objective("gce"),
        eval_metric=metric,
    ).fit(train[:100], labels[:100])
    raw = model.predict(test, prediction_type="RawFormulaVal")
    predicted = raw > 0 if classes == 2 else raw.argmax(1)
    expected = truth if classes == 2 else np.where(test[:, 0] > 15, 2, truth)
    assert (predicted == expected).mean() > 0.6


def test_a_published_method_has_the_papers_parameters_for_the_classes():
    raw, labels = scores(12, 100), np.arange(12)
    expected = objective(losses.parse("jal-ce", num_classes=100))(labels, raw)
    np.testing.assert_array_equal(objective("jal-ce")(labels, raw), expected)


@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 1], [0.5, 0.0, 1.0]])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(InputError, match=r"labels must (lie|be integers) in 0\.\.2"):
        objective("gce", 3)(np.array(labels), scores(3, 3))


def test_xgboost_hands_over_the_samples_weights(table):
    xgboost = pytest.importorskip("xgboost")
    train, given, *_ = table
    weight = np.linspace(0.1, 2, len(given))
    settings = {"n_estimators": 3, "n_jobs": 1, "base_score": 0.5}
    ours = xgboost.XGBClassifier(objective=objective("ce"), **settings).fit(train, given, sample_weight=weight)
    own = xgboost.XGBClassifier(**settings).fit(train, given, sample_weight=weight)
    np.testing.assert_allclose(ours.predict_proba(train), own.predict_proba(train), atol=1e-3)
