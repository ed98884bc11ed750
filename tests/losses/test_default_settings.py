"""Torch's default device and default dtype are the user's own business: no number of ours depends on them.

`torch.set_default_device("cuda")` at the top of a script makes every tensor without `device=` a CUDA tensor. Here the
device is "meta", where a tensor has no numbers, so that a forgotten `device=` cannot go unnoticed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from conftest import seeded
from noiseproof import data, losses, noise, recipes, suggest, theory
from noiseproof.data.pipeline import crops_and_flips as augmentation
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.losses._kernels import cpu
from noiseproof.train import fit


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = {
    "meta": lambda: torch.device("meta"),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
}


@pytest.fixture(params=SETTINGS)
def others(request):
    """Other default settings, as a context."""
    return SETTINGS[request.param]


@pytest.mark.parametrize("kernel", [cpu.kernel, None], ids=["C", "closed form"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("text", losses.LOSSES.names())
def test_losses(text, reduction, kernel, others, monkeypatch):
    monkeypatch.setattr(cpu, "kernel", kernel)
    scores, target = torch.randn(6, 5, generator=seeded(1)), torch.arange(6) % 5
    loss = losses.parse(text, reduction=reduction)
    for way in (loss, loss.formula):
        leaf = scores.clone().requires_grad_()
        expected = way(leaf, target)
        with others():
            found = way(leaf, target)
            (slope,) = torch.autograd.grad(found.sum(), leaf)
        assert torch.equal(found, expected)
        assert found.dtype is torch.float32
        assert torch.equal(slope, torch.autograd.grad(expected.sum(), leaf)[0])


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
def test_theory(name, others):
    expected = THEORY[name]()
    with others():
        found = THEORY[name]()
    assert str(found) == str(expected)


def test_data_noise_and_training(others):
    recipe = recipes.load("digits")
    short = replace(recipe, train=recipe.train.model_copy(update={"epochs": 2}))

    def accuracy(method):
        digits = data.load("digits")
        noisy = noise.corrupt(digits.train.clean.numpy(), "symmetric(0.4)", num_classes=10, seed=1)
        return fit(digits, noisy, method, short, seed=1, device="cpu").accuracy

    for method in ("jal-ce", "lt-apl"):  # without and with a head of its own
        expected = accuracy(method)
        with others():
            found = accuracy(method)
        assert found == expected


@pytest.mark.parametrize("kernel", [augmentation._kernel, None], ids=["C", "torch"])
def test_augmentation(kernel, others, monkeypatch):
    monkeypatch.setattr(augmentation, "_kernel", kernel)
    pixels = torch.randint(0, 256, (20, 3, 12, 12), generator=seeded(1), dtype=torch.uint8)
    split = data.Split(pixels, torch.arange(20) % 2, None, ("cat", "dog"))
    augment = Augment(crop_padding=2, flip=True, rotation=15, mean=(0.48,) * 3, std=(0.21,) * 3)

    def epoch():
        return torch.cat([x for x, _ in Batches(split, 7, augment=augment, seed=1, train=True).epoch()])

    expected = epoch()
    with others():
        assert torch.equal(epoch(), expected)


def test_a_loss_of_the_users_own_is_judged_on_the_cpu(others):
    class Own(losses.Loss):
        def per_class(self, logits):
            return 1 - logits.softmax(1)

    with others():
        assert theory.is_symmetric(Own(), 4)
