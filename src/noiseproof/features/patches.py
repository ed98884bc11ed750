"""Patch features of pictures for small networks: answers of filters that are made without labels.

A network of many layers takes hours to cross-fit on a CPU. One hidden layer of whitened patches from the pictures
themselves is made in a minute, sees edges and colours, and cannot memorise a wrong label.

Source: Coates, Ng & Lee, AISTATS 2011: patches as filters, soft threshold, means over quadrants.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from noiseproof import rng
from noiseproof.data import Split

__all__ = ["features"]

_SIDE = 32  # pixels of a picture's side; larger ones are brought to it
_LARGE = 48
_PATCH, _STEP = 6, 2
_FILTERS = 200
_PICTURES, _PATCHES = 400, 40_000  # that the whitening is computed from, at most
_AT_ONCE = 64


def features(split: Split) -> Split:
    """The same samples with float32 features for inputs; where the inputs are features already, the split itself.

    Example:
        >>> noise = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        >>> tuple(features(Split(noise, torch.zeros(8, dtype=torch.int64), None, ("a", "b"))).inputs.shape)
        (8, 1600)
    """
    if isinstance(split.inputs, Tensor) and split.inputs.dim() == 2:
        return split
    pictures = split.inputs if isinstance(split.inputs, Tensor) else _small(split.inputs)
    if max(pictures.shape[2:]) > _LARGE:
        shrunk = [functional.adaptive_avg_pool2d(some.float(), _SIDE) for some in torch.split(pictures, _AT_ONCE)]
        pictures = torch.cat(shrunk).round().byte()
    return replace(split, inputs=_answers(pictures))


def _small(paths: tuple[Path, ...]) -> Tensor:
    """Image files as uint8 (N, 3, 32, 32)."""
    from noiseproof.data.pipeline.decoding import opened, resized

    def read(path: Path) -> Tensor:
        picture = resized(opened(path, (_SIDE, _SIDE)), (_SIDE, _SIDE))
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        return torch.stack(list(pool.map(read, paths)))


def _answers(pictures: Tensor) -> Tensor:
    """Mean answer of each filter, and of its negative, in each quarter of a picture, (N, 8 * filters)."""
    middle, filters = _filters(pictures)
    size = [(length - _patch(pictures)) // _STEP + 1 for length in pictures.shape[2:]]
    found = []
    for some in torch.split(pictures, _AT_ONCE):
        met = (_patches(some) - middle) @ filters
        both = torch.cat([(met - 0.5).clamp_min(0), (-met - 0.5).clamp_min(0)], 2).transpose(1, 2)
        found.append(functional.adaptive_avg_pool2d(both.reshape(*both.shape[:2], *size), 2).flatten(1))
    return torch.cat(found)


def _filters(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The mean patch, and patches of the pictures at unit length after whitening, as columns that whiten too."""
    chosen = torch.from_numpy(rng.permutation(len(pictures), 0, "diagnose", "pictures")[:_PICTURES])
    patches = _patches(pictures[chosen]).flatten(0, 1)
    patches = patches[torch.from_numpy(rng.permutation(len(patches), 0, "diagnose", "patches")[:_PATCHES])]
    middle = patches.mean(0)
    patches -= middle
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    whiten = vectors @ torch.diag((values + 0.1).rsqrt()) @ vectors.T
    return middle, whiten @ functional.normalize(patches[:_FILTERS] @ whiten, dim=1).T


def _patches(pictures: Tensor) -> Tensor:
    """All patches (N, places, C * side * side), each brought to mean 0 and standard deviation 1."""
    columns = functional.unfold(pictures.float() / 255, _patch(pictures), stride=_STEP).transpose(1, 2)
    columns = columns - columns.mean(2, keepdim=True)
    return columns / (columns.std(2, keepdim=True) + 0.05)


def _patch(pictures: Tensor) -> int:
    return min(_PATCH, pictures.shape[2], pictures.shape[3])
