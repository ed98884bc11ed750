"""Binary and multi-label classification."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import InputError
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu
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


class Own(losses.Loss):
    """A loss that nobody registered: of the softmax, or of the scores themselves."""

    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.softmax = softmax

    def per_class(self, logits):
        return -(logits.log_softmax(1) if self.softmax else logits).tanh()


def test_a_loss_of_ones_own_is_asked_whether_its_definition_carries_over():
    scores, target = batch()
    p = scores.sigmoid()
    expected = -(target * p.log().tanh() + (1 - target) * (1 - p).log().tanh())
    torch.testing.assert_close(SigmoidLoss(Own(softmax=True), reduction="none")(scores, target), expected)
    with pytest.raises(InputError, match="Own has no sigmoid form"):
        SigmoidLoss(Own(softmax=False))


def test_scores_become_probabilities_and_marks():
    scores = torch.tensor([[-1.0, 0.0, 2.0]])
    loss = SigmoidLoss("ce")
    torch.testing.assert_close(loss.activation(scores), torch.sigmoid(scores))
    assert loss.decodes(loss.activation(scores)).tolist() == [[False, False, True]]


def test_another_reduction_is_refused():
    with pytest.raises(InputError, match="reduction must be mean, sum or none, got 'average'"):
        SigmoidLoss("nce", reduction="average")


def test_options_given_to_the_loss_are_refused_rather_than_forgotten():
    with pytest.raises(InputError, match=r"give weight, pos_weight and reduction to SigmoidLoss itself.*'sum'"):
        SigmoidLoss(losses.parse("ce", reduction="sum"))


def test_robust_sigmoid_losses_learn_multi_label_data_that_cross_entropy_spoils():
    """Four labels of 20 features, 30 % of the entries wrong, a network that can memorise them all."""
    x = torch.randn(300, 20, generator=seeded(1))
    clean = (x @ torch.randn(20, 4, generator=seeded(2)) > 0).float()
    given = (clean - (torch.rand(300, 4, generator=seeded(3)) < 0.3).float()).abs()
    wrong = {}
    for text in ("ce", "mae"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(20, 256), torch.nn.ReLU(), torch.nn.Linear(256, 4))
        optimizer, loss = torch.optim.Adam(model.parameters(), lr=0.01), SigmoidLoss(text)
        for _ in range(150):
            optimizer.zero_grad()
            loss(model(x), given).backward()
            optimizer.step()
        wrong[text] = ((model(x) > 0).float() != clean).float().mean().item()
    assert wrong["mae"] < wrong["ce"] - 0.05, wrong


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


@pytest.mark.skipif(not cpu.has_pairs, reason="built without a C compiler")
@pytest.mark.parametrize(
    "text", [*CARRIES_OVER, "5*nfl(detach=true) + 5*nnfl(detach=true)", "aul(a=1, q=0.5)", "fl(gamma=2)"]
)
def test_the_kernel_gives_what_the_formula_gives(monkeypatch, text):
    draw = seeded(5)
    for dtype, closeness in ((torch.float32, 5e-6), (torch.float64, 1e-10)):
        size = torch.tensor([1e-3, 1.0, 3.0, 30.0]).repeat_interleave(5)[:, None]
        scores = (size * torch.randn(20, 150, generator=draw)).to(dtype)
        scores[0, :5] = torch.tensor([0.0, 90.0, -90.0, 17.0, -17.0])
        target = torch.rand(20, 150, generator=draw).to(dtype)
        target[:, 0], target[:, 1] = 1, 0
        factors = {"weight": torch.rand(20, 1, generator=draw), "pos_weight": torch.rand(150, generator=draw) + 0.5}
        for reduction in ("none", "mean"):
            found = {}
            for wide, enabled in ((dtype, True), (torch.float64, False)):
                monkeypatch.setattr(_kernels, "enabled", enabled)
                options = {name: factor.to(wide) for name, factor in factors.items()}
                leaf = scores.to(wide).requires_grad_()
                value = SigmoidLoss(text, reduction=reduction, **options)(leaf, target.to(wide))
                above = torch.linspace(0.5, 2, 150).to(wide).expand_as(value) if value.dim() else None
                found[enabled] = value.detach().double(), torch.autograd.grad(value, leaf, above)[0].double()
            (value, slope), (truth, expected) = found[True], found[False]
            torch.testing.assert_close(value, truth, rtol=closeness, atol=closeness)
            least = 1e-3 * expected.abs().max()
            assert ((slope - expected).abs() <= 30 * closeness * (expected.abs() + least)).all()


def test_the_kernel_leaves_what_overflowed_to_the_formula():
    scores = torch.tensor([[0.0, torch.inf, -torch.inf, torch.nan]], requires_grad=True)
    value = SigmoidLoss("ce", reduction="none")(scores, torch.tensor([[1.0, 1.0, 1.0, 1.0]]))
    assert value.isnan().tolist() == [[False, True, False, True]]
    assert value[0, 2] == torch.inf
    (grad,) = torch.autograd.grad(value[0, 0], scores)
    assert grad[0, 0] == -0.5
