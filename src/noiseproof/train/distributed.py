"""Several processes that train one network together, each on its share of every batch.

`torchrun --nproc-per-node 4 ...` starts the processes; lightning-fabric gives them devices and sums their gradients.
Batches, order, augmentation and metrics are those of one process: no sample is counted twice. Without batch
normalisation the weights are too, up to rounding; with it each process normalises its own share, as the published code
does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.errors import InputError

__all__ = ["Team"]


class Team:
    """This process and those it works with; alone unless `assemble` found others.

    Args:
        fabric: a launched `lightning_fabric.Fabric`, or None for a process that is alone.
    """

    def __init__(self, fabric: Any = None) -> None:
        self.fabric = fabric
        self.rank: int = 0 if fabric is None else fabric.global_rank
        self.size: int = 1 if fabric is None else fabric.world_size

    @classmethod
    def assemble(cls, device: str = "auto") -> Team:
        """Join the processes that torchrun started; alone if it did not.

        Raises:
            InputError: there are other processes, but lightning-fabric is not installed.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        try:
            from lightning_fabric import Fabric
        except ImportError:
            raise InputError(
                "training with several processes needs lightning-fabric; type: pip install 'noiseproof[ddp]'"
            ) from None
        local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        # Precision is the loop's own business: fabric leaves the numbers as they are.
        fabric = Fabric(accelerator=device, strategy="ddp", devices=local, num_nodes=size // local, precision="32-true")
        fabric.launch()
        return cls(fabric)

    @property
    def device(self) -> str | None:
        """The device that is this process's own; None for a process that is alone."""
        return None if self.fabric is None else str(self.fabric.device)

    def wrap(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """The network as a function whose gradients are averaged over the processes."""
        if self.fabric is None:
            return network
        wrapped: Callable[[Tensor], Tensor] = self.fabric.setup_module(network)
        return wrapped

    def all_reduce(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.fabric is None:
            return value
        summed: Tensor = self.fabric.all_reduce(value.clone(), reduce_op="sum")
        return summed

    def sync(self, network: nn.Module) -> None:
        """Take over the first process's running statistics of batch normalisation."""
        if self.fabric is not None:
            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def broadcast(self, compute: Callable[[], Any]) -> Any:
        """What the first process computes, at all of them."""
        value = compute() if self.rank == 0 else None
        return value if self.fabric is None else self.fabric.broadcast(value)

    def rank_zero_first(self, act: Callable[[], Any]) -> Any:
        """Let every process act, the first one before the others."""
        if self.rank > 0:
            self.fabric.barrier()
        value = act()
        if self.rank == 0 and self.fabric is not None:
            self.fabric.barrier()
        return value
