"""Image files: torchvision's pixels, the same for any number of threads, and a cache that changes nothing."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from conftest import count, seeded
from noiseproof import rng
from noiseproof.data import Split
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.data.pipeline.decoding import box, in_memory, opened, resized, size_of
from noiseproof.data.pipeline.jitter import brightness, contrast, hue, jitter, saturation
from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.storage import row_file

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def vision():
    """torchvision's transforms; its compiled operators are missing on a CPU, so their names are declared first."""
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    transforms = pytest.importorskip("torchvision.transforms")
    return transforms


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for i in range(24):
        height, width = draw.integers(70, 300, 2)
        small = draw.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((int(width), int(height)), Image.Resampling.BICUBIC)
        if i % 5 == 4:
            picture = picture.convert("L")
        picture.save(folder / f"{i:02}.{'png' if i % 4 == 3 else 'jpg'}")
    paths = tuple(sorted(folder.iterdir()))
    return Split(paths, torch.zeros(len(paths), dtype=torch.int64), None, ("a", "b"))


def everything(batches: Batches, epoch: int = 0) -> dict[int, Tensor]:
    return {i: x for xs, index in batches.epoch(epoch) for x, i in zip(xs, index.tolist(), strict=True)}


# Pixels


@pytest.mark.parametrize(("resize", "crop"), [(72, 64), ((60, 80), 48), ((64, 64), None)])
def test_evaluation_is_torchvisions_resize_and_centre_crop(pictures, vision, resize, crop):
    augment = Augment(resize=resize, crop=crop, flip=True, jitter=(0.4, 0.4, 0.4, 0.2), mean=MEAN, std=STD)
    found = everything(Batches(pictures, 7, augment=augment))
    steps = [vision.Resize(resize), *([vision.CenterCrop(crop)] if crop else [])]
    chain = vision.Compose([*steps, vision.ToTensor(), vision.Normalize(MEAN, STD)])
    for i, path in enumerate(pictures.inputs):
        torch.testing.assert_close(found[i], chain(Image.open(path).convert("RGB")), rtol=0, atol=2e-6)


def test_training_crops_are_torchvisions_of_the_same_boxes(pictures, vision):
    augment = Augment(crop=48, resized_crop=True, flip=True)
    found = everything(Batches(pictures, 7, augment=augment, seed=5, train=True), epoch=3)
    for i, path in enumerate(pictures.inputs):
        picture = Image.open(path).convert("RGB")
        words = rng.random_uint64(16, 5, "augment", 3, i)
        left, top, right, bottom = box(*picture.size, words[1:11], words[0])
        wanted = vision.functional.resized_crop(picture, top, left, bottom - top, right - left, [48, 48])
        if int(words[0]) & 1:
            wanted = vision.functional.hflip(wanted)
        assert torch.equal((found[i] * 255).round().byte(), vision.functional.pil_to_tensor(wanted))


def test_a_decoder_that_may_reduce_comes_close(pictures):
    augment = Augment(crop=16, resized_crop=True)
    options = {"augment": augment, "seed": 1, "train": True}
    exact, reduced = (everything(Batches(pictures, 8, reduced=reduced, **options)) for reduced in (False, True))
    errors = [(exact[i] - reduced[i]).abs().mean().item() for i in exact]
    assert max(errors) < 0.1  # two unrelated pictures differ by 0.3
    assert any(error > 0 for error in errors)


# Boxes


def test_boxes_lie_inside_and_have_the_areas_and_proportions_asked_for():
    words = rng.random_uint64(11 * count(2000, 50_000), 0, "boxes").reshape(-1, 11)
    shares, proportions, corners = [], [], set()
    for row in words:
        left, top, right, bottom = box(500, 375, row[:10], row[10])
        assert 0 <= left < right <= 500
        assert 0 <= top < bottom <= 375
        shares.append((right - left) * (bottom - top) / (500 * 375))
        proportions.append((right - left) / (bottom - top))
        corners |= {"left"} if left == 0 else {"right"} if right == 500 else set()
    assert 0.079 < min(shares) < 0.1
    assert 0.9 < max(shares) <= 1
    assert 0.74 < min(proportions) < 0.78
    assert 1.29 < max(proportions) < 1.35
    assert corners == {"left", "right"}


