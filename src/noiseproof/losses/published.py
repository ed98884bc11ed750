"""The losses of the papers' methods by name, with the papers' parameters for a number of classes."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Unpack

from noiseproof.errors import InputError, UnknownNameError, did_you_mean
from noiseproof.losses.base import Loss, Options, parse

__all__ = ["ANL_CE", "ANL_FL", "JAL_CE", "JAL_FL", "published_loss"]

_CLASSES = {"cifar10": 10, "clothing1m": 14, "webvision": 50, "cifar100": 100}  # of the data sets of the papers' tables


def published_loss(name: str, num_classes: int, **options: Unpack[Options]) -> Loss:
    """The loss of a published method, with the parameters of the data set whose number of classes is nearest.

    Only the loss: what else the method trains with (an L1 penalty, a schedule) is in its recipe.

    Args:
        name: "jal-ce", "jal-fl", "anl-ce", "anl-fl", "nce-agce", ...: a method of the recipes.
        num_classes: K of the data; the nearest of 10, 14, 50 and 100 by ratio is taken.
        options: `weight`, `ignore_index`, `reduction`, `label_smoothing`.

    Raises:
        UnknownNameError: no recipe has such a method.
        InputError: `num_classes` is no number from 2 on.

    Example:
        >>> published_loss("jal-ce", num_classes=10)
        losses.parse('nce + amse')
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"num_classes must be an integer from 2 on, got {num_classes!r}")
    near = sorted(_CLASSES, key=lambda data: abs(math.log(num_classes / _CLASSES[data])))
    for data in near:
        method = _methods(data).get(name)
        if method is not None and "loss" in method:
            return parse(method["loss"], **options)
    known = sorted({name for data in _CLASSES for name, method in _methods(data).items() if "loss" in method})
    raise UnknownNameError(f"no published loss named {name!r}{did_you_mean(name, known)} (there are: {', '.join(known)})")


def JAL_CE(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Joint asymmetric loss: normalized cross-entropy and AMSE. Source: ICCV 2025 (arXiv:2507.17692).

    Example:
        >>> JAL_CE(num_classes=100)
        losses.parse('nce + amse(a=10)')
    """
    return published_loss("jal-ce", num_classes, **options)


def JAL_FL(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Joint asymmetric loss: normalized focal loss and AMSE. Source: ICCV 2025 (arXiv:2507.17692)."""
    return published_loss("jal-fl", num_classes, **options)


def ANL_CE(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Active negative loss: normalized cross-entropy and its mirror image. Source: Ye et al., NeurIPS 2023."""
    return published_loss("anl-ce", num_classes, **options)


def ANL_FL(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Active negative loss: normalized focal loss and its mirror image. Source: Ye et al., NeurIPS 2023."""
    return published_loss("anl-fl", num_classes, **options)


@cache
def _methods(data: str) -> dict[str, Any]:
    """The methods of a recipe: the one place that holds the papers' parameters."""
    text = files("noiseproof").joinpath("recipes", f"{data}.toml").read_text(encoding="utf-8")
    methods: dict[str, Any] = tomllib.loads(text)["methods"]
    return methods
