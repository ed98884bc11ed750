"""TOML files: read up to a size, and the values of one laid over those of another."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noiseproof.storage import files

__all__ = ["overlaid", "read"]

_LARGEST = 2**20  # bytes


def read(path: Path) -> dict[str, Any]:
    """Values of a TOML file of at most 1 MiB.

    Raises:
        ValueError: it is no TOML or no UTF-8, is nested too deeply, or holds a number too long to read.
        OSError: it cannot be read.
    """
    try:
        return tomllib.loads(files.read(path.resolve(), at_most=_LARGEST).decode())
    except RecursionError as error:
        raise ValueError(str(error)) from None


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values of `above` over those of `below`, table by table; a model of another name keeps nothing of the one below.

    Example:
        >>> overlaid({"train": {"lr": 0.1, "epochs": 5}}, {"train": {"lr": 0.2}})
        {'train': {'lr': 0.2, 'epochs': 5}}
        >>> overlaid({"model": {"name": "mlp", "width": 64}}, {"model": {"name": "cnn8"}})
        {'model': {'name': 'cnn8'}}
    """
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        if key == "model" and isinstance(inner, dict) and isinstance(value, dict) and "name" in value:
            inner = inner if inner.get("name") == value["name"] else {}
        merged[key] = overlaid(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
