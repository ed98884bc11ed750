"""Data sets as plain tensors or paths: `load("cifar10", root="data")`, `load("my.csv")`, `load("digits")`."""

from __future__ import annotations

# each registers its data sets
from noiseproof.data import cifar, clothing1m, digits, idx, webvision  # noqa: F401
from noiseproof.data.load import load
from noiseproof.data.published import published_labels
from noiseproof.data.registry import DATASETS, DataSet, default_root
from noiseproof.data.split import Data, Split

__all__ = ["DATASETS", "Data", "DataSet", "Split", "default_root", "load", "published_labels"]
