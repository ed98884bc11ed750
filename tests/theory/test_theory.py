"""The AMSE theorem against brute force, its closed forms, and what its answers are like."""

from __future__ import annotations

import copy
import math
import pickle

import mpmath
import numpy as np
import pytest
import torch

from conftest import count
from noiseproof import losses, theory
from noiseproof.errors import InputError


def symmetric(classes: int, rate: float) -> list[float]:
    return [1 - rate] + (classes - 1) * [rate / (classes - 1)]


def one_target(rate: float, classes: int = 10) -> list[float]:
    return [1 - rate, rate] + (classes - 2) * [0.0]


def random_weights(random: np.random.Generator, classes: int) -> np.ndarray:
    """Weights whose largest is anything from just ahead to far ahead of the others."""
    w = random.dirichlet(np.full(classes, random.choice([0.2, 1.0, 5.0])))
    w[w.argmax()] += random.choice([0.0, 0.05, 0.3, 2.0]) * random.random()
    return np.roll(w, random.integers(classes))


class OfProbabilities:
    """A loss of a user's own, given by its values over the probabilities."""

    def __init__(self, values):
        self.values = values

    def per_class(self, logits):
        return self.values(logits.softmax(1))


# The AMSE theorem


def moved_off_the_vertex(w: np.ndarray, a: np.ndarray, q: float) -> np.ndarray:
    """1 - u_m of the minimisers of the weighted AMSE over the simplex, q > 1, found through Lagrange multipliers.

    The derivative of each coordinate, (W - w_k) u^(q-1) - w_k (a - u)^(q-1), rises in u. A multiplier therefore gives
    every u_k, and 1 - u_m, by bisection in their logarithms (to 1e-300), and sum u_k = 1 gives the multiplier.
    """
    p, rows = q - 1, np.arange(len(w))
    order = np.argsort(-w, axis=1)
    w = w[rows[:, None], order]  # the clean class first
    others, a = w.sum(1, keepdims=True) - w, a[:, None]

    def solve(derivative, level):  # the last place where the derivative is below the level, 0 if nowhere
        low = np.full(np.broadcast_shapes(derivative(0.5).shape, level.shape), -690.0)
        high = np.zeros_like(low)
        for _ in range(60):
            middle = (low + high) / 2
            below = derivative(np.exp(middle)) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(low > -690.0, np.exp(low), 0.0)

    def moved(level):
        taken = solve(lambda u: others[:, 1:] * u**p - w[:, 1:] * (a - u) ** p, level)
        left = solve(lambda v: w[:, :1] * (a - 1 + v) ** p - others[:, :1] * (1 - v) ** p, -level)
        return taken.sum(1, keepdims=True), left

    low, high = (-w * a**p).min(1, keepdims=True), others.max(1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        taken, left = moved(middle)
        low, high = np.where(taken > left, low, middle), np.where(taken > left, middle, high)
    return moved(low)[0][:, 0]


@pytest.mark.parametrize("q", [1.3, 1.5, 2.0, 2.5, 3.0, 4.0])
def test_above_q_1_the_theorem_agrees_with_the_true_minimiser(q):
    random = np.random.default_rng(7)
    w = np.stack([random_weights(random, 5) for _ in range(count(200, 2000))])
    a = 1 + random.exponential(1.0, len(w)) * random.choice([0.5, 5.0, 30.0], len(w))
    answers = [theory.amse_condition(*one, q) for one in zip(w, a, strict=True)]
    moved = moved_off_the_vertex(w, a, q)
    seen = {True: 0, False: 0}
    for one, its_a, answer, its_move in zip(w, a, answers, moved, strict=True):
        if abs(answer.margin) < 1e-6 * one.sum() * its_a ** (q - 1):
            continue  # too close to call in floating point
        assert bool(answer) == (its_move < 1e-200), (one, its_a, q, answer, its_move)
        seen[bool(answer)] += 1
    assert min(seen.values()) > 20


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_up_to_q_1_the_heaviest_class_always_wins(q):
    random = np.random.default_rng(8)
    for _ in range(count(100, 1500)):
        classes = int(random.integers(2, 7))
        w, a = random_weights(random, classes), float(1 + random.exponential(3.0))
        u = np.concatenate([np.eye(classes), random.dirichlet(np.full(classes, 0.3), size=200)])
        risk = (w * (a - u) ** q + (w.sum() - w) * u**q).sum(1)
        m = w.argmax()
        assert theory.amse_condition(w, a, q)
        assert (risk[m] <= risk + 1e-12 * risk[m]).all()


@pytest.mark.parametrize("q", [1.001, 1.05, 1.5, 2.0, 3.0])
def test_the_slope_found_numerically_is_the_margin_of_the_theorem(q):
    """dF along the worst edge is q/K times the division-free margin, and the sign of a margin of 1e-6 is seen."""
    random = np.random.default_rng(9)
    for _ in range(count(2, 30)):
        w = random_weights(random, 5)
        exact = theory.smallest_a(w, q)
        for a in (3.0, 40.0, *(exact * near for near in (0.99999, 1.00001) if 1.1 < exact < 1e6)):
            condition = theory.amse_condition(w, a, q)
            found = theory.is_asymmetric(losses.AMSE(a=a, q=q), w)
            size = q / 5 * w.max() * (a - 1) ** (q - 1)
            assert found.margin == pytest.approx(q / 5 * condition.margin, abs=5e-8 * size)
            if abs(condition.margin) > 1e-7 * size:
                assert bool(found) == bool(condition), (w, a, q, found)


def test_a_violation_that_moves_the_minimiser_by_next_to_nothing_is_seen():
    """q = 1.05 just below its a: the minimiser leaves the vertex by far less than any grid or descent resolves."""
    w = symmetric(10, 0.4)
    a = 0.999 * theory.smallest_a(w, q=1.05)
    found = theory.is_asymmetric(losses.AMSE(a=a, q=1.05), w)
    assert not found
    assert found.margin < 0
    assert sum(found.minimiser[1:]) < 1e-20


@pytest.mark.parametrize(
    ("weights", "q", "a"),
    [
        *[(symmetric(10, r), 2, a) for r, a in zip((0.2, 0.4, 0.6, 0.8), (1.286, 1.8, 3, 9), strict=True)],
        *[(symmetric(100, r), 2, a) for r, a in zip((0.2, 0.4, 0.6, 0.8), (1.253, 1.678, 2.538, 5.211), strict=True)],
        (symmetric(14, 0.8), 2, 7.222),
        (symmetric(50, 0.8), 2, 5.444),
        *[(one_target(r), 2, a) for r, a in zip((0.1, 0.2, 0.3, 0.4), (1.25, 1.667, 2.5, 5), strict=True)],
        (symmetric(10, 0.8), 1.5, 53.6),
        (symmetric(10, 0.8), 3, 4.74),
        (symmetric(10, 0.8), 4, 4.66),
        (one_target(0.4), 1.5, 6.76),
        (one_target(0.4), 3, 5.83),
        (one_target(0.4), 4, 7.95),
        (symmetric(10, 0.8), 1, 1),
        (symmetric(10, 0.8), 0.5, 1),
    ],
)
def test_the_smallest_a_of_the_papers_settings(weights, q, a):
    found = theory.smallest_a(weights, q=q)
    assert float(found) == pytest.approx(a, rel=2e-3)
    assert theory.amse_condition(weights, a=found, q=q)
    if q > 1:
        assert not theory.amse_condition(weights, a=float(found) * (1 - 1e-6), q=q)


def test_the_smallest_a_agrees_with_fifty_digits():
    mpmath.mp.dps = 50
    for q in (1.01, 1.1, 1.5, 2.5, 3.7):
        w = [mpmath.mpf(1) / 5] + [mpmath.mpf(4) / 45] * 9
        found = theory.smallest_a([float(x) for x in w], q=q)

        def excess(log_a, q=q, w=w):
            a = mpmath.exp(log_a)
            return w[0] * (a - 1) ** (q - 1) - w[1] * a ** (q - 1) - sum(w[1:])

        root = mpmath.exp(mpmath.findroot(excess, mpmath.log(mpmath.mpf(float(found)) * mpmath.mpf("1.001"))))
        assert float(found) == pytest.approx(float(root), rel=1e-9 / (q - 1))


def test_symmetric_noise_has_a_closed_form():
    for classes in (3, 10, 100):
        for rate in (0.1, 0.5, 0.6):
            found = theory.smallest_a(symmetric(classes, rate))
            assert float(found) == pytest.approx(1 / (1 - rate * classes / (classes - 1)))


def test_no_a_helps_where_no_class_dominates():
    assert math.isinf(theory.smallest_a([0.4, 0.4, 0.2]))
    for q in (0.5, 1, 2, 3):
        assert not theory.amse_condition([0.4, 0.4, 0.2], a=1e6, q=q)
    assert math.isinf(theory.smallest_a([0.4, 0.399999, 0.200001], q=1.0001))  # the root is beyond 1e308
    assert not theory.amse_condition([0.4, 0.4, 0.2], a=1e14)  # where a and a - 1 differ by rounding


def test_near_q_1_the_smallest_a_grows_beyond_floating_point():
    """(W - w_m) / (w_m - w_n) = 2, so log a is about log 2 / (q - 1)."""
    w = [0.6, 0.4, 0.0]
    assert math.log(theory.smallest_a(w, q=1 + math.log(2) / 690)) == pytest.approx(690, rel=1e-9)
    assert math.isinf(theory.smallest_a(w, q=1 + math.log(2) / 720))
    assert math.isinf(theory.smallest_a(w, q=1 + math.log(2) / 1000))


def test_a_margin_beyond_floating_point_is_refused():
    with pytest.raises(InputError, match="beyond floating point"):
        theory.amse_condition([0.6, 0.4], a=1e200, q=3)


def test_clean_data_needs_nothing():
    for q in (0.5, 1, 1.5, 2, 3):
        assert theory.smallest_a([1.0, 0.0, 0.0], q=q) == 1
    assert theory.amse_condition([1.0, 0.0, 0.0], a=1)


def test_weights_may_have_any_scale_and_type():
    w = np.array(symmetric(10, 0.8))
    for same in (w, w * 7, list(w), torch.tensor(w)):
        assert float(theory.smallest_a(same)) == pytest.approx(9)
        assert theory.amse_condition(same, a=9.0001)


def test_answers_are_plain_values_that_print_unpack_and_pickle():
    holds, margin = theory.amse_condition([0.8, 0.1, 0.1], a=5)
    assert holds is True
    assert margin == pytest.approx(0.8 * 4 - 0.1 * 5 - 0.2)
    found = theory.smallest_a([0.8, 0.1, 0.1])
    for copied in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert copied == found
        assert str(copied) == str(found) == "a >= 1.42857 (q = 2, w_m - w_n = 0.7)"
    bound = theory.excess_risk_bound(0.01, [0.8, 0.1, 0.1], a=5)
    for copied in (pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound)):
        assert copied == bound
        assert str(copied) == "at most 1.091 % wrong (risk rises by 0.9167 for each wrong sample)"


