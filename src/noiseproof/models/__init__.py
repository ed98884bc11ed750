"""Networks: perceptron, CNN-8, CNN-4, ResNet-34 and ResNet-50, each from inputs to features to scores."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from noiseproof.models import cnn, mlp, resnet
from noiseproof.models.base import MODELS, Network
from noiseproof.models.construction import build
from noiseproof.models.own import OwnNetwork, entry_of, option_names
from noiseproof.models.student import StudentHead
from noiseproof.models.weights import load_weights, weights_content

__all__ = [
    "MODELS",
    "Network",
    "OwnNetwork",
    "StudentHead",
    "build",
    "cnn",
    "entry_of",
    "load_weights",
    "mlp",
    "option_names",
    "resnet",
    "weights_content",
]

for _module in pkgutil.iter_modules(__path__):  # a new model is one new file
    import_module(f"{__name__}.{_module.name}")
