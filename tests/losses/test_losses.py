"""Laws of the losses: what they claim, how they are tied to one another, what holds at all scores."""

from __future__ import annotations

import inspect
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import count, seeded
from noiseproof import losses
from noiseproof.errors import InputError

ENTRIES = list(losses.LOSSES)
NAMES = losses.LOSSES.names()
EXAMPLES = settings(max_examples=count(25, 100), deadline=None, derandomize=True, database=None)


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


def table(text, scores):
    return losses.parse(text).per_class(scores)


def spread(rows=64, K=6, size=4.0, seed=0):
    return size * torch.randn(rows, K, generator=seeded(seed), dtype=torch.float64)


def same(one, other, **tolerance):
    torch.testing.assert_close(one, other, **({"rtol": 1e-10, "atol": 1e-12} | tolerance))


# Claims: what a loss is registered with holds, and what it is not registered with does not


def claim(entry, name, default=None):
    return entry.claims.get(name, default)


def test_the_registry_has_the_losses_of_the_papers():
    assert set(NAMES) == {
        *("ce", "fl", "mae", "mse", "rce", "sce", "gce", "nce", "nfl", "agce", "aul", "ael", "amse"),
        *("nnce", "nnfl", "lc", "ece", "efl", "ldr"),
        *("vce", "taylor-ce", "phuber", "piecewise-zero", "bi-tempered", "sym", "normalized", "logit-bias"),
    }


def test_every_claim_has_a_name_that_is_known(entry):
    known = {"paper", "symmetric", "active", "bounded", "asymmetric", "shift_invariant", "kinks", "gives_up"}
    assert entry.claims.keys() <= known
    assert {"symmetric", "active", "bounded"} <= entry.claims.keys()
    assert re.fullmatch(r"arXiv:\d{4}\.\d{5}", entry.claims.get("paper", "arXiv:0000.00000"))


def test_the_sum_over_labels_is_constant_where_claimed_and_nowhere_else(entry):
    sums = torch.cat([entry.cls().per_class(spread(size=size)).sum(1) for size in (1.0, 100.0, 1e4)])
    assert ((sums - sums[0]).abs() <= 1e-6 * sums[0].abs() + 1e-9).all() == claim(entry, "symmetric")


def test_bounded_losses_stop_growing_and_the_others_do_not(entry):
    def worst(size):
        return entry.cls().per_class(size * torch.eye(5, dtype=torch.float64)).max()

    grows = worst(1e4) > 10 * worst(1e3).abs() * (1 - 1e-3) or worst(1e4) > 5 * worst(1e3).abs()
    assert grows != claim(entry, "bounded")


def test_adding_one_number_to_all_scores_changes_nothing_where_claimed_and_something_elsewhere(entry):
    scores = spread()
    moved = (entry.cls().per_class(scores + 3) - entry.cls().per_class(scores)).abs().max()
    assert (moved < 1e-9) == claim(entry, "shift_invariant", True)


def test_active_losses_are_those_of_the_papers(entry):
    # Active: nothing is added for the labels that are not given (CE and what is derived from it);
    # passive: the other classes' probabilities are pushed down. A sum of both is called neither.
    active = {"ce", "fl", "nce", "nfl", "gce", "agce", "aul", "ael", "lc", "ece", "efl"}
    active |= {"vce", "taylor-ce", "phuber", "piecewise-zero"}
    assert claim(entry, "active") == (entry.name in active)


def points_of_the_simplex(K, seed):
    """Random probabilities, near the middle, the edges and the corners, as scores."""
    generator = seeded(seed)
    return torch.cat([size * torch.randn(300, K, generator=generator, dtype=torch.float64) for size in (0.3, 2, 10)])


def risks(entry, weights, scores):
    return entry.cls().per_class(scores) @ weights


def margins(entry, weights):
    """How much lower the risk is at e_m, m the likeliest label, than at the best other point."""
    K = len(weights)
    corner = 400 * torch.eye(K, dtype=torch.float64)[weights.argmax()][None]
    best = min(risks(entry, weights, points_of_the_simplex(K, seed)).min() for seed in range(3))
    shares = weights.log()[None]  # cross-entropy's minimiser
    best = min(best, risks(entry, weights, shares)[0])
    return (best - risks(entry, weights, corner)[0]).item()


WEIGHTS = {
    "barely the likeliest": torch.tensor([0.27, 0.25, 0.24, 0.24], dtype=torch.float64),
    "one rival": torch.tensor([0.51, 0.47, 0.01, 0.01], dtype=torch.float64),
    "clear": torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64),
}


def test_completely_asymmetric_losses_find_the_likeliest_label_and_the_others_do_not(entry):
    kind = claim(entry, "asymmetric")
    found = {name: margins(entry, weights) > -1e-9 for name, weights in WEIGHTS.items()}
    if kind == "completely":
        assert all(found.values()), found
    elif kind == "strictly":
        assert found["clear"]
        assert not all(found.values()), found
    elif kind == "never":
        assert not any(found.values()), found


