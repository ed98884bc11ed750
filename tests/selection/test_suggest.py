"""Parameters without training, and the choice among methods that cannot see a clean label."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import noiseproof
from noiseproof import data, losses, noise, recipes, theory, train
from noiseproof.data import Data, Split
from noiseproof.errors import InputError
from noiseproof.selection.suggest import checked_by_training, suggest
from noiseproof.selection.tune import blinded, tune


def pull(text: str, classes: int, p: float) -> float:
    """How strongly the given label's score is pulled where it has probability p and the others share the rest."""
    z = torch.tensor([[math.log(p)] + [math.log((1 - p) / (classes - 1))] * (classes - 1)], dtype=torch.float64)
    z.requires_grad_()
    losses.parse(text).per_class(z)[0, 0].backward()
    return -float(z.grad[0, 0])


def parts(text: str) -> tuple[str, str]:
    (alpha, nce), (beta, amse) = losses.parse(text).terms()
    return f"{alpha!r}*{nce}", f"{beta!r}*{amse}"


@pytest.mark.parametrize("classes", [2, 3, 5, 14, 50, 100, 1000])
def test_no_pull_is_stronger_than_at_ten_classes_and_the_stricter_one_is_as_strong(classes):
    nce, amse = parts(suggest(classes).method)
    nce_at_ten, amse_at_ten = parts(suggest(10).method)
    assert pull(nce, classes, 1 / classes) == pytest.approx(pull(nce_at_ten, 10, 0.1), rel=0.1)
    untrained = pull(amse, classes, 1 / classes) / pull(amse_at_ten, 10, 0.1)
    half_sure = pull(amse, classes, 0.5) / pull(amse_at_ten, 10, 0.5)
    # at p = 1/2 AMSE's own small part, ||p||^2, depends on K a little
    assert max(untrained, half_sure) == pytest.approx(1, rel=0.2)
    assert (untrained > half_sure) == (classes < 10)


@pytest.mark.parametrize(("classes", "rate"), [(3, 0.0), (3, 0.5), (10, 0.2), (10, 0.8), (40, 0.9)])
def test_what_is_suggested_tolerates_the_noise(classes, rate):
    matrix = noise.parse(f"symmetric({rate})").matrix(classes) if rate else np.eye(classes)
    found = suggest(classes, transition=matrix)
    assert theory.tolerance(found.method, matrix)
    assert found.a >= 1.9 * found.smallest_a or found.a == 30


def test_a_rate_means_noise_spread_evenly():
    one, other = suggest(10, rate=0.4), suggest(10, transition=noise.parse("symmetric(0.4)").matrix(10))
    assert one.method == other.method
    assert one.smallest_a == pytest.approx(1.8)
    assert other.margin == pytest.approx(0.6 - 0.4 / 9)


@pytest.mark.parametrize(("change", "times"), [({"train.epochs": 10}, 4), ({"train.batch_size": 128}, 2), ({}, 1)])
def test_a_short_training_is_given_stronger_pulls(change, times):
    found = suggest(10, recipe=recipes.load("digits", change))
    (alpha, _), (beta, _) = losses.parse(found.method).terms()
    assert alpha == pytest.approx(0.6 * times)
    assert beta == pytest.approx(0.12 * times)


def test_a_long_training_is_given_the_usual_ones_and_a_tiny_one_not_more_than_ten_times():
    assert suggest(10, recipe=recipes.load("digits", {"train.epochs": 4000})).method == suggest(10).method
    assert suggest(10, recipe=recipes.load("digits", {"train.epochs": 1})).method == "6*nce + 1.2*amse"


