"""Plans: the fast forms of losses, remembered by their parameters."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real
from operator import itemgetter
from typing import Any, Protocol

from torch import Tensor

from noiseproof.losses._kernels.forms import FORMS, trace
from noiseproof.losses._kernels.program import NoProgram, Program

__all__ = ["AnyLoss", "Call", "Kernel", "Plan", "parameters", "plan"]

_MOST = 256  # plans kept; a parameter that is annealed makes a new one at every step


class AnyLoss(Protocol):
    """Interface of a loss to the fast path."""

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


@dataclass(frozen=True, eq=False)
class Plan:
    """A loss with the parameters of one moment, as the kernels take it.

    Attributes:
        terms: (factor, loss) pairs, copies that nobody else can change.
        program: its formula of row statistics; None where there is none.
        packed: the same as the C kernel reads it.
        below: the number of classes must be below this (p_min < 1/K).
    """

    terms: tuple[tuple[float, Any], ...]
    program: Program | None
    packed: bytes
    below: float

    def per_class(self, logits: Tensor) -> Tensor:
        """The loss of every label, differentiable: the definition."""
        parts = [factor * loss.per_class(logits) for factor, loss in self.terms]
        whole: Tensor = parts[0]
        for part in parts[1:]:
            whole = whole + part
        return whole


@dataclass(slots=True)
class Call:
    """The settings of one call of a loss, all but its tensors.

    Attributes:
        plan: of the loss as it is now.
        ignore_index: the label of rows that count nothing.
        reduction: as in `cross_entropy`.
        label_smoothing: from 0 to 1.
    """

    plan: Plan
    ignore_index: int
    reduction: str
    label_smoothing: float = 0.0


class Kernel(Protocol):
    """Interface of a kernel: cpu.py, closed.py, gpu.py and blocks.py have it."""

    def run(
        self,
        call: Call,
        scores: Tensor,
        target: Tensor,
        weight: Tensor | None,
        grad: Tensor | None,
        upstream: Tensor | None = None,
    ) -> Tensor | None:
        """The loss of (N, K) scores; fills `grad`."""
        ...

    def scale(self, grad: Tensor, upstream: Tensor) -> None:
        """Multiply a gradient by what arrives from above."""
        ...


_plans: dict[tuple[Any, ...], Plan | None] = {}


def plan(loss: AnyLoss) -> Plan | None:
    """The plan of a loss with its parameters of this moment; None for a loss that is not the package's own."""
    key: list[Any] = []  # of each term its factor, its class and its parameters
    # A subclass of a sum is another loss, unless it says itself what it is the sum of.
    terms = loss.terms() if "terms" in type(loss).__dict__ else ((1.0, loss),)
    for factor, term in terms:
        cls: type = type(term)
        read = _reader(cls)
        if read is None:
            return None
        try:
            key += factor, cls, read(term.__dict__)
        except KeyError:  # a parameter that is learned, or a loss
            return None
    name = tuple(key)
    try:
        return _plans[name]
    except KeyError:
        if len(_plans) >= _MOST:
            _plans.clear()
        made = _plans[name] = _make(terms)
        return made
    except TypeError:  # a parameter that is no number
        return None


@cache
def parameters(cls: type) -> tuple[str, ...] | None:
    """The parameters of a loss of this package; a subclass of one is another loss."""
    if "name" not in cls.__dict__ or not cls.__module__.startswith("noiseproof.losses."):
        return None
    if "form_parameters" in cls.__dict__:  # where the constructor takes another loss
        return tuple(cls.__dict__["form_parameters"])
    parameters = inspect.signature(cls).parameters.values()
    return tuple(each.name for each in parameters if each.kind is not each.VAR_KEYWORD)


@cache
def _reader(cls: type) -> Callable[[dict[str, Any]], Any] | None:
    """Reads a loss's parameters from its attributes: one value, or a tuple of them."""
    names = parameters(cls)
    if names is None:
        return None
    return itemgetter(*names) if names else lambda attributes: ()


def _make(terms: Sequence[tuple[float, Any]]) -> Plan | None:
    named = []
    for factor, term in terms:
        cls: Any = type(term)
        values = {name: term.__dict__[name] for name in parameters(cls) or ()}
        if not all(isinstance(value, Real) for value in values.values()):
            return None
        named.append((factor, cls.__dict__["name"], values))
    frozen = tuple((factor, copy.deepcopy(term)) for factor, term in terms)
    if any(name not in FORMS for _, name, _ in named):
        return Plan(frozen, None, b"", math.inf)
    try:
        program = trace(named)
    except NoProgram:
        return Plan(frozen, None, b"", math.inf)
    return Plan(frozen, program, program.pack(), math.exp(-program.log_floor) if program.log_floor else math.inf)
