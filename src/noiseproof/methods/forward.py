"""Forward correction: the prediction passed through the transition matrix before it meets the given label."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Preparing, Task
from noiseproof.methods.transition_estimates import Matrix, transition_of

__all__ = ["Corrected", "Forward", "through"]


def through(logits: Tensor, matrix: Tensor) -> Tensor:
    """ln(p T), (B, K), in log space; zeros of T are allowed.

    Example:
        >>> even = torch.zeros(1, 2)
        >>> through(even, torch.tensor([[0.8, 0.2], [0.4, 0.6]])).exp().double().round(decimals=4).tolist()
        [[0.6, 0.4]]
    """
    log_p = (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(1)
    return (log_p[:, :, None] + matrix.to(log_p.dtype).log()[None]).logsumexp(1)


class Corrected(Method):
    """A method with a transition matrix that is found before training.

    Args:
        loss: of each sample.
        transition: anchor, dual-t, confident-joint, hoc, file("T.csv") or oracle.
        warmup: epochs of the first network, or below 1 the share of the training.
    """

    positional: ClassVar[str] = "transition"
    captures = True

    def __init__(self, loss: str | Loss = "ce", transition: str | Matrix = "anchor", warmup: float = 0.1) -> None:
        super().__init__(loss)
        self.transition = transition_of(transition)
        self.warmup = in_range("warmup", warmup, 0, above=True)

    def content(self) -> dict[str, str]:
        return self.transition.content()

    def setup(self, task: Task) -> None:
        self.register_buffer("matrix", torch.eye(task.classes, device=task.device))

    def prepare(self, task: Task) -> Preparing:
        matrix, _ = yield from self.transition.estimate(task, self.warmup)
        self.matrix.copy_(matrix)  # type: ignore[operator]
        return None


@METHODS.register(
    "forward",
    paper="arXiv:1609.03683",
    cost=1.1,
    settings={"cifar10": "120 epochs, x.1 after 40, 80; the published first network trains as long as the second"},
)
class Forward(Corrected):
    """Forward correction: the loss of the given label with ln(p T) for logits; p itself predicts.

    Source: Patrini et al., CVPR 2017 (arXiv:1609.03683), theorem 2.
    """

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        return self.loss(through(logits, self.matrix), batch.given), logits  # type: ignore[arg-type]