def test_a_class_that_is_lost_is_said_to_be():
    found = suggest(3, transition=[[0.3, 0.7, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert math.isinf(found.smallest_a)
    assert any("class 0" in reason and "no loss" in reason for reason in found.reasons)
    assert found.to_json()["smallest_a"] is None
    losses.parse(found.method)


def test_impossible_requests_are_refused():
    for arguments in (
        {"rate": 1.5},
        {"rate": -0.1},
        {"rate": 0.1, "transition": np.eye(10)},
        {"transition": np.eye(3)},
    ):
        with pytest.raises(InputError):
            noiseproof.suggest(10, **arguments)
    with pytest.raises(InputError, match="num_classes"):
        noiseproof.suggest(1)


def test_the_suggestion_beats_cross_entropy_on_noise_it_was_not_tuned_on():
    digits = data.load("digits")
    noisy = noise.corrupt(digits.train.given, "symmetric(0.5)", num_classes=10, seed=5)
    recipe = recipes.load("digits", {"train.epochs": 25})
    found = train.fit(digits, noisy, suggest(10, rate=0.5).method, recipe, seed=5)
    plain = train.fit(digits, noisy, "ce", recipe, seed=5)
    assert found.accuracy > plain.accuracy + 10


def test_a_rate_needs_no_matrix_of_all_classes():
    """32,000 classes: a matrix of them would take 8 GB."""
    found = suggest(32_000, rate=0.5)
    assert found.margin == pytest.approx(0.5 - 0.5 / 31_999)
    losses.parse(found.method)


def test_little_noise_is_said_to_need_no_robust_loss():
    assert any("plain ce" in reason for reason in suggest(10, rate=0.05).reasons)
    assert not any("plain ce" in reason for reason in suggest(10, rate=0.4).reasons)


SUGGESTED = suggest(10, rate=0.05).method


@pytest.mark.parametrize(("best", "said"), [("ce", True), ("gce", False), (SUGGESTED, False)])
def test_the_reasons_are_those_of_the_method_that_training_prefers(best, said, monkeypatch):
    choice = SimpleNamespace(method=best, held_out=20, trials=[SimpleNamespace(method=best, accuracy=90.0)])
    monkeypatch.setattr(sys.modules["noiseproof.selection.tune"], "tune", lambda *arguments, **options: choice)
    found = checked_by_training(suggest(10, rate=0.05), data.load("digits"), "digits")
    assert found.method == best
    assert any("plain ce is as good" in reason for reason in found.reasons) == said
    assert any("factor" in reason for reason in found.reasons) == (best == SUGGESTED)


def test_with_data_the_suggestion_is_the_candidate_that_agrees_best():
    digits = data.load("digits")
    part = digits.train.take(range(600))
    found = suggest(data=replace(digits, train=part), recipe=recipes.load("digits", {"train.epochs": 4}))
    assert "held-out given labels" in found.reasons[0]
    shares = [float(each.split()[-2]) for each in found.reasons[0].split(": ", 1)[1].split(", ")]
    assert shares == sorted(shares, reverse=True)
    assert found.reasons[0].split(": ", 1)[1].startswith(found.method)
    with pytest.raises(InputError, match="num_classes or data"):
        suggest()


# Choosing by held-out given labels


def test_nothing_clean_reaches_the_choice():
    """The candidates see given labels alone: other clean labels and another test split change nothing."""
    digits = data.load("digits")
    noisy = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=1)
    blind = blinded(digits, noisy)
    assert blind.train.clean is None
    assert blind.test.clean is None
    together = torch.cat([blind.train.given, blind.test.given])
    assert sorted(together.tolist()) == sorted(noisy.labels.tolist())
    nonsense = Split(digits.test.inputs, digits.test.given.flip(0), None, digits.classes)
    other = replace(digits, train=replace(digits.train, clean=digits.train.given.flip(0)), test=nonsense)
    recipe = recipes.load("digits", {"train.epochs": 3})
    one, two = (tune(which, noisy, ["ce", "gce"], recipe, seed=1) for which in (digits, other))
    assert [vars(trial) for trial in one.trials] == [vars(trial) for trial in two.trials]


def test_the_choice_is_the_best_on_held_out_given_labels():
    digits = data.load("digits")
    noisy = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=1)
    seen = []
    choice = tune(
        digits,
        noisy,
        ["ce", "jal-ce"],
        recipes.load("digits", {"train.epochs": 12}),
        on_trial=lambda name, accuracy: seen.append((name, accuracy)),
    )
    assert choice.method == "jal-ce"
    assert seen == [(one.method, one.accuracy) for one in reversed(choice.trials)]
    assert choice.held_out == pytest.approx(len(digits.train) / 5, rel=0.05)
    assert "chosen: jal-ce" in str(choice)
    assert choice.to_json()["method"] == "jal-ce"


def test_a_candidate_that_diverges_comes_last():
    digits = data.load("digits")
    recipe = recipes.load("digits", {"train.epochs": 2, "train.clip_norm": 0, "train.lr": 3e38})
    with pytest.raises(InputError, match="diverged"):
        tune(digits, None, ["ce"], recipe)


def test_tiny_or_empty_requests_are_refused():
    tiny = Split(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]), None, ("a", "b"))
    with pytest.raises(InputError, match="too few"):
        tune(Data("tiny", tiny, tiny, ""), None, ["ce"], recipes.load("digits"))
    with pytest.raises(InputError, match="at least one"):
        tune(Data("tiny", tiny, tiny, ""), None, [], recipes.load("digits"))


def test_where_few_labels_are_wrong_equals_go_to_plain_cross_entropy():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    inputs = torch.tensor(random.normal(size=(60, 3)) + 8 * labels[:, None], dtype=torch.float32)
    split = Split(inputs, torch.tensor(labels), None, ("a", "b"))
    found = suggest(2, rate=0.05, data=Data("two blobs", split, split, fingerprint=""))
    assert found.method == "ce"
    assert "100.0 %" in found.reasons[0]
