"""Every loss as its paper writes it, on plain probabilities, with as many digits as it takes.

Nothing here is clever: 420 digits make 1 - p exact down to 1e-308 and let a difference quotient be a derivative.
Independent of the package on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpmath import exp, fsum, log, mp, mpf, sqrt

mp.dps = 420
STEP = mpf(10) ** -45

Vector = list[mpf]


def softmax(z: Vector) -> Vector:
    top = max(z)
    e = [exp(v - top) for v in z]
    total = fsum(e)
    return [v / total for v in e]


def focal(p: Vector, gamma: float, held: Vector) -> Vector:
    return [-((1 - h) ** mpf(gamma)) * log(v) for v, h in zip(p, held, strict=True)]


def one_hot(y: int, K: int) -> Vector:
    return [mpf(k == y) for k in range(K)]


# Each takes the scores z, the label y, and `held`: the probabilities that a detached factor is computed from.
# With the true derivative `held` moves along with z.


def ce(z, y, held):
    return -log(softmax(z)[y])


def fl(z, y, held, gamma=0.5):
    return focal(softmax(z), gamma, held)[y]


def mae(z, y, held):
    p = softmax(z)
    return fsum(abs(e - v) for e, v in zip(one_hot(y, len(z)), p, strict=True))


def mse(z, y, held):
    p = softmax(z)
    return fsum((e - v) ** 2 for e, v in zip(one_hot(y, len(z)), p, strict=True)) / len(z)


def rce(z, y, held, log_zero=-9.210340371976182):
    p = softmax(z)
    return -fsum(v * (0 if k == y else mpf(log_zero)) for k, v in enumerate(p))


def sce(z, y, held, alpha=0.1, beta=1.0):
    return mpf(alpha) * ce(z, y, held) + mpf(beta) * rce(z, y, held)


def gce(z, y, held, q=0.7):
    return (1 - softmax(z)[y] ** mpf(q)) / mpf(q)


def nce(z, y, held):
    p = softmax(z)
    return log(p[y]) / fsum(log(v) for v in p)


def nfl(z, y, held, gamma=0.5):
    losses = focal(softmax(z), gamma, held)
    return losses[y] / fsum(losses)


def agce(z, y, held, a=1.0, q=2.0):
    a, q = mpf(a), mpf(q)
    return ((a + 1) ** q - (a + softmax(z)[y]) ** q) / q


def aul(z, y, held, a=1.5, q=0.9):
    a, q = mpf(a), mpf(q)
    return ((a - softmax(z)[y]) ** q - (a - 1) ** q) / q


def ael(z, y, held, a=3.0):
    return exp(-softmax(z)[y] / mpf(a))


def amse(z, y, held, a=30.0, q=2.0):
    p = softmax(z)
    return fsum(abs(mpf(a) * e - v) ** mpf(q) for e, v in zip(one_hot(y, len(z)), p, strict=True)) / len(z)


def nnce(z, y, held, p_min=1e-8):
    A = -log(mpf(p_min))
    u = [A + log(max(v, mpf(p_min))) for v in softmax(z)]
    return 1 - u[y] / fsum(u)


def nnfl(z, y, held, gamma=0.5, p_min=1e-8):
    m, gamma = mpf(p_min), mpf(gamma)
    A = -((1 - m) ** gamma) * log(m)
    F = [-((1 - h) ** gamma) * log(max(v, m)) for v, h in zip(softmax(z), held, strict=True)]
    return 1 - (A - F[y]) / (len(z) * A - fsum(F))


def lc(z, y, held, delta=1.0):
    delta = mpf(delta)
    norm = sqrt(fsum(v * v for v in z))
    return ce([delta * v / norm for v in z] if norm > 1 / delta else z, y, held)


def eps_softmax(p, m):
    top = p.index(max(p))
    return [(v + (mpf(m) if k == top else 0)) / (mpf(m) + 1) for k, v in enumerate(p)]


def ece(z, y, held, m=1e5):
    return -log(eps_softmax(softmax(z), m)[y])


def efl(z, y, held, m=1e5, gamma=0.1):
    return focal(eps_softmax(softmax(z), m), gamma, eps_softmax(held, m))[y]


def ldr(z, y, held, c=0.1, lam=1.0):
    c, lam = mpf(c), mpf(lam)
    s = [log(1 + exp(v)) for v in z]
    mean = fsum(s) / len(s)
    s = [v / mean for v in s]
    D = [(c if k != y else 0) + v - s[y] for k, v in enumerate(s)]
    return lam * log(fsum(exp(v / lam) for v in D) / len(z))


def vce(z, y, held, a=4.0):
    return -log(softmax(z)[y] + mpf(a))


def taylor_ce(z, y, held, t=2):
    p = softmax(z)[y]
    return fsum((1 - p) ** i / mpf(i) for i in range(1, t + 1))


def phuber(z, y, held, tau=2.0):
    p, tau = softmax(z)[y], mpf(tau)
    return -log(p) if p > 1 / tau else -tau * p + log(tau) + 1


def piecewise_zero(z, y, held, c=0.05):
    p = softmax(z)[y]
    return -log(p) if p >= mpf(c) else mpf(0)


def tempered_softmax(z, t):
    """exp_t(z - c) with the c that makes it sum to one, found by Newton from below, where the sum is convex."""
    t = mpf(t)
    if t == 1:
        return softmax(z)

    def at(c):
        return [(1 + (t - 1) * (c - v)) ** (-1 / (t - 1)) for v in z]

    c = max(z)  # the sum is at least 1
    for _ in range(200):
        q = at(c)
        step = (fsum(q) - 1) / fsum(v**t for v in q)
        c += step
        if abs(step) < mpf(10) ** -300:
            break
    return at(c)


def bi_tempered(z, y, held, t1=0.8, t2=1.2):
    q, t1 = tempered_softmax(z, t2), mpf(t1)
    log_t = log(q[y]) if t1 == 1 else (q[y] ** (1 - t1) - 1) / (1 - t1)
    return -log_t - (1 - fsum(v ** (2 - t1) for v in q)) / (2 - t1)


# Operators, on the loss they have by default.


def sym(z, y, held):
    each = [ce(z, k, held) for k in range(len(z))]
    return each[y] - fsum(each) / len(z)


def normalized(z, y, held):
    each = [gce(z, k, held) for k in range(len(z))]
    return each[y] / fsum(each)


def logit_bias(z, y, held, eps=1.0):
    return mae([v + (mpf(eps) if k == y else 0) for k, v in enumerate(z)], y, held)


def value_and_gradient(
    terms: Sequence[tuple[float, str, dict[str, float]]], z: Sequence[float], y: int, *, label_only: bool = False
) -> tuple[mpf, Vector]:
    """Of a sum of losses: its value at z and its derivative in every score."""
    point = [mpf(v) for v in z]
    probabilities = softmax(point)

    def total(at: Vector) -> mpf:
        parts = []
        for factor, name, parameters in terms:
            rest = {key: value for key, value in parameters.items() if key != "detach"}
            held = probabilities if parameters.get("detach") else softmax(at)
            formula: Callable[..., mpf] = globals()[name.replace("-", "_")]
            parts.append(mpf(factor) * formula(at, y, held, **rest))
        return fsum(parts)

    here = total(point)
    if label_only:
        return here, []
    gradient = []
    for j in range(len(point)):
        forward = [v + (STEP if k == j else 0) for k, v in enumerate(point)]
        gradient.append((total(forward) - here) / STEP)
    return here, gradient
