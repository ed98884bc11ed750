"""Architectures of a model, each from raw inputs to logits: a learner on features, or a network on its own inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from noiseproof.artifacts.architectures.on_features import OnFeatures
from noiseproof.artifacts.architectures.on_network import OnNetwork, OnTokens
from noiseproof.data.dataset import Inputs
from noiseproof.errors import DataError, InputError
from noiseproof.features.base import Array, Bad, Progress

__all__ = ["Architecture", "OnFeatures", "OnNetwork", "OnTokens", "from_config"]


class Architecture(Protocol):
    """From raw inputs to logits."""

    kind: str  # of the inputs: "pictures", "text", "columns" or "vectors"
    inputs: list[str]  # names of what `module` takes
    columns: list[str]  # names of a table's columns in order, else empty

    def logits(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        """Logits float64 (N, K); NaN for inputs that `bad` takes."""

    def encode(self, inputs: Inputs) -> Any:
        """The tensors that `module` takes: a list of pictures, rows, or a tuple for texts."""

    def module(self) -> nn.Module:
        """Plain module from what `encode` gives to logits."""

    def config(self) -> dict[str, Any]:
        """Plain values that `from_config` takes."""

    def arrays(self) -> dict[str, Tensor]:
        """All weights and fitted numbers."""


_ARCHITECTURES: dict[str, Any] = {"features": OnFeatures, "network": OnNetwork, "tokens": OnTokens}


def from_config(config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Architecture:
    """The architecture of these values and arrays.

    Raises:
        DataError: an architecture that this version does not know, or parts that do not fit together.
    """
    name = config.get("architecture")
    if not isinstance(name, str) or name not in _ARCHITECTURES:
        raise DataError(f"architecture {name!r} is not known to this version; known: {', '.join(_ARCHITECTURES)}")
    try:
        found: Architecture = _ARCHITECTURES[name].restore(config, arrays)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        text = str(error).splitlines()[0][:200] if str(error) else ""
        raise DataError(f"the parts of the model do not fit together ({type(error).__name__}: {text})") from None
    return found
