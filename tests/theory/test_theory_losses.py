"""The theory of any loss: kinds, ratios, what can and cannot be claimed for sums."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from test_theory import OfProbabilities, random_weights, symmetric

from conftest import count
from noiseproof import losses, theory
from noiseproof.errors import InputError
from noiseproof.losses import LOSSES

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


@pytest.mark.parametrize(
    ("values", "ratio", "within", "at"),
    [
        (lambda p: 2 - p + 0.75 * (1 - (math.pi * p).cos()) / math.pi, 0.25, 1e-6, (0.5, 0.0)),  # 1 - 3/4 sin(pi p)
        (lambda p: 2 - p / 2 - 3 * (p - 0.2).clamp(0, 0.2), 0.25, 0.005, (None, 0.4)),  # steep from 0.2 to 0.4
        (lambda p: 2 - p / 2 - 3 * (p - 2e-5).clamp(0, 2e-5), 0.25, 0.07, (None, 4e-5)),  # the same close to 0
        (lambda p: 2 - p / 2 - 3 * (p - 0.3).clamp(0, 0.2), 0.25 / 0.85, 0.007, (0.5, 0.5)),  # u_1 + u_2 = 1
        (lambda p: 2 - p / 2 + 0.49 * (p - 1 + 1e-6).clamp(0), 0.02, 1e-6, (1.0, 0.0)),  # nearly flat close to 1
        (lambda p: 1 - p**2, 1, 1e-6, (None, None)),  # flat at 0
        (lambda p: 1 + (math.pi * p).cos(), 1, 1e-6, (None, None)),  # flat at both ends
        (lambda p: -((p + 1e-3).log()), 1e-3 / 1.001, 1e-6, (1.0, 0.0)),
    ],
)
def test_the_ratio_is_the_least_over_all_pairs_wherever_it_is_attained(values, ratio, within, at):
    found = theory.asymmetry_ratio(OfProbabilities(values))
    assert float(found) == pytest.approx(ratio, rel=within)
    for where, expected in zip(found.at, at, strict=True):
        assert expected is None or where == pytest.approx(expected, rel=0.15 if expected < 0.01 else 0.01, abs=1e-9)
    for same in (lambda p: 5 * values(p), lambda p: values(p) / 1000, lambda p: values(p) + 3):
        assert float(theory.asymmetry_ratio(OfProbabilities(same))) == pytest.approx(float(found), rel=1e-4)


def test_equality_of_ratio_and_weights_is_enough_but_for_two_heaviest():
    for text in ("ael(a=2.5)", "agce(a=0.6, q=0.6)", "aul(a=5.5, q=3)"):
        ratio = theory.asymmetry_ratio(text)
        assert ratio.tolerates([1.0, ratio.value, 0.0])
        assert not ratio.tolerates([1.0, ratio.value * (1 + 1e-6), 0.0])
    assert theory.asymmetry_ratio("gce(q=1)").tolerates([0.41, 0.4, 0.19])
    assert not theory.asymmetry_ratio("gce(q=1)").tolerates([0.4, 0.4, 0.2])


def test_the_ratio_is_for_losses_of_one_probability():
    for text in ("nce", "amse(a=30)", "nce + mae"):
        for classes in (2, 3, 10):
            with pytest.raises(InputError, match="is_asymmetric"):
                theory.asymmetry_ratio(text, classes)


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


@pytest.mark.parametrize(
    "besides",
    [lambda p: 1e-7 * p**2, lambda p: (p < 1e-200).double(), lambda p: (p - 0.2).abs() < 1e-9],
    ids=["a little everywhere", "near the vertices only", "in the middle only"],
)
def test_a_loss_is_symmetric_only_if_it_is_so_everywhere(besides):
    assert theory.is_symmetric(OfProbabilities(lambda p: 1 - p), 5)
    assert not theory.is_symmetric(OfProbabilities(lambda p: 1 - p + besides(p)), 5)
    assert theory.is_symmetric(OfProbabilities(lambda p: 1 - p + 1e-12 * p**2), 5)
    assert not theory.is_symmetric(OfProbabilities(lambda p: 1e6 * (1 - p + besides(p))), 5)


def test_a_loss_is_active_only_if_no_other_probability_matters():
    others = lambda p: p.square().sum(1, keepdim=True) - p**2  # noqa: E731
    for factor, expected in ((1e-13, True), (1.5e-8, False), (1.0, False)):
        for loss in (lambda p, f=factor: 1 - p + f * others(p), lambda p, f=factor: -p.log() - f * others(p)):
            assert bool(theory.is_active(OfProbabilities(loss), 3)) == expected
            assert bool(theory.is_passive(OfProbabilities(loss), 3)) != expected
    assert theory.is_active(OfProbabilities(others), 2)  # two classes: the other one is 1 - p

    class Centred:  # no number where a score is -inf
        def per_class(self, logits):
            return -(logits - logits.mean(1, keepdim=True)).log_softmax(1)

    assert theory.is_active(Centred(), 2)
    assert theory.is_active(Centred(), 3)


# Certificates


def shares(p):
    return p**2 / p.square().sum(1, keepdim=True)


class Uncertain(losses.Loss):
    """Symmetric and lowest at e_m, but neither convex nor concave, and higher elsewhere than a wrong label's 1."""

    def per_class(self, logits):
        q = shares(logits.softmax(1))
        return 1 - q + 0.3 * (q.roll(-1, 1) - q.roll(-2, 1))


