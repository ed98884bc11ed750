"""noiseproof: train classifiers on labels that are partly wrong.

>>> import torch
>>> from noiseproof import losses
>>> loss = losses.parse("nce + amse(a=30)")                 # JAL-CE, a drop-in for cross_entropy
>>> round(loss(torch.zeros(2, 10), torch.tensor([3, 7])).item(), 2)
89.51
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# Loaded on first use, so that `import noiseproof` costs next to nothing.
_PARTS = ("data", "losses", "methods", "models", "noise", "recipes", "testing", "theory", "train")
_NAMES = {
    "CleanedClassifier": "noiseproof.integrations.cleaned",
    "NoisyLabelClassifier": "noiseproof.integrations.sklearn",
    "diagnose": "noiseproof.doctor",
    "find_label_issues": "noiseproof.doctor",
    "load_model": "noiseproof.artifacts",
    "suggest": "noiseproof.selection.suggest",
}

__all__ = ["__version__", *_NAMES, *_PARTS]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"noiseproof.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'noiseproof' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
