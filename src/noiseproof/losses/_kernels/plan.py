"""Which losses have a fast form, remembered by their parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from numbers import Real
from operator import itemgetter
from typing import Any, Protocol

from torch import Tensor

from noiseproof.losses._kernels.forms import FORMS, trace
from noiseproof.losses._kernels.program import NoProgram, Program

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
    key: list[Any] = []  # of each term its factor, its class and its parameters
    # A subclass of a sum is another loss, unless it says itself what it is the sum of.
    for factor, term in loss.terms() if "terms" in type(loss).__dict__ else ((1.0, loss),):
        cls: type = type(term)
        read = _reader(cls)
        if read is None:
            return None
        try:
            key += factor, cls, read(term.__dict__)
        except KeyError:  # a parameter that is learned
            return None
    return _plan(tuple(key))


@cache
def _names(cls: type) -> tuple[str, ...] | None:
    """The parameters of a registered loss with a form; a subclass of one is another loss."""
    form = FORMS.get(cls.__dict__.get("name", ""))
    return None if form is None else tuple(inspect.signature(form).parameters)[1:]


@cache
def _reader(cls: type) -> Callable[[dict[str, Any]], Any] | None:
    """Reads a loss's parameters from its attributes: one value, or a tuple of them."""
    names = _names(cls)
    if names is None:
        return None
    return itemgetter(*names) if names else lambda attributes: ()


@lru_cache(maxsize=256)
def _plan(key: tuple[Any, ...]) -> Plan | None:
    terms = []
    for factor, cls, values in zip(key[::3], key[1::3], key[2::3], strict=True):
        names = _names(cls) or ()
        values = (values,) if len(names) == 1 else values
        if not all(isinstance(value, Real) for value in values):
            return None
        terms.append((factor, cls.__dict__["name"], dict(zip(names, values, strict=True))))
    try:
        program = trace(terms)
    except NoProgram:
        return None
    return Plan(program, program.pack(), math.exp(-program.log_floor) if program.log_floor else math.inf)
