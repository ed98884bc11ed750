"""`check_loss` on every loss of ours, on torch's, and on losses with one fault each."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from noiseproof import losses
from noiseproof.errors import InputError, UnknownNameError
from noiseproof.registry import Entry
from noiseproof.testing import CHECKS, check_loss

TEXTS = [
    *losses.LOSSES.names(),
    *("fl(detach=true)", "nfl(detach=true)", "nnfl(detach=true)", "efl(detach=true)", "gce(q=0.1)", "aul(a=1, q=0.5)"),
    *("agce(a=1e-5, q=0.5)", "amse(a=1, q=0.5)", "amse(a=4, q=3)", "lc(delta=2.5)", "ldr(lam=10)"),
    *("nce + amse", "5*nfl(detach=true) + 5*nnfl(detach=true)"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_our_losses_pass(text):
    report = check_loss(losses.parse(text))
    assert report, str(report)
    wanted = {"it claims no shift invariance", "it does not claim to be symmetric", "it does not claim to be bounded"}
    wanted |= {"it holds a factor constant on purpose", "it gives up implausible labels by definition"}
    assert {result.found for result in report.results if result.outcome == "skipped"} <= wanted


def test_our_losses_pass_whatever_options_they_were_given():
    given = {"weight": torch.rand(5) + 0.5, "reduction": "sum", "label_smoothing": 0.1, "ignore_index": 2}
    report = check_loss(losses.NCE(**given))
    assert report, str(report)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy, nn.CrossEntropyLoss(reduction="sum")])
def test_torchs_own_loss_passes(loss):
    report = check_loss(loss)
    assert report, str(report)
    assert len(report.named("passed")) >= 60


def test_there_are_many_checks_each_with_a_name_and_a_sentence():
    assert len(CHECKS) >= 60
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.expected.endswith((".", ").")) and check.name.isidentifier() for check in CHECKS)


@pytest.mark.parametrize("classes", [3, 10, 30])
def test_any_number_of_classes_from_three_will_do(classes):
    report = check_loss(losses.parse("nce + amse"), num_classes=classes)
    assert report, str(report)


def test_losses_are_checked_on_the_cpu_whatever_the_default_device():
    with torch.device("meta"):
        report = check_loss(losses.parse("nce + amse"))
    assert report, str(report)


def test_two_classes_are_too_few_for_the_checks():
    with pytest.raises(InputError, match="num_classes must be 3 or more, got 2"):
        check_loss(losses.CE(), num_classes=2)


def test_checking_needs_torch_and_nothing_else():
    script = (
        "import sys, torch\n"
        "blocked = {'numpy', 'scipy', 'sklearn', 'pydantic', 'typer', 'rich', 'matplotlib', 'safetensors', 'PIL'}\n"
        "for name in [m for m in sys.modules if m.split('.')[0] in blocked]: del sys.modules[name]\n"
        "class Wall:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked: raise ModuleNotFoundError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Wall())\n"
        "from noiseproof import losses\n"
        "from noiseproof.testing import check_loss\n"
        "report = check_loss(losses.parse('nce + amse'), raise_on_failure=True)\n"
        "print(len(report.named('passed')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


# Losses with one fault each


class Own(losses.Loss):
    """A good loss of a user's, cross-entropy without a name in the registry."""

    def per_class(self, logits):
        return -logits.log_softmax(1)


class WrongReduction(Own):
    def forward(self, input, target):
        value = super().forward(input, target)
        return value * input.shape[0] if self.reduction == "mean" else value


class NoIgnoreIndex(Own):
    def forward(self, input, target):
        return super().forward(input, target if target.is_floating_point() else target.clamp(min=0))


class ClampKillsGradient(Own):
    def per_class(self, logits):
        return -logits.softmax(1).clamp(min=1e-4).log()


class HalfOverflows(Own):
    def forward(self, input, target):
        if input.dtype == torch.float16:
            return (super().forward(input.float(), target).half() * 1e4 * 1e4 / 1e8).float()
        return super().forward(input, target)


class MeanForgetsTheWeights(Own):
    def forward(self, input, target):
        if self.reduction != "mean" or self.weight is None or target.is_floating_point():
            return super().forward(input, target)
        kept, self.reduction = (target != self.ignore_index).sum(), "sum"
        try:
            return super().forward(input, target) / kept
        finally:
            self.reduction = "mean"


class ChangesItsInput(Own):
    def forward(self, input, target):
        value = super().forward(input, target)
        with torch.no_grad():
            input.sub_(input.amax(-1, keepdim=True))
        return value


class KnowsTheFirstClass(Own):
    def per_class(self, logits):
        return super().per_class(logits) * torch.linspace(1, 2, logits.shape[1], dtype=logits.dtype)


