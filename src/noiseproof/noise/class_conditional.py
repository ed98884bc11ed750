"""Class-conditional noise: clean, symmetric, asymmetric, pairflip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from noiseproof import rng
from noiseproof.errors import InputError, in_range, one_of
from noiseproof.labels import Labels
from noiseproof.noise import published_generators
from noiseproof.noise.base import NOISES, Noise, Task, refuse_wrong_rate
from noiseproof.noise.class_maps import arcs
from noiseproof.noise.draw import flips_exact, flips_independent, targets
from noiseproof.transition_matrix import Matrix

__all__ = ["Asymmetric", "ClassConditional", "Clean", "Pairflip", "Symmetric"]

Parts = tuple[npt.NDArray[np.float64], Matrix]  # wrong (K,) and where (K, K)


class ClassConditional(Noise):
    """A label of class c goes wrong with probability `wrong[c]`; it then becomes j with probability `where[c, j]`."""

    published: ClassVar[Mapping[str, published_generators.Generator]] = {}

    def __init__(self, convention: str = "exact") -> None:
        convention = published_generators.ALIASES.get(convention, convention)
        accepted = ["exact", "independent", *self.published]
        self.convention = one_of(f"convention of {self.name}", convention, accepted)

    @abstractmethod
    def parts(self, num_classes: int, data: str | None, root: Path | None) -> Parts:
        """`wrong` and `where`; the diagonal of `where` is not used."""

    def matrix(self, num_classes: int, data: str | None = None, root: Path | None = None) -> Matrix:
        wrong, where = self.parts(num_classes, data, root)
        found: Matrix = wrong[:, None] * where
        np.fill_diagonal(found, 1 - wrong)
        return found

    def draw(self, task: Task) -> Labels:
        wrong, where = self.parts(task.num_classes, task.data, task.root)
        words = rng.random_uint64(2 * len(task.clean), task.seed, "noise", self.name).reshape(-1, 2)
        if self.convention == "exact":
            flipped = flips_exact(task, wrong, words[:, 0], self.name)
        else:
            flipped = flips_independent(task, wrong, words[:, 0])
        return targets(task, where, words[:, 1], flipped)


@NOISES.register("clean")
class Clean(ClassConditional):
    """No noise: every label stays."""

    def __init__(self) -> None:
        super().__init__()

    def parts(self, num_classes: int, data: str | None, root: Path | None) -> Parts:
        return np.zeros(num_classes), np.eye(num_classes)


class _Rated(ClassConditional):
    """A noise with a rate, which published generators may miss."""

    def __init__(self, rate: float, convention: str = "exact", allow_wrong_rate: bool = False) -> None:
        super().__init__(convention)
        self.rate = in_range("rate", rate, 0, 1)
        if not isinstance(allow_wrong_rate, bool):
            raise InputError(f"allow_wrong_rate must be true or false, got {allow_wrong_rate!r}")
        self.allow_wrong_rate = allow_wrong_rate

    def draw(self, task: Task) -> Labels:
        if self.convention not in self.published:
            return super().draw(task)
        wrong, where = self.parts(task.num_classes, task.data, task.root)
        generator = self.published[self.convention]
        given = generator(task, self.rate, where)
        if not self.allow_wrong_rate:
            counted = generator in published_generators.COUNTING
            gives = float((given != task.clean).mean() if counted else wrong[task.clean].mean())
            asked = self.rate * float((wrong > 0)[task.clean].mean())
            refuse_wrong_rate(self, gives=gives, asked=asked, instead="use convention=exact")
        return given


@NOISES.register("symmetric")
class Symmetric(_Rated):
    """A label becomes each other class equally often; `rate` is the share that goes wrong."""

    published: ClassVar[Mapping[str, published_generators.Generator]] = {
        "jal": published_generators.jal,
        "apl": published_generators.apl_symmetric,
        "dividemix": published_generators.dividemix_symmetric,
    }

    def parts(self, num_classes: int, data: str | None, root: Path | None) -> Parts:
        where = np.full((num_classes, num_classes), 1 / (num_classes - 1))
        np.fill_diagonal(where, 0)
        # dividemix draws the new label from all classes, the true one included
        kept = 1 / num_classes if self.convention == "dividemix" else 0.0
        return np.full(num_classes, self.rate * (1 - kept)), where


@NOISES.register("asymmetric")
class Asymmetric(_Rated):
    """A label becomes the class it is easily taken for; `rate` is the share within the classes that have one.

    The map is the data set's usual one. CIFAR-100: `classes=blocks` (the published one, default) or
    `classes=superclass` (the one the papers describe). Own data: `classes='3>5 5>3'`.
    """

    published: ClassVar[Mapping[str, published_generators.Generator]] = {
        "jal": published_generators.jal,
        "apl": published_generators.apl_asymmetric,
        "dividemix": published_generators.dividemix_asymmetric,
    }

    def __init__(
        self, rate: float, convention: str = "exact", classes: str | None = None, allow_wrong_rate: bool = False
    ) -> None:
        super().__init__(rate, convention, allow_wrong_rate)
        if classes is not None and not isinstance(classes, str):
            raise InputError(f"classes must be a word or arcs such as '3>5 5>3', got {classes!r}")
        self.classes = classes

    def parts(self, num_classes: int, data: str | None, root: Path | None) -> Parts:
        found = arcs(self.classes, num_classes, data)
        wrong, where = np.zeros(num_classes), np.zeros((num_classes, num_classes))
        for source, target in found.items():
            wrong[source], where[source, target] = self.rate, 1
        if self.convention == "apl" and found == arcs("cifar10", 10, None):
            wrong[3] = self.rate * (1 - self.rate)  # the dogs' turn returns some of the cats
        return wrong, where


@NOISES.register("pairflip")
class Pairflip(ClassConditional):
    """A label becomes the next class, the last one the first; `rate` is the share that does."""

    def __init__(self, rate: float, convention: str = "exact") -> None:
        super().__init__(convention)
        self.rate = in_range("rate", rate, 0, 1)

    def parts(self, num_classes: int, data: str | None, root: Path | None) -> Parts:
        return np.full(num_classes, self.rate), np.roll(np.eye(num_classes), 1, axis=1)
