"""A loss as a program: its formula of row statistics, traced once into plain steps that any device can run.

A `Number` records what is done to it, so a formula written with `+ - * / **`, `exp`, `expm1`, `log1p`, `larger` and
`at_least` becomes a list of steps. The C kernel runs the steps in double, the closed form with tensors, and for a GPU
they become the source of a function.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["NEEDS", "OPERATIONS", "RESULTS", "STATISTICS", "NoProgram", "Number", "Program", "Tracer"]

# The order of these four is that of program.h.
STATISTICS = (
    *("K", "l", "p", "r", "chord", "top"),
    *("s_y", "s_slope", "S", "Q", "u_y", "u_slope", "U", "d_y", "d_slope", "D", "e_y", "e_slope", "E"),
)
RESULTS = ("value", "l", "S", "Q", "U", "D", "E")
OPERATIONS = ("constant", "+", "-", "*", "/", "**", "neg", "exp", "expm1", "log1p", "larger", ">=")
NEEDS = {"S": 1, "Q": 2, "U": 4, "focal": 8}


class NoProgram(Exception):
    """The loss has no fast form; its formula answers."""


@dataclass(frozen=True)
class Program:
    """Steps from the statistics of a row to the value of a loss and its derivatives.

    Attributes:
        needs: the sums over classes it reads, bits of `NEEDS`.
        focus: exponent of the focal weight (1-p)^focus.
        attached: the focal weight is differentiated.
        log_floor: ln p_min; 0 where there is none.
        steps: (operation, left, right, constant); step i writes register len(STATISTICS) + i.
        results: the registers of `RESULTS`; -1 where a derivative is 0.
    """

    needs: int
    focus: float
    attached: bool
    log_floor: float
    steps: tuple[tuple[int, int, int, float], ...]
    results: tuple[int, ...]

    def pack(self) -> bytes:
        """The `Program` of program.h."""
        head = struct.pack(
            "<2i2d7ii", self.needs, self.attached, self.focus, self.log_floor, *self.results, len(self.steps)
        )
        return head + b"".join(struct.pack("<4id", code, left, right, 0, c) for code, left, right, c in self.steps)

    def evaluate(self, statistics: Sequence[Tensor]) -> list[Tensor | None]:
        """`RESULTS` for many rows at once; None where a derivative is 0."""
        registers = list(statistics)
        for code, left, right, constant in self.steps:
            registers.append(_apply(OPERATIONS[code], registers[left], registers[right], constant))
        return [None if register < 0 else registers[register] for register in self.results]


def _apply(operation: str, a: Tensor, b: Tensor, c: float) -> Tensor:
    match operation:
        case "constant":
            return torch.full_like(a, c)
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b
        case "**":
            return a**c
        case "neg":
            return -a
        case "larger":
            return torch.where(a < b, b, a)
        case ">=":
            return (a >= b).to(a.dtype)
    result: Tensor = getattr(a, operation)()
    return result


# Tracing


@dataclass(frozen=True)
class Number:
    """A number that remembers how it came about."""

    tracer: Tracer
    register: int

    def _with(self, operation: str, other: Any, swapped: bool = False) -> Number:
        other = self.tracer.number(other)
        return self.tracer.step(operation, *((other, self) if swapped else (self, other)))

    def __add__(self, other: Any) -> Number:
        return self._with("+", other)

    def __radd__(self, other: Any) -> Number:
        return self._with("+", other, swapped=True)

    def __sub__(self, other: Any) -> Number:
        return self._with("-", other)

    def __rsub__(self, other: Any) -> Number:
        return self._with("-", other, swapped=True)

    def __mul__(self, other: Any) -> Number:
        return self._with("*", other)

    def __rmul__(self, other: Any) -> Number:
        return self._with("*", other, swapped=True)

    def __truediv__(self, other: Any) -> Number:
        return self._with("/", other)

    def __rtruediv__(self, other: Any) -> Number:
        return self._with("/", other, swapped=True)

    def __pow__(self, exponent: float) -> Number:
        return self if exponent == 1 else self.tracer.step("**", self, self, exponent)

    def __neg__(self) -> Number:
        return self.tracer.step("neg", self, self)

    def larger(self, other: Any) -> Number:
        """The larger of two numbers; NaN where this is NaN."""
        return self._with("larger", other)

    def at_least(self, other: Any) -> Number:
        """1 where this number is not below the other, else 0."""
        return self._with(">=", other)

    def exp(self) -> Number:
        return self.tracer.step("exp", self, self)

    def expm1(self) -> Number:
        return self.tracer.step("expm1", self, self)

    def log1p(self) -> Number:
        return self.tracer.step("log1p", self, self)


@dataclass(eq=False)
class Tracer:
    """Collects the steps of one program; equal steps are written once."""

    steps: dict[tuple[int, int, int, float], int] = field(default_factory=dict)
    needs: int = 0
    focal: tuple[float, bool] | None = None
    p_min: float | None = None

    def statistic(self, name: str) -> Number:
        """A row statistic, by its name in `STATISTICS`."""
        return Number(self, STATISTICS.index(name))

    def number(self, value: Number | float) -> Number:
        """A constant as a number."""
        if isinstance(value, Number):
            return value
        zero = Number(self, 0)
        return self.step("constant", zero, zero, float(value))

    def step(self, operation: str, left: Number, right: Number, constant: float = 0.0) -> Number:
        """The register that holds the step's result."""
        key = (OPERATIONS.index(operation), left.register, right.register, constant)
        return Number(self, self.steps.setdefault(key, len(STATISTICS) + len(self.steps)))

    def finish(self, results: Sequence[Number | None]) -> Program:
        """The program whose `RESULTS` are these numbers."""
        focus, attached = self.focal or (1.0, False)
        return Program(
            needs=self.needs,
            focus=focus,
            attached=attached,
            log_floor=math.log(self.p_min) if self.p_min is not None else 0.0,
            steps=tuple(self.steps),
            results=tuple(-1 if result is None else result.register for result in results),
        )
