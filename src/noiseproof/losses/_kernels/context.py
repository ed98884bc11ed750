"""Context of a call: tracing, transforms and modes that see every operation, and the graph that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.compiler import is_compiling

__all__ = ["graph_is_kept", "is_batched", "is_compiling", "small_graph", "transforms_are_active"]

_functorch_is_active: Callable[[], bool] = torch._C._are_functorch_transforms_active
_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
_tracing_state: Callable[[], Any] = torch._C._get_tracing_state
_graph_task: Callable[[], int] = torch._C._current_graph_task_id
_keeps_graph: Callable[[], bool] = torch._C._autograd._get_current_graph_task_keep_graph

is_batched: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor
"""True if these are the rows of a Jacobian, all at once."""


def transforms_are_active() -> bool:
    """True if something sees every operation: torch.compile or .jit.trace, torch.func, forward AD, modes."""
    return (
        is_compiling()
        or _functorch_is_active()
        or _dispatch_modes() > 0
        or forward_ad._current_level >= 0
        or _tracing_state() is not None
    )


def graph_is_kept() -> bool:
    """True if backward may be called again on the graph that runs now."""
    return _graph_task() < 0 or _keeps_graph()


@contextmanager
def small_graph() -> Iterator[None]:
    """A graph that is made and differentiated on the spot, whatever surrounds it.

    Hooks on saved tensors do not see it: activation checkpointing would compute it anew for its own backward.
    What is saved is detached, or a result that is saved would hold the node that saves it.
    """
    with torch.inference_mode(False), torch.enable_grad(), saved_tensors_hooks(Tensor.detach, _as_it_is):
        yield


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
