"""The row kernel against the formula in float64: every loss with a form, every way it can be called."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import count, seeded
from noiseproof import losses
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu
from noiseproof.losses._kernels.plan import plan

TEXTS = [
    *("ce", "fl", "fl(gamma=2)", "fl(detach=true)", "mae", "mse", "rce", "sce", "sce(alpha=0)", "gce", "gce(q=0.1)"),
    *("agce(a=6, q=1.5)", "agce(a=1e-5, q=0.5)", "aul", "aul(a=1, q=0.5)", "aul(a=6, q=3)", "ael", "amse", "amse(a=1)"),
    *("nce", "nfl", "nfl(gamma=2)", "nfl(detach=true)", "nnce", "nnce(p_min=1e-7)", "nnfl", "nnfl(detach=true)"),
    *("ece", "ece(m=10)", "efl(detach=true)", "nce + amse", "nfl(detach=true) + amse", "5*nce + 5*nnce"),
    *("5*nfl(detach=true) + 5*nnfl(detach=true)", "nce + 4*agce(a=6, q=1.5)", "0.02*ece(m=1000) + 5*mae"),
]
INSTRUCTIONS = ["closed form"] if cpu.kernel is None else ["avx512", "avx2", "plain", "closed form"]


@pytest.fixture(params=INSTRUCTIONS)
def instructions(request, monkeypatch):
    """Each way in which this machine can run the fast path."""
    if request.param == "closed form":
        monkeypatch.setattr(cpu, "kernel", None)
        yield request.param
        return
    before = cpu.kernel.instructions
    if not cpu.kernel.use(request.param):
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    cpu.kernel.use(before)


def kernel_and_formula(text, scores, target, upstream=None, **options):
    """Value and gradient of the kernel, and of the formula in float64 on the same scores."""
    loss = losses.parse(text, **options)
    leaf, exact = scores.clone(memory_format=torch.preserve_format), scores.detach().double()
    if leaf.stride() != scores.stride():
        leaf = scores.detach()
    leaf.requires_grad_(), exact.requires_grad_()
    found = _kernels.answer(loss, leaf, target)
    assert found is not None
    truth = loss.formula(exact, target)
    weight = torch.ones_like(truth) if upstream is None else upstream.double()
    (slope,) = torch.autograd.grad(found, leaf, weight.float())
    (expected,) = torch.autograd.grad(truth, exact, weight)
    return found, slope, truth, expected


def assert_agree(found, slope, truth, expected, *, value=1e-6, gradient=1e-5, loose=1e-7, none=1e-36):
    largest = expected.abs().amax(-1, keepdim=True)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), truth, rtol=value, atol=loose, equal_nan=True)
    error = (slope.double() - expected).abs()
    finite = expected.isfinite()
    assert (error <= gradient * largest + none)[finite].all(), (error / largest)[finite].max()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("K", [2, 3, 10, 16, 17, 100, 1000])
def test_value_and_gradient_are_those_of_the_formula(text, K, instructions):
    for size, offset in ((0.5, 0.0), (5.0, 1e4), (40.0, 0.0)):
        scores = size * torch.randn(24, K, generator=seeded(K)) + offset
        target = torch.randint(K, (24,), generator=seeded(1))
        target[::3] = scores.argmax(1)[::3]
        assert_agree(*kernel_and_formula(text, scores, target, reduction="none"), loose=2e-6 if "nn" in text else 1e-7)


@pytest.mark.parametrize("text", ["ce", "nce + amse", "5*nce + 5*nnce", "nfl + amse", "gce"])
@pytest.mark.parametrize("K", [32_000, 131_072])
def test_many_classes_and_large_scores(text, K, instructions):
    for size in (1.0, 20.0, 5000.0):
        scores = (size * torch.randn(3, K, generator=seeded(3))).clamp(-1e4, 1e4)
        target = torch.tensor([0, K - 1, int(scores[2].argmax())])
        assert_agree(*kernel_and_formula(text, scores, target, reduction="none"))


@pytest.mark.parametrize("text", ["ce", "nce + amse", "5*nce + 5*nnce", "nfl + amse"])
def test_scores_may_lie_anywhere(text, instructions):
    """The largest of a row decides whether it is moved before e^x is taken."""
    for offset in (-300.0, 255.0, 257.0, -3e6, 1e8, 1e30):
        scores = 8 * torch.randn(24, 50, generator=seeded(4)) + offset
        target = torch.randint(50, (24,), generator=seeded(1))
        assert_agree(*kernel_and_formula(text, scores, target, reduction="none"), loose=2e-6 if "nn" in text else 1e-7)


@settings(max_examples=count(60, 400), deadline=None, derandomize=True)
@given(st.data())
def test_every_way_of_calling(data):
    text = data.draw(st.sampled_from(TEXTS))
    N, K = data.draw(st.integers(1, 40)), data.draw(st.integers(2, 70))
    draw = seeded(data.draw(st.integers(0, 2**30)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
    scores = (data.draw(st.sampled_from([0.1, 1.0, 8.0])) * torch.randn(N, K, generator=draw)).to(dtype)
    layout = data.draw(st.sampled_from(["plain", "rows apart", "transposed", "expanded"]))
    if layout == "rows apart":
        scores = torch.cat([scores, scores], 1)[:, :K]
    elif layout == "transposed":
        scores = scores.t().contiguous().t()
    elif layout == "expanded":
        scores = scores[:1].expand(N, K)
    reduction = data.draw(st.sampled_from(["none", "mean", "sum"]))
    options = {"reduction": reduction}
    if data.draw(st.booleans()):
        options["weight"] = torch.rand(K, generator=draw) + 0.1
    target = torch.randint(K, (N,), generator=draw)
    if data.draw(st.booleans()):
        options["ignore_index"] = data.draw(st.sampled_from([-100, 0, 1]))
        target[0] = options["ignore_index"]
    target = target.to(data.draw(st.sampled_from([torch.int64, torch.int32, torch.int16])))
    upstream = torch.rand(N if reduction == "none" else (), generator=draw) + 0.5
    if data.draw(st.booleans()):
        upstream = torch.ones(()).expand_as(upstream)

    limit = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]  # halves: rounded twice
    found, slope, truth, expected = kernel_and_formula(text, scores, target, upstream, **options)
    assert slope.dtype == dtype
    torch.testing.assert_close(found.double(), truth, rtol=2e-6, atol=3e-6, equal_nan=True)
    spacing = 6e-8 if dtype is torch.float16 else 0.0
    assert ((slope.double() - expected).abs() <= limit * expected.abs().max() + spacing).all()


@pytest.mark.parametrize("text", TEXTS)
def test_masked_classes_are_those_of_the_formula(text, instructions):
    scores, target = torch.randn(6, 9, generator=seeded(5)), torch.tensor([4, 4, 4, 0, 4, 4])
    scores[0, 2] = scores[1, 3:] = scores[2, 0] = scores[3, 1:] = -torch.inf  # the label of row 1 is masked
    found, slope, truth, expected = kernel_and_formula(text, scores, target, reduction="none")
    infinite = truth.isinf()
    assert (found.isinf() == infinite).all()
    kept = found[~infinite], slope[~infinite], truth[~infinite], expected[~infinite]
    assert_agree(*kept, loose=2e-6, none=1e-29)  # a masked class counts 1e30


@pytest.mark.parametrize("text", TEXTS)
def test_who_comes_after_can_compute(text, instructions):
    """The x87 unit shares its registers with MMX: a kernel that leaves them occupied makes the next long double NaN."""
    kernel_and_formula(text, torch.randn(24, 10, generator=seeded(9)), torch.arange(24) % 10, reduction="none")
    assert np.longdouble(20) % np.longdouble(360) == 20


def test_not_a_number_stays_in_its_row(instructions):
    scores = torch.randn(3, 20, generator=seeded(6))
    scores[1, 7] = torch.nan
    for text in ("ce", "nce + amse", "5*nce + 5*nnce", "nfl"):
        found, slope, *_ = kernel_and_formula(text, scores, torch.tensor([0, 1, 2]), reduction="none")
        assert found.isnan().tolist() == [False, True, False]
        assert slope.isnan().any(1).tolist() == [False, True, False]


def test_the_mean_over_nothing_is_nan_without_a_gradient(instructions):
    found, slope, *_ = kernel_and_formula("nce + amse", torch.randn(4, 5), torch.full((4,), -100))
    assert found.isnan()
    assert (slope == 0).all()


@pytest.mark.parametrize("text", ["nce + amse", "5*nfl + 5*nnfl"])
def test_threads_change_nothing(text):
    scores, target = torch.randn(3000, 130, generator=seeded(7)), torch.randint(130, (3000,), generator=seeded(8))
    loss = losses.parse(text)
    alone = losses.value_and_grad(loss, scores, target)
    torch.set_num_threads(3)
    try:
        together = losses.value_and_grad(loss, scores, target)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(alone[0], together[0])
    assert torch.equal(alone[1], together[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text", ["nce + amse", "5*nce + 5*nnce", "nfl", "lc"])
def test_in_place_the_gradient_takes_the_place_of_the_scores(text, dtype):
    loss = losses.parse(text)
    scores, target = torch.randn(70, 33, generator=seeded(9)).to(dtype), torch.randint(33, (70,), generator=seeded(2))
    value, grad = losses.value_and_grad(loss, scores, target)
    address = scores.data_ptr()
    value_in_place, grad_in_place = losses.value_and_grad(loss, scores, target, inplace=True)
    assert grad_in_place.data_ptr() == scores.data_ptr() == address
    assert torch.equal(value, value_in_place)
    assert torch.equal(grad, scores)


def test_the_gradient_needs_one_tensor_of_the_scores_size():
    if cpu.kernel is None:
        pytest.skip("built without a C compiler")
    scores, target = torch.randn(64, 3000, requires_grad=True), torch.randint(3000, (64,))
    for text in ("ce", "nce + amse", "5*nfl + 5*nnfl"):
        loss = losses.parse(text)
        scores.grad = None
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            loss(scores, target).backward()
        taken = sum(max(0, event.cpu_memory_usage) for event in profile.events() if event.cpu_parent is None)
        assert taken <= 1.01 * scores.nbytes, text


def test_losses_without_a_form_have_no_program():
    for text in ("lc", "ldr", "efl", "amse(q=3)", "nfl(gamma=1) + nfl(gamma=2)", "nnce + nnce(p_min=1e-7)", "mae + lc"):
        assert plan(losses.parse(text)).program is None
    for text in TEXTS:
        assert plan(losses.parse(text)).program is not None


@pytest.mark.parametrize("text", ["nce + amse", "5*nfl(detach=true) + 5*nnfl(detach=true)", "gce"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}], ids=["labels", "smoothed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_a_first_row_that_is_nan_leaves_the_others_as_they_are(text, options, dtype, target, instructions):
    """What a row's program needs is made ready at the first row that has a loss."""
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(5, 12, generator=generator).to(dtype)
    labels = torch.tensor([1, 4, 0, 11, 7])
    if target == "probabilities":
        labels = torch.randn(5, 12, generator=generator).to(dtype).softmax(1)
    loss = losses.parse(text, reduction="none", **options)

    def answer(rows):
        leaf = rows.clone().requires_grad_()
        value = loss(leaf, labels)
        (slope,) = torch.autograd.grad(value[1:].sum(), leaf)
        return value[1:].detach(), slope[1:]

    spoilt = scores.clone()
    spoilt[0, 3] = float("nan")
    for found, expected in zip(answer(spoilt), answer(scores), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
