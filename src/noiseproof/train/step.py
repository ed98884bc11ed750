"""One update of the weights: as a sequence of calls, or recorded once as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from noiseproof.methods import Batch
from noiseproof.methods import Method as Rule
from noiseproof.models import Network
from noiseproof.train.device import DeviceConfig

__all__ = ["Captured", "Step"]


@dataclass
class Step:
    """Objective, backward, L1, clipping, optimisers; nothing in it waits for the device.

    The L1 penalty is added to the gradients as l1 * sign(theta), which is what its derivative adds, before the
    gradients of each network are clipped; weight decay is the optimiser's and is not clipped. Parameters of the
    method's own take no part in any of these.
    """

    rule: Rule
    networks: Sequence[Network]
    forwards: Sequence[Callable[[Tensor], Tensor]]  # the networks, or what averages their gradients over processes
    optimizer: torch.optim.Optimizer
    own: Sequence[torch.optim.Optimizer]  # of the method's own parameters
    config: DeviceConfig
    l1: float
    clip_norm: float

    def __post_init__(self) -> None:
        self.parameters: list[list[Tensor]] = [list(network.parameters()) for network in self.networks]

    def _logits(self, number: int) -> Callable[[Tensor], Tensor]:
        def logits(inputs: Tensor) -> Tensor:
            with self.config.autocast():
                return self.forwards[number](inputs)

        return logits

    def __call__(self, batch: Batch, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """Update the weights.

        Args:
            batch: views, given labels and index; the networks are added here.
            weight: factor of the loss's gradient.

        Returns:
            The loss before the update and how many given labels were predicted, both on the device.
        """
        batch = replace(
            batch,
            networks=[self._logits(number) for number in range(len(self.forwards))],
            modules=self.networks,
            autocast=self.config.autocast,
        )
        value, logits = self._evaluate(batch, weight)
        for addition in self.rule.additions:
            addition.second_gradient(self.networks, lambda: self._evaluate(replace(batch, again=True), weight))
        for parameters in self.parameters:
            trained = [parameter for parameter in parameters if parameter.grad is not None]
            if self.l1 and trained:
                torch._foreach_add_(
                    [p.grad for p in trained if p.grad is not None], torch._foreach_sign(trained), alpha=self.l1
                )
            if self.clip_norm and trained:
                nn.utils.clip_grad_norm_(trained, self.clip_norm, foreach=True)
        self.optimizer.step()
        for optimizer in self.own:
            optimizer.step()
        return value.detach(), (logits.detach().argmax(1) == batch.given).sum()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in (self.optimizer, *self.own):
            optimizer.zero_grad()

    def _evaluate(self, batch: Batch, weight: float) -> tuple[Tensor, Tensor]:
        self.zero_grad()
        value, logits = self.rule.objective(batch)
        if value.requires_grad:  # a selection may keep nobody
            torch.autograd.backward(value if weight == 1 else weight * value)
        return value, logits


class Captured:
    """A step recorded as one CUDA graph for each batch size it meets; the numbers are those of `Step`.

    An epoch has at most two batch sizes, the full one and the last. Recording runs the step a few times, so the
    weights, the statistics of batch normalisation, the optimiser's and the method's state are put back afterwards.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self._graphs: dict[torch.Size, Callable[[Batch], tuple[Tensor, Tensor]]] = {}

    def __call__(self, batch: Batch, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """As `Step`; one process alone has the weight 1."""
        shape = batch.inputs.shape
        if shape not in self._graphs:
            views = tuple(view.clone(memory_format=torch.preserve_format) for view in batch.views)
            self._graphs[shape] = self._record(
                replace(batch, views=views, given=batch.given.clone(), index=batch.index.clone())
            )
        return self._graphs[shape](batch)

    def _record(self, batch: Batch) -> Callable[[Batch], tuple[Tensor, Tensor]]:
        device = batch.inputs.device
        before = [tensor.clone() for tensor in self._state()]
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(3):  # lets cuDNN, cuBLAS and the allocator settle before the recording
                self.step(batch)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        self.step.zero_grad()
        with torch.cuda.graph(graph):
            outputs = self.step(batch)
        # State that the warm-up created (momentum, Adam's moments) starts from zero, as it would have.
        for index, tensor in enumerate(self._state()):
            tensor.copy_(before[index]) if index < len(before) else tensor.zero_()

        def replay(new: Batch) -> tuple[Tensor, Tensor]:
            for kept, fresh in zip(
                (*batch.views, batch.given, batch.index), (*new.views, new.given, new.index), strict=True
            ):
                kept.copy_(fresh, non_blocking=True)
            graph.replay()
            return outputs

        return replay

    def _state(self) -> list[Tensor]:
        """Everything a step changes, the networks' and the method's part first."""
        moments = [
            value
            for optimizer in (self.step.optimizer, *self.step.own)
            for group in optimizer.param_groups
            for parameter in group["params"]
            for value in optimizer.state.get(parameter, {}).values()
            if isinstance(value, Tensor)
        ]
        modules: list[nn.Module] = [*self.step.networks, self.step.rule]
        return [*(tensor for module in modules for tensor in module.state_dict().values()), *moments]
