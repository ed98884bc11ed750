"""Batches of a split, in an order and with an augmentation that (seed, epoch, sample) alone decide."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from noiseproof import rng
from noiseproof.data.dataset import Split
from noiseproof.data.pipeline.augmented_batches import Changed, Source
from noiseproof.data.pipeline.crops_and_flips import Augment, crops, draw, normalise, pad
from noiseproof.errors import InputError
from noiseproof.runtime import progress_signal

__all__ = ["Batches"]


class Batches:
    """A split cut into batches, on the device, ready for the model.

    Args:
        split: what to read.
        batch_size: samples a batch, over all shards; the last batch holds what is left.
        augment: how samples are changed; its random parts act only if `train`.
        seed: seed of the run.
        train: random order and augmentation, both new every epoch; otherwise the split's own order, unchanged.
        device: where the batches are wanted; tensors are kept there as uint8.
        shard: (rank, world): this process takes every world-th sample of each batch, starting at rank.
        workers: threads that decode image files; all processors, at most 16, unless given.
        reduced: JPEGs may be decoded at 1/2, 1/4 or 1/8 of their size where that is enough: faster, not exact.
        cache: a folder to keep resized images in, for `resize = [height, width]`; exact.

    Example:
        >>> split = Split(torch.eye(4), torch.tensor([0, 1, 0, 1]), None, ("a", "b"))
        >>> [(tuple(x.shape), index.tolist()) for x, index in Batches(split, 3).epoch()]
        [((3, 4), [0, 1, 2]), ((1, 4), [3])]
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        train: bool = False,
        device: torch.device | str = "cpu",
        shard: tuple[int, int] = (0, 1),
        workers: int | None = None,
        reduced: bool = False,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        self.count, self.batch_size, self.seed, self.train = len(split), batch_size, seed, train
        self.device, self.shard = torch.device(device), shard
        augment = augment or Augment()
        extra = augment.extra if train else ()
        vectors = isinstance(split.inputs, torch.Tensor) and split.inputs.dtype == torch.float32
        mean, std = augment.mean, augment.std
        if extra and not vectors:  # changed as pixels from 0 to 1, normalised afterwards
            augment = replace(augment, mean=(), std=())
        self._source: Source
        if not isinstance(split.inputs, torch.Tensor):
            from noiseproof.data.pipeline.decoding import ImageFiles  # Pillow, only where it is needed

            self._source = ImageFiles(
                split.inputs,
                augment,
                seed=seed,
                train=train,
                device=self.device,
                workers=workers,
                reduced=reduced,
                cache=None if cache is None else Path(cache),
            )
        elif vectors:
            self._source = _Features(split.inputs.to(self.device), augment)
        else:
            self._source = _Images(split.inputs, augment, seed, train, self.device)
        if extra:
            normalising = ((), ()) if vectors else (mean, std)
            self._source = Changed(self._source, extra, self.count, seed, *normalising)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def epoch(self, epoch: int = 0, *, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pairs of inputs, float32 on the device, and the samples' positions in the split, int64 on the device.

        Args:
            epoch: which epoch, from 0.
            start: batches to leave out at the beginning, for a run that goes on in the middle of an epoch.
        """
        everything = self.order(epoch)
        firsts = range(start * self.batch_size, self.count, self.batch_size)
        return self.batches([everything[first : first + self.batch_size] for first in firsts], epoch)

    def order(self, epoch: int = 0) -> torch.Tensor:
        """The positions of all samples in the order of an epoch, int64 (N,), on the device."""
        order = rng.permutation(self.count, self.seed, "order", epoch) if self.train else np.arange(self.count)
        return torch.from_numpy(order).to(self.device)

    def batches(self, parts: Sequence[torch.Tensor], epoch: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of chosen samples, as `epoch` gives them: this process's share of each part."""
        rank, world = self.shard
        shares = [part[rank::world] for part in parts]
        for inputs, share in zip(self._source.stream(shares, epoch), shares, strict=True):
            yield inputs, share
            progress_signal.beat()

    def view(self, number: int) -> Batches:
        """The same samples and order under other random draws of the augmentation; 0 is this one."""
        if number == 0:
            return self
        other = copy.copy(self)
        other._source = self._source.reseeded(rng.key(self.seed, "view", number) & (2**63 - 1))
        return other


class _Features:
    """Rows of numbers, standardised where the recipe says so."""

    def __init__(self, rows: torch.Tensor, augment: Augment) -> None:
        if augment.mean:
            mean, std = (
                torch.tensor(value, dtype=torch.float32, device=rows.device) for value in (augment.mean, augment.std)
            )
            rows = (rows - mean) / std
        self.rows = rows

    def stream(self, parts: list[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        return (self.rows[index] for index in parts)

    def reseeded(self, seed: int) -> _Features:
        return self


class _Images:
    """Images of one size, padded once and kept on the device as uint8."""

    def __init__(self, images: torch.Tensor, augment: Augment, seed: int, train: bool, device: torch.device) -> None:
        self.size = (images.shape[2], images.shape[3])
        self.padding = augment.crop_padding if train else 0
        self.images = pad(images, self.padding).to(device)
        self.augment, self.seed, self.train = augment, seed, train

    def stream(self, parts: list[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        mean, std = self.augment.mean, self.augment.std
        if not self.train:
            yield from (normalise(self.images[index], mean, std) for index in parts)
            return
        if not parts:
            return
        starts = 2 * self.padding + 1
        draws = draw(self.augment, len(self.images), size=self.size, starts=starts, seed=self.seed, epoch=epoch)
        draws = draws.to(self.images.device).take(torch.cat(parts))  # in the order of use: batches are slices of it
        end = 0
        for index in parts:
            drawn = draws.take(slice(end, end := end + len(index)))
            yield crops(self.images, index, drawn, self.size, mean, std)

    def reseeded(self, seed: int) -> _Images:
        other = copy.copy(self)
        other.seed = seed
        return other
