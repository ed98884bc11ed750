"""Transition matrices: which classes tolerate the noise; and how many samples may be wrong."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from test_theory import OfProbabilities, random_weights

from conftest import count
from noiseproof import theory
from noiseproof.errors import InputError


def test_tolerance_names_the_classes_that_fail():
    matrix = np.eye(4)
    matrix[1] = [0.5, 0.3, 0.2, 0.0]  # its clean label does not dominate
    matrix[2] = [0.0, 0.0, 0.6, 0.4]  # needs a >= 5
    answer = theory.tolerance("nce + amse(a=4)", matrix)
    assert [one.holds for one in answer.classes] == [True, False, False, True]
    assert [one.rival for one in answer.classes][1:3] == [0, 3]
    assert answer.classes[2].smallest_a == pytest.approx(5)
    assert math.isinf(answer.smallest_a)
    assert "towards e_3" in answer.classes[2].verdict.certificate
    assert not answer
    assert "2 of 4" in str(answer)
    assert theory.tolerance("nce + amse(a=5)", matrix[[0, 2, 3]][:, [0, 2, 3]])


def test_many_classes_are_answered_from_one_row():
    matrix = np.full((100, 100), 0.4 / 99)
    np.fill_diagonal(matrix, 0.6)
    answer = theory.tolerance("nce + amse(a=30)", matrix)
    assert answer
    assert len(answer.classes) == 100
    assert answer.classes[99].verdict.minimiser[99] == 1


@pytest.mark.parametrize("loss", ["amse(a=2)", "amse(a=4)", "nce + amse(a=4, q=3)", "nce"])
def test_each_class_is_answered_as_its_row_alone_is(loss):
    rows = [[0.6, 0.3, 0.1, 0.0], [0.1, 0.6, 0.0, 0.3], [0.1, 0.05, 0.5, 0.35], [0.3, 0.0, 0.1, 0.6]]
    answer = theory.tolerance(loss, torch.tensor(rows, dtype=torch.float64))
    for label, (row, one) in enumerate(zip(rows, answer.classes, strict=True)):
        alone, verdict = theory.is_asymmetric(loss, row), one.verdict
        assert (one.label, verdict.clean, one.rival) == (label, label, int(np.argsort(row)[-2]))
        assert bool(one) == one.holds == verdict.holds == alone.holds
        assert (verdict.unique, verdict.certificate, verdict.notes) == (alone.unique, alone.certificate, alone.notes)
        assert verdict.minimiser == pytest.approx(alone.minimiser, abs=1e-4)
        assert (verdict.margin, verdict.gap) == pytest.approx((alone.margin, alone.gap), abs=1e-4)
        assert one.smallest_a.q == (3 if "q=3" in loss else 2)
        assert one.smallest_a == pytest.approx(theory.smallest_a(row, one.smallest_a.q))
        assert one.margin == pytest.approx(sorted(row)[-1] - sorted(row)[-2])


class OneAndTheOthers:
    """A loss of a user's own that treats its classes differently: cross-entropy for label 0, MAE for the others."""

    def per_class(self, logits):
        log_p = logits.log_softmax(1)
        return torch.cat([-log_p[:, :1], 1 - log_p[:, 1:].exp()], 1)


def test_classes_that_a_loss_treats_differently_are_asked_one_by_one():
    matrix = [[0.6, 0.4, 0.0], [0.4, 0.6, 0.0], [0.0, 0.4, 0.6]]
    answer = theory.tolerance(OneAndTheOthers(), matrix)
    assert answer.loss == "OneAndTheOthers"
    assert [one.holds for one in answer.classes] == [True, False, True]  # label 0 never loses all probability
    for row, one in zip(matrix, answer.classes, strict=True):
        assert one.verdict == theory.is_asymmetric(OneAndTheOthers(), row)


@pytest.mark.parametrize(("by", "expected"), [(1e-14, True), (1e-8, False), (0.1, False)])
def test_classes_are_alike_if_their_order_changes_nothing(by, expected):
    loss = OfProbabilities(lambda p: (1 - p) * (1 + by * torch.arange(p.shape[1], dtype=p.dtype)))
    assert sys.modules["noiseproof.theory.tolerance"]._classes_are_alike(loss, 4) == expected


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([["a", "b"], ["c", "d"]], "numbers"),
        ([0.5, 0.5], "K, K"),
        ([[0.5, 0.5]], "K, K"),
        ([[1.0]], "K >= 2"),
        ([[1.1, -0.1], [0.0, 1.0]], "not negative"),
        ([[math.nan, 1.0], [0.0, 1.0]], "finite"),
        ([[0.9, 0.1], [0.2, 0.81]], "row 1 sums to 1.01$"),
        ([[0.9, 0.0998], [0.0, 1.0]], "row 0"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix, words):
    with pytest.raises(InputError, match=words):
        theory.tolerance("mae", matrix)


