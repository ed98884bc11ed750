"""Transition matrices for methods, T[i][j] = P(given j | true i): estimated, from a file or of the true labels.

Estimators train a first network on given labels with the plain loss, and look at its outputs on the training set.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof import rng
from noiseproof.errors import InputError, in_range, one_of
from noiseproof.features import vectors
from noiseproof.methods.base import METHODS, Method, Outputs, Task, Trained, epochs_of
from noiseproof.noise.matrix_file import matrix_content, read_matrix
from noiseproof.registry import Registry
from noiseproof.text import Expression, parse_call

__all__ = [
    "TRANSITIONS",
    "Estimate",
    "Matrix",
    "anchor_matrix",
    "confident_joint_matrix",
    "dual_matrix",
    "hoc_matrix",
    "normalised",
    "transition_of",
]

_MANY = 33  # classes from which 3 % of all samples may hold a whole class
Estimate = Generator[None, None, tuple[Tensor, Trained | None]]


class Matrix:
    """A way to a transition matrix."""

    name: ClassVar[str]

    def estimate(self, task: Task, warmup: float) -> Estimate:
        """The matrix, float32 (K, K) on the device, and the first network if one was trained.

        Args:
            task: facts of the run.
            warmup: epochs of the first network, or below 1 the share of the run's.
        """
        trained = yield from task.train(METHODS["plain"].cls(), max(1, epochs_of("warmup", warmup, task.epochs)))
        matrix = self.matrix(trained.outputs, task)
        return torch.as_tensor(matrix, dtype=torch.float32).to(task.device), trained

    def matrix(self, outputs: Outputs, task: Task) -> Tensor:
        """The matrix from the first network's outputs."""
        raise NotImplementedError

    def content(self) -> dict[str, str]:
        """Hashes of the files that it reads, by what they are."""
        return {}

    def __str__(self) -> str:
        return TRANSITIONS.write(self)


TRANSITIONS: Registry[Matrix] = Registry("transition matrix", "methods")


def transition_of(text: str | Matrix) -> Matrix:
    """The estimator that a text names: `anchor`, `hoc(rounds=1)`, `file("T.csv")`."""
    if isinstance(text, Matrix):
        return text
    if not isinstance(text, str):
        raise InputError(f"transition must be one of {', '.join(TRANSITIONS.names())}, got {text!r}")
    call = parse_call(text, nested=True)
    return TRANSITIONS[call.name].build(call)


def normalised(matrix: Tensor) -> Tensor:
    """Rows divided by their sums; a row of zeros becomes the identity's."""
    sums = matrix.sum(1, keepdim=True)
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return torch.where(sums > 0, matrix / sums.where(sums > 0, 1.0), eye)


# The arithmetic


def anchor_matrix(p: Tensor, percentile: float | None = None) -> Tensor:
    """Rows P_n at an anchor n of each class: the largest p_ni below the given percentile of column i.

    Args:
        p: (N, K) probabilities of given labels.
        percentile: 100 takes the largest of all; None: 97, or 100 from 34 classes on.

    Source: Patrini et al., CVPR 2017 (arXiv:1609.03683), eq. 12 and section 4.
    """
    classes = p.shape[1]
    percentile = (97.0 if classes <= _MANY else 100.0) if percentile is None else percentile
    values = p.double().cpu().numpy()
    rows = []
    for k in range(classes):
        column = values[:, k]
        if percentile < 100:
            below = column < np.percentile(column, percentile, method="higher")
            column = np.where(below, column, -1.0) if below.any() else column
        rows.append(values[int(column.argmax())])
    return normalised(torch.from_numpy(np.stack(rows)))


def dual_matrix(p: Tensor, given: Tensor, percentile: float | None = None) -> Tensor:
    """Dual-T: anchor rows times the shares of given labels among the samples predicted as each class, normalised.

    Source: Yao et al., NeurIPS 2020 (arXiv:2006.07805), eq. 3.
    """
    classes = p.shape[1]
    predicted, labels = p.argmax(1).cpu(), given.cpu()
    pairs = torch.bincount(predicted * classes + labels, minlength=classes**2).reshape(classes, classes).double()
    sums = pairs.sum(1, keepdim=True)
    spade = torch.where(sums > 0, pairs / sums.clamp_min(1), 0.0)
    return normalised(anchor_matrix(p, percentile) @ spade)


