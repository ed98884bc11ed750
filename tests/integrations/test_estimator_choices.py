"""Weights of classes, networks of the user's, optimisers and the learning rate of the scikit-learn classifier."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_validate
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

from noiseproof.integrations._fit_check import RATES, Reference, choose_rate, linear_reference
from noiseproof.integrations.sklearn import NoisyLabelClassifier, UnderfitWarning


def table(count: int = 90, classes: int = 3, features: int = 5):
    random = np.random.default_rng(0)
    labels = np.arange(count) % classes
    return random.normal(size=(count, features)) + 2 * np.eye(features)[labels], labels


@pytest.mark.parametrize("names", [np.arange(3), np.array(["a", "b", "c"])], ids=["numbers", "text"])
def test_balanced_classes_are_weighted_by_the_inverse_of_their_number(names):
    features, labels = table()
    kept = np.flatnonzero((labels > 0) | (np.arange(len(labels)) % 4 == 0))
    features, given = features[kept], names[labels[kept]]
    model = {"epochs": 3, "random_state": 0}
    balanced = NoisyLabelClassifier(class_weight="balanced", **model).fit(features, given)
    weights = compute_sample_weight("balanced", given)
    by_hand = NoisyLabelClassifier(**model).fit(features, given, sample_weight=weights)
    named = NoisyLabelClassifier(class_weight=dict(zip(given.tolist(), weights.tolist(), strict=True)), **model)
    expected = by_hand.predict_proba(features)
    np.testing.assert_array_equal(balanced.predict_proba(features), expected)
    np.testing.assert_array_equal(named.fit(features, given).predict_proba(features), expected)
    alone = NoisyLabelClassifier(**model).fit(features, given).predict_proba(features)
    assert not np.array_equal(alone, expected)


def test_balanced_classes_find_the_rare_one():
    random = np.random.default_rng(1)
    labels = (np.arange(400) % 20 == 0).astype(int)
    features = random.normal(size=(400, 2)) + 1.5 * labels[:, None]
    found = {
        weight: NoisyLabelClassifier("ce", class_weight=weight, epochs=15, random_state=0).fit(features, labels)
        for weight in (None, "balanced")
    }
    recall = {weight: (model.predict(features)[labels == 1] == 1).mean() for weight, model in found.items()}
    assert recall["balanced"] > recall[None] + 0.2


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 2))


def test_a_given_network_is_copied_for_every_fit():
    features, labels = table(60, 2, 20)
    given = network()
    before = copy.deepcopy(given.state_dict())
    model = NoisyLabelClassifier("ce", module=given, epochs=2, lr=0.1, random_state=0)
    one, other = (copy.copy(model).fit(features, labels) for _ in "ab")
    assert all(torch.equal(given.state_dict()[key], value) for key, value in before.items())
    ours, theirs = (list(each.net_.module_.parameters()) for each in (one, other))
    assert {id(p) for p in ours}.isdisjoint({id(p) for p in [*theirs, *given.parameters()]})
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_folds_do_not_see_each_other_through_a_given_network():
    """On random labels a network that memorises its fold knows nothing of the others."""
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(120, 20)), random.integers(0, 2, 120)
    model = NoisyLabelClassifier("ce", module=network(), epochs=25, lr=0.1, weight_decay=0.0, random_state=0)
    scores = cross_validate(model, features, labels, cv=3, return_train_score=True)
    assert scores["train_score"].mean() > 0.85
    assert scores["test_score"].mean() < 0.65


@pytest.mark.parametrize(
    ("optimizer", "params", "kind"),
    [
        ("sgd", {"nesterov": True}, torch.optim.SGD),
        ("adam", {"betas": (0.8, 0.99)}, torch.optim.Adam),
        ("adamw", {"weight_decay": 0.25}, torch.optim.AdamW),
        (torch.optim.NAdam, None, torch.optim.NAdam),
        (torch.optim.Rprop, None, torch.optim.Rprop),  # which has no weight decay
    ],
)
def test_the_optimiser_and_its_arguments_are_those_asked_for(optimizer, params, kind):
    features, labels = table()
    model = NoisyLabelClassifier(optimizer=optimizer, optimizer_params=params, epochs=2, random_state=0)
    trained = model.fit(features, labels).net_.optimizer_
    assert type(trained) is kind
    for key, value in (params or {}).items():
        assert trained.param_groups[0][key] == value
    assert trained.param_groups[0]["initial_lr"] == model.lr_ == pytest.approx(0.05 if optimizer == "sgd" else 0.005)


def agreements(*shares: float):
    """A trial that finds these shares at the rates, one after the other; the rates that were tried."""
    tried: list[float] = []

    def agreement(rate, train, held_out):
        assert not set(train) & set(held_out)
        tried.append(rate)
        return shares[RATES.index(rate)]

    return agreement, tried


CODES = np.arange(1_000) % 10


@pytest.mark.parametrize(
    ("shares", "rate", "trials"),
    [
        ((0.50, 0.60, 0.60), RATES[0], 1),  # as good as the linear model: nothing else is tried
        ((0.10, 0.45, 0.60), RATES[1], 2),  # the first collapses
        ((0.10, 0.20, 0.30), RATES[2], 3),  # none is as good: the best
        ((0.29, 0.20, 0.30), RATES[0], 3),  # none is as good: the largest of those that cannot be told apart
    ],
)
def test_the_rate_is_the_first_that_agrees_with_held_out_given_labels(shares, rate, trials):
    agreement, tried = agreements(*shares)
    assert choose_rate(CODES, 0, Reference(0.4, 0.03), agreement) == rate
    assert len(tried) == trials


def test_few_samples_are_not_divided_for_a_trial():
    agreement, tried = agreements(0, 0, 0)
    assert choose_rate(CODES[:99], 0, linear_reference(np.eye(99), CODES[:99], 0), agreement) == RATES[0]
    assert tried == []


def test_a_fit_that_learns_less_than_a_linear_model_is_reported_with_a_remedy():
    features, labels = table(300)
    with pytest.warns(UnderfitWarning, match=r"underfits: .* a linear model predicts .*; try lr=1e-07"):
        NoisyLabelClassifier("gce", lr=5e-7, epochs=10, random_state=0).fit(features, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnderfitWarning)
        model = NoisyLabelClassifier("gce", epochs=10, random_state=0).fit(features, labels)
    assert "advice" not in model.health_ or "underfits" not in model.health_["advice"]
