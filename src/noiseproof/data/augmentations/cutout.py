"""A square of each picture, at random, of one grey."""

from __future__ import annotations

import torch

from noiseproof.data.augmentations.base import AUGMENTATIONS, Augmentation
from noiseproof.errors import InputError, in_range

__all__ = ["Cutout"]


@AUGMENTATIONS.register("cutout", paper="arXiv:1708.04552")
class Cutout(Augmentation):
    """Cutout: a square of each picture becomes grey; its middle lies anywhere in the picture, parts of it outside.

    Args:
        size: side of the square, in pixels.
        value: of its pixels, from 0 to 1.

    Example:
        >>> Cutout(size=2).change(torch.zeros(1, 1, 3, 3), torch.tensor([[0.0, 0.5]]))[0, 0].tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    Source: DeVries & Taylor 2017 (arXiv:1708.04552); the published code fills with the mean of the data set.
    """

    def __init__(self, size: int = 16, value: float = 0.5) -> None:
        self.size, self.value = int(in_range("size", size, 1)), in_range("value", value, 0, 1)

    def draws(self, shape: tuple[int, ...]) -> int:
        if len(shape) != 3:
            raise InputError(f"cutout is for pictures (C, H, W), these samples are {shape}; leave it out of the recipe")
        return 2

    def change(self, inputs: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        rows, columns = (self._inside(side, u[:, axis]) for axis, side in enumerate((inputs.shape[2], inputs.shape[3])))
        return inputs.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], self.value)

    def _inside(self, side: int, u: torch.Tensor) -> torch.Tensor:
        """The positions along one side that the square covers, bool (B, side)."""
        first = (u * side).long() - self.size // 2
        place = torch.arange(side, device=u.device)[None] - first[:, None]
        return (place >= 0) & (place < self.size)