class NaNWhereMasked(Own):
    def per_class(self, logits):
        p = logits.softmax(1)
        return super().per_class(logits) + 0 * (p * p.log()).sum(1, keepdim=True)


class ExtremesOverflow(Own):
    def per_class(self, logits):
        e = logits.exp()
        return -(e / e.sum(1, keepdim=True)).log()


class SoftTargetsAsLabels(Own):
    def forward(self, input, target):
        soft = target.is_floating_point() and target.shape == input.shape
        return super().forward(input, target.argmax(min(1, input.dim() - 1)) if soft else target)


class SmoothingDropped(Own):
    def forward(self, input, target):
        if not 0 <= self.label_smoothing <= 1:
            return super().forward(input, target)
        kept, self.label_smoothing = self.label_smoothing, 0.0
        try:
            return super().forward(input, target)
        finally:
            self.label_smoothing = kept


class WrongDerivative(Own):
    def per_class(self, logits):
        p = logits.softmax(1)
        return -((1 - p).detach() ** 0.5) * p.log()


class RoundsToNothing(Own):
    def per_class(self, logits):
        return 1 - logits.float().softmax(1)


class CountsItsCalls(Own):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, input, target):
        self.calls += 1
        return super().forward(input, target)


class Draws(Own):
    def per_class(self, logits):
        return super().per_class(logits) + 1e-3 * torch.rand(logits.shape[0], 1, dtype=logits.dtype)


class OnlyTwoDimensions(Own):
    def forward(self, input, target):
        if input.dim() == 2:
            return super().forward(input, target)
        return super().forward(input.flatten(0, -2), target.flatten() if target.dim() < input.dim() else target)


class AcceptsAnyLabel(Own):
    def forward(self, input, target):
        if not target.is_floating_point():
            target = target.where(
                target == self.ignore_index, target.clamp(0, input.shape[min(1, input.dim() - 1)] - 1)
            )
        return super().forward(input, target)


class CannotBePickled(Own):
    def __init__(self):
        super().__init__()
        self.hook = lambda: None


class BatchAware(Own):
    def per_class(self, logits):
        return super().per_class(logits - logits.mean(0)) if logits.shape[0] > 1 else super().per_class(logits)


class NoShiftInvariance(Own):
    def per_class(self, logits):
        return super().per_class(logits) + 1e-3 * logits.clamp(-50, 50).square().sum(1, keepdim=True)


class Claims(Own):
    name = "claims"


class KeepsTheLabelsToItself(Own):
    """Labels and gradient kept on the node, where autograd sees neither."""

    class Node(torch.autograd.Function):
        @staticmethod
        def forward(ctx, scores, target, reduction):
            ctx.save_for_backward(scores)
            ctx.target, ctx.reduction, ctx.made = target, reduction, torch.zeros_like(scores)
            return F.cross_entropy(scores, target, reduction=reduction)

        @staticmethod
        def backward(ctx, upstream):
            (scores,) = ctx.saved_tensors
            with torch.enable_grad():
                leaf = scores.detach().requires_grad_()
                value = F.cross_entropy(leaf, ctx.target, reduction=ctx.reduction)
            return torch.autograd.grad(value, leaf, upstream)[0], None, None

    def forward(self, input, target):
        plain = not target.is_floating_point() and self.weight is None and not self.label_smoothing
        if plain and input.dtype == torch.float32 and input.dim() == 2:
            return self.Node.apply(input, target, self.reduction)
        return super().forward(input, target)


class EqualByValue(Own):
    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return 1


class HidesInfinity(Own):
    def per_class(self, logits):
        return -logits.clamp(max=1e6).log_softmax(1)


class SmoothingTakesMemory(Own):
    def forward(self, input, target):
        if self.label_smoothing:
            input = torch.stack([input * (1 + i) / (1 + i) for i in range(12)]).mean(0)
        return super().forward(input, target)


