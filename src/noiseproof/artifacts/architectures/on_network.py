"""A trained network on its own inputs, with the preprocessing of its recipe: pictures, rows of numbers, or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noiseproof.artifacts.architectures import network_description
from noiseproof.artifacts.architectures.torch_preprocessing import Chain, Framed, Scaled
from noiseproof.data.dataset import Inputs, samples
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import DataError, InputError
from noiseproof.features import Columns
from noiseproof.features.base import Array, Bad, Progress
from noiseproof.features.pictures import picture
from noiseproof.methods.ensemble import Ensemble
from noiseproof.models import Network, Tokenizer

__all__ = ["OnNetwork", "OnTokens"]

_ROWS = 512
_TEXTS = 32


class OnNetwork:
    """A trained network with the resize, crop and normalisation of its recipe as torch operations.

    Args:
        network: of `models`, or an ensemble of several.
        name, options: how `models.build` makes it.
        shape: of one input, without the batch.
        classes: number of logits.
        augment: its `mean`, `std`, `resize` and `crop` count.
        columns: names of a table's columns, where the data had names.

    Raises:
        InputError: the network is of a kind that no model folder can hold.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        options: Mapping[str, Any],
        shape: tuple[int, ...],
        classes: int,
        augment: Augment,
        columns: list[str],
        *,
        described: Mapping[str, Any] | None = None,
    ) -> None:
        self.network, self.name, self.options = network.eval().requires_grad_(False), name, dict(options)
        self.described = dict(described or network_description.describe(network, name))
        self.shape, self.classes, self.augment, self.columns = tuple(shape), classes, augment, list(columns)
        self.kind = "pictures" if len(self.shape) == 3 else "vectors"
        self.inputs = ["pictures" if self.kind == "pictures" else "rows"]
        self.centre = "half to even"  # folders of version 0.2 say nothing, and cut before the middle

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
                    (one,) = self.encode(samples(inputs, np.array([position])))
                    found[position] = module(one[None]).double().numpy()[0]
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
        return [self._channels(one if isinstance(one, Tensor) else picture(one)) for one in inputs]

    def _channels(self, pixels: Tensor) -> Tensor:
        if pixels.shape[0] == self.shape[0]:
            return pixels
        if self.shape[0] == 1 and pixels.shape[0] == 3:
            weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float32)[:, None, None]
            return (pixels.float() * weights).sum(0, keepdim=True).round().to(torch.uint8)
        if pixels.shape[0] == 1:
            return pixels.expand(self.shape[0], -1, -1)
        raise InputError(f"pictures must have {self.shape[0]} channels, got {tuple(pixels.shape)}")

    def module(self) -> nn.Module:
        inputs = Scaled(self.augment) if self.kind == "vectors" else self._framed()
        return Chain(inputs, self.network).eval()

    def _framed(self) -> Framed:
        return Framed(self.shape, self.augment, even=self.centre == "half to even")

    def config(self) -> dict[str, Any]:
        steps = {key: _plain(getattr(self.augment, key)) for key in ("mean", "std", "resize", "crop")}
        return {
            "architecture": "network",
            **self.described,
            "options": {key: _plain(value) for key, value in self.options.items()},
            "shape": list(self.shape),
            "outputs": self.classes,
            "preprocessing": steps,
            "centre": self.centre,
            "columns": self.columns,
        }

    def arrays(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        if isinstance(self.network, Ensemble):
            state = {name: value for name, value in state.items() if name.startswith("members.")}  # heads: there, too
        return {f"network.{name}": value.contiguous() for name, value in state.items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> OnNetwork:
        shape, classes = tuple(map(int, config["shape"])), int(config["outputs"])
        options = {str(key): tuple(v) if isinstance(v, list) else v for key, v in config["options"].items()}
        network = network_description.rebuild(config, shape, classes, options)
        kept = {name.removeprefix("network."): value for name, value in arrays.items() if name.startswith("network.")}
        missing, foreign = network.load_state_dict(kept, strict=False)
        if foreign or any(not name.startswith("fc.") or not isinstance(network, Ensemble) for name in missing):
            raise DataError(
                f"the weights are not those of {config['network']}, for example {[*missing, *foreign][0]!r}"
            )
        described = {key: config[key] for key in network_description.KEYS if key in config}
        augment, columns = Augment(**config["preprocessing"]), list(config["columns"])
        found = cls(network, str(config["network"]), options, shape, classes, augment, columns, described=described)
        found.centre = str(config.get("centre", "down"))
        return found


class OnTokens(OnNetwork):
    """A trained network on texts, with the tokenizer that numbers their tokens.

    Args:
        network, name, classes: as of `OnNetwork`.
        tokenizer: of the folder that was fine-tuned.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        classes: int,
        tokenizer: Tokenizer,
        *,
        described: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(network, name, {}, (tokenizer.length,), classes, Augment(), [], described=described)
        self.tokenizer, self.kind, self.inputs = tokenizer, "text", ["tokens"]

    def logits(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        module, found = self.module(), np.zeros((len(inputs), self.classes))
        with torch.inference_mode():
            for start in range(0, len(inputs), _TEXTS):
                rows = slice(start, start + _TEXTS)
                found[rows] = module(*self.encode(inputs[rows])).double().numpy()
                if progress:
                    progress(min(start + _TEXTS, len(inputs)), len(inputs))
        return found

    def encode(self, inputs: Sequence[str]) -> tuple[Tensor]:
        """Numbers of tokens, int64 (N, L), padded with -1."""
        return (self.tokenizer.encode(inputs),)

    def module(self) -> nn.Module:
        return self.network

    def config(self) -> dict[str, Any]:
        return {**super().config(), "architecture": "tokens"}

    def arrays(self) -> dict[str, Tensor]:
        text = np.frombuffer(self.tokenizer.text.encode(), np.uint8)
        return super().arrays() | {"tokenizer": torch.from_numpy(text.copy())}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> OnTokens:
        plain = OnNetwork.restore(config, arrays)
        tokenizer = Tokenizer(arrays["tokenizer"].numpy().tobytes().decode(), plain.shape[0])
        return cls(plain.network, plain.name, plain.classes, tokenizer, described=plain.described)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