def confident_joint_matrix(p: Tensor, given: Tensor) -> Tensor:
    """Confident joint as T: out-of-sample probabilities above the mean of their class count; scaled to given counts.

    Source: Northcutt et al., JAIR 2021 (arXiv:1911.00068), eq. 1 and 2.
    """
    return normalised(confident_counts(p, given).T)


def confident_counts(p: Tensor, given: Tensor) -> Tensor:
    """C[y][k]: samples given y that are confidently of k, scaled to the number given y; float64 (K, K)."""
    p, given = p.double().cpu(), given.cpu()
    classes = p.shape[1]
    own = p.gather(1, given[:, None]).squeeze(1)
    counts = given.bincount(minlength=classes).double()
    thresholds = torch.zeros(classes, dtype=torch.float64).index_add_(0, given, own) / counts.clamp_min(1)
    confident = (p >= thresholds - 1e-6) & (counts > 0)  # as cleanlab allows for rounding
    some = confident.any(1)
    likeliest = torch.where(confident, p, -1.0).argmax(1)
    pairs = torch.bincount((given * classes + likeliest)[some], minlength=classes**2).reshape(classes, classes)
    return normalised(pairs.double()) * counts[:, None]


def hoc_matrix(features: Tensor, given: Tensor, classes: int, *, seed: int = 0, steps: int = 501) -> Tensor:
    """HOC: T and the class prior that explain the given labels of each sample and its two nearest neighbours.

    Under clusterability a sample shares its true class with its two nearest neighbours by cosine. The counts of one,
    two and three agreeing labels are matched by Adam over T = softmax of rows and a softmax prior; the best iterate
    is returned.

    Source: Zhu et al., ICML 2021 (arXiv:2102.05291), eq. 4 to 8; UCSC-REAL/HOC.
    """
    first, second = nearest(features, 2).T
    labels = given.cpu()
    triples = (labels * classes + labels[first]) * classes + labels[second]
    third = torch.bincount(triples, minlength=classes**3).reshape((classes,) * 3).double() / len(labels)
    joint, single = third.sum(2), third.sum((1, 2))
    generator = rng.generator(seed, "method", "hoc")
    scores = (5 * torch.eye(classes, dtype=torch.float64) - 1).requires_grad_()
    prior = (1 / classes + 0.1 * torch.rand(classes, generator=generator, dtype=torch.float64)).requires_grad_()
    optimizer = torch.optim.Adam([scores, prior], lr=0.1)
    best, lowest = scores.detach().softmax(1), float("inf")
    for _ in range(steps):
        matrix, shares = scores.softmax(1), prior.softmax(0)
        weighted = shares[:, None] * matrix
        value = (weighted.sum(0) - single).norm() + (weighted.T @ matrix - joint).norm()
        value = value + (torch.einsum("ia,ib,ic->abc", weighted, matrix, matrix) - third).norm()
        if value.item() < lowest:
            best, lowest = matrix.detach().clone(), value.item()
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
    return best


def nearest(features: Tensor, count: int) -> Tensor:
    """The nearest other samples by cosine, int64 (N, count), in blocks of rows."""
    units = F.normalize(features.float().cpu())
    found = []
    for start in range(0, len(units), 2048):
        similar = units[start : start + 2048] @ units.T
        similar[torch.arange(len(similar)), torch.arange(start, start + len(similar))] = -2.0
        found.append(similar.topk(count, dim=1).indices)
    return torch.cat(found)


# By name


@TRANSITIONS.register("anchor")
class Anchor(Matrix):
    """Anchor points of a first network, see `anchor_matrix`."""

    def __init__(self, percentile: float | None = None) -> None:
        self.percentile = None if percentile is None else in_range("percentile", percentile, 0, 100, above=True)

    def matrix(self, outputs: Outputs, task: Task) -> Tensor:
        return anchor_matrix(outputs.logits.softmax(1), self.percentile)


