"""Precision, extreme scores and derivatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap

from noiseproof.testing.case import Case, Check, Skip, collect

CHECKS: list[Check] = []
check = collect(CHECKS)


# Precision


@check
def float64_stays(case: Case) -> None:
    """float64 scores give a float64 loss."""
    assert case.call().dtype == torch.float64, f"{case.call().dtype}"


@check
def float32_stays(case: Case) -> None:
    """float32 scores give a float32 loss."""
    found = case.call(case.scores.float()).dtype
    assert found == torch.float32, f"{found}"


@check
def float32_is_as_good_as_float64(case: Case) -> None:
    """float32 scores give the float64 loss to 1e-5."""
    case.equal(case.call(case.scores.float()), case.losses.mean(), tolerance=1e-5)


def _half_agrees(case: Case, dtype: torch.dtype) -> None:
    scores = case.scores.to(dtype)
    case.equal(case.call(scores), case.call(scores.double()).item(), tolerance=1e-2)


@check
def float16_is_as_good_as_float32(case: Case) -> None:
    """float16 scores give the loss of the same numbers in float32 to 1 %."""
    _half_agrees(case, torch.float16)


@check
def bfloat16_is_as_good_as_float32(case: Case) -> None:
    """bfloat16 scores give the loss of the same numbers in float32 to 1 %."""
    _half_agrees(case, torch.bfloat16)


@check
def largest_float16_scores_are_taken(case: Case) -> None:
    """float16 scores of 60000 give no NaN and no infinite gradient."""
    scores = (60000 * torch.eye(case.classes)).half()
    labels = torch.arange(case.classes)
    assert not case.call(scores, labels).isnan(), "NaN"
    case.finite(case.gradient(scores, labels))


@check
def half_precision_scores_get_their_own_gradient(case: Case) -> None:
    """The gradient of bfloat16 scores is bfloat16 and finite."""
    slope = case.gradient(case.scores.bfloat16())
    assert slope.dtype == torch.bfloat16, f"{slope.dtype}"
    case.finite(slope)


@check
def autocast_changes_nothing(case: Case) -> None:
    """Under torch.autocast the loss of float32 scores stays the same to 1 %."""
    scores = case.scores.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.call(scores)
    case.equal(found, case.call(scores).item(), tolerance=1e-2)


# Extreme scores


def _peaks(case: Case, gap: float, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Every class ahead of the others by `gap`, with every label."""
    scores = (gap * torch.eye(case.classes, dtype=dtype)).repeat_interleave(case.classes, 0)
    return scores, torch.arange(case.classes).repeat(case.classes)


def _value_at(gap: int) -> None:
    def run(case: Case) -> None:
        case.finite(case.table_of(_peaks(case, gap)[0][:: case.classes]))

    run.__name__ = f"value_is_finite_at_a_gap_of_{gap}"
    run.__doc__ = f"One score ahead by {gap} gives a finite loss for every label, in float32."
    check(run)


def _gradient_at(gap: int) -> None:
    def run(case: Case) -> None:
        case.finite(case.gradient(*_peaks(case, gap)))

    run.__name__ = f"gradient_is_finite_at_a_gap_of_{gap}"
    run.__doc__ = f"One score ahead by {gap} gives a finite gradient for every label, in float32."
    check(run)


for _gap in (20, 100, 10_000):
    _value_at(_gap)
    _gradient_at(_gap)


@check
def wrong_samples_still_pull(case: Case) -> None:
    """A score gap of 12 for a wrong class (p of the label: 6e-6) leaves a gradient, in float32."""
    case.must_pull()
    scores, labels = _peaks(case, 12)
    wrong = scores.gather(1, labels[:, None])[:, 0] == 0
    alive = (case.gradient(scores[wrong], labels[wrong]) != 0).any(1)
    assert alive.all(), "gradient 0"


@check
def right_samples_still_pull(case: Case) -> None:
    """A score gap of 12 for the label leaves a gradient, in float32."""
    scores, labels = 12 * torch.eye(case.classes), torch.arange(case.classes)
    assert (case.gradient(scores, labels) != 0).any(1).all(), "gradient 0"


@check
def far_values_are_as_good_as_in_float64(case: Case) -> None:
    """At a score gap of 12 the float32 losses are those of float64 to 1 %, the small ones too."""
    rows = 12 * torch.eye(case.classes)
    found, expected = case.table_of(rows), case.table_of(rows.double())
    size = expected.abs().clamp(min=1e-300)  # a loss of exactly 0 must be exactly 0
    case.equal(found / size, expected / size, tolerance=1e-2)


@check
def far_gradients_are_as_good_as_in_float64(case: Case) -> None:
    """At a score gap of 12 each sample's float32 gradient is that of float64 to 1 % of its largest entry."""
    scores, labels = _peaks(case, 12)
    expected = case.gradient(scores.double(), labels)
    size = expected.abs().amax(1, keepdim=True).clamp(min=1e-300)
    case.equal(case.gradient(scores, labels).double() / size, expected / size, tolerance=1e-2)


