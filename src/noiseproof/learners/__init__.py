"""Learners on vectors for labels that are partly wrong: closed forms, trees, boosting and robust losses."""

from __future__ import annotations

from noiseproof.learners.accuracy_under_noise import corrected_accuracy
from noiseproof.learners.choice import Candidate, Choice, choose, folds_of
from noiseproof.learners.heads import Head, build
from noiseproof.learners.noise_model import NoiseModel, fit_noise_model

__all__ = [
    "Candidate",
    "Choice",
    "Head",
    "NoiseModel",
    "build",
    "choose",
    "corrected_accuracy",
    "fit_noise_model",
    "folds_of",
]
