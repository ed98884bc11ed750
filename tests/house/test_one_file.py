"""A loss, noise, method, model, data set, augmentation or recipe is one new file: each is added to a copy and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

LOSS = '''
"""A loss for a test."""
from __future__ import annotations
from typing import Unpack
from noiseproof.errors import in_range
from noiseproof.losses.base import LOSSES, Logits, Loss, Options, PerClass

@LOSSES.register("half", paper="arXiv:1805.07836", symmetric=False, active=True, bounded=False, asymmetric="never")
class Half(Loss):
    """A share of cross-entropy."""

    def __init__(self, share: float = 0.5, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.share = in_range("share", share, 0, 1, above=True)

    def per_class(self, logits: Logits) -> PerClass:
        return -self.share * logits.log_softmax(1)
'''
NOISE = '''
"""A noise for a test."""
from __future__ import annotations
import numpy as np
from noiseproof.labels import Labels
from noiseproof.noise.base import NOISES, Noise, Task

@NOISES.register("shifted")
class Shifted(Noise):
    """The first share of the samples gets the next class."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def draw(self, task: Task) -> Labels:
        given = task.clean.copy()
        some = int(self.rate * len(given))
        given[:some] = (given[:some] + 1) % task.num_classes
        return given
'''
METHOD = '''
"""A method for a test."""
from __future__ import annotations
from torch import Tensor
from noiseproof.methods.base import METHODS, Batch, Method

@METHODS.register("doubled", paper="arXiv:1805.07836", cost=1.0, neutral="doubled(factor=1)", settings={})
class Doubled(Method):
    """A multiple of a loss."""

    def __init__(self, loss: str = "ce", factor: float = 2.0) -> None:
        super().__init__(loss)
        self.factor = factor

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        return self.factor * self.loss(logits, batch.given), logits
'''
MODEL = '''
"""A model for a test."""
from __future__ import annotations
from collections.abc import Sequence
from torch import Tensor, nn
from noiseproof.models.base import MODELS, Network

@MODELS.register("flat")
class Flat(Network):
    """A linear classifier."""

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__(shape, classes)
        self.width = 1
        for size in shape:
            self.width *= size
        self.fc = nn.Linear(self.width, classes)

    def features(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)
'''
DATA = '''
"""A data set for a test."""
from __future__ import annotations
from pathlib import Path
import numpy as np
import torch
from noiseproof.data.dataset import Data, Split, fingerprint
from noiseproof.data.dataset_registry import DATASETS, DataSet

@DATASETS.register("corners")
class Corners(DataSet):
    """Three corners with a little noise."""

    def load(self, root: Path) -> Data:
        truth = torch.arange(120) % 3
        x = torch.eye(3)[truth] * 4 + torch.from_numpy(np.random.default_rng(0).normal(size=(120, 3)).astype("f4"))
        names = ("a", "b", "c")
        train, test = (Split(x[p], truth[p], truth[p], names) for p in (slice(0, 90), slice(90, 120)))
        return Data(self.name, train, test, fingerprint(train, test))
'''
AUGMENTATION = '''
"""An augmentation for a test."""
from __future__ import annotations
from torch import Tensor
from noiseproof.data.augmentations.base import AUGMENTATIONS, Augmentation

@AUGMENTATIONS.register("rescaled")
class Rescaled(Augmentation):
    """Each sample times a number from 1 - most to 1."""

    def __init__(self, most: float = 0.1) -> None:
        self.most = most

    def change(self, inputs: Tensor, u: Tensor) -> Tensor:
        return inputs * (1 - self.most * u)
'''
RECIPE = """
source = "a test"
[model]
name = "flat"
[train]
epochs = 2
batch_size = 30
lr = 0.1
[augment]
extra = ["rescaled"]
[methods.mine]
loss = "half(share=0.25)"
"""
FILES = {
    "losses/half.py": LOSS,
    "noise/shifted.py": NOISE,
    "methods/doubled.py": METHOD,
    "models/flat.py": MODEL,
    "data/named/corners.py": DATA,
    "data/augmentations/rescaled.py": AUGMENTATION,
    "recipes/corners.toml": RECIPE,
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with one new file of each kind, and the environment that imports it."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "src" / "noiseproof", folder / "noiseproof", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        assert not (folder / "noiseproof" / name).exists()
        (folder / "noiseproof" / name).write_text(text.lstrip())
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def run(environment, *words, cwd):
    command = [sys.executable, "-m", "noiseproof", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("losses", "half"),
        ("noise", "shifted"),
        ("methods", "doubled"),
        ("models", "flat"),
        ("data", "corners"),
        ("augmentations", "rescaled"),
        ("recipes", "corners"),
    ],
)
def test_one_file_puts_it_in_the_list(package, tmp_path, what, name):
    assert name in json.dumps(json.loads(run(package, "list", what, "--json", cwd=tmp_path)))


def test_they_train_together_and_stand_in_one_table(package, tmp_path):
    words = [
        "compare",
        "corners",
        "--noise",
        "shifted(0.2)",
        "--methods",
        "mine,doubled(factor=3),half",
        "--seeds",
        "1",
    ]
    out = run(package, *words, "--out", "here", cwd=tmp_path)
    assert all(name in out for name in ("mine", "doubled", "half"))
    table = run(package, "table", "here", "--format", "csv", cwd=tmp_path)
    assert table.count("corners") >= 3


def test_the_new_loss_keeps_the_contract(package, tmp_path):
    script = (
        "from noiseproof import losses; from noiseproof.testing import check_loss\n"
        "report = check_loss(losses.parse('half')); assert report, report"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=package, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