def test_a_picture_too_long_for_any_box_gives_its_middle(vision):
    words = rng.random_uint64(11, 0, "boxes")
    wanted = vision.RandomResizedCrop(8).get_params(Image.new("RGB", (1000, 10)), (0.08, 1), (3 / 4, 4 / 3))
    left, top, right, bottom = box(1000, 10, words[:10], words[10])
    assert (top, left, bottom - top, right - left) == tuple(wanted)


# Colours


def test_colour_changes_are_torchvisions(vision):
    batch = torch.rand(40, 3, 9, 9, generator=seeded(0))
    batch[0], batch[1], batch[2], batch[3] = 0.5, 0.0, 1.0, torch.tensor([0.0, 1.0, 1.0])[:, None, None]
    factor = torch.rand(40, generator=seeded(1)) * 1.5
    turn = factor / 1.5 - 0.5
    f = vision.functional
    for mine, theirs, amounts in (
        (brightness, f.adjust_brightness, factor),
        (contrast, f.adjust_contrast, factor),
        (saturation, f.adjust_saturation, factor),
        (hue, f.adjust_hue, turn),
    ):
        wanted = torch.stack([theirs(image, amount) for image, amount in zip(batch, amounts.tolist(), strict=True)])
        torch.testing.assert_close(mine(batch, amounts), wanted, rtol=0, atol=5e-6)


def test_each_image_has_amounts_and_an_order_of_its_own():
    image = torch.randint(0, 256, (1, 3, 6, 6), generator=seeded(0), dtype=torch.uint8)
    same = image.expand(500, -1, -1, -1)
    draws = torch.rand(500, 5, generator=seeded(1), dtype=torch.float64)
    strengths = (0.4, 0.4, 0.4, 0.2)
    found = jitter(same, draws, strengths)
    assert len({tuple(x.flatten().tolist()) for x in found}) == 500
    assert found.min() >= 0
    assert found.max() <= 255
    # a batch is its images one by one
    for i in (0, 7, 499):
        torch.testing.assert_close(jitter(image, draws[i : i + 1], strengths)[0], found[i])
    torch.testing.assert_close(jitter(image, draws[:1], (0.0, 0.0, 0.0, 0.0)), image.float())


def test_jitter_changes_training_only(pictures):
    plain, coloured = Augment(crop=32, resize=40), Augment(crop=32, resize=40, jitter=(0.4, 0.4, 0.4, 0.2))
    for train in (False, True):
        before = everything(Batches(pictures, 8, augment=plain, train=train))
        after = everything(Batches(pictures, 8, augment=coloured, train=train))
        assert {torch.equal(before[i], after[i]) for i in before} == {not train}


# Order, threads, cache


def test_threads_change_nothing(pictures):
    augment = Augment(crop=32, resized_crop=True, flip=True, jitter=(0.4, 0.4, 0.4, 0.2))
    one, many = (everything(Batches(pictures, 5, augment=augment, seed=2, train=True, workers=n), 1) for n in (1, 6))
    assert one.keys() == many.keys()
    assert all(torch.equal(one[i], many[i]) for i in one)


def test_a_batch_left_early_stops_its_threads(pictures):
    import threading

    before = threading.active_count()
    batches = Batches(pictures, 4, augment=Augment(crop=32, resize=40), workers=3)
    stream = batches.epoch()
    next(iter(stream))
    del stream
    assert threading.active_count() == before


def test_a_cache_of_resized_pictures_changes_no_pixel(pictures, tmp_path):
    augment = Augment(resize=(48, 48), crop=40, flip=True, mean=MEAN, std=STD)
    plain = everything(Batches(pictures, 5, augment=augment, seed=2, train=True), 1)
    for _ in range(2):  # filled, then read
        cached = everything(Batches(pictures, 5, augment=augment, seed=2, train=True, cache=tmp_path), 1)
        assert all(torch.equal(plain[i], cached[i]) for i in plain)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == len(pictures) * (48 * 48 * 3 + 8)


