"""Isolation of a computation from torch's global settings: the same bits whatever surrounds it.

What a caller may have set (autocast, gradients off, inference mode, another default dtype or device, another precision
of products) is put aside while we compute and put back afterwards. Some settings belong to the thread and some to the
process; those of the process are shared: threads that want the same settings compute side by side, and the last one
puts back what the first one found.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Setting", "isolated", "process_wide", "products"]


@dataclass(frozen=True)
class Setting:
    """One setting of the process: how it is read and set."""

    get: Callable[[], Any]
    set: Callable[[Any], object]


@dataclass
class _Shared:
    """Settings in force, who found what before, and how many computations use them."""

    wanted: tuple[Any, ...] = ()
    before: list[Any] = field(default_factory=list)
    users: int = 0


_turn = threading.Condition()
_shared: dict[str, _Shared] = {}
_inside = threading.local()


@contextmanager
def process_wide(group: str, settings: dict[Setting, Any]) -> Iterator[None]:
    """Hold settings of the whole process; a thread that wants others waits until nobody uses these.

    Args:
        group: name of the settings; computations of one group agree, wait for each other or lie within each other.
        settings: with the values that they are to have.
    """
    values = tuple(settings.values())
    depth = getattr(_inside, group, 0)
    with _turn:
        shared = _shared.setdefault(group, _Shared())
        if depth and values != shared.wanted:  # within a computation of our own thread: set, and put back
            nested = True
        else:
            nested = False
            _turn.wait_for(lambda: shared.users == 0 or shared.wanted == values)
            if shared.users == 0:
                shared.wanted, shared.before = values, _exchange(settings)
            shared.users += 1
        before = _exchange(settings) if nested else []
    setattr(_inside, group, depth + 1)
    try:
        yield
    finally:
        setattr(_inside, group, depth)
        with _turn:
            if nested:
                _put(settings, before)
            else:
                shared.users -= 1
                if shared.users == 0:
                    _put(settings, shared.before)
                _turn.notify_all()


def _exchange(settings: dict[Setting, Any]) -> list[Any]:
    before = [setting.get() for setting in settings]
    _put(settings, list(settings.values()))
    return before


def _put(settings: Iterable[Setting], values: Iterable[Any]) -> None:
    for setting, value in zip(settings, values, strict=True):
        if setting.get() != value:
            setting.set(value)


def products(backend: Any) -> Setting:
    """The precision of float32 products in a backend of torch, such as `torch.backends.mkldnn.matmul`."""

    def get() -> str:
        found = str(backend.fp32_precision)
        return "ieee" if found == "none" else found  # nothing said means exact ones

    return Setting(get, lambda value: setattr(backend, "fp32_precision", value))


_NUMBERS = {
    Setting(torch.get_default_dtype, torch.set_default_dtype): torch.float32,
    products(torch.backends.mkldnn.matmul): "ieee",  # type: ignore[attr-defined]
    products(torch.backends.mkldnn.conv): "ieee",  # type: ignore[attr-defined]
}


@contextmanager
def isolated() -> Iterator[None]:
    """Compute as in a fresh process: float32, on the CPU unless said otherwise, with gradients, without autocast.

    Example:
        >>> with torch.no_grad(), torch.autocast("cpu"), isolated():
        ...     (torch.ones(2, 2, requires_grad=True) @ torch.ones(2, 2)).dtype, torch.is_grad_enabled()
        (torch.float32, True)
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(process_wide("numbers", _NUMBERS))
        yield
