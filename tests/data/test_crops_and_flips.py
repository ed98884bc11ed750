"""Augmentation: Pillow's pixels, the same draws everywhere, every sample once an epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from conftest import count, seeded
from noiseproof import rng
from noiseproof.data import Split
from noiseproof.data.pipeline import crops_and_flips as augmentation
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import (
    Augment,
    Draws,
    _crops_at_once,
    _crops_in_steps,
    _turns,
    cut,
    draw,
    normalise,
    pad,
    rotate,
)
from noiseproof.errors import InputError

CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.247, 0.2435, 0.2616)}


def images(number: int, size: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (number, channels, size, size), generator=seeded(seed), dtype=torch.uint8)


def split_of(inputs: Tensor) -> Split:
    return Split(inputs, torch.zeros(len(inputs), dtype=torch.int64), None, ("a", "b"))


def by_pillow(image: Tensor, top: int, left: int, flip: bool, degrees: float, padding: int) -> np.ndarray:
    """One image through Pillow: pad, crop, mirror, rotate."""
    picture = Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy())
    size = picture.size
    bordered = Image.new(picture.mode, (size[0] + 2 * padding, size[1] + 2 * padding))
    bordered.paste(picture, (padding, padding))
    picture = bordered.crop((left, top, left + size[0], top + size[1]))
    if flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if degrees:
        picture = picture.rotate(degrees)
    found = np.asarray(picture)
    return found.transpose(2, 0, 1) if found.ndim == 3 else found[None]


def angles_of(number: int, seed: int, epoch: int) -> np.ndarray:
    """The angles that the upper 23 bits of each sample's word stand for, from -20 to 20."""
    top = rng.random_uint64(number, seed, "augment", epoch) >> np.uint64(41)
    return (2 * (top.astype(float) + 0.5) / 2**23 - 1) * 20


# Pixels


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1), (24, 3), (7, 3)])
def test_crop_and_flip_make_pillows_pixels(size, channels):
    batch = images(60, size, channels)
    augment = Augment(crop_padding=4, flip=True)
    draws = draw(augment, 60, size=(size, size), starts=9, seed=1, epoch=2)
    found = cut(pad(batch, 4), torch.arange(60), draws, (size, size))
    for i in range(60):
        top, left, flip = draws.top[i].item(), draws.left[i].item(), draws.flip[i].item()
        assert np.array_equal(found[i].numpy(), by_pillow(batch[i], top, left, bool(flip), 0, 4))
    assert {draws.top.min().item(), draws.top.max().item()} == {0, 8}
    assert draws.flip.float().mean().item() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("size", [32, 28, 33])
def test_rotation_makes_pillows_pixels_at_every_angle(size):
    number = count(400, 20_000)
    angles = np.random.default_rng(0).uniform(-20, 20, number)
    angles[:4] = 0.0, 20.0, -20.0, 1e-9
    batch = images(50, size)
    turns = torch.from_numpy(_turns(angles, (size, size)))
    for start in range(0, number, 50):
        found = rotate(batch, turns[start : start + 50])
        for i in range(50):
            wanted = by_pillow(batch[i], 0, 0, False, angles[start + i], 0)
            assert np.array_equal(found[i].numpy(), wanted), angles[start + i]


def test_the_whole_chain_of_a_batch_is_pillows_chain():
    batch = images(200)
    augment = Augment(crop_padding=4, flip=True, rotation=20)
    (found, index), *_ = Batches(split_of(batch), 200, augment=augment, seed=3, train=True).epoch(5)
    draws = draw(augment, 200, size=(32, 32), starts=9, seed=3, epoch=5)
    angles = angles_of(200, 3, 5)
    for place, i in enumerate(index.tolist()):
        top, left, flip = draws.top[i].item(), draws.left[i].item(), draws.flip[i].item()
        wanted = by_pillow(batch[i], top, left, bool(flip), angles[i], 4)
        assert torch.equal((found[place] * 255).round().byte(), torch.from_numpy(wanted.copy()))


