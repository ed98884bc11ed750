"""The formulas that the losses' pages show, as sympy expressions: a test holds each against the code.

`p[j]` is the softmax of the scores `z[j]`, k the label, K the number of classes, `top` the class that the model
predicts; the other letters are the loss's parameters. A loss without a formula here shows its docstring alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sympy import Abs, Expr, IndexedBase, KroneckerDelta, Max, Piecewise, Sum, Symbol, exp, latex, log, sqrt, symbols

K, k, j = symbols("K k j", integer=True, positive=True)
a, q, c, m, alpha, beta, gamma, delta = symbols("a q c m alpha beta gamma delta", positive=True)
lam, p_min = symbols("lam p_min", positive=True)
log_zero = Symbol("log_zero", negative=True)
top = Symbol(r"\hat\jmath", integer=True, positive=True)
A, norm = Symbol("A"), Symbol(r"\|z\|")
z, p, s, t, u, F = map(IndexedBase, ("z", "p", "s", "t", "u", "F"))
label = KroneckerDelta(j, k)  # 1 where j is the label


class Formula(NamedTuple):
    """The loss of label k, and what its letters stand for, in the order in which they can be computed."""

    loss: Expr
    where: Mapping[Expr, Expr] = {}


def over_classes(term: Expr) -> Expr:
    return Sum(term, (j, 1, K))


def focal(of: IndexedBase, index: Symbol) -> Expr:
    return -((1 - of[index]) ** gamma) * log(of[index])


above = log(Max(p[j], p_min))
share_of_the_others = (over_classes(u[j]) - u[k]) / over_classes(u[j])
eps_softmax = {t[j]: (p[j] + m * KroneckerDelta(j, top)) / (m + 1)}
clipped = Piecewise((delta * z[j] / norm, norm > 1 / delta), (z[j], True))

FORMULAS = {
    "ce": Formula(-log(p[k])),
    "fl": Formula(focal(p, k)),
    "mae": Formula(over_classes(Abs(label - p[j]))),
    "mse": Formula(over_classes((label - p[j]) ** 2) / K),
    "rce": Formula(-log_zero * (1 - p[k])),
    "sce": Formula(-alpha * log(p[k]) + beta * A * (1 - p[k]), {A: 4 * log(10)}),
    "gce": Formula((1 - p[k] ** q) / q),
    "nce": Formula(log(p[k]) / over_classes(log(p[j]))),
    "nfl": Formula(F[k] / over_classes(F[j]), {F[j]: focal(p, j)}),
    "agce": Formula(((a + 1) ** q - (a + p[k]) ** q) / q),
    "aul": Formula(((a - p[k]) ** q - (a - 1) ** q) / q),
    "ael": Formula(exp(-p[k] / a)),
    "amse": Formula(over_classes(Abs(a * label - p[j]) ** q) / K),
    "nnce": Formula(share_of_the_others, {A: -log(p_min), u[j]: A + above}),
    "nnfl": Formula(
        share_of_the_others,
        {A: -((1 - p_min) ** gamma) * log(p_min), u[j]: A + (1 - p[j]) ** gamma * above},
    ),
    "lc": Formula(-log(exp(u[k]) / over_classes(exp(u[j]))), {norm: sqrt(over_classes(z[j] ** 2)), u[j]: clipped}),
    "ece": Formula(-log(t[k]), eps_softmax),
    "efl": Formula(focal(t, k), eps_softmax),
    "ldr": Formula(
        lam * log(over_classes(exp((c * (1 - label) + s[j] - s[k]) / lam)) / K),
        {s[j]: K * log(1 + exp(z[j])) / Sum(log(1 + exp(z[Symbol("i")])), (Symbol("i"), 1, K))},
    ),
}


def shown(formula: Formula) -> str:
    """The formula in LaTeX, a line for each letter that it defines."""
    names = {lam: r"\lambda", log_zero: r"\mathtt{log\_zero}", p_min: r"p_{\min}"}
    defined = {Symbol("L_k"): formula.loss, **formula.where}
    lines = [rf"{latex(letter)} &= {latex(value, symbol_names=names)}" for letter, value in defined.items()]
    return r"\begin{split} " + r" \\ ".join(lines) + r" \end{split}"
