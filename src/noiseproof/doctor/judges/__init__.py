"""Judges: learners that give every sample class probabilities without having seen its own label."""

from noiseproof.doctor.judges.base import Judge as Judge
from noiseproof.doctor.judges.base import Task as Task
