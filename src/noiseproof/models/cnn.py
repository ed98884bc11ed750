"""The CNNs of the lineage: eight layers for CIFAR-10, four for MNIST."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof.errors import InputError
from noiseproof.models.base import MODELS, Network

__all__ = ["CNN4", "CNN8"]


class _CNN(Network):
    """Blocks of 3x3 convolutions, each halved by max-pooling, and one hidden layer of `width` features."""

    def __init__(self, shape: Sequence[int], classes: int, blocks: Sequence[Sequence[int]], width: int) -> None:
        super().__init__(shape, classes)
        if len(shape) != 3 or min(shape[1:]) < 2 ** len(blocks):
            least = 2 ** len(blocks)
            raise InputError(
                f"model {type(self).name} needs images (channels, height, width) of at least {least}x{least}, "
                f"got inputs of shape {tuple(shape)}"
            )
        channels, height, wide = shape
        layers: list[nn.Module] = []
        for block in blocks:
            for out in block:
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
                channels = out
            layers.append(nn.MaxPool2d(2))
            height, wide = height // 2, wide // 2
        self.body = nn.Sequential(*layers)
        self.fc1 = nn.Linear(channels * height * wide, width)
        self.norm = nn.BatchNorm1d(width)
        self.width = width
        self.fc = nn.Linear(width, classes)

    def features(self, inputs: Tensor) -> Tensor:
        # flatten, not view: it puts channels first whatever the memory layout, so fc1's weights fit either.
        return F.relu(self.norm(self.fc1(self.body(inputs).flatten(1))))


@MODELS.register("cnn8")
class CNN8(_CNN):
    """Six convolutions (64, 64, 128, 128, 196, 196) and two linear layers; 256 features.

    Source: Ma et al., ICML 2020 (arXiv:2006.13554), "ToyModel"; 1,639,794 parameters for 3x32x32 and 10 classes.
    """

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes, [(64, 64), (128, 128), (196, 196)], 256)


@MODELS.register("cnn4")
class CNN4(_CNN):
    """Two convolutions (32, 64) and two linear layers; 128 features.

    Source: Ma et al., ICML 2020 (arXiv:2006.13554), the MNIST network; 422,090 parameters for 1x28x28 and 10 classes.
    """

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes, [(32,), (64,)], 128)