def test_a_parameter_that_is_no_number_is_refused_by_its_name(entry):
    for name, parameter in inspect.signature(entry.cls).parameters.items():
        if type(parameter.default) in (int, float):
            with pytest.raises(InputError, match=rf"^{name} "):
                entry.cls(**{name: float("nan")})


def test_only_a_loss_that_says_so_gives_up_implausible_labels(entry):
    logits = torch.tensor([[12.0, 0.0, -1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    value = entry.cls()(logits, torch.tensor([1]))  # p of the label is 6e-6
    value.backward()
    given_up = value.item() == 0 and not logits.grad.any()
    assert given_up == ("gives_up" in entry.claims)


KINKED = ("lc", "ece", "efl", "nnce", "nnfl", "phuber", "piecewise-zero")


def test_the_losses_with_a_jump_or_a_kink_say_so(entry):
    assert ("kinks" in entry.claims) == (entry.name in KINKED)
    assert str(entry.claims.get("kinks", "where")).startswith("where")  # "not smooth where ..."


# Ties between losses


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gce(q=1e-9)", "ce"),
        ("gce(q=1)", "0.5*mae"),
        ("rce(log_zero=-2)", "mae"),
        ("fl(gamma=0)", "ce"),
        ("fl(gamma=0, detach=true)", "ce"),
        ("nfl(gamma=0)", "nce"),
        ("nnfl(gamma=0)", "nnce"),
        ("sce(alpha=1, beta=0)", "ce"),
        ("sce(alpha=0, beta=1)", "rce"),
        ("sce(alpha=6, beta=0.1)", "6*ce + 0.1*rce"),
        ("amse(a=1)", "mse"),
        ("agce(a=3, q=1)", "0.5*mae"),
        ("aul(a=3, q=1)", "0.5*mae"),
        ("aul(a=1, q=1)", "0.5*mae"),
        ("agce(a=1e-9, q=0.5)", "gce(q=0.5)"),
        ("ece(m=0)", "ce"),
        ("efl(m=0, gamma=0.5)", "fl(gamma=0.5)"),
        ("efl(gamma=0)", "ece"),
        ("lc(delta=1e-9)", "ce"),
    ],
)
def test_losses_meet_at_the_ends_of_their_parameters(one, other):
    scores, target = spread(), torch.arange(64) % 6
    tolerance = {"rtol": 1e-4, "atol": 2e-4} if "agce(a=1e-9" in one else {"rtol": 1e-6, "atol": 1e-7}
    same(table(one, scores), table(other, scores), **tolerance)
    slopes = []
    for text in (one, other):
        leaf = scores.clone().requires_grad_()
        slopes += torch.autograd.grad(losses.parse(text)(leaf, target), leaf)
    same(*slopes, **tolerance)


def test_amse_is_mae_with_a_reward_for_confidence():
    scores, a, K = spread(), 30.0, 6
    p = scores.softmax(1)
    # a^2 - 2 a p_y + ||p||^2 = a * mae - 2 a + a^2 + ||p||^2
    expected = (a * table("mae", scores) - 2 * a + a * a + p.square().sum(1, keepdim=True)) / K
    same(table("amse(a=30)", scores), expected)


def test_amse_with_q_of_one_is_mae_but_for_constants():
    scores, a, K = spread(), 4.0, 6
    same(table("amse(a=4, q=1)", scores), (table("mae", scores) + a - 1) / K)


def test_detach_changes_the_gradient_and_not_the_value():
    scores, target = spread(), torch.arange(64) % 6
    for cls, parameters in ((losses.FL, {}), (losses.NFL, {}), (losses.NNFL, {}), (losses.EFL, {"m": 1})):
        true, held = cls(**parameters), cls(**parameters, detach=True)
        same(true.per_class(scores), held.per_class(scores), rtol=0, atol=0)
        slopes = []
        for loss in (true, held):
            leaf = scores.clone().requires_grad_()
            slopes += torch.autograd.grad(loss(leaf, target), leaf)
        assert (slopes[0] - slopes[1]).abs().max() > 1e-2 * slopes[1].abs().max()


def test_the_smallest_loss_of_amse_is_that_of_certainty():
    sure = 400 * torch.eye(5, dtype=torch.float64)[:1]
    assert losses.AMSE(a=30)(sure, torch.tensor([0])).item() == pytest.approx(29**2 / 5)


def test_the_published_dead_zone_of_the_eps_softmax_is_gone():
    # with a clamp at 1e-8 and m = 1e5 there is no gradient for p below 1e-3
    leaf = torch.tensor([[10.0, 0.0, 0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(losses.ECE()(leaf, torch.tensor([1])), leaf)
    same(slope, leaf.detach().softmax(1) - torch.tensor([[0.0, 1.0, 0.0]]), rtol=1e-5, atol=1e-9)


def test_logit_clip_jumps_at_its_threshold_and_keeps_the_direction():
    direction = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    from noiseproof.losses.softmax_variants import clip_logits

    same(clip_logits(0.399 * direction, delta=2.5), 0.399 * direction)
    same(clip_logits(0.401 * direction, delta=2.5), 2.5 * direction)
    same(clip_logits(1000 * direction, delta=0.5), 0.5 * direction)


# Properties of every loss, at scores that Hypothesis picks

numbers = st.one_of(st.floats(-30, 30), st.floats(-1e4, 1e4), st.sampled_from([0.0, 1e4, -1e4, 20.0]))
rows = st.integers(2, 8).flatmap(lambda K: st.lists(numbers, min_size=K, max_size=K))


def sharp(entry, z):
    """Two scores so close to the largest that a rounding decides which is."""
    top = z.topk(2).values[0]
    return entry.name in ("ece", "efl") and bool(top[0] - top[1] < 1e-6)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_row_has_finite_losses_and_gradients(entry):
    @given(rows)
    @EXAMPLES
    def holds(row):
        for dtype in (torch.float64, torch.float32):
            leaf = torch.tensor([row], dtype=dtype, requires_grad=True)
            values = entry.cls().per_class(leaf)
            assert values.isfinite().all()
            for label in range(len(row)):
                (slope,) = torch.autograd.grad(values[0, label], leaf, retain_graph=True)
                assert slope.isfinite().all()

    holds()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_names_of_classes_do_not_matter(entry):
    @given(rows, st.randoms(use_true_random=False))
    @EXAMPLES
    def holds(row, random):
        z, order = torch.tensor([row], dtype=torch.float64), list(range(len(row)))
        random.shuffle(order)
        if not sharp(entry, z):
            loss = entry.cls()
            same(loss.per_class(z[:, order]), loss.per_class(z)[:, order], rtol=1e-8, atol=1e-10)

    holds()


@pytest.mark.parametrize("entry", [e for e in ENTRIES if claim(e, "shift_invariant", True)], ids=lambda e: e.name)
def test_shifted_scores_have_the_same_losses(entry):
    @given(rows, st.floats(-100, 100))
    @EXAMPLES
    def holds(row, shift):
        z = torch.tensor([row], dtype=torch.float64)
        if not sharp(entry, z):
            loss = entry.cls()
            same(loss.per_class(z + shift), loss.per_class(z), rtol=1e-7, atol=1e-9)

    holds()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_losses_lie_between_their_bounds(entry):
    low = {"ael": math.exp(-1 / 3), "ldr": -math.log(8), "nnfl": -1e-7, "vce": -math.log(5), "sym": -math.inf}.get(
        entry.name, 0.0
    )
    high = {"mae": 2, "rce": 4 * math.log(10), "nce": 1, "nfl": 1, "nnce": 1, "nnfl": 1 + 1e-7, "ael": 1, "mse": 1}
    high |= {"gce": 1 / 0.7, "agce": 3 / 2, "aul": (1.5**0.9 - 0.5**0.9) / 0.9}

    @given(rows)
    @EXAMPLES
    def holds(row):
        values = entry.cls().per_class(torch.tensor([row], dtype=torch.float64))
        assert (values >= low - 1e-12).all()
        assert (values <= high.get(entry.name, math.inf) + 1e-12).all()

    holds()


OWN = ["ce", "fl", "gce", "mae", "rce", "sce", "agce", "aul", "ael", "vce", "taylor-ce", "phuber", "logit-bias"]


@pytest.mark.parametrize("name", OWN)
def test_losses_of_the_label_alone_fall_with_its_probability(name):
    @given(rows, st.floats(0.01, 5))
    @EXAMPLES
    def holds(row, more):
        z = torch.tensor([row], dtype=torch.float64)
        better = z.clone()
        better[0, 0] += more
        before, after = table(name, z)[0, 0], table(name, better)[0, 0]
        assert after <= before + 1e-12 * before.abs() + 1e-300

    holds()


@pytest.mark.parametrize("name", OWN)
def test_losses_of_the_label_alone_do_not_see_the_other_labels(name):
    # p = (1/2, 1/4, 1/4) and (1/2, 3/8, 1/8)
    p = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.375, 0.125]], dtype=torch.float64)
    values = table(name, p.log())[:, 0]
    same(values[0], values[1])


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OWN) - {"lc", "ldr", "ece", "efl", "piecewise-zero"}))
def test_the_remaining_losses_do(name):
    p = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.375, 0.125]], dtype=torch.float64)
    values = table(name, p.log())[:, 0]
    assert abs(values[0] - values[1]) > 1e-6
