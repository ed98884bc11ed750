"""Base class of label noise, `corrupt`, and the registry of all noises.

A `Noise` is a rule for how given labels differ from clean ones. `corrupt` applies it: same labels, noise and
seed, same result, on every machine. The rule's own randomness never touches a global generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from noiseproof.errors import InputError
from noiseproof.labels import Labels, class_labels, fingerprint
from noiseproof.registry import Registry
from noiseproof.transition_matrix import Matrix, realised_transition

__all__ = [
    "NOISES",
    "Noise",
    "NoisyLabels",
    "Published",
    "Task",
    "corrupt",
    "fingerprint",
    "parse",
    "refuse_wrong_rate",
]


#: Label vectors by their published keys, or what reads them when they are needed.
Published = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """The labels to corrupt and all that a noise may look at."""

    clean: Labels
    num_classes: int
    seed: int
    data: str | None = None
    inputs: Any = None
    root: Path | None = None
    published: Published | None = None

    @cached_property
    def per_class(self) -> Labels:
        """Number of labels of each class."""
        return np.bincount(self.clean, minlength=self.num_classes)


class Noise(ABC):
    """A rule for how given labels differ from clean ones."""

    name: ClassVar[str]
    #: Whose way of drawing it is; `exact` is ours.
    convention: str = "exact"

    @abstractmethod
    def draw(self, task: Task) -> Labels:
        """The given labels, of the same length and order as the clean ones."""

    def matrix(self, num_classes: int, data: str | None = None, root: Path | None = None) -> Matrix:
        """The nominal matrix T[i, j] = P(given = j | clean = i); rows sum to 1.

        Raises:
            InputError: the noise depends on more than the class; corrupt labels and read their `transition`.
        """
        raise InputError(
            f"{self} has no matrix of its own, it depends on the sample; use corrupt(labels, ...).transition"
        )

    def content(self, data: str | None, root: Path | None, published: Published | None) -> dict[str, str]:
        """SHA-256 of what the noise reads beside the labels and inputs, by kind; nothing where its text says all.

        Raises:
            DataMissingError: a file is not there.
        """
        return {}

    def __str__(self) -> str:
        return NOISES.write(self)

    def __repr__(self) -> str:
        return f"noise.parse({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Noise) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True, eq=False, repr=False)
class NoisyLabels:
    """Given labels and how they came about.

    Attributes:
        labels: the given labels, int64 (N,).
        flipped: where they differ from the clean ones, bool (N,).
        transition: realised shares, transition[i, j] = share of class i that is now called j, (K, K). Rows sum
            to 1; a class without samples keeps its label.
        rate: the realised share of flipped labels.
        sha256: of the labels as uint8 bytes (little-endian int32 above 256 classes).
        text: the canonical text of the noise.
        seed: the seed it was drawn with.
    """

    labels: Labels
    flipped: npt.NDArray[np.bool_]
    transition: Matrix
    rate: float
    sha256: str
    text: str
    seed: int

    @property
    def overtaken(self) -> list[int]:
        """The classes whose own label is not the most frequent one among their samples.

        No loss that sees only the given labels can be expected to learn these.
        """
        own = self.transition.diagonal()
        others = self.transition - np.diag(own)
        return np.flatnonzero(others.max(1) >= own).tolist()

    def __str__(self) -> str:
        return (
            f"{self.text}, seed {self.seed}: {self.flipped.sum()} of {len(self.labels)} labels flipped "
            f"({self.rate:.2%}), sha256 {self.sha256[:12]}"
        )

    def __repr__(self) -> str:
        return f"<NoisyLabels {self}>"


NOISES: Registry[Noise] = Registry("noise", "noise")


def parse(text: str) -> Noise:
    """The noise that a text names.

    Raises:
        UnknownNameError: a name or parameter that does not exist; the nearest one is suggested.
        InputError: not of the text form, or a value out of range.

    Example:
        >>> str(parse("symmetric(0.40)")), str(parse("asymmetric(rate=0.2, convention=anl)"))
        ('symmetric(rate=0.4)', 'asymmetric(rate=0.2, convention=jal)')
    """
    return NOISES.build(text)


def corrupt(
    labels: Any,
    noise: str | Noise,
    *,
    num_classes: int,
    seed: int,
    data: str | None = None,
    inputs: Any = None,
    root: str | Path | None = None,
    published: Published | None = None,
) -> NoisyLabels:
    """Make given labels out of clean ones.

    Args:
        labels: the clean labels, class indices as a list, numpy array or torch tensor; not changed.
        noise: a text such as "symmetric(0.4)", or what `parse` made of it.
        num_classes: the labels lie in 0 .. num_classes-1.
        seed: names the draw. Noise has random streams of its own, so a training run may share the number.
        data: the data set's name, where the noise depends on it ("asymmetric", "human").
        inputs: images (N, C, H, W) or features (N, D), for noise that depends on them ("instance").
        root: a folder in which the file of "transition" is looked for after the working folder.
        published: label vectors by their published keys, or a function that reads them if they are needed, such as
            `lambda: data.published_labels("cifar10")`; for noise that people or a paper made once ("human",
            "instance" under convention=jal).

    Raises:
        InputError: labels, noise or what it needs cannot be used; the message says what could.

    Example:
        >>> noisy = corrupt([0, 1, 2, 3] * 25, "symmetric(0.4)", num_classes=4, seed=1)
        >>> noisy.rate, int(noisy.flipped.sum()), noisy.transition[0, 0].item()
        (0.4, 40, 0.6)
    """
    clean = class_labels(labels, num_classes)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number from 0, got {seed!r}")
    noise = parse(noise) if isinstance(noise, str) else noise
    task = Task(
        clean=clean,
        num_classes=int(num_classes),
        seed=int(seed),
        data=data,
        inputs=inputs,
        root=None if root is None else Path(root),
        published=published,
    )
    given = noise.draw(task)
    flipped = given != clean
    return NoisyLabels(
        labels=given,
        flipped=flipped,
        transition=realised_transition(clean, given, task.num_classes),
        rate=float(flipped.mean()),
        sha256=fingerprint(given, task.num_classes),
        text=str(noise),
        seed=task.seed,
    )


def refuse_wrong_rate(noise: Noise, *, gives: float, asked: float, instead: str) -> None:
    """Refuse a generator that misses the rate it is asked for by more than 15 % of it.

    Raises:
        InputError: it does; the message says what to write `instead`.
    """
    if abs(gives - asked) > 0.15 * asked:
        raise InputError(
            f"{noise} flips {gives:.2%} of these labels where {asked:.2%} are asked for; {instead}, or accept it "
            "with allow_wrong_rate=true"
        )
