"""Heads: plain modules from vectors to logits, made of arrays, so that a folder of arrays gives them back.

A head says what it is by `config()`, plain values, and `build(config)` makes one of that form, whose arrays
`load_state_dict` fills in. Only the forms of this file can be built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from noiseproof.errors import DataError

__all__ = ["Blend", "Head", "Kernel", "Linear", "Perceptron", "Trees", "build", "logits"]

_LEAST = 1e-7  # probability


class Head(nn.Module):
    """Logits (N, K) of vectors (N, D); softmax of the logits is the probability of each true class."""

    form: str

    def config(self) -> dict[str, Any]:
        """Plain values that `build` takes."""
        raise NotImplementedError

    @classmethod
    def empty(cls, config: Mapping[str, Any]) -> Head:
        """A head of this form, whose arrays are still to be filled in."""
        raise NotImplementedError


class Linear(Head):
    """weight @ vector + bias."""

    form = "linear"

    def __init__(self, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(weight.shape[1], weight.shape[0])
        self.fc.weight.data = _tensor(weight)
        self.fc.bias.data = _tensor(bias)
        self.requires_grad_(False)

    def forward(self, vectors: Tensor) -> Tensor:
        found: Tensor = self.fc(vectors)
        return found

    def config(self) -> dict[str, Any]:
        return {"form": self.form, "shape": list(self.fc.weight.shape)}

    @classmethod
    def empty(cls, config: Mapping[str, Any]) -> Head:
        classes, dims = map(int, config["shape"])
        return cls(np.zeros((classes, dims)), np.zeros(classes))


class Kernel(Head):
    """A linear head on similarities exp(-gamma ||u - centre||^2), u the quantile-normal vector.

    Args:
        knots: quantiles of each dimension, (D, Q), ascending.
        centres: (M, D), of quantile-normal vectors.
        gamma: inverse squared width.
        inner: on the M similarities.
    """

    form = "kernel"
    knots: Tensor
    centres: Tensor

    def __init__(self, knots: npt.NDArray[Any], centres: npt.NDArray[Any], gamma: float, inner: Linear) -> None:
        super().__init__()
        self.gamma, self.inner = float(gamma), inner
        self.register_buffer("knots", _tensor(knots))
        self.register_buffer("centres", _tensor(centres))

    def normal(self, vectors: Tensor) -> Tensor:
        """Each dimension on a normal scale, linear between its quantiles, constant outside."""
        return quantile_normal(vectors, self.knots)

    def similarities(self, normal: Tensor) -> Tensor:
        """(N, M)."""
        square = normal.square().sum(1, keepdim=True) + self.centres.square().sum(1) - 2 * normal @ self.centres.T
        return (-self.gamma * square.clamp_min(0)).exp()

    def forward(self, vectors: Tensor) -> Tensor:
        found: Tensor = self.inner(self.similarities(self.normal(vectors)))
        return found

    def config(self) -> dict[str, Any]:
        shapes = {"knots": list(self.knots.shape), "centres": list(self.centres.shape)}
        return {"form": self.form, **shapes, "gamma": self.gamma, "inner": self.inner.config()}

    @classmethod
    def empty(cls, config: Mapping[str, Any]) -> Head:
        inner = build(config["inner"])
        if not isinstance(inner, Linear):
            raise DataError("a kernel head needs a linear one inside")
        knots, centres = (np.zeros(tuple(map(int, config[name]))) for name in ("knots", "centres"))
        return cls(knots, centres, config["gamma"], inner)


class Trees(Head):
    """Decision trees as plain arrays; the vector goes left where its feature is at most the threshold.

    Args:
        feature, threshold, left, right: of each node, all trees one after the other; a leaf leads to itself.
        value: of each node, (nodes, K).
        roots: first node of each tree.
        depth: steps from a root to the deepest leaf.
        probabilities: values are probabilities, whose mean is taken; else they are logits, whose sum is.
        bias: added to the sum, (K,).
    """

    form = "trees"
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor
    bias: Tensor

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], depth: int, probabilities: bool) -> None:
        super().__init__()
        self.depth, self.probabilities = int(depth), bool(probabilities)
        for name in ("feature", "left", "right", "roots"):
            self.register_buffer(name, torch.from_numpy(np.array(arrays[name], np.int64)))
        for name in ("threshold", "value", "bias"):
            self.register_buffer(name, _tensor(arrays[name]))

    def forward(self, vectors: Tensor) -> Tensor:
        node = self.roots.expand(vectors.shape[0], -1)
        for _ in range(self.depth):
            goes_left = vectors.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(goes_left, self.left[node], self.right[node])
        values = self.value[node]
        if self.probabilities:
            return (values.mean(1).clamp_min(_LEAST)).log()
        return values.sum(1) + self.bias

    def config(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "nodes": len(self.feature),
            "trees": len(self.roots),
            "classes": self.value.shape[1],
            "depth": self.depth,
            "probabilities": self.probabilities,
        }

    @classmethod
    def empty(cls, config: Mapping[str, Any]) -> Head:
        nodes, trees, classes = (int(config[name]) for name in ("nodes", "trees", "classes"))
        arrays = {name: np.zeros(nodes) for name in ("feature", "threshold", "left", "right")}
        arrays |= {"value": np.zeros((nodes, classes)), "roots": np.zeros(trees), "bias": np.zeros(classes)}
        return cls(arrays, config["depth"], config["probabilities"])


class Perceptron(Head):
    """Hidden layers with ReLU, then a linear layer."""

    form = "perceptron"

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = [int(width) for width in widths]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(self.widths, self.widths[1:], strict=False))

    def forward(self, vectors: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            vectors = layer(vectors).relu()
        found: Tensor = self.layers[-1](vectors)
        return found

    def config(self) -> dict[str, Any]:
        return {"form": self.form, "widths": self.widths}

    @classmethod
    def empty(cls, config: Mapping[str, Any]) -> Head:
        return cls(config["widths"])


class Blend(Head):
    """Logarithm of the weighted mean of several heads' probabilities, times a factor.

    Args:
        heads: at least one.
        weights: of their probabilities, summing to 1.
        factor: sharpens the mean where above 1.
    """

    form = "blend"

    def __init__(self, heads: Sequence[Head], weights: Sequence[float], factor: float = 1.0) -> None:
        super().__init__()
        self.heads, self.weights, self.factor = nn.ModuleList(heads), [float(w) for w in weights], float(factor)

    def forward(self, vectors: Tensor) -> Tensor:
        if len(self.heads) == 1:
            found: Tensor = self.heads[0](vectors) * self.factor
            return found
        parts = [weight * head(vectors).softmax(1) for weight, head in zip(self.weights, self.heads, strict=True)]
        return torch.stack(parts).sum(0).clamp_min(_LEAST).log() * self.factor

    def config(self) -> dict[str, Any]:
        inner = [head.config() for head in self.heads if isinstance(head, Head)]
        return {"form": self.form, "heads": inner, "weights": self.weights, "factor": self.factor}

    @classmethod
    def empty(cls, config: Mapping[str, Any]) -> Head:
        return cls([build(inner) for inner in config["heads"]], config["weights"], config["factor"])


_FORMS: dict[str, type[Head]] = {cls.form: cls for cls in (Linear, Kernel, Trees, Perceptron, Blend)}


def build(config: Mapping[str, Any]) -> Head:
    """A head of this form, its arrays still to be filled in by `load_state_dict`.

    Raises:
        DataError: a form that this version does not know, or values that do not fit.
    """
    form = config.get("form")
    if form not in _FORMS:
        raise DataError(f"a head of form {form!r} is not known to this version; known: {', '.join(_FORMS)}")
    try:
        return _FORMS[form].empty(config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the description of a {form} head is damaged ({type(error).__name__}: {error})") from None


def logits(head: nn.Module, vectors: npt.NDArray[Any], *, rows: int = 1024) -> npt.NDArray[np.float64]:
    """Logits of many vectors, in blocks of rows."""
    with torch.inference_mode():
        parts = [head(part).double() for part in torch.split(_tensor(vectors), rows)]
    found: npt.NDArray[np.float64] = torch.cat(parts).numpy()
    return found


def quantile_normal(vectors: Tensor, knots: Tensor) -> Tensor:
    """Each dimension on a normal scale: linear between its quantiles (D, Q), constant outside."""
    count = knots.shape[1]
    normal = [NormalDist().inv_cdf((number + 0.5) / count) for number in range(count)]
    levels = torch.tensor(normal, dtype=torch.float32, device=knots.device)
    place = (vectors[:, :, None] >= knots).sum(2).clamp(1, count - 1)  # the knot above
    index = place.T  # (D, N)
    low, high = knots.gather(1, index - 1).T, knots.gather(1, index).T
    within = ((vectors - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return levels[place - 1] + within * (levels[place] - levels[place - 1])


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
