"""The options of `cross_entropy`: weight, ignore_index, label_smoothing; and soft targets."""

from __future__ import annotations

import torch

from noiseproof.testing.case import Case, Check, collect

CHECKS: list[Check] = []
check = collect(CHECKS)


@check
def weight_multiplies_the_loss_of_its_class(case: Case) -> None:
    """weight=w, reduction="none": w[y] times the loss of each sample."""
    case.equal(case.call(weight=case.weight, reduction="none"), case.weight[case.labels] * case.losses)


@check
def weighted_sum_adds_up(case: Case) -> None:
    """weight=w, reduction="sum": the sum of w[y] times the losses."""
    case.equal(case.call(weight=case.weight, reduction="sum"), (case.weight[case.labels] * case.losses).sum())


@check
def weighted_mean_divides_by_the_weights(case: Case) -> None:
    """weight=w, reduction="mean": the weighted losses over the summed weights of the labels, not their number."""
    w = case.weight[case.labels]
    case.equal(case.call(weight=case.weight), (w * case.losses).sum() / w.sum())


@check
def weights_of_one_change_nothing(case: Case) -> None:
    """weight of ones: as without."""
    case.equal(case.call(weight=torch.ones_like(case.weight)), case.losses.mean())


@check
def scale_of_the_weights_cancels_in_the_mean(case: Case) -> None:
    """weight=3w gives the same mean as weight=w."""
    case.equal(case.call(weight=3 * case.weight), case.call(weight=case.weight).item())


@check
def class_of_weight_zero_counts_nothing(case: Case) -> None:
    """A class of weight 0 leaves the mean over the other samples."""
    weight = torch.ones_like(case.weight)
    weight[0] = 0
    case.equal(case.call(weight=weight), case.losses[case.labels != 0].mean())


@check
def weighted_soft_targets_divide_by_the_samples(case: Case) -> None:
    """weight=w with probabilities: each label's share times its weight; the mean divides by the number of samples."""
    expected = (case.soft * case.weight * case.table).sum(1).mean()
    case.equal(case.call(target=case.soft, weight=case.weight), expected)


def _ignoring(case: Case) -> torch.Tensor:
    return case.labels.index_fill(0, torch.tensor([1, 4]), -100)


@check
def ignored_samples_leave_the_mean(case: Case) -> None:
    """Samples labelled -100 do not count in the mean."""
    case.equal(case.call(target=_ignoring(case)), case.losses[[0, 2, 3, 5]].mean())


@check
def ignored_samples_cost_nothing(case: Case) -> None:
    """Samples labelled -100 have loss 0 under reduction="none"."""
    expected = case.losses.index_fill(0, torch.tensor([1, 4]), 0.0)
    case.equal(case.call(target=_ignoring(case), reduction="none"), expected)


@check
def ignored_samples_get_no_gradient(case: Case) -> None:
    """The scores of samples labelled -100 have gradient 0, the others that of a batch without them."""
    slope, rest = case.gradient(target=_ignoring(case)), [0, 2, 3, 5]
    case.equal(slope[[1, 4]], torch.zeros(2, case.classes))
    case.equal(slope[rest], case.gradient(case.scores[rest], case.labels[rest]))
    if not case.claims("gives_up", False):
        assert (slope[rest] != 0).any(1).all(), "no gradient for a sample that counts"


@check
def scores_of_ignored_samples_may_be_anything(case: Case) -> None:
    """NaN scores of a sample labelled -100 do not spoil the mean."""
    scores = case.scores.clone()
    scores[[1, 4]] = float("nan")
    case.equal(case.call(scores, _ignoring(case)), case.losses[[0, 2, 3, 5]].mean())


@check
def mean_over_nothing_is_nan(case: Case) -> None:
    """All samples ignored: the mean is NaN, as torch's."""
    case.equal(case.call(target=torch.full_like(case.labels, -100)), float("nan"))


@check
def sum_over_nothing_is_zero(case: Case) -> None:
    """All samples ignored: the sum is 0."""
    case.equal(case.call(target=torch.full_like(case.labels, -100), reduction="sum"), 0.0)


@check
def another_ignore_index_is_obeyed(case: Case) -> None:
    """ignore_index=2 leaves out the samples labelled 2."""
    case.equal(case.call(ignore_index=2), case.losses[case.labels != 2].mean())


