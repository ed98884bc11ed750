"""The row kernel with torch operations, where no C compiler built the other one.

In double and a few rows at a time, so that a chunk stays in the cache and the gradient is the only large tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.losses._kernels.cpu import scale
from noiseproof.losses._kernels.plan import Call
from noiseproof.losses._kernels.program import NEEDS, RESULTS, STATISTICS, Program
from noiseproof.losses.stable import HUGE, log_softmax, one_minus_exp, sum_of_others

__all__ = ["run", "scale"]

_CHUNK = 1 << 15  # scores


def run(
    call: Call,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None,
    grad: Tensor | None,
    upstream: Tensor | None = None,
) -> Tensor | None:
    """As `cpu.run`."""
    program = call.plan.program
    assert program is not None
    rows, classes = scores.shape
    labels = target.clone()  # of one moment: another thread may write them
    kept = labels != call.ignore_index
    y = labels.where(kept, 0)
    if bool(((y < 0) | (y >= classes)).any()):
        return None
    factor = kept.double() if weight is None else weight.double()[y] * kept
    denominator = factor.sum() if call.reduction == "mean" else factor.new_ones(())
    scale = factor / denominator * (1 if upstream is None else upstream)
    values = torch.empty_like(factor)
    step = max(1, _CHUNK // classes)
    for start in range(0, rows, step):
        part = slice(start, start + step)
        value, slopes = _chunk(program, scores[part].double(), y[part, None], grad is not None)
        values[part] = (value * factor[part]).where(kept[part], 0.0)
        if grad is not None:
            grad[part] = (slopes * scale[part, None]).where(kept[part, None], 0.0)
    return (values if call.reduction == "none" else values.sum() / denominator).float()


def _chunk(program: Program, scores: Tensor, y: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor]:
    """The values (n,) of rows with labels y (n, 1), and their gradient (n, K)."""
    log_p = log_softmax(scores)
    p, rest = log_p.exp(), one_minus_exp(log_p)
    sums = dict(_sums(program, log_p, p, rest))

    l, p_y, r = (values.gather(1, y) for values in (log_p, p, rest))
    stat = dict.fromkeys(STATISTICS, torch.ones_like(l))
    stat |= {"K": torch.full_like(l, log_p.shape[1]), "l": l, "p": p_y, "r": r}
    stat["chord"] = torch.where(p_y > 0, torch.where(r > 0, l / r, -1.0), 0.0)
    stat["top"] = (scores.argmax(1, keepdim=True) == y).double()
    for name, (term, psi) in sums.items():
        low = name.lower()
        stat |= {f"{low}_y": term.gather(1, y), f"{low}_slope": psi.gather(1, y)}
        stat[name] = term.scatter(1, y, 0.0).sum(1, keepdim=True)

    value, *slopes = program.evaluate([stat[name] for name in STATISTICS])
    assert value is not None
    if not with_gradient:
        return value[:, 0], p
    # The derivative by log p_k of everything but the label's own term; then d log p_k / d z_j = [j=k] - p_j.
    slope = dict(zip(RESULTS[1:], slopes, strict=True))
    inner = torch.zeros_like(p)
    for name, (_, psi) in sums.items():
        by = slope[name]
        if by is not None:
            inner += by * psi
    by_l = torch.zeros_like(l) if slope["l"] is None else slope["l"]
    inner.scatter_(1, y, 0.0)
    others = sum_of_others(inner) + by_l.expand_as(p).scatter(1, y, 0.0)
    return value[:, 0], inner.scatter(1, y, by_l) * rest - p * others


def _sums(program: Program, log_p: Tensor, p: Tensor, rest: Tensor) -> list[tuple[str, tuple[Tensor, Tensor]]]:
    """Of each sum that the program reads: the terms, and their derivatives by log p."""
    found = []
    finite, floor = log_p.clamp(min=-HUGE), program.log_floor
    if program.needs & NEEDS["S"]:
        found.append(("S", (finite, log_p.isfinite().to(p.dtype))))
    if program.needs & NEEDS["Q"]:
        found.append(("Q", (p.square(), 2 * p.square())))
    if program.needs & NEEDS["U"]:
        found.append(("U", ((log_p - floor).clamp(min=0), (log_p >= floor).to(p.dtype))))
    if program.needs & NEEDS["focal"]:
        w, above = rest**program.focus, log_p >= floor
        floored = log_p.clamp(min=floor)
        chord = torch.where(rest > 0, finite / rest, -1.0) if program.attached else torch.zeros_like(p)
        pull = program.focus * p * w * chord
        pull_floored = torch.where(above, pull, program.focus * p * w * floor) if program.attached else pull
        found.append(("D", ((w * finite), (w - pull) * log_p.isfinite())))
        found.append(("E", (w * floored - floor, w * above - pull_floored)))
    return found
