r"""The fast form of each loss: its value and derivatives as a function of a few statistics of a row.

With p = softmax(z) every loss of the registry is a function of the label's log p_y and of sums over the other
classes, and each of these has a known gradient on the scores:

    statistic                                          gradient on z_j
    l = log p_y                                        [j=y] - p_j
    S = sum of log p_k                                 [j!=y] - (K-1) p_j
    Q = sum of p_k^2                                   2 p_j ([j!=y] p_j - Q)
    U = sum of max(log p_k - log p_min, 0)             [j!=y] m_j - p_j sum of m_k        m_k = [p_k >= p_min]
    D = sum of w_k log p_k                             [j!=y] psi_j - p_j sum of psi_k    w_k = (1-p_k)^gamma
    E = sum of w_k max(log p_k, log p_min) - log p_min likewise

(psi_k is the derivative of the summed term by log p_k: w_k for D where w is held constant.) So a form states the
value and its derivatives by these statistics, in the paper's symbols; the kernels do the rest, once for all losses.
The sums leave the label out so that nothing cancels where p_y is almost 1.

A loss without a form is computed from its formula (`per_class`). The formula stays the definition; the tests hold
each form to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from noiseproof.losses._kernels.program import NEEDS, RESULTS, NoProgram, Number, Program, Tracer
from noiseproof.losses.stable import LOG_ZERO

__all__ = ["FORMS", "Row", "Slopes", "Sum", "trace"]


@dataclass(frozen=True)
class Slopes:
    """The value of a loss and its derivatives by the statistics it depends on."""

    value: Number
    l: Number | None = None
    S: Number | None = None
    Q: Number | None = None
    U: Number | None = None
    D: Number | None = None
    E: Number | None = None


@dataclass(frozen=True)
class Sum:
    """A sum over the other classes, with the label's own term and that term's derivative by log p_y."""

    own: Number
    slope: Number
    others: Number


class Row:
    """The statistics of a row, as a form reads them."""

    def __init__(self) -> None:
        self.tracer = Tracer()
        read = self.tracer.statistic
        self.K, self.l, self.p, self.r = read("K"), read("l"), read("p"), read("r")  # K, log p_y, p_y, 1 - p_y

    def logs(self) -> Sum:
        """S: the sum of log p_k; a masked class counts as -1e30."""
        self.tracer.needs |= NEEDS["S"]
        return self._sum("s_y", "s_slope", "S")

    @property
    def Q(self) -> Number:
        """The sum of p_k^2 over the others."""
        self.tracer.needs |= NEEDS["Q"]
        return self.tracer.statistic("Q")

    @property
    def top(self) -> Number:
        """1 where the label is the first of the largest scores, else 0."""
        return self.tracer.statistic("top")

    def focal_slope(self, gamma: float, detach: bool) -> Number:
        """The derivative of (1-p)^gamma log p by log p, at the label."""
        w = self.r**gamma
        return w if detach else w * (1 - gamma * self.p * self.tracer.statistic("chord"))

    def floored(self, p_min: float) -> Sum:
        """U: the sum of max(log p_k - log p_min, 0)."""
        self._agree(p_min, None)
        self.tracer.needs |= NEEDS["U"]
        return self._sum("u_y", "u_slope", "U")

    def focal(self, gamma: float, detach: bool, p_min: float | None = None) -> Sum:
        """D, or with p_min E: the sum of focal terms."""
        self._agree(p_min, (gamma, not detach))
        self.tracer.needs |= NEEDS["focal"]
        return self._sum("d_y", "d_slope", "D") if p_min is None else self._sum("e_y", "e_slope", "E")

    def _sum(self, *names: str) -> Sum:
        return Sum(*map(self.tracer.statistic, names))

    def _agree(self, p_min: float | None, focal: tuple[float, bool] | None) -> None:
        """One kernel run has one p_min and one gamma."""
        mine = self.tracer
        if (p_min is not None and mine.p_min not in (None, p_min)) or (focal and mine.focal not in (None, focal)):
            raise NoProgram
        mine.p_min = mine.p_min if p_min is None else p_min
        mine.focal = focal or mine.focal


Form = Callable[..., Slopes]
FORMS: dict[str, Form] = {}


def _form(name: str) -> Callable[[Form], Form]:
    """The form of the loss registered as `name`; its keywords are that loss's parameters."""

    def register(form: Form) -> Form:
        FORMS[name] = form
        return form

    return register


