"""What the verdicts rest on: limits, slopes, values at a vertex, shapes and lowest points, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_theory import OfProbabilities, moved_off_the_vertex, symmetric

from noiseproof import losses, theory
from noiseproof.theory.risk import APPROACH, Risk, limit, points

# Limits of slopes

SHARES = np.exp(APPROACH)


@pytest.mark.parametrize("power", [0.001, 0.003, 0.01, 0.05, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(("c", "d"), [(0.0, 1.0), (0.7, 1.0), (-2.0, -1e-3), (1.0, 1e3), (-1.0, 0.5)])
def test_a_slope_that_settles_like_a_power_is_extrapolated_within_the_error_it_states(power, c, d):
    found, error = limit((c + d * SHARES**power).tolist())
    assert abs(found - c) <= error * max(abs(c), abs(d))
    assert 1e-9 <= error <= 1e-9 + 1e-12 / (1 - 1e-4**power) ** 2 * 1.001


@pytest.mark.parametrize("power", [0.005, 0.1, 0.5, 1.0])
def test_a_slope_that_keeps_growing_is_infinite(power):
    for c, d in ((0.0, 1.0), (3.0, -1.0), (-5.0, 0.01)):
        assert limit((c + d * SHARES**-power).tolist()) == (math.copysign(math.inf, d), 0.0)


def test_a_slope_that_stands_still_is_its_own_limit():
    for c in (0.0, 1.0, -1e-3, 1e6):
        assert limit([c] * 6) == (c, 1e-9)


def test_a_slope_like_that_of_s_over_its_logarithm_vanishes():
    log_s = -APPROACH
    assert limit((3 / log_s + 3 / log_s**2).tolist()) == (0.0, 1e-9)
    assert limit((-0.2 / log_s - 0.2 / log_s**2).tolist()) == (0.0, 1e-9)
    assert limit((3 / log_s + 6 / log_s**2).tolist())[0] > 0.01  # another law is not taken for it


@pytest.mark.parametrize("lost", [0.0, 5.0, math.nan, math.inf])
def test_where_the_far_shares_have_lost_the_slope_the_near_ones_count(lost):
    near = (0.7 + SHARES[:3] ** 0.5).tolist()
    found, error = limit([*near, lost, lost, lost])
    assert found == pytest.approx(0.7, rel=error)
    assert error == 3e-8


def test_growth_in_the_last_digits_is_rounding():
    assert limit([1.0, 1.0 + 1e-9, 1.0 + 3e-9, 1.0, 1.0, 1.0])[0] == pytest.approx(1.0, abs=1e-8)
    assert limit([1e-11, 2e-11, 4e-11, 0.0, 0.0, 0.0]) == (0.0, 1e-9)
    for last in ([1.0, 1.0 + 2**-40, 1.0 + 2**-39], [1.0, 1.0 + 2**-40, 1.0]):
        assert limit([1.0, 1.0, 1.0, *last]) == (last[-1], 1e-9)
    assert limit([1.0, 1.0, 1.01, 1.0, 1.0, 1.0])[0] == 1.01  # one step is no growth


# Points


def test_points_are_log_probabilities_from_even_to_one_hot():
    """Dirichlet points of five shapes s: the mean of sum p^2 is that of (s + 1) / (K s + 1)."""
    found = points(60_000, 4, "test")
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.exp().sum(1), torch.ones(60_000, dtype=torch.float64))
    concentrated = float(found.exp().square().sum(1).mean())
    expected = np.mean([(s + 1) / (4 * s + 1) for s in (0.02, 0.1, 0.3, 1.0, 3.0)])
    assert concentrated == pytest.approx(expected, abs=0.003)
    assert found.exp().mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.005)
    assert -760 < float(found.min()) < -400
    assert not torch.equal(found, points(60_000, 4, "another"))
    assert torch.equal(found, points(60_000, 4, "test"))


# At the vertex

W = np.array([0.2, 0.5, 0.3])  # the clean class is 1


@pytest.mark.parametrize(
    ("text", "vertex", "slopes", "shape"),
    [
        ("mae", 2 * 0.5, (2 * 0.3, 2 * 0.2), "linear"),
        ("ce", math.inf, (-math.inf, -math.inf), "convex"),
        ("gce(q=0.5)", 0.5 / 0.5, (-math.inf, -math.inf), "convex"),
        ("nce", 0.2, (0.0, 0.0), "neither"),
        ("nnce", 0.5 / 2 * 2, (0.0, 0.0), "neither"),
        ("mse", 2 * 0.5 / 3, (-1.4 / 3, -1.6 / 3), "convex"),
        ("amse(a=5)", (16 * 0.5 + 26 * 0.5) / 3, (2 / 3 * (5 * 0.3 - 1), 2 / 3 * (5 * 0.2 - 1)), "convex"),
        ("amse(a=4, q=3)", (27 * 0.5 + 65 * 0.5) / 3, (4.5 - 3.2 - 0.5, 4.5 - 4.8 - 0.5), "convex"),
        ("amse(a=4, q=1)", (3 * 0.5 + 5 * 0.5) / 3, (2 / 3 * 0.3, 2 / 3 * 0.2), "linear"),
        ("amse(a=4, q=0.5)", (3**0.5 * 0.5 + 3 * 0.5) / 3, (math.inf, math.inf), "concave"),
        ("agce(a=3, q=2)", 7 / 2 * 0.5, (4 * 0.5 - 3 * 0.2, 4 * 0.5 - 3 * 0.3), "concave"),
        ("agce(a=3, q=0.5)", (2 - 3**0.5) * 2 * 0.5, (0.25 - 0.2 / 3**0.5, 0.25 - 0.3 / 3**0.5), "convex"),
        ("ael(a=2)", 0.5 * math.exp(-0.5) + 0.5, (0.25 * math.exp(-0.5) - 0.1, 0.25 * math.exp(-0.5) - 0.15), "convex"),
    ],
)
def test_value_slopes_and_shape_of_the_risk_have_their_closed_forms(text, vertex, slopes, shape):
    risk = Risk(text, W)
    value, continuous = risk.at_vertex()
    assert value == pytest.approx(vertex)
    assert continuous == (text != "nce")
    found, errors = risk.edge_slopes()
    assert (float(found[0]), float(found[2])) == pytest.approx(slopes, abs=1e-7)
    assert found[1] == math.inf
    assert errors[1] == 0
    assert (errors[[0, 2]] <= 1e-7).all()
    assert risk.curvature() == shape


def test_the_slopes_of_a_sum_are_the_sums_of_slopes():
    one, other = (Risk(text, W).edge_slopes()[0] for text in ("amse(a=5)", "agce(a=3, q=0.5)"))
    found, errors = Risk("2*amse(a=5) + 3*agce(a=3, q=0.5) + nce", W).edge_slopes()
    torch.testing.assert_close(found, 2 * one + 3 * other, rtol=1e-9, atol=0)
    assert (errors[[0, 2]] >= 1e-9).all()


def test_a_label_that_is_never_given_does_not_count_even_where_its_loss_is_infinite():
    gone = torch.tensor([[0.0, 0.0, -math.inf]], dtype=torch.float64)
    loss = OfProbabilities(lambda p: -p.log())
    assert float(Risk(loss, np.array([0.5, 0.5, 0.0]))(gone)) == pytest.approx(math.log(2))
    assert float(Risk(loss, W)(gone)) == math.inf


def test_the_gradient_of_the_risk_of_cross_entropy_is_what_the_scores_lack():
    z = points(20, 3, "test")
    value, slope = Risk("ce", W)(z), Risk("ce", W).gradient(z)
    torch.testing.assert_close(slope[0], value)
    torch.testing.assert_close(slope[1], z.exp() - torch.from_numpy(W))
    assert not slope[0].requires_grad


def test_asking_leaves_the_loss_as_it_was():
    loss = losses.parse("nfl(detach=true) + amse(a=30)")
    assert theory.is_asymmetric(loss, symmetric(3, 0.2))
    assert [part.detach for part in loss.modules() if hasattr(part, "detach")] == [True]


# Everywhere


def projected(a_w: np.ndarray) -> np.ndarray:
    """The Euclidean projection onto the simplex."""
    high = np.sort(a_w)[::-1]
    least = (high.cumsum() - 1) / np.arange(1, len(high) + 1)
    return np.maximum(a_w - least[np.flatnonzero(high > least)[-1]], 0)


@pytest.mark.parametrize(
    "w", [[0.5, 0.3, 0.2], [0.97, 0.02, 0.01], [0.3, 0.25, 0.2, 0.15, 0.1], symmetric(30, 0.8), [0.9, 0.0999, 1e-4]]
)
def test_the_search_finds_the_minimisers_that_are_known(w):
    w = np.array(w)
    known = {"ce": w, "mse": w, "mae": np.eye(len(w))[0], "amse(a=1.3)": projected(1.3 * w)}
    for q in (0.3, 0.7):
        known[f"gce(q={q})"] = w ** (1 / (1 - q)) / (w ** (1 / (1 - q))).sum()
    for text, minimiser in known.items():
        risk = Risk(text, w)
        ends, values = risk.lowest()
        at = torch.from_numpy(minimiser).clamp_min(1e-300).log()[None]
        assert float(values.min()) == pytest.approx(float(risk(at)), rel=1e-12), text
        assert ends[values.argmin()].exp().tolist() == pytest.approx(minimiser.tolist(), abs=1e-6), text
        torch.testing.assert_close(risk(ends), values)


def test_the_search_reaches_infima_on_the_faces():
    w = np.array([0.5, 0.3, 0.15, 0.05])
    ends, values = Risk("nce", w).lowest()
    assert float(values.min()) == pytest.approx(0.05, abs=1e-12)
    assert (ends.exp()[values < 0.05 + 1e-9][:, 3] == 0).all()
    assert float(ends.exp()[values < 0.05 + 1e-9].max(1).values.min()) < 0.5  # near no vertex


def test_the_search_starts_even_at_the_weights_near_every_vertex_and_between_it_and_the_clean_one():
    u = Risk("ce", W).starts().exp()
    assert torch.allclose(u.sum(1), torch.ones(len(u), dtype=torch.float64))
    assert u[0].tolist() == pytest.approx([1 / 3] * 3)
    assert u[1].tolist() == pytest.approx(W)
    away = math.exp(-7)
    for k in range(3):
        vertex = np.where(np.arange(3) == k, 1.0, away)
        assert u[2 + k].tolist() == pytest.approx(vertex / vertex.sum())
        between = np.where((np.arange(3) == k) | (np.arange(3) == 1), 1.0, away)
        assert u[5 + k].tolist() == pytest.approx(between / between.sum())
    assert len(u) == 8 + 64
    for classes, few in ((65, 64), (173, 36), (2000, 8)):  # 6,400 scores of each kind, 8 starts at least
        assert len(Risk("ce", np.ones(classes)).starts()) == 2 + 3 * few


@pytest.mark.parametrize(
    ("a", "q", "hidden"), [(30.0, 1.05, True), (30.0, 1.1, True), (5.0, 1.1, False), (3.0, 1.2, False)]
)
def test_a_minimum_that_the_risk_cannot_show_is_found_along_the_edge(a, q, hidden):
    w = [0.6, 0.4]
    exact = float(moved_off_the_vertex(np.array([w]), np.array([a]), q)[0])
    assert float(Risk(losses.AMSE(a=a, q=q), np.array(w)).along_edge(1)[0, 1].exp()) == pytest.approx(exact, rel=1e-6)
    found = theory.is_asymmetric(losses.AMSE(a=a, q=q), w)
    assert not found
    note = "the minimum leaves the vertex by less than the risk shows in float64; its slope shows it"
    assert found.notes == ((note,) if hidden else ())
    assert 0 <= found.gap < 1e-2
    assert found.minimiser[1] == pytest.approx(exact, rel=1e-6 if hidden else 1e-2)


@pytest.mark.parametrize("size", [1e-3, 1e3])
@pytest.mark.parametrize("text", ["ce", "mse", "gce(q=0.5)"])
def test_the_search_is_as_good_for_losses_of_any_size(text, size):
    (one, at), (other, there) = Risk(text, W).lowest(), Risk(f"{size}*{text}", W).lowest()
    assert float(there.min()) == pytest.approx(size * float(at.min()), rel=1e-12)
    assert other[there.argmin()].exp().tolist() == pytest.approx(one[at.argmin()].exp().tolist(), abs=1e-6)


class Remembers:
    """MAE, and what it was asked."""

    def __init__(self):
        self.asked = []

    def per_class(self, logits):
        self.asked.append(logits)
        return 1 - logits.softmax(1)


def test_a_search_looks_at_as_many_points_as_the_manual_says():
    loss = Remembers()
    Risk(loss, W).curvature()
    assert [tuple(z.shape) for z in loss.asked] == [(2048, 3)] * 3
    assert not torch.equal(loss.asked[0], loss.asked[2])
    loss = Remembers()
    theory.is_symmetric(loss, 3)
    (z,) = loss.asked
    assert z.shape == (577, 3)
    assert z[0].tolist() == [0.0] * 3
    assert math.log(1e-279) < float(z.log_softmax(1).min()) < math.log(1e-277)


def test_a_risk_that_falls_all_along_an_edge_ends_at_the_other_vertex():
    (z,) = Risk("mae", np.array([0.2, 0.8]), clean=0).along_edge(1)
    assert z.exp().tolist() == pytest.approx([0, 1], abs=1e-8)


# Losses of scores


@pytest.mark.parametrize(("by", "expected"), [(1e-10, False), (5e-9, True), (1e-6, True), (1.0, True)])
def test_a_loss_depends_on_scores_if_a_shift_of_3_changes_it(by, expected):
    class Shifted:
        def per_class(self, logits):
            return 1 - logits.softmax(1) + by / 3 * logits.mean(1, keepdim=True)

    assert Risk(Shifted(), W).depends_on_scores() == expected


def test_clipped_scores_tolerate_what_lies_beyond_the_clip_and_learn_the_rest():
    """Two classes, scores of norm 1 at most: log(p_1 / p_0) is at most sqrt(2), where the clean minimiser is."""
    edge = 1 / (1 + math.exp(-math.sqrt(2)))
    for w, expected in ((edge + 0.005, True), (edge - 0.005, False)):
        found = theory.is_asymmetric("lc(delta=1)", [1 - w, w])
        assert bool(found) == expected
        assert found.clean == 1
        assert found.certificate == ""
        assert math.isnan(found.margin)
        assert found.unique
        if expected:
            assert found.gap == 0
            assert found.minimiser[1] >= edge - 1e-9
        else:
            at = lambda p, w=w: -w * math.log(p) - (1 - w) * math.log(1 - p)  # noqa: E731
            assert found.gap == pytest.approx(at(edge) - at(w), rel=1e-6)
            assert found.minimiser == pytest.approx((1 - w, w), abs=1e-6)
            for factor in (0.125, 8, 1000):
                scaled = theory.is_asymmetric(f"{factor}*lc(delta=1)", [1 - w, w])
                assert not scaled
                assert scaled.gap == pytest.approx(factor * found.gap, rel=1e-6)
            for size in (1e-6, 8, 1e6):
                same = theory.is_asymmetric("lc(delta=1)", [size * (1 - w), size * w])
                assert same.gap == pytest.approx(size * found.gap, rel=1e-6)
                assert same.minimiser == pytest.approx((1 - w, w), abs=1e-6)
