"""The model folder: learn, save, load, predict, evaluate, export."""

from __future__ import annotations

from noiseproof.artifacts.architectures import OnFeatures, OnNetwork
from noiseproof.artifacts.folder import load_model, save
from noiseproof.artifacts.learn import Learned, learn
from noiseproof.artifacts.model import Model
from noiseproof.artifacts.trained import of_outcome

__all__ = ["Learned", "Model", "OnFeatures", "OnNetwork", "learn", "load_model", "of_outcome", "save"]