@TRANSITIONS.register("dual-t")
class DualT(Matrix):
    """Dual-T of a first network, see `dual_matrix`."""

    def __init__(self, percentile: float | None = None) -> None:
        self.percentile = None if percentile is None else in_range("percentile", percentile, 0, 100, above=True)

    def matrix(self, outputs: Outputs, task: Task) -> Tensor:
        return dual_matrix(outputs.logits.softmax(1), task.given, self.percentile)


@TRANSITIONS.register("confident-joint")
class ConfidentJoint(Matrix):
    """Confident joint of out-of-sample probabilities from folds, see `confident_joint_matrix`."""

    def __init__(self, folds: int = 5) -> None:
        self.folds = int(in_range("folds", folds, 2, 100))

    def estimate(self, task: Task, warmup: float) -> Estimate:
        p = yield from out_of_sample(task, warmup, self.folds)
        return confident_joint_matrix(p, task.given).float().to(task.device), None


@TRANSITIONS.register("hoc")
class HOC(Matrix):
    """Clusterability: neighbours in feature space, see `hoc_matrix`; at most 200 classes.

    Args:
        features: `last-layer` of the first network, or `frozen`: vectors made without any label.
        steps: of the optimiser.
    """

    def __init__(self, features: str = "last-layer", steps: int = 501) -> None:
        self.features = one_of("features", features, ["last-layer", "frozen"])
        self.steps = int(in_range("steps", steps, 1))

    def matrix(self, outputs: Outputs, task: Task) -> Tensor:
        if task.classes > 200:
            raise InputError(f"hoc keeps K^3 numbers: at most 200 classes, got {task.classes}; use transition=dual-t")
        features = outputs.features if self.features == "last-layer" else torch.from_numpy(vectors(task.inputs))
        return hoc_matrix(features, task.given, task.classes, seed=task.seed, steps=self.steps)


@TRANSITIONS.register("file")
class File(Matrix):
    """A matrix from a .csv, .npy or .json file, row i for the true class i."""

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or isinstance(path, Expression):
            raise InputError(f'transition=file("T.csv") needs the name of a file in quotes, got {path!r}')
        self.path = path

    def content(self) -> dict[str, str]:
        return {"method matrix": matrix_content(self.path)}

    def estimate(self, task: Task, warmup: float) -> Estimate:
        matrix = torch.from_numpy(read_matrix(self.path))
        if len(matrix) != task.classes:
            raise InputError(f"{self.path} is for {len(matrix)} classes, the data has {task.classes}")
        return matrix.float().to(task.device), None
        yield


@TRANSITIONS.register("oracle")
class Oracle(Matrix):
    """The realised matrix from the true labels, where they are known: an upper bound, not a method."""

    def estimate(self, task: Task, warmup: float) -> Estimate:
        pairs = torch.bincount(task.oracle() * task.classes + task.given, minlength=task.classes**2)
        return normalised(pairs.reshape(task.classes, task.classes).float()), None
        yield


def out_of_sample(task: Task, warmup: float, folds: int, rule: Method | None = None) -> Generator[None, None, Tensor]:
    """Probabilities of samples by networks that did not train on them, float32 (N, K)."""
    epochs = max(1, epochs_of("warmup", warmup, task.epochs))
    order = torch.from_numpy(rng.permutation(task.samples, task.seed, "method", "folds"))
    p = torch.zeros(task.samples, task.classes, device=task.device)
    for fold in range(folds):
        held_out = order[fold::folds]
        rest = torch.cat([order[other::folds] for other in range(folds) if other != fold]).sort().values
        trained = yield from task.train(rule.fresh() if rule else METHODS["plain"].cls(), epochs, only=rest)
        p[held_out.to(task.device)] = trained.outputs.logits.softmax(1)[held_out.to(task.device)]
    return p
