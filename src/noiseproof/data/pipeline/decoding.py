"""Image files, decoded by threads: hostile ones refused, the random parts drawn per seed, epoch and sample.

Everything before the colours is done on uint8 by Pillow, pixel for pixel as torchvision's transforms do it on Pillow
images; colour jitter and normalisation run on whole batches, on the device.
"""

from __future__ import annotations

import copy
import importlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import (  # each of these Pillow would import while it reads a file
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    Jpeg2KImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from noiseproof import rng
from noiseproof.data.io.broken_pictures import MOST_PIXELS
from noiseproof.data.pipeline.crops_and_flips import Augment, normalise
from noiseproof.data.pipeline.jitter import jitter
from noiseproof.data.pipeline.picture_cache import Cache
from noiseproof.data.pipeline.picture_modes import as_rgb, upright
from noiseproof.errors import DataError, DataMissingError, InputError

__all__ = ["MOST_PIXELS", "ImageFiles", "box", "in_memory", "opened", "resized", "size_of"]

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom

_IN_MEMORY = 4 * 2**30  # bytes
_MOST_PACKED = 1032  # times that deflate can shorten
_FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF", "JPEG2000"]  # none that runs other programs
_PLUGINS = {
    ".avif": ("AVIF", "PIL.AvifImagePlugin"),
    ".heic": ("HEIF", "pillow_heif"),
    ".heif": ("HEIF", "pillow_heif"),
}
_REMEDY = "noiseproof data check DATA lists every such picture; move them out of the data"
_WORDS = 16  # 64-bit words a sample: 0 flip and window, 1..10 tries of a box, 11..15 colours
_TRIES = 10


@contextmanager
def reading(path: Path) -> Iterator[Image.Image]:
    """A picture whose header is read and whose pixels are not yet; what goes wrong with it until then is a DataError.

    Raises:
        DataMissingError: there is no such file.
        DataError: it is no regular file, of no common format, larger than 64 million pixels, or damaged.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: must be a regular file")
        with path.open("rb") as file, Image.open(file, formats=_formats(path)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{path}: {image.width} x {image.height} pixels, at most {MOST_PIXELS:,} are decoded")
            if image.format == "PNG" and path.stat().st_size * _MOST_PACKED < _least_bytes(image):
                raise DataError(f"{path}: cannot be decoded (too short for {image.width} x {image.height} pixels)")
            yield image
    except DataError:
        raise
    except FileNotFoundError:
        raise DataMissingError(f"{path}: no such image") from None
    except Exception as error:  # what decoders raise on damaged files is not a closed list; MemoryError is on it
        raise DataError(f"{path}: cannot be decoded ({type(error).__name__}: {str(error)[:120]})") from None


def _least_bytes(image: Image.Image) -> int:
    """Bytes that the pixels take unpacked, at least: a single band may have one bit a pixel."""
    bands = len(image.getbands())
    return image.width * image.height * bands if bands > 1 else image.width * image.height // 8


def _formats(path: Path) -> list[str]:
    """Formats that a file may have; those that need a plug-in only where its ending asks for it.

    Raises:
        DataError: the plug-in is not installed.
    """
    name, module = _PLUGINS.get(path.suffix.lower(), ("", ""))
    if not name:
        return _FORMATS
    try:
        plugin = importlib.import_module(module)
    except ImportError:
        package = "pillow-heif" if name == "HEIF" else "a newer Pillow"
        raise DataError(
            f"{path}: cannot be decoded, {name} pictures need {package}; pip install -U {package.split()[-1]}"
        ) from None
    if name == "HEIF":
        plugin.register_heif_opener()
    return [*_FORMATS, name]


def _needed(path: Path, reduced_to: tuple[int, int] | None = None, *, turned: bool = False) -> Image.Image:
    """The picture, for training: a damaged one stops it, so the message says how to find all of them."""
    try:
        return opened(path, reduced_to, turned=turned)
    except DataError as error:
        raise type(error)(f"{error}; {_REMEDY}") from None


def opened(path: Path, reduced_to: tuple[int, int] | None = None, *, turned: bool = False) -> Image.Image:
    """The picture of a file as RGB.

    Args:
        path: the file.
        reduced_to: a JPEG may come at 1/2, 1/4 or 1/8 of its size, no smaller than this width and height.
        turned: as its EXIF orientation says.
    """
    with reading(path) as image:
        if reduced_to is not None:
            image.draft("RGB", reduced_to)
        return as_rgb(upright(image) if turned else image)


def size_of(path: Path, *, turned: bool = False) -> tuple[int, int]:
    """Height and width of the picture in a file, before or after it is turned as its EXIF orientation says."""
    with reading(path) as image:
        shown = upright(image) if turned else image
        return shown.height, shown.width


def in_memory(paths: tuple[Path, ...], size: tuple[int, int], *, turned: bool = False) -> torch.Tensor:
    """All pictures as they are, RGB uint8 (N, 3, H, W); they must have this height and width.

    Raises:
        InputError: one has another size, or together they are larger than 4 GiB.
        DataError: one cannot be decoded.
    """
    height, width = size
    remedy = "give the recipe resize and crop (such as resize = 256, crop = 224), so that they are cut as they are read"
    if 3 * height * width * len(paths) > _IN_MEMORY:
        raise InputError(f"{len(paths)} pictures of {width} x {height} are too many to keep in memory; {remedy}")
    pixels = np.empty((len(paths), 3, height, width), np.uint8)

    def read(index: int) -> None:
        found = np.asarray(_needed(paths[index], turned=turned))
        if found.shape[:2] != size:
            raise InputError(
                f"{paths[index]}: {found.shape[1]} x {found.shape[0]} pixels, others have {width} x {height}; {remedy}"
            )
        pixels[index] = found.transpose(2, 0, 1)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1), thread_name_prefix="decode") as pool:
        for _ in pool.map(read, range(len(paths))):
            pass
    return torch.from_numpy(pixels)


def resized(image: Image.Image, size: int | tuple[int, int]) -> Image.Image:
    """The picture with its shorter side brought to a length, or brought to (height, width)."""
    if isinstance(size, tuple):
        wanted = (size[1], size[0])
    elif image.width <= image.height:
        wanted = (size, int(size * image.height / image.width))
    else:
        wanted = (int(size * image.width / image.height), size)
    return image if wanted == image.size else image.resize(wanted, Image.Resampling.BILINEAR)


class ImageFiles:
    """Batches of image files; see `Batches` for the arguments."""

    def __init__(
        self,
        paths: tuple[Path, ...],
        augment: Augment,
        *,
        seed: int,
        train: bool,
        device: torch.device,
        workers: int | None,
        reduced: bool,
        cache: Path | None,
    ) -> None:
        if augment.crop_padding or augment.rotation:
            raise InputError("crop_padding and rotation are for images that lie in memory; use resize and crop")
        if augment.crop is None and not isinstance(augment.resize, tuple):
            raise InputError("image files need crop, or resize = [height, width], so that a batch has one size")
        self.paths, self.augment, self.seed, self.train, self.device = paths, augment, seed, train, device
        self.workers = workers or min(16, os.cpu_count() or 1)
        self.reduced = reduced
        self.cache: Cache | None = None
        if cache is not None:
            if not isinstance(augment.resize, tuple) or (train and augment.resized_crop):
                raise InputError("a cache of resized images needs resize = [height, width] and no resized_crop")
            self.cache = Cache(cache / "upright" if augment.upright else cache, paths, augment.resize)

    def stream(self, parts: list[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        """Decode ahead by two batches, in threads: Pillow lets go of the interpreter while it works."""
        waiting: deque[list[Future[_Sample]]] = deque()
        with ExitStack() as stack:
            pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            for indices in [part.tolist() for part in parts]:  # all at once: from a GPU each costs a wait
                waiting.append([pool.submit(self._sample, i, epoch) for i in indices])
                if len(waiting) > 2:
                    yield self._batch([future.result() for future in waiting.popleft()])
            while waiting:
                yield self._batch([future.result() for future in waiting.popleft()])

    def reseeded(self, seed: int) -> ImageFiles:
        """The same pictures under other random draws."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def _batch(self, samples: list[_Sample]) -> torch.Tensor:
        pixels = np.stack([sample.pixels for sample in samples]) if samples else np.empty((0, 3, 1, 1), np.uint8)
        batch = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        if self.train and self.augment.jitter is not None:
            colours = torch.from_numpy(np.stack([sample.colours for sample in samples])).to(self.device)
            batch = jitter(batch, colours, self.augment.jitter)
        return normalise(batch, self.augment.mean, self.augment.std)

    def _sample(self, index: int, epoch: int) -> _Sample:
        words = (
            rng.random_uint64(_WORDS, self.seed, "augment", epoch, index) if self.train else np.zeros(_WORDS, np.uint64)
        )
        pixels = self._pixels(index, words)
        if self.train and self.augment.flip and int(words[0]) & 1:
            pixels = pixels[:, ::-1]
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return _Sample(planes, (words[11:] >> np.uint64(11)).astype(np.float64) / 2**53)

    def _pixels(self, index: int, words: npt.NDArray[np.uint64]) -> Pixels:
        augment, side = self.augment, self.augment.crop
        if self.train and augment.resized_crop:
            assert side is not None
            return self._resized_crop(self.paths[index], side, words)
        whole = self._whole(index)
        if side is None:
            return whole
        height, width = whole.shape[:2]
        if height < side or width < side:
            raise DataError(
                f"{self.paths[index]}: {width} x {height} pixels are fewer than crop={side}; give resize too"
            )
        if self.train:
            top, left = (_below(words[0], bits, room + 1) for bits, room in ((1, height - side), (32, width - side)))
        else:
            top, left = round((height - side) / 2), round((width - side) / 2)
        return whole[top : top + side, left : left + side]

    def _whole(self, index: int) -> Pixels:
        """The picture, resized where that is asked for."""
        if self.cache is not None:
            return self.cache.get(index, self._decoded)
        return self._decoded(self.paths[index])

    def _decoded(self, path: Path) -> Pixels:
        size = self.augment.resize
        if size is None:
            return np.asarray(_needed(path, turned=self.augment.upright))
        least = (size, size) if isinstance(size, int) else (size[1], size[0])
        return np.asarray(resized(_needed(path, least if self.reduced else None, turned=self.augment.upright), size))

    def _resized_crop(self, path: Path, side: int, words: npt.NDArray[np.uint64]) -> Pixels:
        if self.augment.upright:
            turned = _needed(path, turned=True)
            corners = box(*turned.size, words[1 : 1 + _TRIES], words[0])
            return np.asarray(turned.crop(corners).resize((side, side), Image.Resampling.BILINEAR))
        with reading(path) as image:
            width, height = image.size
            corners = box(width, height, words[1 : 1 + _TRIES], words[0])
            if self.reduced:  # as small as leaves the box no smaller than the result
                factor = max(1.0, min(corners[2] - corners[0], corners[3] - corners[1]) / side)
                image.draft("RGB", (int(width / factor), int(height / factor)))
            whole = as_rgb(image)
        if whole.size == (width, height):
            return np.asarray(whole.crop(corners).resize((side, side), Image.Resampling.BILINEAR))
        across, down = whole.width / width, whole.height / height
        part = (corners[0] * across, corners[1] * down, corners[2] * across, corners[3] * down)
        return np.asarray(whole.resize((side, side), Image.Resampling.BILINEAR, box=part))


def box(width: int, height: int, tries: npt.NDArray[np.uint64], place: np.uint64) -> Box:
    """A random part of a picture: 8 to 100 % of its area, sides in proportion 3/4 to 4/3, the first try that fits.

    Args:
        width, height: of the picture.
        tries: a word each, half of it for the area and half for the proportion.
        place: a word for where the part lies.

    Source: torchvision's RandomResizedCrop, whose last resort, the largest middle part, is taken too.
    """
    for word in tries:
        area = width * height * (0.08 + 0.92 * _unit(word, 0))
        proportion = exp(log(3 / 4) + (log(4 / 3) - log(3 / 4)) * _unit(word, 32))
        w, h = round(sqrt(area * proportion)), round(sqrt(area / proportion))
        if 0 < w <= width and 0 < h <= height:
            left, top = _below(place, 1, width - w + 1), _below(place, 32, height - h + 1)
            return left, top, left + w, top + h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


@dataclass(frozen=True)
class _Sample:
    """Result of a thread: pixels (3, H, W), and five numbers in [0, 1) for the colours."""

    pixels: Pixels
    colours: npt.NDArray[np.float64]


def _unit(word: np.uint64, low: int) -> float:
    """32 bits of a word as a number in [0, 1)."""
    return ((int(word) >> low) & 0xFFFFFFFF) / 2**32


def _below(word: np.uint64, low: int, bound: int) -> int:
    """31 bits of a word as a whole number below the bound."""
    return ((int(word) >> low) & 0x7FFFFFFF) * bound >> 31
