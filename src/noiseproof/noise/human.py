"""Noise by people, or drawn once for a paper: published label vectors, checked against the clean ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.labels import CIFAR_N, Labels, class_labels
from noiseproof.noise.base import NOISES, Noise, Published, Task, fingerprint

__all__ = ["Human", "fixed_labels", "published_content"]

# name of the labels -> (data set, key in the published file)
_HUMAN = {short: (data, key) for data, keys in CIFAR_N.items() for short, key in keys.items()}


@NOISES.register("human")
class Human(Noise):
    """Labels by people: aggre, rand1, rand2, rand3, worst (CIFAR-10N) and noisy (CIFAR-100N); the seed has no effect.

    Source: Wei et al., ICLR 2022 (arXiv:2110.12088).
    """

    convention = "published"

    def __init__(self, labels: str) -> None:
        if labels not in _HUMAN:
            raise InputError(f"human takes one of {', '.join(_HUMAN)}, got {labels!r}")
        self.labels = labels

    def content(self, data: str | None, root: Path | None, published: Published | None) -> dict[str, str]:
        self._check(data)
        return published_content(published, _HUMAN[self.labels][1])

    def draw(self, task: Task) -> Labels:
        self._check(task.data)
        return fixed_labels(self, task, *_HUMAN[self.labels])

    def _check(self, data: str | None) -> None:
        owner = _HUMAN[self.labels][0]
        if data not in (owner, None):
            raise InputError(f"{self} are labels of {owner}, got data {data!r}; use {_of(data)}")


def _of(data: str) -> str:
    """Noise text to write for another data set."""
    known = [name for name, (owner, _) in _HUMAN.items() if owner == data]
    return f"human({' or '.join(known)})" if known else "data cifar10 or cifar100"


def published_content(published: Published | None, key: str) -> dict[str, str]:
    """The hash of the published vector under `key`, as `labels`; nothing where there is none."""
    found = (published() if callable(published) else published) or {}
    return {"labels": fingerprint(np.asarray(found[key]), 10)} if key in found else {}


def fixed_labels(noise: Noise, task: Task, data: str, key: str) -> Labels:
    """The published vector under `key`.

    Raises:
        DataMissingError: it was not given.
        DataError: it does not belong to these clean labels.
    """
    if task.published is None:
        raise DataMissingError(
            f"{noise} needs the published labels: corrupt(..., published=data.published_labels({data!r}, root=DIR))"
        )
    found = task.published() if callable(task.published) else task.published
    if key not in found:
        raise DataMissingError(f"{noise} needs {key!r} among the published labels of {data}; got {', '.join(found)}")
    given = _vector(noise, key, found[key], task)
    if "clean_label" in found:
        clean = _vector(noise, "clean_label", found["clean_label"], task)
        wrong = np.flatnonzero(clean != task.clean)
        if len(wrong):
            raise DataError(
                f"{noise}: the published clean_label differs from these labels in {len(wrong)} rows, first in row "
                f"{wrong[0]} ({clean[wrong[0]]} and {task.clean[wrong[0]]}); are they in the data set's own order?"
            )
    return given


def _vector(noise: Noise, key: str, values: object, task: Task) -> Labels:
    try:
        vector = class_labels(values, task.num_classes)
    except InputError as error:
        raise DataError(f"{noise}: published {key}: {error}") from None
    if len(vector) != len(task.clean):
        raise DataError(f"{noise}: published {key} has {len(vector)} labels, the data has {len(task.clean)}")
    return vector
