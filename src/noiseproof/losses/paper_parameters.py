"""The parameters of the papers' methods, for the data set whose number of classes is nearest."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from noiseproof.errors import InputError, UnknownNameError, did_you_mean

__all__ = ["published_names", "published_text"]

_CLASSES = {"cifar10": 10, "clothing1m": 14, "webvision": 50, "cifar100": 100}  # of the data sets of the papers' tables


def published_text(name: str, num_classes: int) -> str:
    """The text of the loss of a published method. What else it trains with (an L1 penalty) is in its recipe.

    Args:
        name: a method of the recipes, such as "jal-ce".
        num_classes: K of the data; the nearest of 10, 14, 50 and 100 by ratio is taken.

    Raises:
        UnknownNameError: no recipe has such a method.
        InputError: `num_classes` is no integer from 2 on.

    Example:
        >>> published_text("jal-ce", 10), published_text("anl-ce", 1000)
        ('nce + amse(a=30)', '10*nce + nnce')
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"num_classes must be an integer from 2 on, got {num_classes!r}")
    for data in sorted(_CLASSES, key=lambda data: abs(math.log(num_classes / _CLASSES[data]))):
        method = _methods(data).get(name.lower())
        if method is not None and "loss" in method:
            return str(method["loss"])
    known = published_names()
    raise UnknownNameError(
        f"no published loss named {name!r}{did_you_mean(name, known)} (there are: {', '.join(known)})"
    )


def published_names() -> list[str]:
    """The names that `published_text` knows."""
    return sorted({name for data in _CLASSES for name, method in _methods(data).items() if "loss" in method})


@cache
def _methods(data: str) -> dict[str, Any]:
    """The methods of a recipe: the one place that holds the papers' parameters."""
    text = files("noiseproof").joinpath("recipes", f"{data}.toml").read_text(encoding="utf-8")
    methods: dict[str, Any] = tomllib.loads(text)["methods"]
    return methods
