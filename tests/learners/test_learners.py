"""Learners: closed forms against foreign references, arrays of trees against the forests they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from noiseproof import learners, noise
from noiseproof.errors import DataError
from noiseproof.learners import ensemble_weights, heads, robust_training
from noiseproof.learners.discriminant import fit_discriminant
from noiseproof.learners.noise_model import fit_noise_model, softmax
from noiseproof.learners.trees import boosting, extra_trees, trees_of_boosting, trees_of_forest

WINE = load_wine()
X = ((WINE.data - WINE.data.mean(0)) / WINE.data.std(0)).astype(np.float32)
Y = WINE.target.astype(np.int64)


def test_the_discriminant_without_shrinkage_ranks_as_sklearns():
    """The covariance of all rows and that within classes give the same directions, up to the factor and the offset."""
    ours = fit_discriminant(X.astype(np.float64), np.eye(3)[Y]).head(1e-9, 0.0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(X, Y)
    assert (heads.logits(ours, X).argmax(1) == theirs.predict(X)).mean() > 0.98


def test_arrays_of_a_forest_give_its_probabilities():
    forest, judged = extra_trees(X, Y, 3, trees=20)
    found = softmax(heads.logits(trees_of_forest(forest, 3), X))
    np.testing.assert_allclose(found, forest.predict_proba(X), atol=1e-5)
    assert judged.shape == (178, 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_arrays_of_boosting_give_its_probabilities(classes):
    rows = classes > Y
    machine = boosting(X[rows], Y[rows])
    found = softmax(heads.logits(trees_of_boosting(machine, classes), X))
    np.testing.assert_allclose(found, machine.predict_proba(X), atol=1e-5)


def test_a_threshold_between_two_float32_keeps_its_side():
    from noiseproof.learners.trees import _just_below

    values = np.linspace(0.1, 0.2, 1001, dtype=np.float32)
    thresholds = (values[:-1].astype(np.float64) + values[1:]) / 2
    assert (values[:-1] <= _just_below(thresholds)).all()
    assert (values[1:] > _just_below(thresholds)).all()


def test_the_noise_model_finds_rate_and_matrix():
    generator = np.random.default_rng(0)
    clean = generator.integers(0, 3, 6000)
    given = np.asarray(noise.corrupt(clean, "symmetric(0.3)", num_classes=3, seed=1).labels)
    found = fit_noise_model(4 * np.eye(3)[clean] + generator.normal(size=(6000, 3)), given)
    assert found.rate == pytest.approx(0.3, abs=0.03)
    np.testing.assert_allclose(np.diag(found.transition), 0.7, atol=0.04)
    np.testing.assert_allclose(found.posterior.sum(1), 1)


def test_the_choice_looks_at_given_labels_alone_and_learns_the_true_ones():
    given = np.asarray(noise.corrupt(Y, "symmetric(0.3)", num_classes=3, seed=1).labels)
    choice = learners.choose(X, given, 3, kind="vectors")
    assert (heads.logits(choice.head, X).argmax(1) == Y).mean() > 0.9
    assert {one.name for one in choice.candidates} >= {"blend", "extra trees", "boosting", "kernel", "gce", "jal-ce"}
    assert choice.name in choice.table()
    (blend,) = (one for one in choice.candidates if one.name == "blend")
    assert sum(blend.parts.values()) == pytest.approx(1, abs=1e-5)  # each is rounded


def test_two_learners_that_err_on_different_rows_are_blended():
    rows = np.arange(4)
    first, second = np.full((4, 2), 0.5), np.full((4, 2), 0.5)
    first[:2], second[2:] = [[0.9, 0.1], [0.1, 0.9]], [[0.9, 0.1], [0.1, 0.9]]
    first[2:], second[:2] = [[0.4, 0.6], [0.6, 0.4]], [[0.4, 0.6], [0.6, 0.4]]
    weights = ensemble_weights.blend_weights({"first": first, "second": second}, rows % 2)
    blend = weights["first"] * first + weights["second"] * second
    assert (blend.argmax(1) == rows % 2).all()


KNOTS = np.sort(np.random.default_rng(0).normal(size=(4, 8)))
SIMILAR = heads.Linear(np.ones((3, 6)), np.ones(3))


@pytest.mark.parametrize(
    "head",
    [
        heads.Linear(np.ones((3, 4)), np.arange(3)),
        heads.Perceptron([4, 5, 3]),
        heads.Kernel(
            np.sort(np.random.default_rng(0).normal(size=(4, 8))),
            np.ones((6, 4)),
            0.1,
            heads.Linear(np.ones((3, 6)), np.ones(3)),
        ),
    ],
    ids=lambda head: head.form,
)
def test_a_head_comes_back_from_its_description_and_arrays(head):
    blend = heads.Blend([head, heads.Linear(np.ones((3, 4)), np.zeros(3))], [0.3, 0.7], 2.0)
    again = heads.build(blend.config())
    again.load_state_dict(blend.state_dict())
    some = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(some), blend(some))


def test_a_form_that_is_not_known_is_refused():
    with pytest.raises(DataError, match="a head of form 'pickle' is not known"):
        heads.build({"form": "pickle"})


def test_heads_on_frozen_features_have_the_same_budget_and_say_what_they_chose():
    generator = np.random.default_rng(0)
    truth = np.arange(400) % 4
    vectors = (2 * np.eye(8)[truth] + 0.5 * generator.normal(size=(400, 8))).astype(np.float32)
    given = np.where(generator.random(400) < 0.3, generator.integers(0, 4, 400), truth)
    found = learners.choose(vectors, given, 4, kind="pictures")
    settings = {one.name: one.setting for one in found.candidates}
    assert settings.keys() == {"discriminant", "gce", "jal-ce", "nce+rce", "elr"}
    assert all("the best of 3" in setting for name, setting in settings.items() if name != "discriminant")
    assert all(setting in found.table() for setting in settings.values())
    for one in found.candidates:
        assert (one.logits.argmax(1) == truth).mean() > 0.9, one.name  # they resist a fifth of wrong labels


def test_a_head_is_trained_by_one_thread_and_the_callers_number_is_put_back(monkeypatch):
    """The steps are too small to share: on a busy machine two threads took 30 times as long as one."""
    seen: list[int] = []
    parse = robust_training.losses.parse

    def watched(text):
        loss = parse(text)
        return lambda logits, labels: (seen.append(torch.get_num_threads()), loss(logits, labels))[1]

    monkeypatch.setattr(robust_training.losses, "parse", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        robust_training.robust_head(X, Y, 3, "gce", epochs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


@pytest.mark.parametrize(
    ("name", "counts"),
    [("boosting", [1, 1]), ("logistic regression", [3, 1]), ("logistic regression", [2, 1, 1])],
)
def test_learners_take_folds_that_leave_one_class(name, counts):
    given = np.repeat(np.arange(len(counts)), counts)
    found = learners.choose(X[: len(given)], given, len(counts), kind="columns", only=name)
    assert np.isfinite(heads.logits(found.head, X)).all()