FAULTS = {
    KeepsTheLabelsToItself: {"labels_changed_after_the_call_do_no_harm", "checkpointed_call_holds_nothing"},
    EqualByValue: {"equal_copies_in_one_model_are_all_moved"},
    HidesInfinity: {"infinite_scores_are_not_hidden"},
    SmoothingTakesMemory: {"options_take_no_more_memory"},
    WrongReduction: {"mean_is_the_average_over_the_samples", "reduction_mean_averages"},
    NoIgnoreIndex: {"ignored_samples_leave_the_mean", "ignored_samples_get_no_gradient", "sum_over_nothing_is_zero"},
    ClampKillsGradient: {"wrong_samples_still_pull"},
    HalfOverflows: {"float16_is_as_good_as_float32"},
    MeanForgetsTheWeights: {"weighted_mean_divides_by_the_weights", "scale_of_the_weights_cancels_in_the_mean"},
    ChangesItsInput: {"scores_are_left_alone"},
    KnowsTheFirstClass: {"names_of_classes_do_not_matter", "default_device_does_not_matter"},
    NaNWhereMasked: {"masked_classes_are_no_nan", "masked_classes_leave_the_gradient_finite"},
    ExtremesOverflow: {
        "value_is_finite_at_a_gap_of_100",
        "value_is_finite_at_a_gap_of_10000",
        "large_scores_are_taken",
    },
    SoftTargetsAsLabels: {"soft_targets_average_the_labels", "weighted_soft_targets_divide_by_the_samples"},
    SmoothingDropped: {"smoothing_mixes_in_all_labels", "full_smoothing_forgets_the_label"},
    WrongDerivative: {"gradient_is_the_derivative"},
    RoundsToNothing: {"float64_stays", "gradient_is_the_derivative"},
    CountsItsCalls: {"state_does_not_change"},
    Draws: {"value_repeats", "random_numbers_are_left_alone"},
    OnlyTwoDimensions: {"sequences_have_the_classes_second", "images_have_the_classes_second"},
    AcceptsAnyLabel: {"label_beyond_the_classes_is_refused", "negative_label_is_refused"},
    CannotBePickled: {"pickles_are_equal"},
    BatchAware: {"samples_do_not_know_each_other", "mean_is_the_average_over_the_samples"},
    NoShiftInvariance: {"one_number_added_to_all_scores_does_not_matter"},
}


@cache
def report_on(cls):
    return check_loss(cls())


def test_the_loss_that_the_faults_are_made_from_passes():
    report = check_loss(Own())
    assert report, str(report)


@pytest.mark.parametrize("cls", FAULTS, ids=lambda cls: cls.__name__)
def test_a_fault_is_caught_by_the_check_that_is_meant_for_it(cls):
    report = report_on(cls)
    assert FAULTS[cls] <= {result.name for result in report.failures}, str(report)


@pytest.mark.parametrize("cls", FAULTS, ids=lambda cls: cls.__name__)
def test_most_other_checks_stay_quiet(cls):
    assert len(report_on(cls).named("passed")) > 45


@pytest.mark.parametrize(
    ("claims", "check"),
    [
        ({"symmetric": True}, "losses_of_all_labels_add_up_to_a_constant"),
        ({"bounded": True}, "bounded_losses_stay_bounded"),
    ],
)
def test_a_false_claim_is_caught(claims, check, monkeypatch):
    monkeypatch.setitem(losses.LOSSES._entries, "claims", Entry("claims", Claims, claims))
    assert [result.name for result in check_loss(Claims()).failures] == [check]


# Functions and the report


def test_a_function_without_options_is_checked_as_far_as_it_goes():
    def plain(scores, target):
        return F.cross_entropy(scores, target)

    report = check_loss(plain)
    assert report, str(report)
    assert "weighted_sum_adds_up" in report.named("skipped")
    reasons = {result.found for result in report.results if result.name == "weighted_sum_adds_up"}
    assert reasons == {"it has no option weight, reduction"}
    assert "pickles_are_equal" in report.named("skipped")


def test_the_report_says_what_was_expected_and_what_was_found():
    report = check_loss(WrongReduction(), num_classes=3)
    text = str(report)
    assert not report
    assert text.startswith("WrongReduction: ")
    assert "failed  reduction_mean_averages" in text
    assert 'expected: reduction="mean" gives the average' in text
    assert "instead of" in next(result.found for result in report.failures if result.name == "reduction_mean_averages")


def test_a_failed_report_can_be_raised():
    with pytest.raises(AssertionError, match="reduction_mean_averages"):
        check_loss(WrongReduction(), raise_on_failure=True)
    check_loss(losses.CE(), raise_on_failure=True)


def test_checks_can_be_left_out_by_name():
    report = check_loss(NoShiftInvariance(), shift_invariant=False)
    assert report, str(report)
    names = [result.name for result in check_loss(WrongReduction()).failures]
    assert check_loss(WrongReduction(), skip=names)
    with pytest.raises(UnknownNameError, match="did you mean 'value_repeats'"):
        check_loss(losses.CE(), skip=["value_repeat"])


def test_the_loss_under_test_is_left_as_it_was():
    loss = losses.NCE(weight=torch.ones(5), reduction="sum")
    before = repr(loss)
    check_loss(loss)
    assert repr(loss) == before
    assert loss.reduction == "sum"
