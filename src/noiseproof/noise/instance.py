"""Instance-dependent noise: the sample itself decides whether and to what its label flips.

Every class c has a random matrix W_c (D, K) with standard normal entries. A standardised input x of class c scores
the classes x W_c; a wrong label is drawn from the softmax of the scores of the other classes. The scores have
a standard deviation of about sqrt(D), so each sample has one or two favourites.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import rng
from noiseproof.errors import DataError, InputError, in_range, one_of
from noiseproof.labels import Labels
from noiseproof.noise.base import NOISES, Noise, Published, Task, refuse_wrong_rate
from noiseproof.noise.human import fixed_labels, published_content

__all__ = ["Instance"]

Floats = npt.NDArray[np.float64]

_SPREAD = 0.1  # standard deviation of the samples' own rates
_PUBLISHED = {0.2: "0_2", 0.4: "0_4", 0.6: "0_6"}
_ROWS = 1024  # standardised at a time


@NOISES.register("instance")
class Instance(Noise):
    """A label goes wrong where its input suggests it; `rate` is the share that does.

    convention=xia (default): each sample has a rate of its own, normal around `rate` with standard deviation 0.1,
    cut to [0, 1]; the share is `rate` on average. convention=logitclip: the share is exact, samples go wrong
    equally often. convention=jal: the vectors of CIFAR-10 and CIFAR-100 that the JAL paper used, made the second way.

    Source: Xia et al., NeurIPS 2020 (arXiv:2006.07836); Wei et al., ICML 2023 (arXiv:2212.04055).
    """

    def __init__(self, rate: float, convention: str = "xia", allow_wrong_rate: bool = False) -> None:
        self.rate = in_range("rate", rate, 0, 1)
        self.convention = one_of("convention of instance", convention, ("xia", "logitclip", "jal"))
        if not isinstance(allow_wrong_rate, bool):
            raise InputError(f"allow_wrong_rate must be true or false, got {allow_wrong_rate!r}")
        self.allow_wrong_rate = allow_wrong_rate

    def draw(self, task: Task) -> Labels:
        if self.convention == "jal":
            return self._published(task)
        words = rng.random_uint64(3 * len(task.clean), task.seed, "noise", self.name).reshape(-1, 3)
        if self.convention == "xia":
            if not self.allow_wrong_rate:
                instead = "use convention=logitclip for an exact share"
                refuse_wrong_rate(self, gives=cut_normal_mean(self.rate), asked=self.rate, instead=instead)
            flipped = _even(words[:, 0]) < cut_normal(self.rate, _even(words[:, 1]))
        else:
            flipped = np.zeros(len(words), dtype=bool)
            flipped[np.argsort(words[:, 0], kind="stable")[: int(self.rate * len(words) + 0.5)]] = True
        given = task.clean.copy()
        inputs = _inputs(task)
        mean, spread = _moments(inputs)
        shape = inputs[0].size, task.num_classes
        for c in np.unique(task.clean[flipped]).tolist():
            weights = _normal(_even(rng.random_uint64(math.prod(shape), task.seed, "noise", self.name, c))).reshape(
                shape
            )
            for rows in _chunks(np.flatnonzero(flipped & (task.clean == c))):
                x = ((inputs[rows] - mean) / spread).reshape(len(rows), -1)
                given[rows] = _suggested(x, weights, c, _even(words[rows, 2]))
        return given

    def content(self, data: str | None, root: Path | None, published: Published | None) -> dict[str, str]:
        if self.convention != "jal" or self.rate not in _PUBLISHED:
            return {}
        return published_content(published, f"{data}_dependent_{_PUBLISHED[self.rate]}")

    def _published(self, task: Task) -> Labels:
        if task.data not in ("cifar10", "cifar100") or self.rate not in _PUBLISHED:
            rates = ", ".join(map(str, _PUBLISHED))
            raise InputError(
                f"the published instance-dependent labels are those of cifar10 and cifar100 at {rates}; got data "
                f"{task.data!r} at {self.rate:g}"
            )
        given = fixed_labels(self, task, task.data, f"{task.data}_dependent_{_PUBLISHED[self.rate]}")
        flips = int((given != task.clean).sum())
        if flips != round(self.rate * len(given)):
            raise DataError(
                f"{self}: {flips} published labels differ from these labels, must be {round(self.rate * len(given))}; "
                "are they in the data set's own order?"
            )
        return given


# The cut normal distribution of the samples' rates


def _even(words: npt.NDArray[np.uint64]) -> Floats:
    """Words as numbers in (0, 1), both ends excluded."""
    even: Floats = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return even


def _normal(even: Floats) -> Floats:
    normal: Floats = torch.special.ndtri(torch.from_numpy(even)).numpy()
    return normal


def _below(z: float) -> float:
    """P(a standard normal number < z)."""
    return math.erfc(-z / math.sqrt(2)) / 2


def cut_normal(mean: float, even: Floats) -> Floats:
    """Numbers of the normal distribution around `mean`, cut to [0, 1], from even ones."""
    low, high = _below(-mean / _SPREAD), _below((1 - mean) / _SPREAD)
    return mean + _SPREAD * _normal(low + even * (high - low))


def cut_normal_mean(mean: float) -> float:
    """The mean that cutting leaves: 0.2 becomes 0.2055, 0.1 becomes 0.1288.

    Example:
        >>> round(cut_normal_mean(0.4), 6), round(cut_normal_mean(0.1), 4)
        (0.400013, 0.1288)
    """
    low, high = -mean / _SPREAD, (1 - mean) / _SPREAD
    heights = math.exp(-low * low / 2) - math.exp(-high * high / 2)
    return mean + _SPREAD * heights / math.sqrt(2 * math.pi) / (_below(high) - _below(low))


# What an input suggests


def _inputs(task: Task) -> npt.NDArray[Any]:
    inputs = task.inputs.detach().cpu().numpy() if isinstance(task.inputs, torch.Tensor) else task.inputs
    if not isinstance(inputs, np.ndarray) or inputs.ndim < 2 or inputs.dtype.kind not in "uif":
        got = "none" if inputs is None else f"{type(inputs).__name__}; symmetric, asymmetric and pairflip take any data"
        raise InputError(
            "instance noise looks at the inputs: corrupt(..., inputs=X) with images (N, C, H, W) or features (N, D) "
            f"as numbers in memory; got {got}"
        )
    if len(inputs) != len(task.clean):
        raise InputError(f"inputs must have a row for each of the {len(task.clean)} labels, got {len(inputs)} rows")
    return inputs


def _chunks(rows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]


def _moments(inputs: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of every channel of images, or of every feature, shaped to fit one sample."""
    over = (0, *range(2, inputs.ndim)) if inputs.ndim > 2 else (0,)
    count = inputs.size / inputs.shape[1]
    rows = np.arange(len(inputs))
    mean = sum(inputs[part].sum(over, dtype=np.float64, keepdims=True) for part in _chunks(rows)) / count
    squares = sum(((inputs[part] - mean) ** 2).sum(over, keepdims=True) for part in _chunks(rows))
    spread = np.sqrt(squares / count)
    if not np.isfinite(spread).all():
        raise InputError("inputs must be finite numbers, got NaN or infinity among them")
    return mean, np.where(spread > 0, spread, 1.0)


def _suggested(x: Floats, weights: Floats, c: int, even: Floats) -> Labels:
    """A wrong label for each of these samples of class c, from an even number each."""
    scores = x @ weights
    scores[:, c] = -np.inf
    ends = np.exp(scores - scores.max(1, keepdims=True)).cumsum(1)
    label: Labels = (ends <= even[:, None] * ends[:, -1:]).sum(1)
    return label
