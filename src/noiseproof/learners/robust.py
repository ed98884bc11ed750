"""A linear head or a small perceptron on vectors, trained with a robust loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from noiseproof import losses, rng
from noiseproof.learners.heads import Perceptron

__all__ = ["robust_head"]


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
    descent = torch.optim.SGD(head.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    rows, labels = torch.from_numpy(vectors), torch.from_numpy(given)
    steps = epochs * max(1, len(rows) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
    for epoch in range(epochs):
        order = torch.from_numpy(rng.permutation(len(rows), seed, "order", epoch))
        whole = len(order) // batch_size * batch_size or len(order)
        for batch in torch.split(order[:whole], batch_size):
            descent.zero_grad()
            objective(head(rows[batch]), labels[batch]).backward()
            nn.utils.clip_grad_norm_(head.parameters(), 5.0)
            descent.step()
            schedule.step()
    return head.eval().requires_grad_(False)
