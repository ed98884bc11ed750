"""The seam of all extractors: fit, transform, and a state of plain values and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy.typing as npt
from torch import nn

from noiseproof.data.dataset import Inputs
from noiseproof.features.vector_cache import FeatureCache
from noiseproof.registry import Registry

__all__ = ["EXTRACTORS", "Array", "Bad", "Extractor", "Inputs", "Progress"]

Array = npt.NDArray[Any]
Bad = dict[int, str]  # position of an input that could not be read, and why
Progress = Callable[[int, int], object]

EXTRACTORS: Registry[Extractor] = Registry("features", "features")


class Extractor:
    """Maps inputs to vectors; fitted without labels.

    Attributes:
        kind: of the inputs, "pictures", "text", "columns" or "vectors".
        cache: where vectors of pictures are kept by content; None: nowhere.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    kind: str
    cache: FeatureCache | None = None

    def fit(self, inputs: Inputs, *, progress: Progress | None = None) -> Self:
        """Fit to inputs; clears an earlier fit.

        Raises:
            InputError: nothing can be made of these inputs.
        """
        self.fit_transform(inputs, progress=progress)
        return self

    def fit_transform(self, inputs: Inputs, *, progress: Progress | None = None) -> Array:
        """Fit to inputs and give their vectors, float32 (N, D)."""
        raise NotImplementedError

    def transform(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        """Vectors of inputs, float32 (N, D).

        Args:
            inputs: of the kind that was fitted.
            bad: takes the inputs that cannot be read, whose rows are then NaN; None: the first such input raises.
            progress: called with (done, total).
        """
        raise NotImplementedError

    def encode(self, inputs: Inputs) -> Any:
        """Tensors that `module` takes, for inputs that fit into memory."""
        raise NotImplementedError

    def module(self) -> nn.Module:
        """The fitted map as a plain module, from what `encode` gives to vectors (N, D)."""
        raise NotImplementedError

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Everything that `from_state` needs: values for JSON, and arrays."""
        raise NotImplementedError

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Take over a state."""
        raise NotImplementedError

    def base_state(self) -> dict[str, Any]:
        """The part of the state that all extractors have."""
        return {"name": self.name, "text": str(self), "kind": self.kind}

    def __str__(self) -> str:
        return EXTRACTORS.write(self)
