"""Data sets as plain tensors or paths: `load("cifar10", root="data")`, `load("my.csv")`, `load("digits")`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from noiseproof.data import named as _named
from noiseproof.data.augmentations import AUGMENTATIONS, Augmentation
from noiseproof.data.dataset import Data, Split
from noiseproof.data.dataset_registry import DATASETS, DataSet, default_root
from noiseproof.data.load import load
from noiseproof.data.named.noisy_cifar import published_labels

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Augmentation",
    "Data",
    "DataSet",
    "Split",
    "default_root",
    "load",
    "published_labels",
]

for _module in pkgutil.iter_modules(_named.__path__):  # a new data set is one new file
    import_module(f"{_named.__name__}.{_module.name}")
