"""Data sets as plain tensors or paths: `load("cifar10", root="data")`, `load("my.csv")`, `load("digits")`."""

from __future__ import annotations

from noiseproof.data.dataset import Data, Split
from noiseproof.data.load import load

# each registers its data sets
from noiseproof.data.readers import cifar, clothing1m, digits, mnist, webvision  # noqa: F401
from noiseproof.data.readers.noisy_cifar import published_labels
from noiseproof.data.registry import DATASETS, DataSet, default_root

__all__ = ["DATASETS", "Data", "DataSet", "Split", "default_root", "load", "published_labels"]
