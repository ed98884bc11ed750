"""The two architectures of a model: a learner on features, or a network on its own inputs; each from raw inputs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noiseproof import features, learners, models, rng
from noiseproof.data.dataset import Inputs, samples
from noiseproof.data.pipeline.augment import Augment, normalise
from noiseproof.errors import DataError, InputError
from noiseproof.features import Columns, Extractor, FeatureCache, TextVectors
from noiseproof.features.base import Array, Bad, Progress
from noiseproof.features.pictures import PictureExtractor
from noiseproof.learners import heads
from noiseproof.models import StudentHead

__all__ = ["Architecture", "OnFeatures", "OnNetwork", "from_config"]

_ROWS = 512


class Architecture(Protocol):
    """From raw inputs to logits."""

    kind: str  # of the inputs: "pictures", "text", "columns" or "vectors"
    columns: list[str]  # names of a table's columns in order, else empty

    def logits(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        """Logits float64 (N, K); NaN for inputs that `bad` takes."""

    def encode(self, inputs: Inputs) -> Any:
        """The tensors that `module` takes: a list of pictures, rows, or term numbers and weights."""

    def module(self) -> nn.Module:
        """Plain module from what `encode` gives to logits."""

    def config(self) -> dict[str, Any]:
        """Plain values that `from_config` takes."""

    def arrays(self) -> dict[str, Tensor]:
        """All weights and fitted numbers."""


class OnFeatures:
    """A head on the vectors of an extractor."""

    def __init__(self, extractor: Extractor, head: learners.Head) -> None:
        self.extractor, self.head, self.kind = extractor, head.eval(), extractor.kind
        self.columns = extractor.names if isinstance(extractor, Columns) else []

    def logits(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        vectors = self.extractor.transform(inputs, bad=bad, progress=progress)
        found = heads.logits(self.head, np.nan_to_num(vectors)) if len(vectors) else np.zeros((0, 0))
        found[np.isnan(vectors).any(1)] = np.nan
        return found

    def encode(self, inputs: Inputs) -> Any:
        return self.extractor.encode(inputs)

    def module(self) -> nn.Module:
        return _Chain(self.extractor.module(), self.head).eval()

    def config(self) -> dict[str, Any]:
        config, _ = self.extractor.state()
        return {"architecture": "features", "features": config, "head": self.head.config()}

    def arrays(self) -> dict[str, Tensor]:
        _, fitted = self.extractor.state()
        own = {f"features.{name}": torch.from_numpy(np.array(value)) for name, value in fitted.items()}
        return own | {f"head.{name}": value for name, value in self.head.state_dict().items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> OnFeatures:
        own = {name: value.numpy() for name, value in _below("features.", arrays).items()}
        extractor = features.from_state(config["features"], own)
        extractor.cache = FeatureCache.at("default") if isinstance(extractor, PictureExtractor) else None
        head = learners.build(config["head"])
        head.load_state_dict(_below("head.", arrays))
        return cls(extractor, head)

    def smaller(self) -> OnFeatures:
        """The same model with a linear head on texts folded into its table of terms: K numbers a term, not hundreds."""
        text, head = self.extractor, self.head
        while isinstance(head, heads.Blend) and len(head.heads) == 1:
            inner, factor = head.heads[0], head.factor
            assert isinstance(inner, heads.Head)
            if not isinstance(inner, heads.Linear):
                return self
            head = heads.Linear(factor * inner.fc.weight.numpy(), factor * inner.fc.bias.numpy())
        if not (isinstance(text, TextVectors) and isinstance(head, heads.Linear)):
            return self
        weight, bias = head.fc.weight.numpy(), head.fc.bias.numpy()
        if len(weight) >= text.directions.shape[1]:
            return self
        folded = TextVectors(text.dims)
        folded.kind = text.kind
        config, arrays = text.state()
        table = {"directions": text.directions @ weight.T, "mean": text.mean @ weight.T - bias}
        folded.restore(config, {**arrays, **table})
        classes = len(weight)
        return OnFeatures(folded, heads.Linear(np.eye(classes), np.zeros(classes)))


class OnNetwork:
    """A trained network with the resize, crop and normalisation of its recipe as torch operations.

    Args:
        network: of `models`.
        name, options: how `models.build` makes it.
        shape: of one input, without the batch.
        augment: its `mean`, `std`, `resize` and `crop` count.
        columns: names of a table's columns, where the data had names.
    """

    def __init__(
        self,
        network: models.Network,
        name: str,
        options: Mapping[str, Any],
        shape: tuple[int, ...],
        classes: int,
        augment: Augment,
        columns: list[str],
    ) -> None:
        self.network, self.name, self.options = network.eval().requires_grad_(False), name, dict(options)
        self.shape, self.classes, self.augment, self.columns = tuple(shape), classes, augment, list(columns)
        self.kind = "pictures" if len(self.shape) == 3 else "vectors"

    def logits(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        module, found = self.module(), np.full((len(inputs), self.classes), np.nan)
        with torch.inference_mode():
            if self.kind == "vectors" or (isinstance(inputs, Tensor) and tuple(inputs.shape[1:]) == self.shape):
                coded = self.encode(inputs) if self.kind == "vectors" else inputs
                for start in range(0, len(found), _ROWS):
                    found[start : start + _ROWS] = module(coded[start : start + _ROWS]).double().numpy()
                    if progress:
                        progress(min(start + _ROWS, len(found)), len(found))
                return found
            for position in range(len(inputs)):
                try:
                    (picture,) = self.encode(samples(inputs, np.array([position])))
                    found[position] = module(picture[None]).double().numpy()[0]
                except DataError as error:
                    if bad is None:
                        raise
                    bad[position] = str(error)
                if progress:
                    progress(position + 1, len(found))
        return found

    def encode(self, inputs: Inputs) -> Any:
        if self.kind == "vectors":
            table = Columns()
            table.names, table.levels = self.columns or [str(number) for number in range(self.shape[0])], {}
            return table.encode(inputs)
        from noiseproof.features.pictures import picture

        found = [one if isinstance(one, Tensor) else picture(one) for one in inputs]
        return [self._channels(one) for one in found]

    def _channels(self, picture: Tensor) -> Tensor:
        if picture.shape[0] == self.shape[0]:
            return picture
        if self.shape[0] == 1 and picture.shape[0] == 3:
            weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float32)[:, None, None]
            return (picture.float() * weights).sum(0, keepdim=True).round().to(torch.uint8)
        if picture.shape[0] == 1:
            return picture.expand(self.shape[0], -1, -1)
        raise InputError(f"pictures must have {self.shape[0]} channels, got {tuple(picture.shape)}")

    def module(self) -> nn.Module:
        inputs = _Framed(self.shape, self.augment) if self.kind == "pictures" else _Scaled(self.augment)
        return _Chain(inputs, self.network).eval()

    def config(self) -> dict[str, Any]:
        steps = {key: _plain(getattr(self.augment, key)) for key in ("mean", "std", "resize", "crop")}
        head = self.network.fc
        student = {"alpha": head.alpha, "lam": head.lam} if isinstance(head, StudentHead) else None
        return {
            "architecture": "network",
            "network": self.name,
            "options": {key: _plain(value) for key, value in self.options.items()},
            "student": student,
            "shape": list(self.shape),
            "outputs": self.classes,
            "preprocessing": steps,
            "columns": self.columns,
        }

    def arrays(self) -> dict[str, Tensor]:
        return {f"network.{name}": value.contiguous() for name, value in self.network.state_dict().items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> OnNetwork:
        shape, classes = tuple(map(int, config["shape"])), int(config["outputs"])
        options = {str(key): tuple(v) if isinstance(v, list) else v for key, v in config["options"].items()}
        generator = rng.generator(0, "init")
        network = models.build(config["network"], shape=shape, classes=classes, generator=generator, **options)
        if config["student"] is not None:
            network.fc = StudentHead(network.width, classes, **config["student"])
        network.load_state_dict(_below("network.", arrays))
        augment = Augment(**config["preprocessing"])
        return cls(network, config["network"], options, shape, classes, augment, list(config["columns"]))


_ARCHITECTURES: dict[str, Any] = {"features": OnFeatures, "network": OnNetwork}


def from_config(config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Architecture:
    """The architecture of these values and arrays.

    Raises:
        DataError: an architecture that this version does not know, or parts that do not fit together.
    """
    name = config.get("architecture")
    if name not in _ARCHITECTURES:
        raise DataError(f"architecture {name!r} is not known to this version; known: {', '.join(_ARCHITECTURES)}")
    try:
        found: Architecture = _ARCHITECTURES[name].restore(config, arrays)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        text = str(error).splitlines()[0][:200] if str(error) else ""
        raise DataError(f"the parts of the model do not fit together ({type(error).__name__}: {text})") from None
    return found


class _Chain(nn.Module):
    """One module after another; the first may take several inputs."""

    def __init__(self, first: nn.Module, then: nn.Module) -> None:
        super().__init__()
        self.first, self.then = first, then

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = self.then(self.first(*inputs))
        return found


class _Framed(nn.Module):
    """Pictures of any size as the network takes them: resized, cut in the middle, normalised."""

    def __init__(self, shape: tuple[int, ...], augment: Augment) -> None:
        super().__init__()
        self.shape, self.augment = shape, augment

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = self.shape[1:]
        resize = self.augment.resize
        if isinstance(resize, int):  # the shorter side, then the middle
            short = torch.sym_min(  # type: ignore[no-untyped-call]
                pixels.shape[2], pixels.shape[3]
            )
            size = (pixels.shape[2] * resize // short, pixels.shape[3] * resize // short)
            pixels = functional.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
            top, left = (size[0] - height) // 2, (size[1] - width) // 2
            pixels = pixels.narrow(2, top, height).narrow(3, left, width)
        elif tuple(pixels.shape[2:]) != (height, width):
            pixels = functional.interpolate(pixels.float(), (height, width), mode="bilinear", antialias=True)
        return normalise(pixels.float().clamp(0, 255), self.augment.mean, self.augment.std)


class _Scaled(nn.Module):
    """Rows of numbers, (row - mean) / std."""

    mean: Tensor
    std: Tensor

    def __init__(self, augment: Augment) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(augment.mean or (0.0,), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(augment.std or (1.0,), dtype=torch.float32))

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.std


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _below(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
