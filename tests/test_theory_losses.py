"""The theory of any loss: kinds, ratios, what can and cannot be claimed for sums, tolerance of a matrix, the bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from conftest import count
from noiseproof import losses, theory
from noiseproof.errors import InputError
from noiseproof.losses import LOSSES
from test_theory import random_weights, symmetric

# Kinds of losses


@pytest.mark.parametrize("entry", list(LOSSES), ids=lambda entry: entry.name)
def test_symmetry_and_activity_are_what_each_loss_claims(entry):
    loss = entry.cls()
    for classes in (3, 10):
        assert bool(theory.is_symmetric(loss, classes)) == entry.claims["symmetric"]
    assert bool(theory.is_active(loss)) == entry.claims["active"]
    assert bool(theory.is_passive(loss)) != entry.claims["active"]


@pytest.mark.parametrize("entry", [e for e in LOSSES if e.claims.get("asymmetric")], ids=lambda entry: entry.name)
def test_losses_are_completely_or_never_asymmetric_as_they_claim(entry):
    random = np.random.default_rng(3)
    for _ in range(count(4, 40)):
        w = random_weights(random, 4)
        if theory.amse.two_largest(w)[1] < 1.001 * theory.amse.two_largest(w)[2]:
            continue
        found = bool(theory.is_asymmetric(entry.cls(), w))
        if entry.claims["asymmetric"] != "strictly":
            assert found == (entry.claims["asymmetric"] == "completely"), w


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("mae", 1),
        ("rce", 1),
        ("ce", 0),
        ("fl(gamma=0.5)", 0),
        ("gce(q=0.7)", 0),
        ("gce(q=0.99)", 0),
        ("gce(q=1)", 1),
        ("agce(a=0.6, q=0.6)", (0.6 / 1.6) ** 0.4),
        ("agce(a=4, q=0.2)", (4 / 5) ** 0.8),
        ("agce(a=6, q=1.5)", 1),
        ("agce(a=1, q=2)", 1),
        ("aul(a=5.5, q=3)", (4.5 / 5.5) ** 2),
        ("aul(a=1.5, q=0.9)", 1),
        ("aul(a=6.3, q=1.5)", (5.3 / 6.3) ** 0.5),
        ("ael(a=2.5)", math.exp(-1 / 2.5)),
        ("ael(a=5)", math.exp(-1 / 5)),
    ],
)
def test_the_asymmetry_ratio_has_its_closed_form(text, ratio):
    assert float(theory.asymmetry_ratio(text)) == pytest.approx(ratio, abs=1e-6)


def test_the_ratio_is_for_losses_of_one_probability():
    for text in ("nce", "amse(a=30)", "nce + mae"):
        with pytest.raises(InputError, match="is_asymmetric"):
            theory.asymmetry_ratio(text)


@pytest.mark.parametrize("text", ["ael(a=2.5)", "agce(a=0.6, q=0.6)", "aul(a=5.5, q=3)"])
def test_enough_ratio_means_asymmetric_and_on_two_classes_it_is_exact(text):
    ratio = theory.asymmetry_ratio(text)
    for factor, expected in ((1.01, True), (0.99, False)):
        assert ratio.tolerates([factor / ratio.value, 1.0]) == expected
        assert bool(theory.is_asymmetric(text, [factor / ratio.value, 1.0])) == expected
    assert theory.is_asymmetric(text, [1.01 / ratio.value, 1.0, 0.7, 0.2])


def test_a_sum_is_active_only_when_all_its_terms_are():
    answer = theory.is_active("nce + amse(a=30)")
    assert not answer
    assert answer.active == ("nce",)
    assert "amse" in answer.passive[0]
    assert theory.is_active("nce + 4*agce(a=6, q=1.5)")


class MyLoss:
    """A loss of a user's own: (1 - p_k)^2, convex in p with a slope that vanishes at p_k = 1."""

    def per_class(self, logits):
        return (1 - logits.softmax(1)) ** 2


