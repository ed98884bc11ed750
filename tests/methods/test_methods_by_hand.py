"""Methods on scores small enough to compute by hand: published toy values, and closed forms of their papers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conftest import seeded
from noiseproof import losses, methods
from noiseproof.learners.robust_training import _EarlyLearning
from noiseproof.methods import METHODS, Batch, Outputs, Task
from noiseproof.methods.additions.averages import EMA, SWA
from noiseproof.methods.additions.smooth import Smoothed
from noiseproof.methods.anl_ce_er import entropy_gap
from noiseproof.methods.dividemix import sharpen
from noiseproof.methods.elr_plus import ramp
from noiseproof.methods.forward import through
from noiseproof.methods.pes import PES
from noiseproof.methods.reweight import importance
from noiseproof.methods.sop import sop_terms
from noiseproof.methods.two_networks import estimated_rate
from noiseproof.methods.volminnet import default_init, learned_matrix

# The toy of the survey of methods: K = 4, the given label is the second class.
Z = (2.0, 1.0, 0.1, -1.0)
GIVEN = torch.tensor([1])
P = [math.exp(z) / sum(map(math.exp, Z)) for z in Z]
CE = -math.log(P[1])


def toy() -> Tensor:
    return torch.tensor([Z], dtype=torch.float64, requires_grad=True)


def task(given: Tensor = GIVEN, classes: int = 4, epochs: int = 100) -> Task:
    return Task(len(given), classes, given, None, epochs, 4, 1, torch.device("cpu"), None, None)


def batch(views: list[Tensor], given: Tensor = GIVEN, epoch: float = 0.0, networks: int = 1) -> Batch:
    """A batch whose views are the logits; every network passes them on."""
    index = torch.arange(len(given))
    return Batch(tuple(views), given, index, epoch, [lambda x: x] * networks, lambda: seeded(1))


def ready(text: str, given: Tensor = GIVEN, **facts):
    method = methods.parse(text)
    method.setup(task(given, **facts))
    return method


def value_and_slope(text: str, views: list[Tensor] | None = None, epoch: float = 0.0) -> tuple[float, list[float]]:
    method, z = ready(text), toy()
    value, _ = method.objective(batch([z, *(views or [])], epoch=epoch))
    (slope,) = torch.autograd.grad(value, z)
    return value.item(), slope[0].tolist()


PUBLISHED = {  # values and gradients of the published code
    "elr": (0.99089653, [0.52718699, -0.70678322, 0.13315272, 0.04644351]),
    "js(w=0.5)": (1.13359397, [0.35872645, -0.43024061, 0.05365422, 0.01785994]),
    "js(w=0.5, scaled=false)": (0.39287373, None),
    "js(w=0.1)": (1.36743502, [0.55090603, -0.66073228, 0.08239825, 0.02742800]),
    "bootstrap(kind=soft)": (1.35158496, [0.51045308, -0.61221481, 0.07634776, 0.02541396]),
    "bootstrap": (1.24931300, [0.43806635, -0.56526851, 0.09543470, 0.03176745]),
    "truncate": (0.36142208, [0.23134802, -0.27746857, 0.03460240, 0.01151814]),
}


@pytest.mark.parametrize("text", PUBLISHED)
def test_a_first_step_has_the_published_value_and_gradient(text):
    value, slope = value_and_slope(text)
    assert value == pytest.approx(PUBLISHED[text][0], abs=1e-6)
    if PUBLISHED[text][1] is not None:
        assert slope == pytest.approx(PUBLISHED[text][1], abs=1e-6)


def test_gjs_has_the_published_value_where_the_second_view_knows_nothing():
    value, slope = value_and_slope("gjs(w=0.5, views=2)", [torch.zeros(1, 4, dtype=torch.float64)])
    assert value == pytest.approx(1.27404732, abs=1e-6)
    assert slope == pytest.approx([0.28825976, -0.23749005, -0.02268123, -0.02808848], abs=1e-6)


@pytest.mark.parametrize(
    ("epoch", "value", "slope"),
    [
        (25, -0.54135550, [0.23661848, -0.74947348, 0.25532982, 0.25752518]),
        (60, -2.39931276, [-0.13806621, -0.73473146, 0.40456527, 0.46823240]),
    ],
)
def test_cores2_has_the_published_value_with_even_classes(epoch, value, slope):
    method, z = ready("cores2(sieve=1000)"), toy()
    method.prior.fill_(1 / 4)
    found, _ = method.objective(batch([z], epoch=epoch))
    assert found.item() == pytest.approx(value, abs=1e-5)
    assert torch.autograd.grad(found, z)[0][0].tolist() == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize(
    ("r", "value", "slope"),
    [
        (0.1, 1.49681300, [0.61306635, -0.69026851, 0.07043470, 0.00676745]),
        (-0.6, 1.16431300, [0.78806635, -1.21526851, 0.24543470, 0.18176745]),
    ],
)
def test_smoothing_has_the_published_value(r, value, slope):
    z = toy()
    found = Smoothed(losses.parse("ce"), r)(z, GIVEN)
    assert found.item() == pytest.approx(value, abs=1e-6)
    assert torch.autograd.grad(found, z)[0][0].tolist() == pytest.approx(slope, abs=1e-6)


def test_the_entropy_term_of_anl_ce_er_is_the_published_one():
    z = toy()
    gap = entropy_gap(z)
    assert gap.item() == pytest.approx(0.42562157, abs=1e-6)
    assert torch.autograd.grad(gap, z)[0][0].tolist() == pytest.approx(
        [0.32628147, -0.11469925, -0.13252447, -0.07905776], abs=1e-6
    )


def test_sop_has_the_published_value():
    u, v = torch.full((1, 1), 0.5, dtype=torch.float64), torch.full((1, 4), 0.3, dtype=torch.float64)
    assert sop_terms(toy(), GIVEN, u, v)[0].item() == pytest.approx(2.16857627, abs=1e-6)


def test_sharpening_squares_odds():
    odds = sharpen(torch.tensor([[0.6, 0.4]]))
    assert float(odds[0, 0] / odds[0, 1]) == pytest.approx((0.6 / 0.4) ** 2)


def test_elr_adds_the_gradient_of_its_paper_and_forgets_by_beta():
    """lam p_j (t_j - <t, p>) / (1 - <t, p>) is taken off the gradient of the loss; t = (1 - beta) p at first, then
    beta t + (1 - beta) p."""
    method = ready("elr(beta=0.7, lam=3)")
    for target in ([0.3 * p for p in P], [(0.7 * 0.3 + 0.3) * p for p in P]):
        z = toy()
        value, _ = method.objective(batch([z]))
        agreement = sum(t * p for t, p in zip(target, P, strict=True))
        assert value.item() == pytest.approx(CE + 3 * math.log(1 - agreement), abs=1e-6)
        slope = [
            p - (k == 1) - 3 * p * (t - agreement) / (1 - agreement)
            for k, (p, t) in enumerate(zip(P, target, strict=True))
        ]
        assert torch.autograd.grad(value, z)[0][0].tolist() == pytest.approx(slope, abs=1e-6)


def test_a_head_on_frozen_features_has_the_objective_of_elr():
    """Learners lie below the methods and state it once more; the values and gradients are the same, step by step."""
    method, head = ready("elr(beta=0.7, lam=3)"), _EarlyLearning(1, 4)
    for _ in range(3):
        z, same = (toy().detach().float().requires_grad_() for _ in range(2))
        value, _ = method.objective(batch([z]))
        other = head(same, GIVEN, torch.tensor([0]))
        (slope,), (slope_of_head,) = torch.autograd.grad(value, z), torch.autograd.grad(other, same)
        torch.testing.assert_close(other, value)
        torch.testing.assert_close(slope_of_head, slope)


def test_selc_trains_on_the_given_label_then_on_an_average_with_its_predictions():
    """t = alpha e_y + (1 - alpha) p at the first visit, so the loss is alpha CE + (1 - alpha) H(p)."""
    method, entropy = ready("selc(alpha=0.9, start=2)"), -sum(p * math.log(p) for p in P)
    assert method.objective(batch([toy()], epoch=1.9))[0].item() == pytest.approx(CE)
    assert method.objective(batch([toy()], epoch=2.0))[0].item() == pytest.approx(0.9 * CE + 0.1 * entropy, abs=1e-6)
    expected = [0.1 * p + 0.9 * (k == 1) for k, p in enumerate(P)]
    assert method.targets[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_gjs_of_equal_views_is_js():
    for w in (0.1, 0.5, 0.9):
        assert value_and_slope(f"gjs(w={w})", [toy().detach()])[0] == pytest.approx(value_and_slope(f"js(w={w})")[0])


def test_js_of_a_vanishing_weight_is_cross_entropy():
    assert value_and_slope("js(w=1e-6)")[0] == pytest.approx(CE, abs=1e-4)


# Transition matrices


def symmetric(classes: int, rate: float) -> Tensor:
    wrong = rate / (classes - 1)
    return torch.full((classes, classes), wrong, dtype=torch.float64) + (1 - rate - wrong) * torch.eye(classes)


ONE_WAY = torch.eye(4, dtype=torch.float64)
ONE_WAY[0, :2] = torch.tensor([0.6, 0.4])  # a true 0 is given as 1 in 40 % of the cases


def test_forward_is_minus_the_log_of_the_mixed_probability_and_not_of_the_transposed_matrix():
    found = losses.parse("ce")(through(toy(), ONE_WAY), GIVEN).item()
    assert found == pytest.approx(-math.log(P[1] + 0.4 * P[0]))
    assert losses.parse("ce")(through(toy(), ONE_WAY.T), GIVEN).item() != pytest.approx(found)


def test_reweighting_is_the_share_of_the_label_that_is_its_own():
    assert importance(toy(), GIVEN, ONE_WAY).item() == pytest.approx(P[1] / (P[1] + 0.4 * P[0]))
    assert importance(toy(), GIVEN, torch.eye(4, dtype=torch.float64)).item() == pytest.approx(1)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_backward_correction_of_even_noise_is_negative_smoothing(rate):
    """r = -K e / (1 - K e), e = rate / (K - 1); and it undoes the noise on average."""
    method = METHODS["backward"].cls()
    method.setup(task())
    matrix = symmetric(4, rate)
    method.inverse.copy_(torch.linalg.inv(matrix))
    found, _ = method.objective(batch([toy().float()]))
    share = 4 * rate / 3
    assert found.item() == pytest.approx(
        Smoothed(losses.parse("ce"), -share / (1 - share))(toy(), GIVEN).item(), abs=1e-5
    )
    every = [method.objective(batch([toy().float()], torch.tensor([k])))[0].item() for k in range(4)]
    assert sum(float(matrix[1, k]) * every[k] for k in range(4)) == pytest.approx(CE, abs=1e-5)


@pytest.mark.parametrize(("classes", "start", "diagonal"), [(10, 2.0, 0.4824), (100, 4.5, 0.4790)])
def test_the_matrix_of_volminnet_starts_as_published(classes, start, diagonal):
    assert default_init(classes) == start
    matrix = learned_matrix(torch.full((classes, classes), -start))
    assert matrix.diagonal().tolist() == pytest.approx([diagonal] * classes, abs=5e-5)


def test_the_diagonal_of_volminnets_parameters_has_no_gradient_and_leads():
    w = torch.randn(5, 5, generator=seeded(1)).mul(3).requires_grad_()
    matrix = learned_matrix(w)
    assert (matrix.diagonal()[:, None] >= matrix - 1e-7).all()
    matrix.slogdet().logabsdet.backward()
    assert w.grad.diagonal().eq(0).all()


def test_the_forget_rate_of_a_matrix_is_weighted_by_the_true_classes():
    """Class 0 is half of the truth and 40 % of it is wrong: 0.2, though the mean of the diagonal says 0.1."""
    prior = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)
    given = torch.repeat_interleave(torch.arange(4), (1000 * prior @ ONE_WAY).round().long())
    assert estimated_rate(ONE_WAY, given) == pytest.approx(0.2, abs=1e-3)


# Two networks


def pair(one: list[list[float]], other: list[list[float]], given: list[int], epoch: float = 50.0) -> Batch:
    views = tuple(torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (one, other))
    labels = torch.tensor(given)
    networks = [lambda _, view=view: view for view in views]
    return Batch(views, labels, torch.arange(len(labels)), epoch, networks, lambda: seeded(1))


def test_co_teaching_takes_means_over_what_the_other_network_finds_easy():
    """Half of two samples is left out; each network trusts another sample."""
    sure, unsure = [3.0, 0.0], [0.0, 3.0]
    method = ready("co-teaching(forget_rate=0.5, ramp=0)", torch.tensor([0, 0]), classes=2)
    value, _ = method.objective(both := pair([sure, unsure], [unsure, sure], [0, 0]))
    large = math.log(1 + math.exp(3))  # each trains on the sample that it finds hard itself
    assert value.item() == pytest.approx(2 * large)
    for view, sample in zip(both.views, (1, 0), strict=True):
        (slope,) = torch.autograd.grad(value, view, retain_graph=True)
        assert slope[1 - sample].eq(0).all()
        assert slope[sample].abs().sum() > 0


def test_co_teaching_plus_learns_nothing_where_the_networks_agree():
    method = ready("co-teaching-plus(forget_rate=0.2, start=5)", torch.tensor([0, 0]), classes=2)
    agree = pair([[3.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [0.0, 1.0]], [0, 0])
    value, _ = method.objective(agree)
    assert value.item() == 0
    differ = pair([[3.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [1.0, 0.0]], [0, 0])
    expected = math.log(1 + math.exp(3)) + math.log(1 + math.exp(-1))  # of the second sample alone
    assert method.objective(differ)[0].item() == pytest.approx(expected)


def test_decoupling_divides_by_the_number_of_samples_that_differ():
    method = ready("decoupling(start=5)", torch.tensor([0, 0]), classes=2)
    differ = pair([[3.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [1.0, 0.0]], [0, 0])
    expected = math.log(1 + math.exp(3)) + math.log(1 + math.exp(-1))
    assert method.objective(differ)[0].item() == pytest.approx(expected)


def test_jocor_is_the_joint_loss_of_the_easiest_and_without_agreement_that_of_both_losses():
    one, other = [[3.0, 0.0], [0.0, 3.0]], [[3.0, 0.0], [0.0, 3.0]]
    method = ready("jocor(forget_rate=0.5, lam=0.9, ramp=0)", torch.tensor([0, 0]), classes=2)
    assert method.objective(pair(one, other, [0, 0]))[0].item() == pytest.approx(0.1 * 2 * math.log(1 + math.exp(-3)))


# Selection and averages


def outputs(probabilities: list[float]) -> list[Outputs]:
    """Two classes, the first with these probabilities."""
    p = torch.tensor(probabilities)
    logits = torch.stack([p.log(), (1 - p).log()], 1)
    return [Outputs(logits, logits)]


def test_truncate_keeps_what_is_plausible_and_counts_the_dropped_in_its_mean():
    given = torch.zeros(4, dtype=torch.int64)
    method = ready("truncate(loss=gce(q=0.7), k=0.5, start=1, every=1)", given, classes=2)
    method.epoch_end(0, outputs([0.9, 0.6, 0.4, 0.1]), [])
    assert method.kept.tolist() == [True, True, False, False]
    z = outputs([0.9, 0.6, 0.4, 0.1])[0].logits
    at_k = (1 - 0.5**0.7) / 0.7
    expected = sum((1 - p**0.7) / 0.7 - at_k for p in (0.9, 0.6)) / 4
    assert method.objective(batch([z], given, epoch=1.0))[0].item() == pytest.approx(expected, abs=1e-6)


def test_pes_keeps_confirmed_samples_and_weighs_classes_by_their_number():
    given = torch.tensor([0, 0, 0, 1])
    method: PES = ready("pes(t1=0, t2=0, t3=0)", given, classes=2)
    method.epoch_end(0, outputs([0.9, 0.8, 0.2, 0.1]), [nn.Linear(1, 1)])
    assert method.kept.tolist() == [True, True, False, True]
    assert method.weights.tolist() == pytest.approx([0.75, 1.5])  # (2 + 1) / 2 samples a class, divided by 2 and by 1


def test_cores2_drops_what_is_less_plausible_than_the_average_label_and_counts_anew():
    given = torch.tensor([1, 1])
    method = ready("cores2(beta=0, warmup=0, ramp=0, sieve=0)", given)
    z = torch.tensor([list(Z), [2.0, -3.0, 0.1, -1.0]])
    value, _ = method.objective(batch([z], given, epoch=1.0))
    assert value.item() == pytest.approx(CE, abs=1e-6)  # of the first alone
    method.epoch_end(1, [], [])
    assert method.prior.tolist() == [0, 1, 0, 0]  # one of two samples of the class is left
    assert method.dropped.eq(0).all()


def weighted(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_the_average_forgets_its_start_at_first_and_its_decay_afterwards():
    """d = min(decay, (t + 1) / (t + 10)) at update t: 1/10, then 2/11."""
    average, network = EMA(decay=0.998, every=1), weighted(0.0)
    average.setup(task(), [network])
    nn.init.constant_(network.weight, 1.0)
    left = 1.0
    for step in range(3):
        average.after_step([network], step)
        left *= (step + 1) / (step + 10)
        assert average.copies[0].weight.item() == pytest.approx(1 - left, abs=1e-6)


def test_swa_is_the_plain_mean_of_the_last_epochs():
    from noiseproof.methods.additions.base import EpochEnd

    average, network = SWA(start=2), weighted(9.0)
    average.setup(task(epochs=5), [network])
    for epoch, value in enumerate([9.0, 9.0, 1.0, 2.0, 6.0]):
        nn.init.constant_(network.weight, value)
        average.epoch_end(EpochEnd(epoch, [], [network], lambda each: each[0], lambda each: None))
    assert average.copies[0].weight.item() == pytest.approx(3.0)
    assert [average.schedule_epoch(epoch) for epoch in range(5)] == [0, 1, 2, 2, 2]


def test_a_share_of_the_training_leaves_swa_its_last_epoch():
    average = SWA()
    average.setup(task(epochs=1), [weighted(1.0)])
    assert average.first == 0


def test_the_ramp_of_elr_plus_goes_from_exp_minus_five_to_one():
    assert [ramp(0, 100), ramp(50, 100), ramp(100, 100), ramp(200, 100), ramp(7, 0)] == pytest.approx(
        [math.exp(-5), math.exp(-1.25), 1, 1, 1]
    )


def test_mixup_of_a_loss_that_is_linear_in_the_label_is_the_loss_of_the_mixed_label():
    given = torch.tensor([0, 1, 2, 3])
    z = torch.randn(4, 4, generator=seeded(1))
    found, logits = ready("mixup(alpha=1)", given).objective(batch([z], given))
    labels = torch.linalg.solve(z.T, logits.T).T  # the mixture, read off the mixed inputs
    soft = labels @ F.one_hot(given).float()
    assert found.item() == pytest.approx(losses.parse("ce")(logits, soft.clamp(0, 1)).item(), abs=1e-4)
