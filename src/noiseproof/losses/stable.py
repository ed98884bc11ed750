r"""Softmax and 1 - p where one class is almost certain: no digit is lost, in value or slope, to a rounding p = 1.

In float32 p is 1 from a score gap of 17 on. What torch computes from that p is 0, and so is its gradient, long
before the truth is: the cross-entropy of scores (20, 0) is 2.06e-9. Here the largest class is always left out of a
sum and 1 - p is built from the other classes. A class whose score is $-\infty$ is masked: it has p = 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noiseproof.losses.types import Logits, LogProbs

__all__ = [
    "HUGE",
    "LOG_ZERO",
    "is_largest",
    "largest",
    "log_complement",
    "log_softmax",
    "one_minus_exp",
    "share",
    "sum_of_others",
]

HUGE = 1e30  # stands for infinity where infinities would be divided by each other; K of them fit float32
LOG_ZERO = math.log(1e-4)  # what the published code of reverse cross-entropy takes for log 0


def largest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each row, (N, 1), and a mask that is true where the (first) largest is, (N, K)."""
    top, index = values.max(1, keepdim=True)
    # no torch.arange: a tensor made here would not be of the kind (fake, batched) of the values
    return top, torch.zeros_like(values, dtype=torch.bool).scatter(1, index, 1)


def is_largest(values: Tensor) -> Tensor:
    """True at the (first) largest entry of each row."""
    return largest(values)[1]


def log_softmax(logits: Logits) -> LogProbs:
    """Log-probabilities of the classes, of full relative precision also where p is almost 1.

    Every score is taken relative to the largest one, z_m, whose own class is left out of the sum:
    log p_k = (z_k - z_m) - log1p(sum over the others of exp(z_j - z_m)). A row with a score of +infinity is NaN.

    Example:
        >>> scores = torch.tensor([[20.0, 0.0]])
        >>> [f"{log_p:.3g}" for log_p in log_softmax(scores)[0].tolist()]
        ['-2.06e-09', '-20']
        >>> scores.log_softmax(1).tolist()                            # torch's
        [[0.0, -20.0]]
    """
    top, is_top = largest(logits)
    behind = logits - top
    behind = torch.where(is_top, behind.detach(), behind)  # 0 without a slope: those of the others add up to z_m's
    others = behind.exp().masked_fill(is_top, 0.0).sum(1, keepdim=True)
    one = 1 + (top - top).detach()  # NaN, and so is every slope, where the largest is infinite: as in torch
    return (behind - others.log1p()) * one


def one_minus_exp(x: Tensor) -> Tensor:
    """1 - e^x for x <= 0: with x = log p this is 1 - p.

    Example:
        >>> one_minus_exp(torch.tensor([-1e-9, -math.log(4)])).tolist()
        [9.999999717180685e-10, 0.75]
    """
    # torch's slope of expm1 is (expm1(x) + 1), which rounds to 0 where e^x is small
    return torch.where(x > -math.log(2), -x.expm1(), 1 - x.exp())


def log_complement(log_p: LogProbs) -> Tensor:
    """log(1 - p_k), exact far beyond the point where 1 - p_k itself is too small for a float.

    Example:
        >>> log_complement(torch.tensor([[0.0, -1000.0]])).tolist()   # 1 - p_0 = p_1 = e^-1000
        [[-1000.0, -0.0]]
    """
    is_top = is_largest(log_p)
    others = log_p.clamp(min=-HUGE).masked_fill(is_top, -2 * HUGE)
    return torch.where(is_top, others.logsumexp(1, keepdim=True), (-others.exp()).log1p())


def sum_of_others(values: Tensor) -> Tensor:
    """For each k the sum over j != k, exact also where entry k is almost the whole sum.

    Example:
        >>> sum_of_others(torch.tensor([[2.0**40, 1.0, 2.0]])).tolist()[0][0]
        3.0
    """
    top, is_top = largest(values)
    rest = values.masked_fill(is_top, 0.0).sum(1, keepdim=True)
    return rest + (top - values).masked_fill(is_top, 0.0)  # 0 anyway; no slopes that cancel only up to rounding


def share(part: Tensor, rest: Tensor) -> Tensor:
    """part / (part + rest) for numbers from 0 on, with a slope that is exact also where the share is almost 1.

    Example:
        >>> part = torch.tensor(1e10, requires_grad=True)
        >>> share(part, torch.tensor(1.0)).backward()
        >>> f"{part.grad:.3g}"                                        # rest / (part + rest)^2
        '1e-20'
    """
    mostly = part > rest
    ratio = torch.where(mostly, rest, part) / torch.where(mostly, part, rest)
    return torch.where(mostly, 1 / (1 + ratio), ratio / (1 + ratio))
