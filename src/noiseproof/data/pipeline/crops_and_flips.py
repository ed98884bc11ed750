"""Random crops, flips and rotations of whole batches, drawn from named streams and bit-equal to Pillow's.

A sample's draws depend on (seed, epoch, sample) alone: not on the batch it lands in, the device or the number of
workers. Everything up to normalisation is integer work on uint8, so CPU and GPU make the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from noiseproof import rng
from noiseproof.data.augmentations import AUGMENTATIONS
from noiseproof.errors import InputError, in_range

__all__ = ["Augment", "Draws", "crops", "cut", "draw", "normalise", "pad", "rotate"]

try:
    _kernel: Any = import_module("noiseproof.data.pipeline._crops")
except ImportError:  # installed without a C compiler
    _kernel = None


@dataclass(frozen=True)
class Augment:
    """Changes to samples on their way to the model; the random parts act in training only.

    Args:
        crop_padding: border of zeros around the image, out of which a window of the image's size is cut at random.
        flip: mirror left and right with probability 1/2.
        rotation: turn by an angle from -rotation to rotation degrees; nearest pixel, zeros outside.
        mean, std: per channel, of pixels in [0, 1]; none: pixels stay in [0, 1].
        resize: image files only: length of the shorter side, or (height, width).
        crop: image files only: side of the square cut out, at random in training and in the middle otherwise.
        resized_crop: training cuts a random part of 8 to 100 % of the area instead and resizes it to `crop`.
        jitter: strengths of random brightness, contrast, saturation and hue.
        upright: image files only: turn photographs as their EXIF orientation says; left as they are stored
            unless asked, as torchvision does.
        extra: further augmentations by name, such as "cutout(size=8)", in this order; see
            `noiseproof list augmentations`.
    """

    crop_padding: int = 0
    flip: bool = False
    rotation: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    resized_crop: bool = False
    jitter: tuple[float, float, float, float] | None = None
    upright: bool = False
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):  # lists, as they come out of a file, become tuples
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        in_range("crop_padding", self.crop_padding, 0, 4096)
        in_range("rotation", self.rotation, 0, 180)
        if len(self.mean) != len(self.std):
            raise InputError(f"mean and std need one number a channel each, got {len(self.mean)} and {len(self.std)}")
        for value in self.std:
            in_range("std", value, 0, above=True)
        if self.resized_crop and self.crop is None:
            raise InputError("resized_crop needs crop, the side of the result, such as crop=224")
        for strength in self.jitter or ():
            in_range("jitter", strength, 0, 1)
        texts = (self.extra,) if isinstance(self.extra, str) else self.extra
        object.__setattr__(self, "extra", tuple(str(AUGMENTATIONS.build(text)) for text in texts))


@dataclass(frozen=True, eq=False)
class Draws:
    """The random choices of one epoch, one row a sample.

    Args:
        top, left: where the window starts.
        flip: whether it is mirrored.
        turn: the affine map of the rotation, int32 (N, 6) in 1/65536 pixel; None: no rotation.
    """

    top: torch.Tensor
    left: torch.Tensor
    flip: torch.Tensor
    turn: torch.Tensor | None

    def to(self, device: torch.device | str) -> Draws:
        """The same draws on another device."""
        turn = None if self.turn is None else self.turn.to(device)
        return Draws(self.top.to(device), self.left.to(device), self.flip.to(device), turn)

    def take(self, index: torch.Tensor | slice) -> Draws:
        """The draws of these samples."""
        turn = None if self.turn is None else self.turn[index]
        return Draws(self.top[index], self.left[index], self.flip[index], turn)


def draw(augment: Augment, count: int, *, size: tuple[int, int], starts: int, seed: int, epoch: int) -> Draws:
    """Draw for every sample: one 64-bit word each, cut into 20 + 20 + 1 + 23 bits.

    Args:
        augment: what is random.
        count: number of samples.
        size: height and width of the window, about whose middle it is turned.
        starts: in how many places a window may start along each side.
        seed: seed of the run.
        epoch: the epoch, from 0.
    """
    words = rng.random_uint64(count, seed, "augment", epoch)

    def bits(low: int, width: int) -> npt.NDArray[np.int64]:
        return ((words >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int64)

    flip = bits(40, 1) == 1 if augment.flip else np.zeros(count, bool)
    turn = None
    if augment.rotation:
        angle = (2 * (bits(41, 23) + 0.5) / (1 << 23) - 1) * augment.rotation
        turn = torch.from_numpy(_turns(angle, size))
    top, left = (bits(low, 20) * starts >> 20 for low in (0, 20))
    return Draws(torch.from_numpy(top), torch.from_numpy(left), torch.from_numpy(flip), turn)


def pad(images: torch.Tensor, padding: int) -> torch.Tensor:
    """Images with a border of zeros."""
    return functional.pad(images, (padding,) * 4) if padding else images


def crops(
    images: torch.Tensor,
    index: torch.Tensor,
    draws: Draws,
    size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> torch.Tensor:
    """A window of each `index`ed image, mirrored and turned as drawn, normalised: float32 (B, C, height, width).

    Args:
        images: uint8 (N, C, H, W), padded.
        index: int64 (B,).
        draws: of the `index`ed samples.
        size: height and width of the window.
        mean, std: as in `normalise`.
    """
    if _kernel is not None and images.device.type == "cpu":
        return _crops_at_once(images, index, draws, size, mean, std)
    return _crops_in_steps(images, index, draws, size, mean, std)


def _crops_in_steps(
    images: torch.Tensor,
    index: torch.Tensor,
    draws: Draws,
    size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> torch.Tensor:
    picked = cut(images, index, draws, size)
    return normalise(picked if draws.turn is None else rotate(picked, draws.turn), mean, std)


def _crops_at_once(
    images: torch.Tensor,
    index: torch.Tensor,
    draws: Draws,
    size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> torch.Tensor:
    """The same numbers by the C kernel (crops.c): tensors become addresses."""
    images, index = images.contiguous(), index.contiguous()
    drawn = [draws.top.contiguous(), draws.left.contiguous(), draws.flip.contiguous()]
    turn = None if draws.turn is None else draws.turn.contiguous()
    scale, shift = _affine(mean, std, images.shape[1], images.device) if mean else (None, None)
    batch = torch.empty(len(index), images.shape[1], *size, dtype=torch.float32, device="cpu")
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in (*drawn, turn, scale, shift, batch)]
    _kernel.crops(images.data_ptr(), *images.shape[1:], *size, len(index), index.data_ptr(), *addresses)
    return batch


def cut(images: torch.Tensor, index: torch.Tensor, draws: Draws, size: tuple[int, int]) -> torch.Tensor:
    """A window of each `index`ed image, mirrored where drawn: uint8 (B, C, height, width)."""
    windows = images.unfold(2, size[0], 1).unfold(3, size[1], 1)  # a view: (N, C, places down, places across, ...)
    picked = windows[index, :, draws.top, draws.left]
    return torch.where(draws.flip[:, None, None, None], picked.flip(3), picked)


def rotate(images: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn each image about its middle: nearest pixel, zeros outside, in Pillow's own 16.16 fixed point."""
    _, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device, dtype=torch.int32)[:, None]
    columns = torch.arange(width, device=images.device, dtype=torch.int32)
    xx, xy, x0, yx, yy, y0 = (turn[:, i, None, None] for i in range(6))
    x = (xx * columns + (xy * rows + x0)) >> 16
    y = (yx * columns + (yy * rows + y0)) >> 16
    # One pixel of zeros all around stands for everything outside.
    source = y.clamp_(-1, height).add_(1).mul_(width + 2).add_(x.clamp_(-1, width).add_(1)).long()
    bordered = functional.pad(images, (1, 1, 1, 1)).flatten(2)
    picked = bordered.gather(2, source.flatten(1)[:, None].expand(-1, channels, -1))
    return picked.reshape(images.shape)


