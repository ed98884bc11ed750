"""The text of a file of own parts: loss, noise, method, augmentation, network, and a recipe that uses them."""

from __future__ import annotations

from pathlib import Path

PART = """
import torch
from torch import nn

from noiseproof import recipes
from noiseproof.data import AUGMENTATIONS, Augmentation
from noiseproof.losses import LOSSES, Loss
from noiseproof.methods import METHODS, Method
from noiseproof.noise import NOISES, Noise


@LOSSES.register("mine")
class Mine(Loss):
    def per_class(self, logits):
        return 1 - logits.softmax(1).sqrt()


@NOISES.register("every-third")
class EveryThird(Noise):
    def draw(self, task):
        given = task.clean.copy()
        given[::3] = (given[::3] + 1) % task.num_classes
        return given


@METHODS.register("halved", cost=1.0)
class Halved(Method):
    distributes = True

    def __init__(self, loss="ce"):
        super().__init__(loss)

    def objective(self, batch):
        logits = batch.logits()
        return self.loss(logits, batch.given) / 2, logits


@AUGMENTATIONS.register("scaled")
class Scaled(Augmentation):
    def change(self, inputs, u):
        return inputs * (0.9 + 0.2 * u)


class Net(nn.Module):
    def __init__(self, in_features, classes, width: int = 16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, inputs):
        return self.layers(inputs)


recipes.register("short", '''
extends = "digits"
[model]
name = "mine.py:Net"
width = 8
[train]
epochs = 1
[augment]
extra = ["scaled"]
''')
"""

GRID = """
imports = ["parts/mine.py"]
recipe = "short"
data = ["digits"]
noise = ["every-third"]
methods = ["mine", "halved(loss=mine)"]
seeds = [1]
"""


def written(folder: Path) -> Path:
    """The folder with `parts/mine.py` and a grid that names it."""
    (folder / "parts").mkdir()
    (folder / "parts" / "mine.py").write_text(PART)
    (folder / "grid.toml").write_text(GRID)
    return folder
