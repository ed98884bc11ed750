"""A linear head or a small perceptron on vectors, trained with a robust loss."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from noiseproof import losses, rng
from noiseproof.learners.heads import Perceptron

__all__ = ["robust_head"]

_CLIP = 5.0  # norm of a gradient, at most


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
        loss: a loss text, such as "gce".
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
    objective = losses.parse(loss)
    weights = list(head.parameters())
    velocity = [torch.zeros_like(weight) for weight in weights]
    rows, labels = torch.from_numpy(vectors), torch.from_numpy(given)
    whole = len(rows) // batch_size * batch_size or len(rows)
    steps, step = epochs * -(-whole // batch_size), 0
    for epoch in range(epochs):
        order = torch.from_numpy(rng.permutation(len(rows), seed, "order", epoch))
        for batch in torch.split(order[:whole], batch_size):
            gradients = torch.autograd.grad(objective(head(rows[batch]), labels[batch]), weights)
            norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
            shrink = (_CLIP / (norm + 1e-6)).clamp_max(1)
            rate = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            with torch.no_grad():  # by hand: torch.optim takes seconds to import
                for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                    speed.mul_(0.9).add_(gradient * shrink + 1e-4 * weight)
                    weight.sub_(rate * speed)
            step += 1
    return head.eval().requires_grad_(False)
