"""A linear head or a small perceptron on vectors, trained with a robust loss."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from noiseproof import losses, rng
from noiseproof.learners.heads import Perceptron
from noiseproof.runtime.isolation import Setting, process_wide

__all__ = ["robust_head"]

_CLIP = 5.0  # norm of a gradient, at most
_THREADS = Setting(torch.get_num_threads, torch.set_num_threads)


class _Plain:
    """A loss without memory."""

    def __init__(self, loss: losses.Loss) -> None:
        self.loss = loss

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        found: Tensor = self.loss(logits, labels)
        return found


class _EarlyLearning:
    """Cross-entropy + lam log(1 - <p, t>), t the running mean of a row's predictions.

    Source: Liu et al., NeurIPS 2020 (arXiv:2007.00151), eq. 6.
    """

    def __init__(self, rows: int, classes: int, *, beta: float = 0.7, lam: float = 3.0) -> None:
        self.targets = torch.zeros(rows, classes, dtype=torch.float32, device="cpu")
        self.beta, self.lam = beta, lam

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
        fresh = (p / p.sum(1, keepdim=True)).detach()
        targets = self.targets[rows] = self.beta * self.targets[rows] + (1 - self.beta) * fresh
        return functional.cross_entropy(logits, labels) + self.lam * (1 - (p * targets).sum(1)).log().mean()


@process_wide("threads", {_THREADS: 1})  # steps this small wait for each other's threads, on a busy machine for long
def robust_head(
    vectors: npt.NDArray[np.float32],
    given: npt.NDArray[np.int64],
    classes: int,
    loss: str,
    *,
    hidden: tuple[int, ...] = (),
    lr: float = 0.05,
    epochs: int = 30,
    batch_size: int = 128,
    seed: int = 0,
) -> Perceptron:
    """Train by stochastic gradient descent with a cosine schedule and gradients clipped at norm 5.

    Args:
        vectors: float32 (N, D).
        given: labels, (N,).
        classes: number of classes.
        loss: a loss text, such as "gce"; or "elr", cross-entropy with early-learning regularisation (lam 3, beta 0.7).
        hidden: widths of hidden layers; none: a linear head.
        lr, epochs, batch_size: of the descent; momentum is 0.9, weight decay 1e-4.
        seed: of the initial weights and the order.
    """
    head = Perceptron([vectors.shape[1], *hidden, classes])
    generator = rng.generator(seed, "init", "head")
    for layer in head.layers:
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    objective = _EarlyLearning(len(vectors), classes) if loss == "elr" else _Plain(losses.parse(loss))
    weights = list(head.parameters())
    velocity = [torch.zeros_like(weight) for weight in weights]
    rows, labels = torch.from_numpy(vectors), torch.from_numpy(given)
    whole = len(rows) // batch_size * batch_size or len(rows)
    steps, step = epochs * -(-whole // batch_size), 0
    for epoch in range(epochs):
        order = torch.from_numpy(rng.permutation(len(rows), seed, "order", epoch))
        for batch in torch.split(order[:whole], batch_size):
            gradients = torch.autograd.grad(objective(head(rows[batch]), labels[batch], batch), weights)
            norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
            shrink = (_CLIP / (norm + 1e-6)).clamp_max(1)
            rate = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            with torch.no_grad():  # by hand: torch.optim takes seconds to import
                for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                    speed.mul_(0.9).add_(gradient * shrink + 1e-4 * weight)
                    weight.sub_(rate * speed)
            step += 1
    return head.eval().requires_grad_(False)
