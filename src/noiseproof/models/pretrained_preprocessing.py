"""Preprocessing that a network of another library was trained with."""

from __future__ import annotations

from typing import Any

from noiseproof.models import torchvision_networks, transformers_networks

__all__ = ["preprocessing_of"]


def preprocessing_of(name: str) -> dict[str, Any]:
    """Resize, crop, mean and std of a network's published weights, as a recipe's [augment] names them.

    Args:
        name: of a network; those of the package and the user's own have none.

    Example:
        >>> preprocessing_of("cnn8")
        {}
    """
    if name.startswith(torchvision_networks.PREFIX):
        return torchvision_networks.preprocessing(name)
    if name.startswith(transformers_networks.PREFIX):
        return transformers_networks.preprocessing(name)
    return {}
