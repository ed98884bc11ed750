"""Checks of a loss's values: reductions, independence of samples, symmetries."""

from __future__ import annotations

import torch

from noiseproof.testing.case import Case, Check, Skip, collect

CHECKS: list[Check] = []
check = collect(CHECKS)


@check
def value_is_one_number(case: Case) -> None:
    """A batch gives a scalar."""
    assert case.call().shape == (), f"shape {tuple(case.call().shape)}"


@check
def value_is_finite(case: Case) -> None:
    """Ordinary scores give a finite loss for every label."""
    case.finite(case.table)


@check
def value_depends_on_the_label(case: Case) -> None:
    """Some labels cost more than others."""
    assert (case.table.amax(1) > case.table.amin(1)).all(), "all labels cost the same"


@check
def right_costs_less_than_wrong(case: Case) -> None:
    """A sample whose label has the highest score costs less than one whose label has the lowest."""
    case.must_pull()
    scores = torch.linspace(3, -3, case.classes, dtype=torch.float64)[None]
    right, wrong = case.call(scores, torch.tensor([0])), case.call(scores, torch.tensor([case.classes - 1]))
    assert right < wrong, f"right costs {right:.6g}, wrong {wrong:.6g}"


@check
def value_repeats(case: Case) -> None:
    """The same call gives the same number, bit for bit."""
    first, second = case.call(), case.call()
    assert torch.equal(first, second), f"{first.item()!r}, then {second.item()!r}"


@check
def mean_is_the_average_over_the_samples(case: Case) -> None:
    """Without options the loss of a batch is the average of the losses of its samples."""
    case.equal(case.call(), case.losses.mean())


@check
def reduction_none_keeps_the_samples(case: Case) -> None:
    """reduction="none" gives the loss of each sample."""
    case.equal(case.call(reduction="none"), case.losses)


@check
def reduction_sum_adds_up(case: Case) -> None:
    """reduction="sum" gives the sum of the losses of the samples."""
    case.equal(case.call(reduction="sum"), case.losses.sum())


@check
def reduction_mean_averages(case: Case) -> None:
    """reduction="mean" gives the average of the losses of the samples."""
    case.equal(case.call(reduction="mean"), case.losses.mean())


@check
def samples_do_not_know_each_other(case: Case) -> None:
    """Changing one sample does not change the loss of another."""
    others = case.scores.clone()
    others[0] += torch.linspace(-3, 3, case.classes, dtype=torch.float64)
    case.equal(case.call(others, reduction="none")[1:], case.losses[1:])


@check
def order_of_the_samples_does_not_matter(case: Case) -> None:
    """A batch in another order has the same loss."""
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    case.equal(case.call(case.scores[order], case.labels[order]), case.losses.mean())


@check
def samples_count_as_often_as_they_come(case: Case) -> None:
    """A batch that holds a sample twice counts it twice."""
    twice = torch.tensor([0, 0, 1])
    case.equal(case.call(case.scores[twice], case.labels[twice]), case.losses[twice].mean())


@check
def names_of_classes_do_not_matter(case: Case) -> None:
    """Classes in another order, in scores and labels alike, give the same loss."""
    order = torch.arange(case.classes).roll(1)
    case.equal(case.table_of(case.scores[:, order]), case.table[:, order])


@check
def one_number_added_to_all_scores_does_not_matter(case: Case) -> None:
    """Scores z and z + 7 give the same loss (where the loss claims so)."""
    if not case.shift_invariant:
        raise Skip("it claims no shift invariance")
    case.equal(case.table_of(case.scores + 7), case.table)


@check
def losses_of_all_labels_add_up_to_a_constant(case: Case) -> None:
    """The sum over all labels is the same for all scores (where the loss claims to be symmetric)."""
    if not case.claims("symmetric", False):
        raise Skip("it does not claim to be symmetric")
    sums = case.table.sum(1)
    case.equal(sums, sums[:1].expand_as(sums))


@check
def bounded_losses_stay_bounded(case: Case) -> None:
    """Scores of size 1e4 cost at most little more than scores of size 1e2 (where the loss claims to be bounded)."""
    if not case.claims("bounded", False):
        raise Skip("it does not claim to be bounded")
    far, near = (case.table_of(size * torch.eye(case.classes, dtype=torch.float64)).max() for size in (1e4, 1e2))
    assert far <= near + 0.5 * near.abs(), f"{far:.6g} at 1e4, {near:.6g} at 1e2"


@check
def per_class_has_a_loss_for_every_label(case: Case) -> None:
    """per_class(scores) has the shape (N, K) of the scores."""
    found = case.per_class(case.scores)
    assert found.shape == case.scores.shape, f"shape {tuple(found.shape)}"


@check
def per_class_agrees_with_the_call(case: Case) -> None:
    """per_class(scores)[i, k] is the loss of sample i with label k."""
    case.equal(case.per_class(case.scores), case.table)


@check
def per_class_rows_do_not_know_each_other(case: Case) -> None:
    """per_class of one row is that row of per_class of all."""
    case.equal(case.per_class(case.scores[2:3]), case.per_class(case.scores)[2:3].detach(), tolerance=1e-12)