def test_rows_that_are_off_by_rounding_are_put_right():
    answer = theory.tolerance("mae", [[0.90005, 0.1], [0.3, 0.69995]])
    assert answer.classes[0].margin == pytest.approx(0.80005 / 1.00005)
    assert answer.margin == answer.classes[1].margin == pytest.approx(0.39995 / 0.99995)
    assert answer.smallest_a == pytest.approx(0.99995 / 0.39995)


def test_a_transposed_matrix_is_recognised():
    columns = np.array([[0.9, 0.4], [0.1, 0.6]])
    with pytest.raises(InputError, match="columns do"):
        theory.tolerance("mae", columns)


@pytest.mark.parametrize("q", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_the_excess_risk_bounds_the_share_of_wrong_samples(q):
    """Classifiers drawn at random, from nearly right to nearly wrong: the bound is never broken."""
    random = np.random.default_rng(11)
    for _ in range(count(30, 400)):
        classes = int(random.integers(2, 6))
        w = random_weights(random, classes)
        w /= w.sum()
        least = theory.smallest_a(w, q)
        if not least < 1e3:
            continue
        a = float(least * (1.01 + random.exponential(1.0)))
        m = int(w.argmax())
        u = random.dirichlet(np.full(classes, 0.5), size=200)
        right = random.random(200) < 0.8
        u[right] = 0.05 * u[right] + 0.95 * np.eye(classes)[m]
        at = lambda u, w=w, a=a: (w * (a - u) ** q + (1 - w) * u**q).sum(1) / len(w)  # noqa: E731
        excess = float((at(u) - at(np.eye(classes)[[m]])).mean())
        bound = theory.excess_risk_bound(max(excess, 0.0), w, a=a, q=q)
        assert (u.argmax(1) != m).mean() <= float(bound) + 1e-12


def test_the_bound_is_the_formula_and_takes_a_matrix():
    assert float(theory.excess_risk_bound(0.01, [0.8, 0.1, 0.1], a=5)) == pytest.approx(0.01 * 3 / (5 * 0.7 - 0.75))
    assert float(theory.excess_risk_bound(0.03, [2.4, 0.3, 0.3], a=5)) == pytest.approx(0.01 * 3 / (5 * 0.7 - 0.75))
    matrix = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.0, 0.1, 0.9]]
    assert float(theory.excess_risk_bound(0.01, matrix, a=5)) == pytest.approx(0.01 * 3 / (5 * 0.4 - 0.75))
    halved = theory.excess_risk_bound(0.01, matrix, a=5, beta=0.5)
    assert float(halved) == pytest.approx(2 * 0.01 * 3 / (5 * 0.4 - 0.75))
    with pytest.raises(InputError, match="violated"):
        theory.excess_risk_bound(0.01, [0.8, 0.1, 0.1], a=1.2)


@pytest.mark.parametrize(
    ("a", "q", "slope"),
    [
        (5, 2, 5 * 0.7 - 0.75),
        (5, 3, 1.5 * (0.8 * 16 - 0.1 * 25 - 0.2)),
        (4, 1.5, 0.75 * (0.8 * 3**0.5 - 0.1 * 2 - 0.2)),
        (5, 1, 0.7),
        (5, 0.5, 0.7 * (1 + 5**0.5 - 2) / 2),
    ],
)
def test_a_wrong_sample_adds_what_the_formula_of_its_q_says(a, q, slope):
    for weights in ([0.8, 0.1, 0.1], torch.tensor([[0.1, 0.8, 0.1], [0.05, 0.05, 0.9]], dtype=torch.float64)):
        found = theory.excess_risk_bound(0.01, weights, a=a, q=q, beta=3)
        assert found.slope == pytest.approx(slope)  # / K * beta
        assert float(found) == pytest.approx(min(1.0, 0.01 / slope))


def test_at_equality_nothing_is_bounded():
    assert theory.amse_condition([2.5, 1.0], a=3, q=3).margin == 0  # 2.5 * 4 = 9 + 1
    found = theory.excess_risk_bound(0.0, [2.5, 1.0], a=3, q=3)
    assert (float(found), found.slope) == (1.0, 0.0)
    assert not found
