"""Torch's default device is the user's own business: where we compute on the CPU, nothing depends on it.

`torch.set_default_device("cuda")` at the top of a script makes every tensor without `device=` a CUDA tensor. Here the
device is "meta", where a tensor has no numbers, so that a forgotten `device=` cannot go unnoticed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from conftest import seeded
from noiseproof import data, losses, noise, recipes, suggest, theory
from noiseproof.data import augment as augmentation
from noiseproof.data.augment import Augment
from noiseproof.data.batches import Batches
from noiseproof.train import fit

THEORY = {
    "is_active": lambda: theory.is_active("nce + amse(a=30)", 4),
    "is_passive": lambda: theory.is_passive("mae", 4),
    "is_symmetric": lambda: theory.is_symmetric("mae", 4),
    "is_asymmetric": lambda: theory.is_asymmetric("agce(a=6, q=1.5)", [0.6, 0.3, 0.1]),
    "asymmetry_ratio": lambda: theory.asymmetry_ratio("gce"),
    "tolerance": lambda: theory.tolerance("nce + amse(a=30)", [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]),
    "suggest": lambda: suggest(10, rate=0.4),
}


@pytest.mark.parametrize("name", THEORY)
def test_theory(name):
    expected = THEORY[name]()
    with torch.device("meta"):
        found = THEORY[name]()
    assert str(found) == str(expected)


def test_data_noise_and_training():
    recipe = recipes.load("digits")
    short = replace(recipe, train=recipe.train.model_copy(update={"epochs": 2}))

    def accuracy(method):
        digits = data.load("digits")
        noisy = noise.corrupt(digits.train.clean.numpy(), "symmetric(0.4)", num_classes=10, seed=1)
        return fit(digits, noisy, method, short, seed=1, device="cpu").accuracy

    for method in ("jal-ce", "lt-apl"):  # without and with a head of its own
        expected = accuracy(method)
        with torch.device("meta"):
            assert accuracy(method) == expected


@pytest.mark.parametrize("kernel", [augmentation._kernel, None], ids=["C", "torch"])
def test_augmentation(kernel, monkeypatch):
    monkeypatch.setattr(augmentation, "_kernel", kernel)
    pixels = torch.randint(0, 256, (20, 3, 12, 12), generator=seeded(1), dtype=torch.uint8)
    split = data.Split(pixels, torch.arange(20) % 2, None, ("cat", "dog"))
    augment = Augment(crop_padding=2, flip=True, rotation=15, mean=(0.5,) * 3, std=(0.2,) * 3)

    def epoch():
        return torch.cat([x for x, _ in Batches(split, 7, augment=augment, seed=1, train=True).epoch()])

    expected = epoch()
    with torch.device("meta"):
        assert torch.equal(epoch(), expected)


def test_a_loss_of_the_users_own_is_judged_on_the_cpu():
    class Own(losses.Loss):
        def per_class(self, logits):
            return 1 - logits.softmax(1)

    with torch.device("meta"):
        assert theory.is_symmetric(Own(), 4)
