"""Speed of batches, beside Pillow image by image, interleaved in one process.

Small pictures: CIFAR's training chain, padding, random crop and flip, then normalisation. Image files: WebVision's
chain on JPEGs of 500 x 375, decoding, a random part resized to 224 x 224, flip, colour jitter, normalisation; and
Clothing1M's, with its resized pictures read again or kept. The times are CPU time, so the rates are of one thread.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from noiseproof import __version__
from noiseproof.data import Split
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.runtime.machine import processor_name
from noiseproof.storage import files

__all__ = ["GOAL", "run"]

GOAL = 300_000  # small pictures a second on one thread

Triple = tuple[float, float, float]

_CIFAR: tuple[Triple, Triple] = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # mean, std
_IMAGENET: tuple[Triple, Triple] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_JITTER = (0.4, 0.4, 0.4, 0.2)

Turn = Callable[[], int]


def run(
    *, rounds: int = 5, pictures: int = 50_000, jpegs: int = 32, output: str | Path | None = None
) -> dict[str, Any]:
    """Measure and return a table; each row says how many times as fast it is as Pillow at the same work.

    Args:
        rounds: how often each way takes its turn; the median counts.
        pictures: small pictures in memory, 50,000 as in CIFAR, so that they do not fit a cache.
        jpegs: image files a turn.
        output: a JSON file for the result.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="noiseproof-bench-") as folder:
            ways = {**_small(pictures), **_files(Path(folder), jpegs)}
            seconds = _measured(ways, rounds)
    finally:
        torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for (work, way), taken in seconds.items():
        rate = 1 / statistics.median(taken)
        pillow = 1 / statistics.median(seconds[work, "Pillow"])
        rows.append(
            {
                "work": work,
                "way": way,
                "images_per_second": round(rate),
                "times_pillow": round(rate / pillow, 1),
                "lowest": round(1 / max(taken)),
                "highest": round(1 / min(taken)),
            }
        )
    ours = next(row for row in rows if row["work"] == "crop, flip, normalise" and row["way"] == "noiseproof")
    result = {
        "what": "images per second of CPU time, one thread",
        "device": processor_name(),
        "versions": {"noiseproof": __version__, "torch": torch.__version__},
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "rows": rows,
        "goal": GOAL,
        "reached": ours["images_per_second"] >= GOAL,
    }
    if output is not None:
        files.write_atomic(output, json.dumps(result, indent=1) + "\n")
    return result


def _measured(ways: dict[tuple[str, str], Turn], rounds: int) -> dict[tuple[str, str], list[float]]:
    """CPU seconds an image, each way in turn; the first round warms up."""
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, turn in ways.items():
            started = time.process_time()
            images = turn()
            if number:
                seconds[name].append((time.process_time() - started) / images)
    return seconds


# Small pictures


def _small(count: int) -> dict[tuple[str, str], Turn]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = Split(pixels, torch.zeros(count, dtype=torch.int64), None, ("a", "b"))
    ways: dict[tuple[str, str], Turn] = {}
    for work, rotation in (("crop, flip, normalise", 0.0), ("crop, flip, rotate, normalise", 20.0)):
        augment = Augment(crop_padding=4, flip=True, rotation=rotation, mean=_CIFAR[0], std=_CIFAR[1])
        ways[work, "Pillow"] = _by_pillow(pixels, rotation)
        ways[work, "noiseproof"] = _by_batches(Batches(split, 128, augment=augment, train=True), 100)
    return ways


def _by_batches(batches: Batches, at_once: int) -> Turn:
    """Some batches a turn, epoch after epoch."""

    def endless() -> Iterator[Tensor]:
        epoch = 0
        while True:
            yield from (inputs for inputs, _ in batches.epoch(epoch))
            epoch += 1

    stream = endless()
    return lambda: sum(len(next(stream)) for _ in range(min(at_once, len(batches))))


def _by_pillow(pixels: Tensor, rotation: float, at_once: int = 300) -> Turn:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels[:2000]]
    draw, order = np.random.default_rng(0), cycle(range(len(pictures)))

    def turn() -> int:
        batch = []
        for _ in range(at_once):
            padded = Image.new("RGB", (40, 40))
            padded.paste(pictures[next(order)], (4, 4))
            top, left = draw.integers(0, 9, 2).tolist()
            picture = padded.crop((left, top, left + 32, top + 32))
            if draw.random() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            if rotation:
                picture = picture.rotate(draw.uniform(-rotation, rotation))
            batch.append(_normalised(picture, _CIFAR))
        torch.stack(batch)
        return at_once

    return turn


