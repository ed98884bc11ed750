"""Recipes of the package as `noiseproof list` shows them, read from their TOML files: no torch is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import noiseproof
from noiseproof.storage import toml_files
from noiseproof.text import Call, Expression, Value, parse_sum, write_sum

__all__ = ["canonical", "names", "recipe"]

_FOLDER = Path(noiseproof.__file__).parent / "recipes"


def names() -> list[str]:
    """Names of the recipes, in order."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def recipe(name: str) -> dict[str, Any]:
    """Values of a recipe over those of the one that it extends, without a check."""
    values = toml_files.read(_FOLDER / f"{name}.toml")
    return toml_files.overlaid(recipe(values["extends"]), values) if "extends" in values else values


def canonical(text: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Text of a loss or method without the parameters that have their defaults.

    Args:
        text: as a recipe writes it.
        known: the parameters of each loss and method with their defaults, by name.

    Example:
        >>> canonical("nce + 1*amse(a=30)", {"nce": {}, "amse": {"a": 30.0, "q": 2.0}})
        'nce + amse'
    """
    terms = parse_sum(text, nested=True)
    return write_sum([(factor, Call(call.name, named=tuple(_named(call, known)))) for factor, call in terms])


def _named(call: Call, known: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Value]]:
    given = dict(call.named)
    for key, default in known[call.name].items():
        if key in given:
            value = given[key]
            value = Expression(canonical(value, known)) if isinstance(value, Expression) else value
            if value != (canonical(default, known) if isinstance(value, Expression) else default):
                yield key, value
