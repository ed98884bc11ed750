"""Augmentations by name change training samples alone, and depend on seed, epoch and sample alone."""

from __future__ import annotations

import pytest
import torch

from conftest import seeded
from noiseproof import recipes
from noiseproof.data import AUGMENTATIONS, Augmentation, Split
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import InputError, UnknownNameError

NAMES = ("a", "b")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What a test registers is forgotten afterwards."""
    monkeypatch.setattr(AUGMENTATIONS, "_entries", dict(AUGMENTATIONS._entries))

    @AUGMENTATIONS.register("offset")
    class Offset(Augmentation):
        """A random number for each sample."""

        def __init__(self, factor: float = 1.0) -> None:
            self.factor = factor

        def change(self, inputs, u):
            return inputs + self.factor * u.reshape(-1, *[1] * (inputs.dim() - 1))


def vectors(count: int = 12) -> Split:
    labels = torch.arange(count) % 2
    return Split(torch.randn(count, 3, generator=seeded(1)), labels, labels, NAMES)


def pictures(count: int = 12) -> Split:
    pixels = torch.randint(0, 256, (count, 3, 8, 8), generator=seeded(2), dtype=torch.uint8)
    labels = torch.arange(count) % 2
    return Split(pixels, labels, labels, NAMES)


def epoch(split: Split, augment: Augment, number: int = 0, batch_size: int = 5, **options) -> torch.Tensor:
    """The inputs of an epoch in the split's order."""
    batches = Batches(split, batch_size, augment=augment, seed=3, train=True, **options)
    found = torch.empty(len(split), *split.inputs.shape[1:])
    for inputs, index in batches.epoch(number):
        found[index] = inputs
    return found


@pytest.mark.parametrize("split", [vectors(), pictures()], ids=["vectors", "pictures"])
def test_draws_depend_on_seed_epoch_and_sample_alone(split):
    augment = Augment(extra=("offset",))
    first = epoch(split, augment)
    assert torch.equal(first, epoch(split, augment, batch_size=4))
    assert not torch.equal(first, epoch(split, augment, 1))
    shards = [list(Batches(split, 5, augment=augment, seed=3, train=True, shard=(r, 2)).epoch()) for r in range(2)]
    together = torch.empty_like(first)
    for inputs, index in (pair for shard in shards for pair in shard):
        together[index] = inputs
    assert torch.equal(first, together)


def test_the_second_view_has_other_draws_and_the_same_samples():
    batches = Batches(vectors(), 12, augment=Augment(extra=("offset",)), seed=3, train=True)
    ((one, index),), ((other, same),) = batches.view(0).epoch(), batches.view(1).epoch()
    assert torch.equal(index, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("split", [vectors(), pictures()], ids=["vectors", "pictures"])
def test_evaluation_sees_none_of_it_and_zero_strength_changes_nothing(split):
    mean, std = (0.4,) * 3, (0.3,) * 3
    augment, plain = Augment(mean=mean, std=std, extra=("offset",)), Augment(mean=mean, std=std)
    ((seen, _),), ((known, _),) = (Batches(split, 12, augment=each).epoch() for each in (augment, plain))
    assert torch.equal(seen, known)
    unchanged = epoch(split, Augment(mean=mean, std=std, extra=("offset(0)",)))
    torch.testing.assert_close(unchanged, epoch(split, plain))


def test_pictures_are_changed_before_their_mean_is_taken_off():
    augment = Augment(mean=(0.5,) * 3, std=(0.5,) * 3, extra=("cutout(size=16, value=1)",))
    assert epoch(pictures(), augment)[:, :, 4, 4].eq(1).all()  # (1 - mean) / std; a square of 16 covers the middle


def test_a_square_of_cutout_has_its_size_and_lies_everywhere():
    split = pictures(400)
    split.inputs.zero_()
    filled = epoch(split, Augment(extra=("cutout(size=3, value=1)",)))
    areas = filled[:, 0].sum((1, 2))
    assert areas.max() == 9
    assert areas.min() == 4  # in a corner: the middle is inside, a row and a column are not
    assert filled[:, 0].amax(0).eq(1).all()
    assert torch.equal(filled[:, 0], filled[:, 2])


def test_a_recipe_names_them_and_its_name_follows(tmp_path):
    recipe = recipes.load("digits", {"augment.extra": "offset(0.5)"})
    assert recipe.augment.extra == ("offset(factor=0.5)",)
    assert recipe.settings()["augment"]["extra"] == ("offset(factor=0.5)",)
    assert "extra" not in recipes.load("digits").settings()["augment"]
    with pytest.raises(UnknownNameError, match=r"no augmentation named 'ofset'; did you mean 'offset'\?"):
        Augment(extra=("ofset",))
    with pytest.raises(InputError, match="cutout is for pictures"):
        epoch(vectors(), Augment(extra=("cutout",)))


def test_what_an_augmentation_returns_is_checked():
    @AUGMENTATIONS.register("halved-size")
    class Halved(Augmentation):
        def change(self, inputs, u):
            return inputs[:, :1]

    with pytest.raises(InputError, match=r"halved-size: change must return torch.float32 \(5, 3\), got .* \(5, 1\)"):
        epoch(vectors(), Augment(extra=("halved-size",)))
