"""Networks: perceptron, CNN-8, CNN-4, ResNet-34 and ResNet-50, torchvision's, Hugging Face folders, the user's own."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from noiseproof.models import cnn, mlp, resnet
from noiseproof.models.base import MODELS, Network
from noiseproof.models.construction import build, build_from_config
from noiseproof.models.layers import Layer, layers_of
from noiseproof.models.own import OwnNetwork, entry_of, is_of_library, option_names
from noiseproof.models.pretrained_preprocessing import preprocessing_of
from noiseproof.models.student import StudentHead
from noiseproof.models.tokens import Tokenizer
from noiseproof.models.transformers_networks import folder_content, folder_of
from noiseproof.models.weights import load_weights, weights_content

__all__ = [
    "MODELS",
    "Layer",
    "Network",
    "OwnNetwork",
    "StudentHead",
    "Tokenizer",
    "build",
    "build_from_config",
    "cnn",
    "entry_of",
    "folder_content",
    "folder_of",
    "is_of_library",
    "layers_of",
    "load_weights",
    "mlp",
    "option_names",
    "preprocessing_of",
    "resnet",
    "weights_content",
]

for _module in pkgutil.iter_modules(__path__):  # a new model is one new file
    import_module(f"{__name__}.{_module.name}")