def test_a_users_own_loss_is_judged_by_its_values():
    assert not theory.is_symmetric(MyLoss(), 5)
    assert theory.is_active(MyLoss(), 5)
    assert theory.is_asymmetric(MyLoss(), [1.0, 0.0, 0.0])
    found = theory.is_asymmetric(MyLoss(), [0.7, 0.3, 0.0])
    assert not found
    assert found.minimiser[0] == pytest.approx(0.7, abs=1e-6)  # 0.7*2(1-u) = 0.3*2u
    with pytest.raises(InputError, match="per_class"):
        theory.is_asymmetric(torch.nn.CrossEntropyLoss(), [0.7, 0.3])

    class Wrong:
        def per_class(self, logits):
            return logits.sum(1)

    with pytest.raises(InputError, match=r"\(N, K\)"):
        theory.is_symmetric(Wrong(), 3)


# Sums


def test_jal_is_asymmetric_where_amse_is_under_symmetric_noise():
    for rate, classes in ((0.2, 3), (0.4, 10), (0.8, 10), (0.8, 50)):
        w = symmetric(classes, rate)
        exact = theory.smallest_a(w)
        for a, expected in ((exact * 1.001, True), (exact * 0.999, False)):
            assert bool(theory.is_asymmetric(losses.NCE() + losses.AMSE(a=a), w)) == expected


def test_jal_on_two_classes_is_seen_to_fail_too():
    """With K = 2 NCE's slope at the vertex vanishes only like 1 / log s, which must not hide AMSE's violation."""
    w = [0.7, 0.3]
    for a, expected in ((2.501, True), (2.499, False)):
        found = theory.is_asymmetric(losses.NCE() + losses.AMSE(a=a), w)
        assert bool(found) == expected, found
        assert found.margin == pytest.approx(theory.amse_condition(w, a).margin, rel=1e-6)


def test_a_sum_of_asymmetric_losses_says_so_and_is_unique():
    found = theory.is_asymmetric("nce + amse(a=30)", [0.6, 0.4, 0.0, 0.0])
    assert found
    assert found.unique
    assert "each asymmetric" in found.certificate
    assert any("jumps" in note for note in found.notes)


def test_nce_alone_is_said_to_have_other_infima():
    for w in (symmetric(4, 0.3), [0.5, 0.3, 0.15, 0.05]):
        found = theory.is_asymmetric("nce", w)
        assert found
        assert not found.unique
        assert any("elsewhere" in note or "away" in note for note in found.notes)


def test_the_detached_focal_loss_is_judged_by_the_loss_and_not_by_its_published_gradient():
    w = [0.5, 0.3, 0.2]
    one, other = (theory.is_asymmetric(f"nfl(gamma=0.5, detach={d}) + amse(a=30)", w) for d in ("true", "false"))
    assert bool(one) == bool(other) is True
    assert one.margin == other.margin


def test_cross_entropy_learns_the_noise():
    found = theory.is_asymmetric("ce", [0.5, 0.3, 0.2])
    assert found.minimiser == pytest.approx((0.5, 0.3, 0.2), abs=1e-5)
    assert math.isinf(found.gap)


def test_losses_of_scores_are_searched_over_scores():
    found = theory.is_asymmetric("lc(delta=2.5)", [0.6, 0.4, 0.0])
    assert not found
    assert any("scores" in note for note in found.notes)
    assert theory.is_asymmetric("lc(delta=2.5)", [1.0, 0.0, 0.0])


# Transition matrices and bounds


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
    matrix = [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.0, 0.1, 0.9]]
    assert float(theory.excess_risk_bound(0.01, matrix, a=5)) == pytest.approx(0.01 * 3 / (5 * 0.4 - 0.75))
    halved = theory.excess_risk_bound(0.01, matrix, a=5, beta=0.5)
    assert float(halved) == pytest.approx(2 * 0.01 * 3 / (5 * 0.4 - 0.75))
    with pytest.raises(InputError, match="violated"):
        theory.excess_risk_bound(0.01, [0.8, 0.1, 0.1], a=1.2)
