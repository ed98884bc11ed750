"""Every loss against the formula itself, from equal scores to gaps of 20000.

First our float64 against the textbook (420 digits, difference quotients); then every other precision against
our float64, on the same rounded scores, up to a thousand classes.
"""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from conftest import count
from noiseproof import losses
from noiseproof.text import parse_sum
from support.textbook import value_and_gradient

TEXTS = [
    *("ce", "fl", "fl(gamma=2)", "fl(detach=true)", "mae", "mse", "rce", "sce", "sce(alpha=6, beta=0.1)"),
    *("gce", "gce(q=0.05)", "gce(q=1)", "nce", "nfl", "nfl(gamma=2)", "nfl(detach=true)"),
    *("agce", "agce(a=6, q=1.5)", "agce(a=1e-5, q=0.5)", "agce(a=0.6, q=0.6)", "agce(a=1000, q=2)"),
    *("aul", "aul(a=6, q=3)", "aul(a=6.3, q=1.5)", "aul(a=1.001, q=0.2)", "aul(a=1, q=0.5)", "aul(a=1, q=1.5)"),
    *("ael", "ael(a=0.2)", "amse", "amse(a=1)", "amse(a=4, q=3)", "amse(a=30, q=1.5)", "amse(a=2, q=0.7)"),
    *("amse(a=1, q=0.5)", "nnce", "nnce(p_min=1e-7)", "nnfl", "nnfl(detach=true)"),
    *("lc", "lc(delta=2.5)", "ece", "ece(m=100)", "efl", "efl(detach=true)"),
    *("ldr", "ldr(lam=10)", "ldr(c=2, lam=0.1)", "nce + amse", "5*nce + 5*nnce", "0.01*ece + 5*mae"),
]
# In float64 only: no kernel has a form of them, and the operators take K^2 numbers a row.
FORMULAS = [
    *("vce", "vce(a=0.01)", "taylor-ce", "taylor-ce(t=6)", "phuber", "phuber(tau=10)", "piecewise-zero"),
    *("bi-tempered", "bi-tempered(t1=0.3, t2=2)", "sym", "normalized", "logit-bias", "logit-bias(eps=-2)"),
]
MAGNITUDES = (0, 1e-3, 1.0, 5.0, 10.0, 20.0, 30.0, 88.0, 100.0, 709.0, 1e3, 1e4)


def test_every_registered_loss_meets_the_textbook():
    assert {call.name for text in TEXTS + FORMULAS for _, call in parse_sum(text)} == set(losses.LOSSES.names())


# Scores


def pattern(name: str, K: int, size: float) -> torch.Tensor:
    z = torch.zeros(K, dtype=torch.float64)
    if name == "first":
        z[0] = size
    elif name == "last":
        z[-1] = size
    elif name == "tie":
        z[0] = z[-1] = size
    elif name == "near tie":
        z += size
        z[0] += size * 1e-3
    elif name == "ramp":
        z = torch.linspace(-size, size, K, dtype=torch.float64)
    elif name == "plus minus":
        z = torch.where(torch.arange(K) % 2 == 0, size, -size).double()
    elif name == "random":
        z = size * torch.randn(K, generator=torch.Generator().manual_seed(K), dtype=torch.float64)
    return z


PATTERNS = ("equal", "first", "last", "tie", "near tie", "ramp", "plus minus", "random")


def is_smooth(loss: losses.Loss, z: torch.Tensor) -> bool:
    """Away from the jumps that LogitClip and the eps-softmax have by definition."""
    top = z.topk(2).values
    for _, term in loss.terms():
        if isinstance(term, losses.ECE | losses.EFL) and top[0] == top[1]:
            return False
        if isinstance(term, losses.LC) and abs(z.norm().item() * term.delta - 1) < 1e-6:
            return False
    return True


def cancels(loss: losses.Loss, z: torch.Tensor) -> bool:
    """Where the slopes of (nearly) tied classes cancel by definition, a rounding of them is left.

    LogitClip and LDR have such directions at all scores; NNFL has them below p_min, and is 0 - 4e-9 there. The
    bi-tempered loss and the symmetrisation are differences of larger sums.
    """
    top = z.topk(2).values
    everywhere = losses.LC | losses.LDR | losses.NNFL | losses.BiTempered | losses.Symmetrised
    return bool(top[0] - top[1] <= 1) or any(isinstance(term, everywhere) for _, term in loss.terms())


# float64 and the textbook


