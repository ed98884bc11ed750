"""One update of the weights, recorded once as a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from noiseproof.methods import Batch
from noiseproof.train.step import Step

__all__ = ["Captured"]


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