def test_normalised_pixels_are_torchvisions_to_the_last_bits():
    batch = images(20)
    found = normalise(batch, **CIFAR)
    mean, std = (torch.tensor(CIFAR[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close(found, (batch.float() / 255 - mean) / std, rtol=1e-6, atol=1e-6)
    assert found.dtype == torch.float32
    assert normalise(batch, (), ()).max() <= 1


@pytest.mark.parametrize("normal", [{}, CIFAR])
@pytest.mark.parametrize("rotation", [0.0, 20.0, 180.0])
@pytest.mark.parametrize(("height", "width", "padding"), [(32, 32, 4), (28, 28, 0), (7, 19, 3), (1, 5, 1), (33, 70, 9)])
def test_the_kernel_and_torchs_steps_make_the_same_batch_to_the_bit(height, width, padding, rotation, normal):
    pixels = torch.randint(0, 256, (64, 3, height, width), generator=seeded(2), dtype=torch.uint8)
    augment = Augment(crop_padding=padding, flip=True, rotation=rotation, **normal)
    size, starts = (height, width), 2 * padding + 1
    index = torch.randperm(64, generator=seeded(1))[:50]
    drawn = draw(augment, 64, size=size, starts=starts, seed=1, epoch=0).take(index)
    asked = (pad(pixels, padding), index, drawn, size, augment.mean, augment.std)
    assert augmentation._kernel is not None, "built where the tests run"
    assert torch.equal(_crops_at_once(*asked), _crops_in_steps(*asked))


def test_without_the_compiled_kernel_the_batches_are_the_same(monkeypatch):
    def epoch() -> list[torch.Tensor]:
        augment = Augment(crop_padding=2, flip=True, rotation=5, **CIFAR)
        return [x for x, _ in Batches(split_of(images(30)), 7, augment=augment, seed=1, train=True).epoch()]

    with_kernel = epoch()
    monkeypatch.setattr(augmentation, "_kernel", None)
    for mine, other in zip(with_kernel, epoch(), strict=True):
        assert torch.equal(mine, other)


def test_the_kernel_takes_no_call_but_the_batches():
    with pytest.raises(TypeError, match="crops takes 15 numbers, got 2"):
        augmentation._kernel.crops(1, 2)
    with pytest.raises(TypeError):
        augmentation._kernel.crops(*["address"] * 15)
    with pytest.raises(ValueError, match="at most 4096 wide, got 5000"):
        augmentation._kernel.crops(0, 3, 1, 5000, 1, 5000, 0, 0, 0, 0, 0, 1, 0, 0, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_batches():
    batch, augment = images(300), Augment(crop_padding=4, flip=True, rotation=20, **CIFAR)
    here = Batches(split_of(batch), 128, augment=augment, seed=1, train=True).epoch(2)
    there = Batches(split_of(batch), 128, augment=augment, seed=1, train=True, device="cuda").epoch(2)
    for (x, i), (gpu_x, gpu_i) in zip(here, there, strict=True):
        assert torch.equal(i, gpu_i.cpu())
        torch.testing.assert_close(x, gpu_x.cpu(), rtol=1e-6, atol=1e-6)


# Draws


def test_a_samples_draws_depend_on_seed_epoch_and_sample_alone():
    augment = Augment(crop_padding=4, flip=True, rotation=20)

    def drawn(number: int, **key: int) -> Draws:
        return draw(augment, number, size=(32, 32), starts=9, **key)

    many, few = drawn(1000, seed=1, epoch=2), drawn(10, seed=1, epoch=2)
    for name in ("top", "left", "flip", "turn"):
        assert torch.equal(getattr(many, name)[:10], getattr(few, name))
    for other in (drawn(1000, seed=1, epoch=3), drawn(1000, seed=2, epoch=2)):
        assert not torch.equal(many.top, other.top)
        assert not torch.equal(many.turn, other.turn)


def test_windows_flips_and_angles_are_uniform_and_independent():
    number = 90_000
    draws = draw(Augment(crop_padding=4, flip=True, rotation=20), number, size=(32, 32), starts=9, seed=0, epoch=0)
    cells = torch.bincount(draws.top * 18 + draws.left * 2 + draws.flip, minlength=162).double()
    expected = number / 162
    chi_square = ((cells - expected) ** 2 / expected).sum().item()
    assert 100 < chi_square < 240  # 161 degrees of freedom: 1e-4 on either side
    angles = torch.atan2(-draws.turn[:, 1].double(), draws.turn[:, 0].double()).rad2deg().numpy()
    steps = np.abs(np.sort(angles) - np.linspace(-20, 20, number)).max() / 40
    assert steps < 1.95 / number**0.5  # Kolmogorov: 1e-3
    assert abs(np.corrcoef(angles, draws.top)[0, 1]) < 0.015


# Batches


def test_every_sample_comes_once_an_epoch_and_the_last_batch_is_kept():
    split = split_of(images(50))
    batches = Batches(split, 16, augment=Augment(crop_padding=4), seed=1, train=True)
    first, second = ([index for _, index in batches.epoch(epoch)] for epoch in (0, 1))
    assert [len(index) for index in first] == [16, 16, 16, 2]
    assert len(batches) == 4
    assert sorted(torch.cat(first).tolist()) == list(range(50))
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    again = Batches(split, 16, augment=Augment(), seed=1, train=True)
    assert torch.cat([index for _, index in again.epoch(1)]).tolist() == torch.cat(second).tolist()


def test_evaluation_leaves_order_and_pixels_alone():
    batch = images(20)
    augment = Augment(crop_padding=4, flip=True, rotation=20, **CIFAR)
    found = list(Batches(split_of(batch), 8, augment=augment).epoch())
    assert torch.cat([index for _, index in found]).tolist() == list(range(20))
    assert torch.equal(torch.cat([x for x, _ in found]), normalise(batch, **CIFAR))


@pytest.mark.parametrize("inputs", [images(37), torch.randn(37, 5, generator=seeded(0))])
def test_a_run_that_starts_in_the_middle_sees_the_same_batches(inputs):
    batches = Batches(split_of(inputs), 10, augment=Augment(crop_padding=2, flip=True), seed=4, train=True)
    whole, rest = list(batches.epoch(3)), list(batches.epoch(3, start=2))
    assert len(rest) == 2
    for (x, i), (y, j) in zip(whole[2:], rest, strict=True):
        assert torch.equal(x, y)
        assert torch.equal(i, j)
    assert list(batches.epoch(3, start=4)) == []


def test_shards_share_out_each_batch_and_change_no_pixel():
    split, augment = split_of(images(37)), Augment(crop_padding=4, flip=True, rotation=20)
    batches = Batches(split, 12, augment=augment, seed=1, train=True)
    whole = {i: x for xs, index in batches.epoch(0) for x, i in zip(xs, index.tolist(), strict=True)}
    seen: list[int] = []
    for rank in range(3):
        batches = Batches(split, 12, augment=augment, seed=1, train=True, shard=(rank, 3))
        for xs, index in batches.epoch(0):
            seen += index.tolist()
            assert all(torch.equal(whole[i], x) for x, i in zip(xs, index.tolist(), strict=True))
    assert sorted(seen) == list(range(37))


def test_features_are_standardised_where_it_is_asked_for():
    rows = torch.randn(9, 2, generator=seeded(0))
    (x, _), *_ = Batches(split_of(rows), 9).epoch()
    assert torch.equal(x, rows)
    (x, _), *_ = Batches(split_of(rows), 9, augment=Augment(mean=(1.0, 2.0), std=(2.0, 4.0))).epoch()
    torch.testing.assert_close(x, (rows - torch.tensor([1.0, 2.0])) / torch.tensor([2.0, 4.0]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mean": (0.5,)}, "mean and std need one number a channel each, got 1 and 0"),
        ({"mean": (0.5,), "std": (0.0,)}, "std must lie in"),
        ({"crop_padding": -1}, "crop_padding must lie in"),
        ({"rotation": 200}, "rotation must lie in"),
        ({"resized_crop": True}, "resized_crop needs crop"),
        ({"jitter": (0.1, 0.1, 0.1, 2)}, "jitter must lie in"),
    ],
)
def test_an_augmentation_that_cannot_be_meant_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Augment(**settings)


def test_constants_for_another_number_of_channels_are_refused():
    with pytest.raises(InputError, match="mean and std are given for 3 channels, the images have 1"):
        next(iter(Batches(split_of(images(4, channels=1)), 2, augment=Augment(**CIFAR)).epoch()))


def test_what_a_file_says_in_lists_becomes_tuples():
    assert Augment(mean=[0.5], std=[0.5], resize=[8, 9]) == Augment(mean=(0.5,), std=(0.5,), resize=(8, 9))
