"""Robust losses, each a drop-in for `torch.nn.functional.cross_entropy`; needs torch and nothing else."""

from noiseproof.losses.base import LOSSES as LOSSES
from noiseproof.losses.base import Loss as Loss
from noiseproof.losses.base import WeightedSum as WeightedSum
from noiseproof.losses.base import parse as parse
