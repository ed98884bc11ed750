"""Data sets as plain tensors or paths: `load("cifar10", root="data")`, `load("my.csv")`, `load("digits")`."""

from __future__ import annotations

from noiseproof.data import cifar as cifar
from noiseproof.data import digits as digits
from noiseproof.data import idx as idx
from noiseproof.data.load import load
from noiseproof.data.published import published_labels
from noiseproof.data.registry import DATASETS, DataSet, default_root
from noiseproof.data.split import Data, Split

__all__ = ["DATASETS", "Data", "DataSet", "Split", "default_root", "load", "published_labels"]
