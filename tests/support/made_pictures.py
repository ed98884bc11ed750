"""Random pictures whose brightness tells their class."""

from __future__ import annotations

import torch

from conftest import seeded
from noiseproof.data import Data, Split


def images(count: int = 38, *, classes: int = 10, size: int = 32, channels: int = 3) -> Data:
    """Random pictures with random labels; each class has its own brightness."""
    names = tuple(f"class {k}" for k in range(classes))

    def split(count: int, seed: int) -> Split:
        labels = torch.randint(classes, (count,), generator=seeded(seed))
        pixels = torch.randint(0, 100, (count, channels, size, size), generator=seeded(seed + 1))
        return Split((pixels + 15 * labels[:, None, None, None]).byte(), labels, labels, names)

    return Data("pictures", split(count, 1), split(16, 3), "0" * 64)