def trace(terms: Iterable[tuple[float, str, Mapping[str, Any]]]) -> Program:
    """The program of a sum of losses.

    Args:
        terms: (factor, registered name, parameters) of each.

    Raises:
        NoProgram: two terms differ in what one run can have only once, or a value has no form.
    """
    row = Row()
    results: list[Number | None] = [None] * len(RESULTS)
    for factor, name, parameters in terms:
        slopes = FORMS[name](row, **parameters)
        for i, result in enumerate(RESULTS):
            part = getattr(slopes, result)
            if part is not None:
                part = part if factor == 1 else factor * part
                whole = results[i]
                results[i] = part if whole is None else whole + part
    return row.tracer.finish(results)


# Functions of p_y


@_form("ce")
def ce(row: Row) -> Slopes:
    return Slopes(-row.l, l=row.tracer.number(-1))


@_form("fl")
def fl(row: Row, gamma: float, detach: bool) -> Slopes:
    return Slopes(-(row.r**gamma * row.l), l=-row.focal_slope(gamma, detach))


@_form("mae")
def mae(row: Row) -> Slopes:
    return Slopes(2 * row.r, l=-2 * row.p)


@_form("rce")
def rce(row: Row, log_zero: float) -> Slopes:
    return Slopes(-log_zero * row.r, l=log_zero * row.p)


@_form("sce")
def sce(row: Row, alpha: float, beta: float) -> Slopes:
    reverse = rce(row, log_zero=beta * LOG_ZERO)
    if not alpha:
        return reverse
    return Slopes(reverse.value - alpha * row.l, l=beta * LOG_ZERO * row.p - alpha)


@_form("gce")
def gce(row: Row, q: float) -> Slopes:
    return Slopes(-(q * row.l).expm1() / q, l=-(q * row.l).exp())


@_form("agce")
def agce(row: Row, a: float, q: float) -> Slopes:
    # (a+1)^q - (a+p)^q, from the distance to its minimum
    return Slopes(
        -((a + 1) ** q / q) * (q * (-row.r / (a + 1)).log1p()).expm1(),
        l=-row.p * (a + row.p) ** (q - 1),
    )


@_form("aul")
def aul(row: Row, a: float, q: float) -> Slopes:
    if a == 1:
        return Slopes(row.r**q / q, l=-row.p * row.r**q / (row.r + 1e-300))  # r^(q-1), and 0 where r is 0
    value = (a - 1) ** q * (q * (row.r / (a - 1)).log1p()).expm1()
    return Slopes(value / q, l=-row.p * (a - 1 + row.r) ** (q - 1))


@_form("ael")
def ael(row: Row, a: float) -> Slopes:
    value = (-row.p / a).exp()
    return Slopes(value, l=-row.p / a * value)


@_form("vce")
def vce(row: Row, a: float) -> Slopes:
    return Slopes(-(-row.r / (1 + a)).log1p() - math.log1p(a), l=-row.p / (row.p + a))


_MOST_TERMS = 20  # of four steps each


@_form("taylor-ce")
def taylor_ce(row: Row, t: int) -> Slopes:
    if t > _MOST_TERMS:
        raise NoProgram
    value, slope = row.r / t, row.tracer.number(1)
    for i in range(t - 1, 0, -1):  # Horner: sum of r^i / i, and of r^(i-1)
        value, slope = row.r * (value + 1 / i), 1 + row.r * slope
    return Slopes(value, l=-row.p * slope)


