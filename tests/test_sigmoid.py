"""Binary and multi-label classification."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import InputError
from noiseproof.losses.sigmoid import SigmoidLoss

CARRIES_OVER = [entry.name for entry in losses.LOSSES if entry.claims.get("shift_invariant", True)]


def batch(dtype=torch.float64):
    scores = 3 * torch.randn(6, 4, generator=seeded(1), dtype=dtype)
    return scores, torch.randint(2, (6, 4), generator=seeded(2)).to(dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_sigmoid_form_of_ce_is_binary_cross_entropy(reduction, weighted):
    scores, target = batch()
    options = {"weight": torch.rand(6, 1, generator=seeded(3)), "pos_weight": torch.tensor([1.0, 2, 3, 4])}
    options = {key: value.double() for key, value in options.items()} if weighted else {}
    ours = SigmoidLoss("ce", reduction=reduction, **options)(scores, target)
    theirs = F.binary_cross_entropy_with_logits(scores, target, reduction=reduction, **options)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", CARRIES_OVER)
def test_it_equals_the_softmax_over_two_classes_wherever_the_two_scores_lie(name):
    scores, target = batch()
    ours = SigmoidLoss(name, reduction="none")(scores, target)
    two = torch.stack([-scores / 2, scores / 2], -1).reshape(-1, 2)
    theirs = losses.parse(name, reduction="none")(two, target.long().reshape(-1)).reshape(6, 4)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("text", ["lc", "ldr", "nce + ldr"])
def test_losses_of_the_scores_themselves_are_refused(text):
    with pytest.raises(InputError, match="has no sigmoid form"):
        SigmoidLoss(text)


@pytest.mark.parametrize("name", CARRIES_OVER)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_value_and_gradient_stay_finite_at_extreme_scores(name, dtype):
    scores = torch.tensor([-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
    value = SigmoidLoss(name)(scores, torch.tensor([1.0, 0, 1, 0, 1, 0, 1]))
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert scores.grad.isfinite().all()


def test_a_target_of_another_shape_is_refused_in_torchs_words():
    with pytest.raises(ValueError, match=r"Target size .* must be the same as input size"):
        SigmoidLoss("ce")(torch.zeros(3, 2), torch.zeros(3))