@check
def weights_of_ignored_samples_do_not_count(case: Case) -> None:
    """weight with ignored samples: the mean divides by the weights of the others."""
    kept = torch.tensor([0, 2, 3, 5])
    w = case.weight[case.labels[kept]]
    case.equal(case.call(target=_ignoring(case), weight=case.weight), (w * case.losses[kept]).sum() / w.sum())


@check
def smoothing_mixes_in_all_labels(case: Case) -> None:
    """label_smoothing=0.3: 0.7 of the label's loss and 0.3 of the average over all labels."""
    expected = 0.7 * case.losses + 0.3 * case.table.mean(1)
    case.equal(case.call(label_smoothing=0.3, reduction="none"), expected)
    case.equal(case.call(label_smoothing=0.3), expected.mean())


@check
def full_smoothing_forgets_the_label(case: Case) -> None:
    """label_smoothing=1: the average over all labels."""
    case.equal(case.call(label_smoothing=1.0), case.table.mean())


@check
def smoothing_weighs_every_label(case: Case) -> None:
    """label_smoothing with weight: each label's loss has its own weight; the mean divides by the given labels'."""
    w = case.weight[case.labels]
    even = (case.weight * case.table).mean(1)
    expected = (0.7 * w * case.losses + 0.3 * even).sum() / w.sum()
    case.equal(case.call(label_smoothing=0.3, weight=case.weight), expected)


@check
def smoothing_leaves_ignored_samples_out(case: Case) -> None:
    """label_smoothing with ignored samples: nothing of them is mixed in."""
    kept = torch.tensor([0, 2, 3, 5])
    expected = (0.7 * case.losses + 0.3 * case.table.mean(1))[kept].mean()
    case.equal(case.call(target=_ignoring(case), label_smoothing=0.3), expected)


@check
def smoothing_smooths_soft_targets(case: Case) -> None:
    """label_smoothing=0.3 with probabilities t: those of 0.7 t + 0.3 / K."""
    expected = ((0.7 * case.soft + 0.3 / case.classes) * case.table).sum(1).mean()
    case.equal(case.call(target=case.soft, label_smoothing=0.3), expected)


@check
def soft_targets_average_the_labels(case: Case) -> None:
    """Probabilities as target: the average of the labels' losses under them."""
    case.equal(case.call(target=case.soft), (case.soft * case.table).sum(1).mean())


@check
def one_hot_targets_are_labels(case: Case) -> None:
    """One-hot probabilities give the loss of the label."""
    one_hot = torch.nn.functional.one_hot(case.labels, case.classes).double()
    case.equal(case.call(target=one_hot), case.losses.mean())


@check
def soft_targets_keep_the_samples(case: Case) -> None:
    """Probabilities under reduction="none": one loss for each sample."""
    case.equal(case.call(target=case.soft, reduction="none"), (case.soft * case.table).sum(1))


@check
def soft_targets_have_a_gradient(case: Case) -> None:
    """The derivative in a soft target is the loss of that label."""
    target = case.soft.clone().requires_grad_()
    (slope,) = torch.autograd.grad(case.call(target=target), target)
    case.equal(slope, case.table / 6)


@check
def soft_targets_refuse_an_ignored_class(case: Case) -> None:
    """A non-negative ignore_index with probabilities is refused as torch refuses it."""
    case.refused_like_cross_entropy(case.scores, case.soft, ignore_index=1)


@check
def unknown_reduction_is_refused(case: Case) -> None:
    """reduction="avg" is refused as torch refuses it."""
    case.refused_like_cross_entropy(case.scores, case.labels, reduction="avg")


@check
def smoothing_above_one_is_refused(case: Case) -> None:
    """label_smoothing=1.5 is refused as torch refuses it."""
    case.refused_like_cross_entropy(case.scores, case.labels, label_smoothing=1.5)


@check
def weight_of_wrong_length_is_refused(case: Case) -> None:
    """A weight for one class too many is refused as torch refuses it."""
    weight = torch.ones(case.classes + 1, dtype=torch.float64)
    case.refused_like_cross_entropy(case.scores, case.labels, weight=weight)
