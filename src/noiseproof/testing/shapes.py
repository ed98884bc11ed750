"""Shapes and dtypes: what is taken, and what is refused as torch refuses it."""

from __future__ import annotations

import torch

from noiseproof.testing.case import Case, Check, collect

CHECKS: list[Check] = []
check = collect(CHECKS)


@check
def one_sample_needs_no_batch(case: Case) -> None:
    """Scores (K,) with a label of shape () give the loss of that sample."""
    case.equal(case.call(case.scores[0], case.labels[0]), case.losses[0])


@check
def one_soft_sample_needs_no_batch(case: Case) -> None:
    """Scores (K,) with probabilities (K,) give the loss of that sample."""
    case.equal(case.call(case.scores[0], case.soft[0]), (case.soft[0] * case.table[0]).sum())


@check
def sequences_have_the_classes_second(case: Case) -> None:
    """Scores (N, K, d) with labels (N, d) give the average over all N d labels."""
    case.equal(case.call(case.scores.reshape(2, 3, -1).mT, case.labels.reshape(2, 3)), case.losses.mean())


@check
def images_have_the_classes_second(case: Case) -> None:
    """Scores (N, K, h, w) with labels (N, h, w) give the average over all N h w labels."""
    scores = case.scores.reshape(1, 2, 3, -1).movedim(-1, 1)
    case.equal(case.call(scores, case.labels.reshape(1, 2, 3)), case.losses.mean())


@check
def images_keep_their_shape(case: Case) -> None:
    """Scores (N, K, h, w) under reduction="none" give losses (N, h, w)."""
    scores = case.scores.reshape(1, 2, 3, -1).movedim(-1, 1)
    found = case.call(scores, case.labels.reshape(1, 2, 3), reduction="none")
    case.equal(found, case.losses.reshape(1, 2, 3))


@check
def soft_images_have_the_classes_second(case: Case) -> None:
    """Scores and probabilities (N, K, d) give the average over all N d positions."""
    scores, soft = (values.reshape(2, 3, -1).mT for values in (case.scores, case.soft))
    case.equal(case.call(scores, soft), (case.soft * case.table).sum(1).mean())


@check
def strided_scores_are_taken(case: Case) -> None:
    """Scores that do not lie in a row in memory give the same loss."""
    spread = torch.zeros(6, 2 * case.classes, dtype=torch.float64)
    spread[:, ::2] = case.scores
    case.equal(case.call(spread[:, ::2]), case.losses.mean())


@check
def expanded_scores_are_taken(case: Case) -> None:
    """One row of scores, expanded to six samples, gives the losses of its labels, and a gradient."""
    row = case.scores[:1].expand(6, -1)
    case.equal(case.call(row), case.table[0, case.labels].mean())
    case.finite(case.gradient(row))


@check
def two_classes_are_enough(case: Case) -> None:
    """The number of classes is taken from the scores: two."""
    found = case.call(case.scores[:, :2], case.labels % 2)
    case.equal(found, case.table_of(case.scores[:, :2]).gather(1, (case.labels % 2)[:, None]).mean())


@check
def many_classes_are_taken(case: Case) -> None:
    """The number of classes is taken from the scores: a thousand."""
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(4, 1000, generator=generator, dtype=torch.float64)
    case.finite(case.call(scores, torch.tensor([0, 10, 500, 999])))


@check
def empty_batch_has_mean_nan(case: Case) -> None:
    """No samples: the mean is NaN, as torch's."""
    case.equal(case.call(case.scores[:0], case.labels[:0]), float("nan"))


@check
def empty_batch_has_sum_zero(case: Case) -> None:
    """No samples: the sum is 0."""
    case.equal(case.call(case.scores[:0], case.labels[:0], reduction="sum"), 0.0)


@check
def labels_may_be_bytes(case: Case) -> None:
    """Labels of dtype uint8 are labels."""
    case.equal(case.call(target=case.labels.to(torch.uint8)), case.losses.mean())


@check
def short_integers_are_labels_or_refused(case: Case) -> None:
    """Labels of dtype int32 are taken as labels, or refused; nothing else."""
    try:
        found = case.call(target=case.labels.int())
    except (RuntimeError, ValueError, TypeError):
        return
    case.equal(found, case.losses.mean())


@check
def label_beyond_the_classes_is_refused(case: Case) -> None:
    """Label K is refused as torch refuses it."""
    case.refused_like_cross_entropy(case.scores, case.labels.index_fill(0, torch.tensor([2]), case.classes))


@check
def negative_label_is_refused(case: Case) -> None:
    """Label -1 is refused as torch refuses it."""
    case.refused_like_cross_entropy(case.scores, case.labels.index_fill(0, torch.tensor([2]), -1))


@check
def too_few_labels_are_refused(case: Case) -> None:
    """Five labels for six samples are refused as torch refuses them."""
    case.refused_like_cross_entropy(case.scores, case.labels[:5])


@check
def labels_of_wrong_shape_are_refused(case: Case) -> None:
    """Labels (N, 1) for scores (N, K) are refused as torch refuses them."""
    case.refused_like_cross_entropy(case.scores, case.labels[:, None])


@check
def probabilities_of_wrong_shape_are_refused(case: Case) -> None:
    """Probabilities for one class too few are refused as torch refuses them."""
    case.refused_like_cross_entropy(case.scores, case.soft[:, 1:])


@check
def integer_scores_are_refused(case: Case) -> None:
    """Scores of an integer dtype are refused as torch refuses them."""
    case.refused_like_cross_entropy(case.scores.long(), case.labels)
