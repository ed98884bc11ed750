"""Augmentations by name, beside the recipe's crops and flips: one a file, also the user's own."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from noiseproof.data.augmentations.base import AUGMENTATIONS, Augmentation

__all__ = ["AUGMENTATIONS", "Augmentation"]

for _module in pkgutil.iter_modules(__path__):  # a new augmentation is one new file
    import_module(f"{__name__}.{_module.name}")