def test_every_answer_is_true_as_its_verdict():
    assert theory.smallest_a([0.8, 0.1, 0.1])
    assert not theory.smallest_a([0.4, 0.4, 0.2])  # inf: no a does it
    assert theory.excess_risk_bound(0.0, [0.8, 0.1, 0.1], a=5)  # nothing is wrong: the best there is
    assert not theory.excess_risk_bound(100.0, [0.8, 0.1, 0.1], a=5)  # "at most all" says nothing
    assert float(theory.excess_risk_bound(100.0, [0.8, 0.1, 0.1], a=5)) == 1.0
    assert theory.is_symmetric("mae")
    assert not theory.is_asymmetric("ce", [0.6, 0.4])
    assert not theory.tolerance("ce", [[0.6, 0.4], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0.5], "at least 2 classes"),
        ([[0.5, 0.5]], "vector"),
        ([0.5, -0.1], "not negative"),
        ([0.5, math.nan], "finite"),
        ([0.0, 0.0], "not all zero"),
        (["a", "b"], "numbers"),
    ],
)
def test_bad_weights_are_refused_with_a_reason(weights, words):
    for question in (theory.smallest_a, lambda w: theory.amse_condition(w, 2), lambda w: theory.is_asymmetric("ce", w)):
        with pytest.raises(InputError, match=words):
            question(weights)


def test_bad_parameters_are_refused():
    with pytest.raises(InputError, match=r"^a must lie"):
        theory.amse_condition([0.6, 0.4], a=0.5)
    with pytest.raises(InputError, match=r"^q must lie"):
        theory.smallest_a([0.6, 0.4], q=0)
    for classes in (1, 10**6 + 1, True, 2.0, "3"):
        with pytest.raises(InputError, match=r"^num_classes"):
            theory.is_symmetric("ce", classes)
    assert [theory.kinds.checked_classes(good) for good in (2, np.int64(5), 10**6)] == [2, 5, 10**6]
    for bad in ({"excess": -0.1}, {"beta": 0.0}, {"q": 0.0}, {"a": 0.9}):
        with pytest.raises(InputError, match=f"^{next(iter(bad))} must"):
            theory.excess_risk_bound(**{"excess": 0.1, "weights": [0.8, 0.2], "a": 5.0, **bad})
