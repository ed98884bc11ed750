"""Which losses have a fast form, remembered by their parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from noiseproof.losses.rows.forms import FORMS, trace
from noiseproof.losses.rows.program import NoProgram, Program

if TYPE_CHECKING:
    from noiseproof.losses.base import Loss

__all__ = ["Plan", "plan"]

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


def plan(loss: Loss) -> Plan | None:
    """The plan of a loss with its parameters of this moment; None where its formula must answer."""
    cls: Any = type(loss)
    read = _reader(cls)
    if read is not None:
        return _plan(((1.0, cls, read(loss)),))
    if not _is_sum(cls):
        return None
    keys = []
    for factor, term in zip(loss.factors, loss._modules["losses"]._modules.values(), strict=True):  # type: ignore[arg-type, union-attr]
        cls = type(term)
        read = _reader(cls)
        if read is None:
            return None
        keys.append((factor, cls, read(term)))
    return _plan(tuple(keys))


@cache
def _is_sum(cls: type) -> bool:
    from noiseproof.losses.base import WeightedSum

    return cls is WeightedSum


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