@pytest.mark.parametrize("text", TEXTS + FORMULAS)
def test_float64_is_the_textbook(text):
    loss = losses.parse(text)
    terms = [(factor, call.name, dict(call.named)) for factor, call in parse_sum(text)]
    cases = list(itertools.product((2, 3, 10), PATTERNS, MAGNITUDES, (0.0, 0.5, 1.0)))
    done = 0
    for K, kind, size, place in random.Random(text).sample(cases, count(8, 60)):
        z, y = pattern(kind, K, size), round(place * (K - 1))
        if not is_smooth(loss, z) or ("a=1, q=" in text and z.max() - z.min() > 700):
            continue  # (1 - p)^0.5 is more than the textbook's 420 digits hold
        done += 1
        value, gradient = value_and_gradient(terms, z.tolist(), y)
        expected = torch.tensor([float(slope) for slope in gradient], dtype=torch.float64)
        leaf = z.clone().requires_grad_()
        found = loss(leaf, torch.tensor(y))
        (slope,) = torch.autograd.grad(found, leaf)
        where = (K, kind, size, y)
        differences = losses.LDR | losses.NNFL | losses.BiTempered | losses.Symmetrised
        crosses_zero = any(isinstance(term, differences) for _, term in loss.terms())
        assert found.item() == pytest.approx(float(value), rel=2e-13, abs=1e-300 + crosses_zero * 1e-13), where
        error = (slope - expected).abs().max()
        allowed = 1e-12 * expected.abs().max() + 1e-300
        if cancels(loss, z):
            allowed += 1e-14 * max(1.0, abs(found.item()))
        assert error <= allowed, (where, slope, expected)
    assert done > 0


# Every precision and float64

DTYPES = {torch.float32: 1e-5, torch.bfloat16: 4e-3, torch.float16: 1e-3}
# float32 resolves -log p_min to 1e-6, for each of 999 others; LDR subtracts numbers of size lam log K.
LOOSE = {"ldr": 1e-5, "nnfl": 2e-6, "nnce": 1e-6}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("K", [2, 3, 10, 14, 50, 100, 1000])
def test_every_precision_is_float64_of_the_rounded_scores(text, K):
    loss = losses.parse(text)
    loss.reduction = "none"
    for dtype, limit in DTYPES.items():
        rows = [
            (kind, pattern(kind, K, size).to(dtype), y)
            for kind, size, y in itertools.product(PATTERNS, MAGNITUDES, (0, K // 2, K - 1))
        ]
        rows = [row for row in rows if is_smooth(loss, row[1].double())]
        scores, labels = torch.stack([z for _, z, _ in rows]), torch.tensor([y for _, _, y in rows])
        leaf, exact = scores.clone().requires_grad_(), scores.double().requires_grad_()
        found, truth = loss(leaf, labels), loss(exact, labels)
        (slope,) = torch.autograd.grad(found.sum(), leaf)
        (expected,) = torch.autograd.grad(truth.sum(), exact)

        assert found.dtype == torch.float32
        assert slope.dtype == dtype
        assert found.isfinite().all()
        assert slope.isfinite().all()
        loose = max((LOOSE.get(term.name, 0) for _, term in loss.terms()), default=0)
        # A value of e^-70 has an exponent of 70, known to 70 roundings.
        roundings = 8 + truth.abs().clamp(min=1e-38).log().abs()
        # A p below the normal numbers of float32 may count as 0.
        largest = expected.abs().amax(1)
        smallest = 1000 * K * torch.finfo(torch.float32).tiny * max(1.0, largest.max().item())
        within(rows, (found.double() - truth).abs(), 6e-8 * roundings * truth.abs() + loose + smallest)

        tied = torch.tensor([cancels(loss, z.double()) for _, z, _ in rows])
        spacing = 6e-8 if dtype == torch.float16 else 0.0  # of its smallest numbers
        allowed = limit * largest + tied * 5e-6 * largest.max() + smallest + spacing
        within(rows, (slope.double() - expected).abs().amax(1), allowed)
        if dtype != torch.float16:
            seen = (slope != 0).any(1) | (largest < smallest) | tied
            within(rows, (~seen).double(), torch.zeros(len(rows)))


def within(rows: list, error: torch.Tensor, allowed: torch.Tensor) -> None:
    for row in (error > allowed).nonzero()[:1, 0].tolist():
        kind, z, y = rows[row]
        raise AssertionError(
            f"{kind} {z.dtype} size {z.abs().max():g} label {y}: {error[row]:.3g} > {allowed[row]:.3g}"
        )