def normalise(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Pixels as float32: (v/255 - mean) / std, in one multiplication and one addition."""
    if not mean:
        return images.float().div_(255)
    scale, shift = _affine(mean, std, images.shape[1], images.device)
    return images.float().mul_(scale).add_(shift)


@lru_cache(maxsize=16)
def _affine(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    if len(mean) != channels:
        raise InputError(f"mean and std are given for {len(mean)} channels, the images have {channels}")
    scale = torch.tensor([1 / (255 * s) for s in std], dtype=torch.float32, device=device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], dtype=torch.float32, device=device)
    return scale[:, None, None], shift[:, None, None]


def _turns(degrees: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Source coordinates of output pixel (x, y), as `Image.rotate` asks of `Image.transform`: x0 + xx x + xy y, ..."""
    radians = -np.radians(degrees)
    cos, sin = np.round(np.cos(radians), 15), np.round(np.sin(radians), 15)
    middle_x, middle_y = size[1] / 2, size[0] / 2
    x0 = cos * -middle_x + sin * -middle_y + middle_x
    y0 = -sin * -middle_x + cos * -middle_y + middle_y
    # Pillow samples at pixel centres, hence the halves.
    rows = [cos, sin, x0 + cos * 0.5 + sin * 0.5, -sin, cos, y0 - sin * 0.5 + cos * 0.5]
    return np.floor(np.stack(rows, axis=1) * 65536 + 0.5).astype(np.int32)
