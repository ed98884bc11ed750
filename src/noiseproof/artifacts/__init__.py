"""The model folder: learn, save, load, predict, evaluate, export."""

from __future__ import annotations

from noiseproof.artifacts.architectures import OnFeatures, OnNetwork
from noiseproof.artifacts.from_training import of_outcome
from noiseproof.artifacts.learn import Learned, learn
from noiseproof.artifacts.model import Model
from noiseproof.artifacts.model_folder import load_model, save

__all__ = ["Learned", "Model", "OnFeatures", "OnNetwork", "learn", "load_model", "of_outcome", "save"]