LEAST = "the losses of all labels add up to a constant, and the least likely label carries all of it"
NONE_HIGHER = "the losses of all labels add up to a constant, and none is higher than a wrong label's at a vertex"


@pytest.mark.parametrize(
    ("loss", "weights", "certificate"),
    [
        ("mae", [0.2, 0.5, 0.3], "the risk is linear and no edge falls from e_1"),
        ("amse(a=6)", [0.2, 0.3, 0.5], "the risk is convex and no edge falls from e_2"),
        ("amse(a=6, q=0.5)", [0.2, 0.3, 0.5], "the risk is concave and e_2 is its lowest vertex"),
        ("nce", [0.2, 0.6, 0.2], "the loss is symmetric and the wrong classes weigh the same"),
        ("nnce", [0.2, 0.6, 0.2], "the loss is symmetric and the wrong classes weigh the same"),
        ("nce", [0.2, 0.5, 0.3], LEAST),
        ("nnce", [0.2, 0.5, 0.3], NONE_HIGHER),
        (OfProbabilities(lambda p: 1 - shares(p)), [0.2, 0.5, 0.3], NONE_HIGHER),
        ("nce + nnce", [0.2, 0.5, 0.3], "a sum of losses that are each asymmetric here"),
        ("2*nce + amse(a=6)", [0.2, 0.5, 0.3], "a sum of losses that are each asymmetric here"),
        (Uncertain(), [0.5, 0.2, 0.2, 0.1], ""),
        ("amse(a=2)", [0.2, 0.5, 0.3], "the risk falls from e_1 towards e_2"),
        ("ce", [0.5, 0.2, 0.3], "the risk falls from e_0 towards e_1"),
    ],
)
def test_the_certificate_is_the_argument_that_applies(loss, weights, certificate):
    found = theory.is_asymmetric(loss, weights)
    assert found.certificate == certificate
    assert bool(found) == (not certificate.startswith("the risk falls"))
    assert found.clean == int(np.argmax(weights))


def test_a_lower_point_is_enough_to_say_no_where_no_edge_falls():
    """A dent around the even point, deeper than the vertex: the slopes at the vertex do not see it."""
    dent = OfProbabilities(lambda p: 1 - p - 3 * (-50 * (p - 1 / 3).square().sum(1, keepdim=True)).exp())
    found = theory.is_asymmetric(dent, [0.6, 0.2, 0.2])
    assert not found
    assert found.certificate == "a lower point was found"
    assert found.margin == pytest.approx(0.4)
    assert found.gap == pytest.approx(3.0 - (0.6 * 2 / 3 + 0.4 * 2 / 3) + 0.4, abs=0.01)
    assert found.minimiser == pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=0.01)


# The classes' names and the weights' scale


@pytest.mark.parametrize("loss", ["nce + amse(a=30)", "amse(a=2)", "gce", "nce", "agce(a=1, q=0.3)"])
def test_names_of_classes_and_scale_of_weights_do_not_matter(loss):
    w = np.array([0.5, 0.3, 0.15, 0.05])
    order = np.array([2, 0, 3, 1])
    one = theory.is_asymmetric(loss, w)
    other = theory.is_asymmetric(loss, 8 * w[order])
    assert (bool(other), other.clean, other.unique) == (bool(one), 1, one.unique)
    assert other.minimiser == pytest.approx(np.array(one.minimiser)[order], abs=1e-5)
    assert other.margin == pytest.approx(8 * one.margin, rel=1e-9)
    assert other.gap == pytest.approx(8 * one.gap, rel=1e-6)
    tiny = theory.is_asymmetric(loss, 1e-12 * w)
    assert (bool(tiny), tiny.unique, tiny.certificate, tiny.notes) == (
        bool(one), one.unique, one.certificate, one.notes)  # fmt: skip
    if math.isfinite(one.margin):  # elsewhere every edge falls alike
        assert other.certificate == re.sub(r"(?<=e_)\d", lambda k: str(list(order).index(int(k[0]))), one.certificate)


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