@_form("phuber")
def phuber(row: Row, tau: float, q: float) -> Slopes:
    corner = math.log(tau) / (q - 1)  # log p where the slope in p is -tau
    log_p, on_line = row.l.larger(corner), 1 - row.l.at_least(corner)
    curve = -(q * log_p).expm1() / q if q else -log_p
    return Slopes(curve + on_line * tau * (log_p.exp() - row.p), l=-row.p * ((q - 1) * log_p).exp())


@_form("piecewise-zero")
def piecewise_zero(row: Row, c: float) -> Slopes:
    if not c:
        return ce(row)
    least = math.log(c)
    kept = row.l.at_least(least)
    return Slopes(-kept * row.l.larger(least), l=-kept)


@_form("ece")
def ece(row: Row, m: float) -> Slopes:
    log_t, slope, _ = _eps_softmax(row, m)
    return Slopes(-log_t, l=-slope)


@_form("efl")
def efl(row: Row, m: float, gamma: float, detach: bool) -> Slopes:
    if not detach:
        raise NoProgram
    log_t, slope, rest = _eps_softmax(row, m)
    return Slopes(-(rest**gamma) * log_t, l=-(rest**gamma) * slope)


def _eps_softmax(row: Row, m: float) -> tuple[Number, Number, Number]:
    """log t, its derivative by log p, and 1 - t, where t = (p + m [y is predicted]) / (m + 1)."""
    top, other = row.top, 1 - row.top
    log_t = top * (-row.r / (m + 1)).log1p() + other * (row.l - math.log1p(m))
    return log_t, top * row.p / (row.p + m) + other, (top * row.r + other * (m + row.r)) / (m + 1)


# Functions of sums over the classes


@_form("amse")
def amse(row: Row, a: float, q: float) -> Slopes:
    if q != 2:
        raise NoProgram
    beyond = (a - 1) + row.r  # a - p
    return Slopes((beyond * beyond + row.Q) / row.K, l=-2 * beyond * row.p / row.K, Q=1 / row.K)


@_form("mse")
def mse(row: Row) -> Slopes:
    return amse(row, a=1, q=2)


def _share(part: Sum) -> tuple[Number, Number, Number]:
    """own / (own + others), and its derivatives by log p_y and by the others."""
    whole = part.own + part.others
    return part.own / whole, part.slope * part.others / (whole * whole), -part.own / (whole * whole)


@_form("nce")
def nce(row: Row) -> Slopes:
    value, by_l, by_S = _share(row.logs())
    return Slopes(value, l=by_l, S=by_S)


@_form("nfl")
def nfl(row: Row, gamma: float, detach: bool) -> Slopes:
    value, by_l, by_D = _share(row.focal(gamma, detach))
    return Slopes(value, l=by_l, D=by_D)


def _share_of_others(part: Sum) -> tuple[Number, Number, Number]:
    """1 - own / (own + others), without the cancellation."""
    _, by_l, by_others = _share(part)
    return part.others / (part.own + part.others), -by_l, -by_others


@_form("nnce")
def nnce(row: Row, p_min: float) -> Slopes:
    value, by_l, by_U = _share_of_others(row.floored(p_min))
    return Slopes(value, l=by_l, U=by_U)


@_form("nnfl")
def nnfl(row: Row, gamma: float, p_min: float, detach: bool) -> Slopes:
    e = row.focal(gamma, detach, p_min)
    # A - F_k = (w_k max(log p_k, log p_min) - log p_min) - gap, as A = -(1 - p_min)^gamma log p_min
    gap = math.expm1(gamma * math.log1p(-p_min)) * math.log(p_min)
    value, by_l, by_E = _share_of_others(Sum(e.own - gap, e.slope, e.others - (row.K - 1) * gap))
    return Slopes(value, l=by_l, E=by_E)
