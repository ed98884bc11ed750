"""Several processes that train one network together, each on its share of every batch.

`torchrun --nproc-per-node 4 ...` starts the processes; lightning-fabric gives them devices and sums their gradients.
Batches, order, augmentation and metrics are those of one process: no sample is counted twice. Without batch
normalisation the weights are too, up to rounding; with it each process normalises its own share, as the published code
does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.errors import InputError, MachineError, NoiseproofError

__all__ = ["Team"]

_PATIENCE = timedelta(minutes=30)  # for a process that does not answer; those that wait for it end then


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
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ImportError:
            raise InputError(
                "training with several processes needs lightning-fabric; type: pip install 'noiseproof[ddp]'"
            ) from None
        local = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        # Precision is the loop's own business: fabric leaves the numbers as they are.
        fabric = Fabric(
            accelerator=device,
            strategy=DDPStrategy(timeout=_PATIENCE),
            devices=local,
            num_nodes=size // local,
            precision="32-true",
        )
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
        """Result of the first process, at all of them.

        Raises:
            Exception: whatever it raised there, at all of them, so that none waits for one that has left.
        """
        if self.fabric is None:
            return compute()
        value, error = None, None
        if self.rank == 0:
            try:
                value = compute()
            except Exception as raised:
                error = raised
        ours = error is None or isinstance(error, NoiseproofError)
        sent = error if ours else MachineError(f"the first process of the team failed: {type(error).__name__}: {error}")
        value, sent = self.fabric.broadcast((value, sent))
        if sent is not None:
            raise error or sent
        return value

    def rank_zero_first(self, act: Callable[[], Any]) -> Any:
        """Let every process act, the first one before the others; what it raises is raised at all of them."""
        if self.fabric is None:
            return act()
        mine: list[Any] = []
        self.broadcast(lambda: mine.append(act()))
        return mine[0] if mine else act()

    def same(self, what: str, value: Any) -> None:
        """Check that all processes have the value of the first one.

        Raises:
            InputError: one has not, at all of them.
        """
        if self.fabric is None:
            return
        differs = torch.tensor(float(self.broadcast(lambda: value) != value), device=self.fabric.device)
        if number := int(self.all_reduce(differs)):
            raise InputError(f"{number} of the {self.size} processes of the team differ from the first one in {what}")