def test_a_damaged_cache_is_made_again(pictures, tmp_path):
    augment = Augment(resize=(32, 32))
    plain = everything(Batches(pictures, 5, augment=augment, cache=tmp_path))
    (file,) = tmp_path.iterdir()
    content = np.memmap(file, np.uint8, "r+")
    content[::1000] ^= 255
    content.flush()
    again = everything(Batches(pictures, 5, augment=augment, cache=tmp_path))
    assert all(torch.equal(plain[i], again[i]) for i in plain)


def test_a_disk_that_fills_up_ends_the_keeping_and_not_the_process(pictures, tmp_path, monkeypatch):
    augment = Augment(resize=(48, 48))
    plain = everything(Batches(pictures, 5, augment=augment))

    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_file.os, "pwrite", full)
    cached = everything(Batches(pictures, 5, augment=augment, cache=tmp_path))
    assert all(torch.equal(plain[i], cached[i]) for i in plain)
    assert not any(next(tmp_path.iterdir()).read_bytes())


def test_other_pictures_have_another_cache(pictures, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    copies = tuple(Path(shutil.copy(path, folder)) for path in pictures.inputs[:3])
    split = Split(copies, torch.zeros(3, dtype=torch.int64), None, ("a",))
    augment = Augment(resize=(32, 32))
    first = everything(Batches(split, 3, augment=augment, cache=tmp_path / "cache"))
    Image.new("RGB", (90, 80), (1, 2, 3)).save(copies[0])
    second = everything(Batches(split, 3, augment=augment, cache=tmp_path / "cache"))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert len(list((tmp_path / "cache").iterdir())) == 2


# Refusals


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({"crop_padding": 4, "crop": 8}, {}, "crop_padding and rotation are for images that lie in memory"),
        ({"resize": 40}, {}, "image files need crop, or resize = "),
        ({"resize": 40, "crop": 32}, {"cache": "x"}, "a cache of resized images needs resize = "),
    ],
)
def test_settings_that_files_cannot_have_are_refused(pictures, settings, options, words):
    with pytest.raises(InputError, match=words):
        Batches(pictures, 4, augment=Augment(**settings), **options)


def test_a_picture_that_cannot_be_used_is_named(tmp_path):
    small = tmp_path / "small.png"
    Image.new("RGB", (10, 10)).save(small)
    split = Split((small,), torch.zeros(1, dtype=torch.int64), None, ("a",))
    with pytest.raises(DataError, match=r"small.png: 10 x 10 pixels are fewer than crop=32"):
        list(Batches(split, 1, augment=Augment(crop=32)).epoch())
    small.write_bytes(small.read_bytes()[:40])
    with pytest.raises(DataError, match=r"small.png: cannot be decoded"):
        list(Batches(split, 1, augment=Augment(crop=8)).epoch())
    small.unlink()
    with pytest.raises(DataMissingError, match=r"small.png: no such image"):
        opened(small)


def test_a_resize_to_the_size_it_has_is_free():
    picture = Image.new("RGB", (20, 30))
    assert resized(picture, 20) is picture
    assert resized(picture, (30, 20)) is picture


@pytest.mark.parametrize("options", [{"resize": (8, 4)}, {"crop": 4}, {"crop": 4, "resized_crop": True}, {}])
def test_photographs_are_turned_upright_where_the_recipe_says_so(tmp_path, options):
    """A photograph stored on its side is what its upright copy is; without the option it is not."""
    pixels = np.random.default_rng(1).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(tmp_path / "side.png", exif=exif)
    Image.fromarray(pixels).save(tmp_path / "plain.png")

    def batch(name: str, upright: bool) -> torch.Tensor:
        augment = Augment(**options, upright=upright)
        paths = (tmp_path / name,)
        if not options:
            return in_memory(paths, size_of(paths[0], turned=upright), turned=upright)
        split = Split(paths, torch.zeros(1, dtype=torch.int64), None, ("a", "b"))
        return next(iter(Batches(split, 1, seed=1, augment=augment, train=True).epoch()))[0]

    torch.testing.assert_close(batch("side.png", True), batch("plain.png", True), rtol=0, atol=0)
    assert not torch.equal(batch("side.png", False), batch("plain.png", False))
