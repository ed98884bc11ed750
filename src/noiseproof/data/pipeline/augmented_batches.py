"""Batches of another source, changed by the augmentations that a recipe names in `extra`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from noiseproof import rng
from noiseproof.data.augmentations import AUGMENTATIONS, Augmentation
from noiseproof.errors import InputError

__all__ = ["Changed", "Source"]


class Source(Protocol):
    """Source of the samples of a batch."""

    def stream(self, parts: list[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        """The inputs of each part, positions on the device, as float32 on the device."""

    def reseeded(self, seed: int) -> Source:
        """The same samples under other random draws."""


class Changed:
    """Samples of a source, changed one augmentation after the other, then normalised.

    Args:
        source: pictures from 0 to 1, or standardised vectors.
        texts: of the augmentations.
        count: samples of the source.
        seed: of the draws, which depend on seed, epoch and sample alone.
        mean, std: per channel, taken off after the changes; none: already done.
    """

    def __init__(
        self,
        source: Source,
        texts: tuple[str, ...],
        count: int,
        seed: int,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
    ) -> None:
        self.source, self.count, self.seed = source, count, seed
        self.changes = [AUGMENTATIONS.build(text) for text in texts]
        self.mean, self.std = mean, std

    def stream(self, parts: list[torch.Tensor], epoch: int) -> Iterator[torch.Tensor]:
        drawn: list[torch.Tensor] = []
        for inputs, index in zip(self.source.stream(parts, epoch), parts, strict=True):
            if not drawn:  # the shape of a sample is not known before
                drawn = [self._drawn(place, tuple(inputs.shape[1:]), epoch) for place in range(len(self.changes))]
            for change, u in zip(self.changes, drawn, strict=True):
                inputs = _changed(change, inputs, u[index.cpu()].to(inputs.device))
            yield self._normalised(inputs)

    def reseeded(self, seed: int) -> Changed:
        other = copy.copy(self)
        other.source, other.seed = self.source.reseeded(seed), seed
        return other

    def _drawn(self, place: int, shape: tuple[int, ...], epoch: int) -> torch.Tensor:
        """The numbers of all samples for one augmentation, float32 (N, draws)."""
        change = self.changes[place]
        draws = change.draws(shape)
        words = rng.random_uint64(self.count * draws, self.seed, "augment", epoch, place, change.name)
        return torch.from_numpy(((words >> np.uint64(40)).astype(np.float32) / 2**24).reshape(self.count, draws))

    def _normalised(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.mean:
            return inputs
        mean, std = (inputs.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (inputs - mean) / std


def _changed(change: Augmentation, inputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    wanted = f"{inputs.dtype} {tuple(inputs.shape)}"
    changed = change.change(inputs, u)
    found = type(changed).__name__
    if isinstance(changed, torch.Tensor):
        found = f"{changed.dtype} {tuple(changed.shape)}"
    if found != wanted:
        raise InputError(f"augmentation {change.name}: change must return {wanted}, got {found}")
    return changed
