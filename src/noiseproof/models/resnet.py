"""Residual networks: ResNet-34 with a CIFAR stem, ResNet-50 for 224-pixel images.

Submodules carry torchvision's names, so its published ResNet-50 weights load as they are.

Source: He et al., CVPR 2016 (arXiv:1512.03385).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof.errors import InputError
from noiseproof.models.base import MODELS, Network, torch_bias

__all__ = ["ResNet34", "ResNet50"]


def _conv(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(inside: int, outside: int, stride: int) -> nn.Module | None:
    if stride == 1 and inside == outside:
        return None
    return nn.Sequential(_conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    expansion = 1

    def __init__(self, inside: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inside, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = _conv(planes, planes, 3), nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inside, planes, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(inputs)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out + (inputs if self.downsample is None else self.downsample(inputs)), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside the identity; the 3x3 one carries the stride."""

    expansion = 4

    def __init__(self, inside: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inside, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = _conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = _conv(planes, 4 * planes, 1), nn.BatchNorm2d(4 * planes)
        self.downsample = _shortcut(inside, 4 * planes, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(inputs)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return F.relu(out + (inputs if self.downsample is None else self.downsample(inputs)), inplace=True)


class _ResNet(Network):
    """A stem, four stages of 3, 4, 6 and 3 blocks, the mean over the image, a linear layer `fc`."""

    def __init__(
        self, shape: Sequence[int], classes: int, block: type[BasicBlock | Bottleneck], stem: nn.Conv2d
    ) -> None:
        super().__init__(shape, classes)
        if len(shape) != 3:
            raise InputError(
                f"model {type(self).name} needs images (channels, height, width), got inputs of shape {tuple(shape)}"
            )
        self.conv1, self.bn1 = stem, nn.BatchNorm2d(64)
        inside = 64
        for index, (planes, count) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)):
            blocks = []
            for number in range(count):
                blocks.append(block(inside, planes, 2 if index > 0 and number == 0 else 1))
                inside = planes * block.expansion
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        self.width = inside
        self.fc = nn.Linear(inside, classes)

    def stem(self, inputs: Tensor) -> Tensor:
        """Layers before the first stage."""
        return F.relu(self.bn1(self.conv1(inputs)), inplace=True)

    def features(self, inputs: Tensor) -> Tensor:
        out = self.stem(inputs)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            out = self.get_submodule(name)(out)
        return out.mean((2, 3))


@MODELS.register("resnet34")
class ResNet34(_ResNet):
    """ResNet-34 for small images: a 3x3 stem, no pooling before the blocks; 512 features.

    Source: cswjl/joint-asymmetric-loss; 21,328,292 parameters for 3x32x32 and 100 classes.
    """

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes, BasicBlock, _conv(shape[0], 64, 3))


@MODELS.register("resnet50")
class ResNet50(_ResNet):
    """ResNet-50 for 224-pixel images, key for key and value for value torchvision's; 2048 features."""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes, Bottleneck, _conv(shape[0], 64, 7, 2))

    def stem(self, inputs: Tensor) -> Tensor:
        return F.max_pool2d(super().stem(inputs), 3, stride=2, padding=1)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights as torchvision does, with the last BN of every block at zero.

        Source: torchvision's resnet50(zero_init_residual=True), which the WebVision runs train from scratch.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
                torch_bias(module, generator)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
