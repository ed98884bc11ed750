"""One update of the weights: as a sequence of calls, or recorded once as a CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noiseproof.losses import Loss
from noiseproof.models import Network, StudentHead
from noiseproof.recipes import Method, Train
from noiseproof.train.device import Place

__all__ = ["Captured", "Step", "optimiser", "rate"]


def optimiser(network: nn.Module, method: Method, train: Train, place: Place) -> torch.optim.Optimizer:
    """The optimiser that a method asks for, else the recipe's."""
    cuda = place.device.type == "cuda"
    lr: float | Tensor = method.lr or train.lr
    if cuda:
        lr = torch.tensor(float(lr), dtype=torch.float32, device=place.device)  # a graph reads it when it runs
    if (method.optimizer or train.optimizer) == "adam":
        return torch.optim.Adam(network.parameters(), lr=lr, weight_decay=method.l2, capturable=cuda, foreach=True)
    return torch.optim.SGD(
        network.parameters(),
        lr=lr,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=method.l2,
        fused=cuda,
        foreach=not cuda,
    )


def rate(epoch: int, first: float, train: Train) -> float:
    """The learning rate of an epoch, counted from 0.

    Example:
        >>> train = Train(epochs=4, batch_size=1, lr=0.1)
        >>> [round(rate(epoch, 0.1, train), 4) for epoch in range(4)]                # 0.05 (1 + cos(pi e / 4))
        [0.1, 0.0854, 0.05, 0.0146]
    """
    if train.schedule == "cosine":
        return first * (1 + math.cos(math.pi * epoch / train.epochs)) / 2
    if train.schedule == "step":
        return first * train.step_factor ** (epoch // train.step_epochs)
    return first


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


@dataclass
class Step:
    """Forward, loss, backward, L1, clipping, optimiser; nothing in it waits for the device.

    The L1 penalty is added to the gradients as l1 * sign(theta), which is what its derivative adds, before the
    gradients are clipped; weight decay is the optimiser's and is not clipped.
    """

    network: Network
    forward: Callable[[Tensor], Tensor]  # the network, or what averages its gradients over processes
    loss: Loss
    optimizer: torch.optim.Optimizer
    place: Place
    l1: float
    clip_norm: float

    def __post_init__(self) -> None:
        self.parameters: list[Tensor] = list(self.network.parameters())

    def __call__(self, inputs: Tensor, given: Tensor, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """Update the weights.

        Args:
            inputs: a batch.
            given: its labels.
            weight: factor of the loss's gradient.

        Returns:
            The loss before the update and how many given labels were predicted, both on the device.
        """
        self.optimizer.zero_grad()
        head = self.network.fc
        if isinstance(head, StudentHead):
            with self.place.autocast():
                features = self.network.features(inputs)
            scores, centre_term = head.training_scores(features, given)
            value = self.loss(scores, given) + centre_term
        else:
            with self.place.autocast():
                scores = self.forward(inputs)
            value = self.loss(scores, given)
        (value if weight == 1 else weight * value).backward()
        if self.l1:
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            torch._foreach_add_(gradients, torch._foreach_sign(self.parameters), alpha=self.l1)
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm, foreach=True)
        self.optimizer.step()
        return value.detach(), (scores.detach().argmax(1) == given).sum()


class Captured:
    """A step recorded as one CUDA graph for each batch size it meets; the numbers are those of `Step`.

    An epoch has at most two batch sizes, the full one and the last. Recording runs the step a few times, so the
    weights, the statistics of batch normalisation and the optimiser's state are put back afterwards.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self._graphs: dict[torch.Size, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {}

    def __call__(self, inputs: Tensor, given: Tensor, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """As `Step`; one process alone has the weight 1."""
        if inputs.shape not in self._graphs:
            self._graphs[inputs.shape] = self._record(inputs.clone(memory_format=torch.preserve_format), given.clone())
        return self._graphs[inputs.shape](inputs, given)

    def _record(self, inputs: Tensor, given: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        device = inputs.device
        before = [tensor.clone() for tensor in self._state()]
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(3):  # lets cuDNN, cuBLAS and the allocator settle before the recording
                self.step(inputs, given)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        self.step.optimizer.zero_grad()
        with torch.cuda.graph(graph):
            outputs = self.step(inputs, given)
        # State that the warm-up created (momentum, Adam's moments) starts from zero, as it would have.
        for index, tensor in enumerate(self._state()):
            tensor.copy_(before[index]) if index < len(before) else tensor.zero_()

        def replay(new_inputs: Tensor, new_given: Tensor) -> tuple[Tensor, Tensor]:
            inputs.copy_(new_inputs, non_blocking=True)
            given.copy_(new_given, non_blocking=True)
            graph.replay()
            return outputs

        return replay

    def _state(self) -> list[Tensor]:
        """Everything a step changes, the network's part first."""
        optimizer = self.step.optimizer
        moments = [
            value
            for parameter in self.step.parameters
            for value in optimizer.state.get(parameter, {}).values()
            if isinstance(value, Tensor)
        ]
        return [*self.step.network.state_dict().values(), *moments]
