"""Training health in a loop of one's own, and what is said where numbers are not finite."""

from __future__ import annotations

import pytest
import torch

from conftest import seeded
from noiseproof import data, losses, noise, recipes, train
from noiseproof.losses import Loss
from noiseproof.train.health import LIMIT, health, non_finite, watch


def test_watching_a_loss_says_what_the_record_of_a_run_says():
    digits = data.load("digits")
    noisy = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=1)
    given, clean = torch.as_tensor(noisy.labels), digits.train.clean
    recipe = recipes.load("digits", {"train.epochs": 3})
    outcome = train.fit(digits, noisy, "ce", recipe, seed=1, device="cpu", keep_outputs=True)
    loss = losses.parse("ce")
    with watch(loss) as seen:
        for batch in torch.arange(len(given)).split(100):
            loss(outcome.outputs["train_scores"][batch], given[batch])
    assert seen.report(clean) == pytest.approx(outcome.health)


def test_the_latest_samples_are_kept_and_no_more_than_needed():
    loss = losses.parse("mae")
    with watch(loss) as seen:
        for number in range(5):
            scores = torch.zeros(LIMIT // 2, 3)
            scores[:, number % 3] = 9
            loss(scores, torch.full((LIMIT // 2,), 1 if number == 4 else 2))
    # the last two batches: 0 predicted and called 2, then 1 predicted and called 1
    assert seen.report()["fitted"] == 0.5


def test_dense_labels_ignored_ones_and_soft_ones():
    loss = losses.parse("ce")
    scores = torch.randn(2, 3, 4, 5, generator=seeded(1))
    labels = scores.argmax(1)
    labels[0, 0] = -100
    with watch(loss) as seen:
        loss(scores, labels)
        loss(scores, scores.softmax(1))
    assert seen.report()["fitted"] == 1.0
    with watch(loss) as seen:
        pass
    assert "saw nothing" in seen.report()["advice"]
    with watch(loss) as seen:
        loss(scores, scores.softmax(1))
    assert "soft labels" in seen.report()["advice"]


def test_one_batch_of_very_many_samples_or_classes_is_held_in_part(monkeypatch):
    monkeypatch.setattr("noiseproof.train.health._NUMBERS", 3000)
    loss = losses.parse("ce")
    with watch(loss) as seen:
        for _ in range(3):
            loss(torch.eye(100).repeat(50, 1), torch.arange(100).repeat(50))
    assert sum(logits.numel() for logits, _ in seen._seen) <= 2 * 3000
    assert seen.report()["fitted"] == 1.0


def test_nothing_is_kept_once_watching_ends():
    loss = losses.parse("ce")
    with watch(loss) as seen:
        pass
    loss(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert seen.report().keys() == {"advice"}


class Root(Loss):
    """A term whose slope is infinite where its value is 0."""

    def per_class(self, logits):
        return (logits - logits).abs().sqrt()


def test_numbers_that_are_not_finite_are_named_by_their_term():
    scores, given = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([0])
    assert non_finite(losses.parse("nce + mae"), scores, given) == []
    assert non_finite(losses.parse("nce + mae"), scores / 0, given) == ["scores"]
    assert non_finite(losses.parse("nce") + Root(), scores, given) == [str(Root())]
    told = health(losses.parse("nce") + Root(), scores, given, None)
    assert told == {"non_finite": [str(Root())], "advice": f"diverged: {Root()} not finite; try a smaller train.lr"}


def test_a_run_that_diverged_says_so_in_its_health():
    recipe = recipes.load("digits", {"train.epochs": 2, "train.lr": 1e38, "train.clip_norm": 0})
    outcome = train.fit(data.load("digits"), None, "ce", recipe, seed=1, device="cpu")
    assert outcome.status == "diverged"
    assert outcome.health == {"non_finite": ["scores"], "advice": "diverged: scores not finite; try a smaller train.lr"}