def _normalised(picture: Image.Image, constants: tuple[Triple, Triple]) -> Tensor:
    """One picture as the usual chain hands it over."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div_(255)
    mean, std = (torch.tensor(value)[:, None, None] for value in constants)
    return pixels.sub_(mean).div_(std)


# Image files


def _files(folder: Path, count: int) -> dict[tuple[str, str], Turn]:
    def split(size: tuple[int, int], number: int) -> Split:
        paths = tuple(_jpeg(folder / f"{i}-{size[0]}.jpg", size, i) for i in range(number))
        return Split(paths, torch.zeros(number, dtype=torch.int64), None, ("a", "b"))

    def ours(of: Split, augment: Augment, **options: Any) -> Turn:
        return _by_batches(Batches(of, 16, augment=augment, train=True, workers=1, **options), -(-len(of) // 16))

    mean, std = _IMAGENET
    webvision = Augment(crop=224, resized_crop=True, flip=True, jitter=_JITTER, mean=mean, std=std)
    clothing = Augment(resize=(256, 256), crop=224, flip=True, mean=mean, std=std)
    usual, large = split((500, 375), count), split((1600, 1200), max(4, count // 8))
    colours, photos, fixed = (
        "500 x 375: decode, random part, flip, jitter",
        "1600 x 1200: decode, random part, flip",
        "500 x 375: decode, resize, crop, flip",
    )
    return {
        (colours, "Pillow"): _webvision_by_pillow(_paths(usual), jitter=True),
        (colours, "noiseproof"): ours(usual, webvision),
        (photos, "Pillow"): _webvision_by_pillow(_paths(large), jitter=False),
        (photos, "noiseproof"): ours(large, replace(webvision, jitter=None)),
        (photos, "noiseproof, reduced decoding"): ours(large, replace(webvision, jitter=None), reduced=True),
        (fixed, "Pillow"): _clothing_by_pillow(_paths(usual)),
        (fixed, "noiseproof"): ours(usual, clothing),
        (fixed, "noiseproof, resized pictures kept"): ours(usual, clothing, cache=folder / "cache"),
    }


def _paths(split: Split) -> tuple[Path, ...]:
    assert not isinstance(split.inputs, Tensor)
    paths: tuple[Path, ...] = split.inputs
    return paths


def _jpeg(path: Path, size: tuple[int, int], seed: int) -> Path:
    rough = np.random.default_rng(seed).integers(0, 256, (25, 33, 3), dtype=np.uint8)
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def _webvision_by_pillow(paths: tuple[Path, ...], *, jitter: bool) -> Turn:
    draw = np.random.default_rng(0)

    def turn() -> int:
        batch = []
        for path in paths:
            picture = Image.open(path).convert("RGB")
            area = picture.width * picture.height * draw.uniform(0.08, 1)
            proportion = np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
            width = min(picture.width, int((area * proportion) ** 0.5))
            height = min(picture.height, int((area / proportion) ** 0.5))
            left = int(draw.integers(0, picture.width - width + 1))
            top = int(draw.integers(0, picture.height - height + 1))
            picture = picture.crop((left, top, left + width, top + height))
            picture = picture.resize((224, 224), Image.Resampling.BILINEAR)
            if draw.random() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            batch.append(_normalised(_jittered(picture, draw) if jitter else picture, _IMAGENET))
        torch.stack(batch)
        return len(paths)

    return turn


def _jittered(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(draw.uniform(0.6, 1.4))
    hue, saturation, value = picture.convert("HSV").split()
    turned = Image.fromarray(np.asarray(hue) + np.uint8(draw.integers(0, 256)))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def _clothing_by_pillow(paths: tuple[Path, ...]) -> Turn:
    draw = np.random.default_rng(0)

    def turn() -> int:
        batch = []
        for path in paths:
            picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
            top, left = draw.integers(0, 33, 2).tolist()
            picture = picture.crop((left, top, left + 224, top + 224))
            if draw.random() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            batch.append(_normalised(picture, _IMAGENET))
        torch.stack(batch)
        return len(paths)

    return turn
