"""Which losses have a fast form, remembered by their parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, Protocol

from torch import Tensor

from noiseproof.losses.rows.forms import FORMS, trace
from noiseproof.losses.rows.program import NoProgram, Program

__all__ = ["AnyLoss", "Call", "Plan", "plan"]


class AnyLoss(Protocol):
    """What the fast path asks of a loss."""

    ignore_index: int
    reduction: str
    label_smoothing: float
    _buffers: dict[str, Tensor | None]

    def terms(self) -> Sequence[tuple[float, Any]]:
        """The (factor, loss) pairs whose sum it is."""
        ...

    def formula(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of the given labels, by definition."""
        ...


Key = tuple[float, type, Any]  # factor, class, its parameters


@dataclass(frozen=True)
class Plan:
    """A loss as the kernels take it.

    Attributes:
        program: its formula of row statistics.
        packed: the same as the C kernel reads it.
        below: the number of classes must be below this (p_min < 1/K).
    """

    program: Program
    packed: bytes
    below: float


@dataclass(slots=True)
class Call:
    """One call of a loss, all but the scores: what the kernels' `run` takes.

    Attributes:
        loss: whose call it is.
        plan: of the loss as it is now.
        target: (N,) labels, contiguous int64.
        weight: (K,) contiguous float32.
        ignore_index: the label of rows that count nothing.
        reduction: as in `cross_entropy`.
    """

    loss: AnyLoss
    plan: Plan
    target: Tensor
    weight: Tensor | None
    ignore_index: int
    reduction: str


def plan(loss: AnyLoss) -> Plan | None:
    """The plan of a loss with its parameters of this moment; None where its formula must answer."""
    keys = []
    # A subclass of a sum is another loss, unless it says itself what it is the sum of.
    for factor, term in loss.terms() if "terms" in type(loss).__dict__ else ((1.0, loss),):
        cls: type = type(term)
        read = _reader(cls)
        if read is None:
            return None
        keys.append((factor, cls, read(term)))
    return _plan(tuple(keys))


@cache
def _names(cls: type) -> tuple[str, ...] | None:
    """The parameters of a registered loss with a form; a subclass of one is another loss."""
    form = FORMS.get(cls.__dict__.get("name", ""))
    return None if form is None else tuple(inspect.signature(form).parameters)[1:]


@cache
def _reader(cls: type) -> Callable[[Any], Any] | None:
    """Reads a loss's parameters: one value, or a tuple of them."""
    names = _names(cls)
    if names is None:
        return None
    return attrgetter(*names) if names else lambda loss: ()


@lru_cache(maxsize=256)
def _plan(keys: tuple[Key, ...]) -> Plan | None:
    terms = []
    for factor, cls, values in keys:
        names = _names(cls) or ()
        values = (values,) if len(names) == 1 else values
        terms.append((factor, cls.__dict__["name"], dict(zip(names, values, strict=True))))
    try:
        program = trace(terms)
    except NoProgram:
        return None
    return Plan(program, program.pack(), math.exp(-program.log_floor) if program.log_floor else math.inf)
