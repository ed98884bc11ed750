"""Preprocessing of a network as torch operations, so that training, predict and an exported graph compute the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noiseproof.data.pipeline.crops_and_flips import Augment, normalise

__all__ = ["Chain", "Framed", "Scaled"]


class Chain(nn.Module):
    """One module after another; the first may take several inputs."""

    def __init__(self, first: nn.Module, then: nn.Module) -> None:
        super().__init__()
        self.first, self.then = first, then

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = self.then(self.first(*inputs))
        return found


class Framed(nn.Module):
    """Pictures of any size as the network takes them: resized, cut in the middle, normalised.

    Args:
        shape: of the result, (C, H, W).
        augment: its `mean`, `std` and `resize` count.
        even: where the middle lies between two pixels, cut at the even one, as training does; else before it.
    """

    def __init__(self, shape: tuple[int, ...], augment: Augment, even: bool = True) -> None:
        super().__init__()
        self.shape, self.augment, self.even = shape, augment, even

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = self.shape[1:]
        resize = self.augment.resize
        if isinstance(resize, int):  # the shorter side, then the middle
            short = torch.sym_min(  # type: ignore[no-untyped-call]
                pixels.shape[2], pixels.shape[3]
            )
            size = (pixels.shape[2] * resize // short, pixels.shape[3] * resize // short)
            pixels = functional.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
            top, left = self._half(size[0] - height), self._half(size[1] - width)
            down = torch.arange(height, device=pixels.device) + top  # a view would tie an exported graph to its shape
            across = torch.arange(width, device=pixels.device) + left
            pixels = pixels.index_select(2, down).index_select(3, across)
        else:  # at this very size the same bits; a test of the size would fix it in an exported graph
            pixels = functional.interpolate(pixels.float(), (height, width), mode="bilinear", antialias=True)
        return normalise(pixels.float().clamp(0, 255), self.augment.mean, self.augment.std)

    def _half(self, margin: int) -> int:
        """Half of a margin: `round(margin / 2)` in whole numbers, which a graph can hold."""
        return margin // 2 + (margin % 2) * (margin // 2 % 2) if self.even else margin // 2


class Scaled(nn.Module):
    """Rows of numbers, (row - mean) / std."""

    mean: Tensor
    std: Tensor

    def __init__(self, augment: Augment) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(augment.mean or (0.0,), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(augment.std or (1.0,), dtype=torch.float32))

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.std
