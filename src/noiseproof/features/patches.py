"""Patch features without downloaded weights: whitened patches at two scales, gradient histograms and colours.

Filters are patches of the pictures themselves, so nothing is learned from a label.

Source: Coates, Ng & Lee, AISTATS 2011 (patches, soft threshold, means over quadrants); Dalal & Triggs, CVPR 2005
(histograms of gradients).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noiseproof import rng
from noiseproof.data.dataset import samples
from noiseproof.errors import DataError
from noiseproof.features.base import EXTRACTORS, Array, Inputs, Progress
from noiseproof.features.pictures import PictureExtractor, resize

__all__ = ["Patches"]

_SIDE = 32
_SCALES = ((16, 6), (32, 8))  # pixels of the picture's side and of the patch's
_STEP = 2
_FILTERS = 200
_PICTURES, _PATCHES = 400, 40_000  # that the whitening is computed from, at most
_ANGLES = 9
_CELL = 4
_DIRECTIONS = 600
_FITTED = 5000  # pictures that the directions are computed from, at most


@EXTRACTORS.register("patches")
class Patches(PictureExtractor):
    """Whitened patches (6 pixels at 16, 8 at 32), histograms of gradients and mean colours on 600 directions.

    Fitted on the pictures themselves; a picture is seen at 32 x 32 pixels.
    """

    batch = 64

    def __init__(self) -> None:
        self.side, self.dims = _SIDE, _DIRECTIONS
        self.arrays: dict[str, Array] = {}

    def fit_transform(self, inputs: Inputs, *, progress: Progress | None = None) -> Array:
        from sklearn.utils.extmath import randomized_svd

        cache, self.cache, self.arrays = self.cache, None, {}
        chosen = rng.permutation(len(inputs), 0, "features", "pictures")
        small = torch.cat([resize(one[None], self.side) for one in self.encode(samples(inputs, chosen[:_PICTURES]))])
        for number, (side, patch) in enumerate(_SCALES):
            self.arrays[f"middle.{number}"], self.arrays[f"filters.{number}"] = _filters(resize(small, side), patch)
        self.dims = _RawPatches(self.arrays).dims
        raw = self.transform(samples(inputs, chosen[:_FITTED]))
        self.arrays["mean"] = raw.mean(0)
        _, _, right = randomized_svd(raw - self.arrays["mean"], min(_DIRECTIONS, *raw.shape), n_iter=3, random_state=0)
        self.arrays["directions"] = np.ascontiguousarray(right.T, np.float32)
        self.dims, self.cache = len(right), cache
        if len(inputs) > _FITTED:
            return self.transform(inputs, progress=progress)
        found = np.empty((len(inputs), self.dims), np.float32)
        found[chosen] = (raw - self.arrays["mean"]) @ self.arrays["directions"]
        if progress:
            progress(len(inputs), len(inputs))
        return found

    def pixels(self) -> nn.Module:
        raw = _RawPatches(self.arrays)
        if "directions" not in self.arrays:
            return raw
        return nn.Sequential(raw, _Projected(self.arrays["mean"], self.arrays["directions"]))

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return self.base_state(), dict(self.arrays)

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.arrays = dict(arrays)
        if self.arrays["directions"].shape[0] != _RawPatches(self.arrays).dims:
            raise DataError("the state of the features patches is damaged: its arrays do not fit together")
        self.dims = self.arrays["directions"].shape[1]


class _RawPatches(nn.Module):
    """All numbers of a picture before they are projected; pixels (N, 3, 32, 32) from 0 to 255."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        super().__init__()
        scales = [
            _Filtered(arrays[f"middle.{number}"], arrays[f"filters.{number}"], *scale)
            for number, scale in enumerate(_SCALES)
        ]
        self.parts = nn.ModuleList([*scales, _Gradients(), _Colours()])
        filters = sum(8 * arrays[f"filters.{number}"].shape[1] for number in range(len(_SCALES)))
        self.dims = filters + _ANGLES * (_SIDE // _CELL) ** 2 + 3 * 16

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat([part(pixels) for part in self.parts], 1)


class _Filtered(nn.Module):
    """Mean answer of each filter, and of its negative, in each quarter of the picture."""

    middle: Tensor
    filters: Tensor

    def __init__(self, middle: Array, filters: Array, side: int, patch: int) -> None:
        super().__init__()
        self.side, self.patch = side, patch
        self.register_buffer("middle", torch.from_numpy(np.array(middle)))
        self.register_buffer("filters", torch.from_numpy(np.array(filters)))

    def forward(self, pixels: Tensor) -> Tensor:
        scaled = pixels if self.side == _SIDE else resize(pixels, self.side)
        met = (_patches(scaled, self.patch) - self.middle) @ self.filters
        both = torch.cat([(met - 0.5).clamp_min(0), (-met - 0.5).clamp_min(0)], 2).transpose(1, 2)
        places = (self.side - self.patch) // _STEP + 1
        return _quarters(both.reshape(both.shape[0], both.shape[1], places, places))


class _Gradients(nn.Module):
    """Histogram of the directions of the gradients in each cell, weighted by their lengths."""

    axes: Tensor

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(_ANGLES, dtype=torch.float32, device="cpu") * (math.pi / _ANGLES)
        self.register_buffer("axes", torch.stack([angles.cos(), angles.sin()])[:, :, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        grey = functional.pad(pixels.mean(1, keepdim=True) / 255, (1, 1, 1, 1), mode="replicate")
        across, down = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2], grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
        along = (across * self.axes[0] + down * self.axes[1]).abs()  # longest on the nearest of the nine axes
        nearest = (along >= along.amax(1, keepdim=True)).float()
        cells = functional.avg_pool2d(nearest * (across.square() + down.square() + 1e-12).sqrt(), _CELL)
        return (cells / (cells.square().sum(1, keepdim=True) + 1e-2).sqrt()).flatten(1)


class _Colours(nn.Module):
    """Mean colours of 4 x 4 fields."""

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.avg_pool2d(pixels * (4 / 255), _SIDE // 4).flatten(1)


class _Projected(nn.Module):
    """(numbers - mean) on the directions."""

    mean: Tensor
    directions: Tensor

    def __init__(self, mean: Array, directions: Array) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(np.array(mean)))
        self.register_buffer("directions", torch.from_numpy(np.array(directions)))

    def forward(self, numbers: Tensor) -> Tensor:
        found: Tensor = (numbers - self.mean) @ self.directions
        return found


def _filters(pictures: Tensor, patch: int) -> tuple[Array, Array]:
    """The mean patch, and patches of the pictures at unit length after whitening, as columns that whiten too."""
    patches = _patches(pictures, patch).flatten(0, 1)
    patches = patches[torch.from_numpy(rng.permutation(len(patches), 0, "features", "patches")[:_PATCHES])]
    middle = patches.mean(0)
    patches = patches - middle
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    whiten = vectors @ torch.diag((values + 0.1).rsqrt()) @ vectors.T
    filters = whiten @ functional.normalize(patches[:_FILTERS] @ whiten, dim=1).T
    return middle.numpy(), np.ascontiguousarray(filters.numpy())


def _patches(pictures: Tensor, patch: int) -> Tensor:
    """All patches (N, places, 3 * patch * patch), each brought to mean 0 and standard deviation 1."""
    columns = functional.unfold(pictures / 255, patch, stride=_STEP).transpose(1, 2)
    columns = columns - columns.mean(2, keepdim=True)
    std = (columns.square().sum(2, keepdim=True) / (columns.shape[2] - 1)).sqrt()
    return columns / (std + 0.05)


def _quarters(answers: Tensor) -> Tensor:
    """Mean of each quarter, (N, 4 C); the middle row and column of an odd side count for both halves."""
    half = (answers.shape[2] + 1) // 2
    halves = (slice(None, half), slice(-half, None))
    return torch.cat([answers[:, :, rows, columns].mean((2, 3)) for rows in halves for columns in halves], 1)
