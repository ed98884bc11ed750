"""The row kernel for GPUs, in Triton; the same steps as block.h, with float32 inside.

One program instance takes one row. The loss's own steps become a function of the row's statistics, written out once per
loss. The speed of this kernel has not been measured yet.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

from __future__ import annotations

import linecache
from functools import cache
from hashlib import sha256
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from noiseproof.losses._kernels.plan import Call
from noiseproof.losses._kernels.program import NEEDS, OPERATIONS, STATISTICS, Program
from noiseproof.losses.reduction import denominator

__all__ = ["run", "scale"]

_LARGEST_BLOCK = 8192


def run(
    call: Call,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad: Tensor | None,
    upstream: Tensor | None = None,
) -> Tensor | None:
    """As `cpu.run`; but a label out of range, which only a wait for the device could tell, makes its row NaN."""
    rows, classes = scores.shape
    if scores.stride(1) != 1:
        scores = scores.contiguous()
    values = torch.empty(rows, dtype=torch.float32, device=scores.device)
    below = (
        denominator(target, weight, call.ignore_index).float() if call.reduction == "mean" else values
    )  # values: not read
    block, warps = _block(classes)
    program = call.plan.program
    assert program is not None
    with torch.cuda.device_of(scores):
        _rows_kernel[(rows,)](
            scores,
            values if grad is None else grad,
            values,
            target,
            values if weight is None else weight,
            values if upstream is None else upstream,
            below,
            classes,
            scores.stride(0),
            0 if grad is None else grad.stride(0),
            upstream.stride(0) if upstream is not None and upstream.dim() else 0,
            call.ignore_index,
            program.focus,
            program.log_floor,
            FORM=_form(program),
            NEEDS_S=bool(program.needs & (NEEDS["S"] | NEEDS["U"])),
            NEEDS_U=bool(program.needs & NEEDS["U"]),
            NEEDS_FOCAL=bool(program.needs & NEEDS["focal"]),
            ATTACHED=program.attached,
            WEIGHTED=weight is not None,
            MEAN=call.reduction == "mean",
            GRADIENT=grad is not None,
            UPSTREAM=upstream is not None,
            BLOCK=block,
            num_warps=warps,
        )
    if call.reduction == "none":
        return values
    return values.sum() / below if call.reduction == "mean" else values.sum()


def scale(grad: Tensor, upstream: Tensor) -> None:
    """Multiplies the rows of a gradient by what arrives from above; returns early on the device where that is 1."""
    rows, classes = grad.shape
    block, warps = _block(classes)
    stride = upstream.stride(0) if upstream.dim() else 0
    with torch.cuda.device_of(grad):
        _scale_kernel[(rows,)](grad, upstream, classes, grad.stride(0), stride, BLOCK=block, num_warps=warps)


def _block(classes: int) -> tuple[int, int]:
    block = min(triton.next_power_of_2(classes), _LARGEST_BLOCK)
    return block, max(1, min(16, block // 256))


# The loss's steps as a function of Triton


@cache
def _form(program: Program) -> Any:
    """The program as a Triton function from `STATISTICS` to `RESULTS`."""
    names, lines = list(STATISTICS), []
    for step, (code, left, right, constant) in enumerate(program.steps):
        names.append(f"v{step}")
        lines.append(f"    v{step} = {_written(OPERATIONS[code], names[left], names[right], constant)}")
    results = ["l * 0.0" if register < 0 else names[register] for register in program.results]
    body = "\n".join([*lines, f"    return {', '.join(results)}\n"])
    # Compiled kernels are kept on disk by their source, so the name must not change from run to run.
    name = f"form_{sha256(body.encode()).hexdigest()[:16]}"
    source, file = f"def {name}({', '.join(STATISTICS)}):\n{body}", f"<noiseproof {name}>"
    # Triton reads a function's source through `inspect`, which asks `linecache`.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"tl": tl, "expm1": _expm1, "log1p": _log1p, "power": _power, "__name__": __name__}
    exec(compile(source, file, "exec"), scope)  # noqa: S102 - the source of a kernel, made from the library's own forms
    return triton.jit(scope[name])


def _written(operation: str, a: str, b: str, constant: float) -> str:
    match operation:
        case "constant":
            return f"K * 0.0 + {constant!r}"
        case "+" | "-" | "*" | "/":
            return f"{a} {operation} {b}"
        case "**":
            return f"power({a}, {constant!r})"
        case "neg":
            return f"-{a}"
        case "larger":
            return f"tl.where({a} < {b}, {b}, {a})"
        case ">=":
            return f"tl.where({a} >= {b}, 1.0, 0.0)"
        case "exp":
            return f"tl.exp({a})"
    return f"{operation}({a})"


@triton.jit
def _log1p(x):
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))  # Kahan


@triton.jit
def _expm1(x):
    series = x * (1.0 + x * (0.5 + x * (1.0 / 6 + x * (1.0 / 24 + x * (1.0 / 120)))))
    return tl.where(tl.abs(x) < 0.1, series, tl.exp(x) - 1.0)


@triton.jit
def _power(x, exponent):
    positive = tl.exp(exponent * tl.log(tl.where(x > 0.0, x, 1.0)))
    return tl.where(x > 0.0, positive, tl.where(exponent == 0.0, 1.0, 0.0))


# The kernels


@triton.jit
def _focal(p, log_p, focus, floor, ATTACHED: tl.constexpr):
    """Of classes with p <= 1/2: the terms of D and E, and their derivatives by log p."""
    missing = -_expm1(focus * _log1p(-p))
    w = 1.0 - missing
    finite = tl.maximum(log_p, -200.0)  # p is 0 there
    above = log_p >= floor
    u = tl.where(above, finite - floor, 0.0)
    d_psi = w
    e_psi = tl.where(above, w, 0.0)
    if ATTACHED:
        pull = focus * p * w / (1.0 - p)
        d_psi = w - pull * finite
        e_psi = e_psi - pull * (u + floor)
    return w * finite, d_psi, w * u - floor * missing, e_psi


@triton.jit
def _focal_one(p, rest, log_p, focus, floor, ATTACHED: tl.constexpr):
    """The same of one class with any p; `rest` is 1 - p."""
    w = _power(rest, focus)
    missing = tl.where(p < 0.5, -_expm1(focus * _log1p(-tl.minimum(p, 0.5))), 1.0 - w)
    above = log_p >= floor
    masked = log_p == float("-inf")
    finite = tl.where(masked, 0.0, log_p)
    u = tl.where(above, finite - floor, 0.0)
    d_psi = w
    e_psi = tl.where(above, w, 0.0)
    if ATTACHED:
        chord = tl.where(rest > 0.0, finite / tl.where(rest > 0.0, rest, 1.0), -1.0)
        pull = focus * p * w
        d_psi = w - pull * chord
        e_psi = e_psi - pull * tl.where(above, chord, floor / tl.where(rest > 0.0, rest, 1.0))
    return tl.where(masked, -1e30, w * finite), tl.where(masked, 0.0, d_psi), w * u - floor * missing, e_psi


@triton.jit
def _rows_kernel(
    scores,
    grad,
    values,
    target,
    weight,
    upstream,
    denominator,
    classes,
    score_stride,
    grad_stride,
    upstream_stride,
    ignored,
    focus,
    floor,
    FORM: tl.constexpr,
    NEEDS_S: tl.constexpr,
    NEEDS_U: tl.constexpr,
    NEEDS_FOCAL: tl.constexpr,
    ATTACHED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MEAN: tl.constexpr,
    GRADIENT: tl.constexpr,
    UPSTREAM: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    z = scores + row * score_stride
    g = grad + row * grad_stride
    y = tl.load(target + row)
    columns = tl.arange(0, BLOCK)
    infinity = float("inf")
    if y == ignored:
        tl.store(values + row, 0.0)
        if GRADIENT:
            for start in range(0, classes, BLOCK):
                at = start + columns
                tl.store(g + at, tl.zeros([BLOCK], tl.float32), mask=at < classes)
        return
    inside = (y >= 0) & (y < classes)
    own = tl.load(z + y, mask=inside, other=float("nan")).to(tl.float32)

    # The largest and the smallest score, and where the largest is
    high_lanes = tl.full([BLOCK], -infinity, tl.float32)
    low_lanes = tl.full([BLOCK], infinity, tl.float32)
    first = tl.full([BLOCK], 0, tl.int32)
    for start in range(0, classes, BLOCK):
        at = start + columns
        x = tl.load(z + at, mask=at < classes, other=-infinity).to(tl.float32)
        first = tl.where(x > high_lanes, at, first)
        high_lanes = tl.maximum(high_lanes, x)
        low_lanes = tl.minimum(low_lanes, tl.where(at < classes, x, infinity))
    high = tl.max(high_lanes, 0)
    low = tl.min(low_lanes, 0)
    largest = tl.min(tl.where(high_lanes == high, first, classes), 0)
    top = tl.where((own == high) & (largest == y), 1.0, 0.0)
    # Where the label has not the largest score another class has: its p may be near 1, so it is singled out.
    has_runner_up = own < high
    runner_up = tl.where(has_runner_up, largest, -1)
    runners_up = tl.where(has_runner_up, 1.0, 0.0)

    sum_e = high - high  # NaN where the largest is infinite, as in torch
    sum_e2 = 0.0
    sum_x = 0.0
    masked = 0.0
    for start in range(0, classes, BLOCK):
        at = start + columns
        others = (at < classes) & (at != y) & (at != runner_up)
        x = tl.load(z + at, mask=others, other=-infinity).to(tl.float32) - high
        e = tl.where(others, tl.exp(x), 0.0)
        sum_e += tl.sum(e, 0)
        sum_e2 += tl.sum(e * e, 0)
        if NEEDS_S or NEEDS_FOCAL:
            finite = x > -infinity
            sum_x += tl.sum(tl.where(others & finite, x, 0.0), 0)
            masked += tl.sum(tl.where(others & (x == -infinity), 1.0, 0.0), 0)

    K = classes.to(tl.float32)
    x_y = own - high
    e_y = tl.exp(x_y)
    log_z = _log1p(sum_e + tl.where(has_runner_up, e_y, 0.0))
    rest = sum_e + runners_up
    inverse_z = 1.0 / (rest + e_y)
    l = x_y - log_z
    p = e_y * inverse_z
    r = rest * inverse_z
    p_runner_up = runners_up * inverse_z
    r_runner_up = (sum_e + e_y) * inverse_z
    squares = sum_e2 * inverse_z * inverse_z
    chord = tl.where(p > 0.0, tl.where(r > 0.0, l / tl.where(r > 0.0, r, 1.0), -1.0), 0.0)
    unmasked = own > -infinity
    s_y = tl.where(own == -infinity, -1e30, l)
    s_slope = tl.where(unmasked, 1.0, 0.0)
    S = tl.where(masked > 0.0, -1e30 * masked, sum_x - (K - 1.0) * log_z)
    Q = squares + p_runner_up * p_runner_up

    u_y = 0.0 * l
    u_slope = 0.0 * l
    U = 0.0 * l
    u_psi = 0.0 * l
    u_runner_up = runners_up
    clamped = False
    if NEEDS_U:
        u_y = tl.where(l >= floor, l - floor, 0.0)
        u_slope = tl.where(l >= floor, 1.0, 0.0)
        U = S - (K - 1.0) * floor
        u_psi = K - 1.0 - runners_up
        clamped = low - high - log_z < floor
        if clamped:
            U = runners_up * (-log_z - floor)  # the largest p is at least 1/K
            u_psi = 0.0 * l
            for start in range(0, classes, BLOCK):
                at = start + columns
                others = (at < classes) & (at != y) & (at != runner_up)
                x = tl.load(z + at, mask=others, other=-infinity).to(tl.float32) - high
                above = x - (floor + log_z)
                U += tl.sum(tl.where(above >= 0.0, above, 0.0), 0)
                u_psi += tl.sum(tl.where(above >= 0.0, 1.0, 0.0), 0)

    d_y = 0.0 * l
    d_slope = 0.0 * l
    D = 0.0 * l
    d_psi = 0.0 * l
    d_runner_up = 0.0 * l
    e_focal_y = 0.0 * l
    e_slope = 0.0 * l
    E = 0.0 * l
    e_psi = 0.0 * l
    e_runner_up = 0.0 * l
    if NEEDS_FOCAL:
        d_y, d_slope, e_focal_y, e_slope = _focal_one(p, r, l, focus, floor, ATTACHED)
        d, d_runner_up, e_one, e_runner_up = _focal_one(p_runner_up, r_runner_up, -log_z, focus, floor, ATTACHED)
        D = runners_up * d
        E = runners_up * e_one
        for start in range(0, classes, BLOCK):
            at = start + columns
            others = (at < classes) & (at != y) & (at != runner_up)
            x = tl.load(z + at, mask=others, other=-infinity).to(tl.float32) - high
            d_terms, d_psis, e_terms, e_psis = _focal(tl.exp(x) * inverse_z, x - log_z, focus, floor, ATTACHED)
            D += tl.sum(tl.where(others, d_terms, 0.0), 0)
            d_psi += tl.sum(tl.where(others, d_psis, 0.0), 0)
            E += tl.sum(tl.where(others, e_terms, 0.0), 0)
            e_psi += tl.sum(tl.where(others, e_psis, 0.0), 0)
        D = tl.where(masked > 0.0, -1e30 * masked, D)

    value, by_l, by_S, by_Q, by_U, by_D, by_E = FORM(
        K, l, p, r, chord, top, s_y, s_slope, S, Q, u_y, u_slope, U, d_y, d_slope, D, e_focal_y, e_slope, E
    )
    factor = 1.0
    if WEIGHTED:
        factor = tl.load(weight + y, mask=inside, other=float("nan"))
    tl.store(values + row, value * factor)

    if GRADIENT:
        if MEAN:
            factor = factor / tl.load(denominator)
        if UPSTREAM:
            factor = factor * tl.load(upstream + row * upstream_stride).to(tl.float32)
        psi = by_S * (K - 1.0 - runners_up) + 2.0 * by_Q * squares + by_U * u_psi + by_D * d_psi + by_E * e_psi
        psi_runner_up = by_S + by_U * u_runner_up + by_D * d_runner_up + by_E * e_runner_up
        whole = psi + runners_up * (psi_runner_up + 2.0 * by_Q * p_runner_up * p_runner_up)
        at_y = by_l * r - p * whole
        at_runner_up = psi_runner_up * r_runner_up + p_runner_up * (2.0 * by_Q * p_runner_up * r_runner_up - psi - by_l)
        for start in range(0, classes, BLOCK):
            at = start + columns
            x = tl.load(z + at, mask=at < classes, other=-infinity).to(tl.float32) - high
            q = tl.where((at == y) | (at == runner_up), 0.0, tl.exp(x)) * inverse_z
            slope = by_S + q * (2.0 * by_Q * q - by_l - whole)
            if NEEDS_U:
                slope += tl.where(x >= floor + log_z, by_U, 0.0)
            if NEEDS_FOCAL:
                _, d_psis, _, e_psis = _focal(q, x - log_z, focus, floor, ATTACHED)
                slope += by_D * d_psis + by_E * e_psis
            slope = tl.where(at == y, at_y, tl.where(at == runner_up, at_runner_up, slope))
            tl.store(g + at, (slope * factor).to(g.dtype.element_ty), mask=at < classes)


@triton.jit
def _scale_kernel(grad, upstream, classes, stride, upstream_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    factor = tl.load(upstream + row * upstream_stride).to(tl.float32)
    if factor != 1.0:
        for start in range(0, classes, BLOCK):
            at = start + tl.arange(0, BLOCK)
            here = grad + row * stride + at
            g = tl.load(here, mask=at < classes, other=0.0).to(tl.float32)
            tl.store(here, (g * factor).to(grad.dtype.element_ty), mask=at < classes)
