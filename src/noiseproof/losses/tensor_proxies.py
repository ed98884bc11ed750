"""Scores that are no plain tensors: shards of a DTensor, and the proxies of torch.fx."""

from __future__ import annotations

from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

from noiseproof.losses.types import PerClass

__all__ = ["node_of_fx", "per_class_of_shards"]


class AnyLoss(Protocol):
    """A loss, as base.py has it."""

    def per_class(self, logits: Tensor) -> PerClass:
        """The loss of every label."""
        ...


def per_class_of_shards(loss: AnyLoss, logits: Any) -> PerClass:
    """`per_class`; of a DTensor on every shard by itself, each with all classes."""
    if type(logits) is Tensor or not hasattr(logits, "device_mesh"):
        return loss.per_class(logits)
    from torch.distributed.tensor import DTensor, Replicate, Shard

    wanted = [place if isinstance(place, Shard) and place.dim == 0 else Replicate() for place in logits.placements]
    logits = logits.redistribute(placements=wanted)
    return DTensor.from_local(
        loss.per_class(logits.to_local()),
        logits.device_mesh,
        wanted,
        run_check=False,
        shape=logits.shape,
        stride=logits.stride(),
    )


def node_of_fx(loss: AnyLoss, input: Any, target: Any) -> Any:
    """The node of a loss in a graph of torch.fx: that of a module, as torch's own losses are."""
    from torch.fx import Proxy
    from torch.fx.proxy import TraceError

    proxy = input if isinstance(input, Proxy) else target
    if isinstance(proxy, Proxy):
        try:
            path = proxy.tracer.path_of_module(loss)  # type: ignore[attr-defined]
        except NameError:
            path = ""
        if not path:
            raise TraceError(
                "torch.fx cannot trace into a loss: trace the model that holds it (there it becomes one node), or use "
                "torch.compile"
            )
        return proxy.tracer.create_proxy("call_module", path, (input, target), {})
    return F.cross_entropy(input, target)  # raises