@check
def equal_scores_are_taken(case: Case) -> None:
    """All scores equal: finite loss and gradient."""
    zeros = torch.zeros(6, case.classes)
    case.finite(case.call(zeros))
    case.finite(case.gradient(zeros))


@check
def large_scores_are_taken(case: Case) -> None:
    """All scores near 1e4: finite loss and gradient."""
    scores = case.scores.float() + 1e4
    case.finite(case.call(scores))
    case.finite(case.gradient(scores))


def _masked(case: Case) -> Tensor:
    return case.scores.float().index_fill(1, torch.tensor([case.classes - 1]), -torch.inf)


@check
def masked_classes_are_no_nan(case: Case) -> None:
    """A score of -inf for a class that is not the label: no NaN."""
    found = case.call(_masked(case), case.labels % (case.classes - 1))
    assert not found.isnan(), "NaN"


@check
def masked_classes_leave_the_gradient_finite(case: Case) -> None:
    """A score of -inf for a class that is not the label: a finite gradient."""
    case.finite(case.gradient(_masked(case), case.labels % (case.classes - 1)))


@check
def masked_labels_are_no_nan(case: Case) -> None:
    """A score of -inf for the label itself: no NaN; infinity is an answer."""
    found = case.call(_masked(case), torch.full_like(case.labels, case.classes - 1))
    assert not found.isnan(), "NaN"


@check
def nan_scores_are_not_hidden(case: Case) -> None:
    """NaN among the scores: the loss is NaN."""
    scores = case.scores.clone()
    scores[0, 0] = float("nan")
    assert case.call(scores).isnan(), f"{case.call(scores).item():.6g}"


# Derivatives


def _true_derivative_only(case: Case) -> None:
    if case.held_constant:
        raise Skip("it holds a factor constant on purpose")


def _quotient(function: object, scores: Tensor, direction: Tensor) -> Tensor:
    step = 1e-6
    ahead, behind = (function(scores + sign * step * direction) for sign in (1, -1))  # type: ignore[operator]
    quotient: Tensor = (ahead - behind) / (2 * step)
    return quotient


def _direction(case: Case) -> Tensor:
    return torch.linspace(-1, 1.3, 6 * case.classes, dtype=torch.float64).cos().reshape(6, -1)


@check
def gradient_is_the_derivative(case: Case) -> None:
    """The gradient along a direction is the difference quotient of the loss."""
    _true_derivative_only(case)
    direction = _direction(case)
    found = (case.gradient() * direction).sum()
    case.equal(found, _quotient(case.call, case.scores, direction).detach(), tolerance=1e-6)


@check
def gradient_of_soft_targets_is_the_derivative(case: Case) -> None:
    """With probabilities as target, too."""
    _true_derivative_only(case)
    direction = _direction(case)
    found = (case.gradient(target=case.soft) * direction).sum()
    expected = _quotient(lambda scores: case.call(scores, case.soft), case.scores, direction)
    case.equal(found, expected.detach(), tolerance=1e-6)


@check
def second_derivative_is_that_of_the_gradient(case: Case) -> None:
    """Backward through backward gives the difference quotient of the gradient."""
    _true_derivative_only(case)
    leaf, direction = case.scores.clone().requires_grad_(), _direction(case)
    (slope,) = torch.autograd.grad(case.call(leaf), leaf, create_graph=True)
    (found,) = torch.autograd.grad((slope * direction).sum(), leaf)
    case.equal(found, _quotient(case.gradient, case.scores, direction), tolerance=1e-6)


@check
def gradient_adds_up_to_zero_over_the_classes(case: Case) -> None:
    """The gradient of each sample sums to 0 (where one number added to all scores changes nothing)."""
    if not case.shift_invariant:
        raise Skip("it claims no shift invariance")
    case.equal(case.gradient().sum(1), torch.zeros(6))


@check
def func_grad_agrees(case: Case) -> None:
    """torch.func.grad gives the gradient of backward."""
    case.equal(grad(case.call)(case.scores, case.labels), case.gradient())


@check
def vmap_runs_over_the_samples(case: Case) -> None:
    """torch.func.vmap over samples (K,) gives the loss of each."""
    case.equal(vmap(case.call)(case.scores, case.labels), case.losses)


@check
def vmap_of_grad_gives_the_gradient_of_each_sample(case: Case) -> None:
    """vmap(grad(loss)) over the samples gives the gradient of each."""
    case.equal(vmap(grad(case.call))(case.scores, case.labels), 6 * case.gradient())


@check
def compile_takes_it_whole(case: Case) -> None:
    """torch.compile(fullgraph=True) finds one graph, with the same loss and gradient."""
    loss, leaf = case.with_options(), case.scores.clone().requires_grad_()
    compiled = torch.compile(lambda scores, labels: loss(scores, labels), fullgraph=True, backend="eager")
    with torch._dynamo.config.patch(recompile_limit=1_000_000):  # a caller may have compiled many losses before
        found = compiled(leaf, case.labels)
    case.equal(found, case.losses.mean())
    case.equal(torch.autograd.grad(found, leaf)[0], case.gradient())
