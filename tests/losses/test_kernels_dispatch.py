"""When the kernel answers and when the formula does, and that nobody can tell but by the clock."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.func import grad, jvp, vmap

from conftest import ROOT, seeded
from noiseproof import losses
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu

JAL = "nce + amse(a=30)"


def batch(rows=6, classes=5, seed=1):
    draw = seeded(seed)
    return torch.randn(rows, classes, generator=draw), torch.randint(classes, (rows,), generator=draw)


def by_kernel(value) -> bool:
    return value.grad_fn.name() == "_RowsBackward"


def ones_of(loss, scores, target):
    """Value and gradient of the mean."""
    leaf = scores.detach().clone().requires_grad_()
    value = loss(leaf, target)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


@pytest.fixture
def formula_only(monkeypatch):
    def switch():
        monkeypatch.setattr(_kernels, "enabled", False)

    return switch


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_kernel_answers_the_ordinary_call(dtype):
    scores, target = batch()
    assert by_kernel(losses.parse(JAL)(scores.to(dtype).requires_grad_(), target))
    assert by_kernel(losses.parse(JAL)(scores.to(dtype).requires_grad_(), target.to(torch.uint8)))
    assert by_kernel(losses.parse(JAL)(torch.nn.Parameter(scores.to(dtype)), target))


def test_the_kernel_answers_every_option_too():
    scores, target = batch()
    leaf = scores.clone().requires_grad_()
    calls = [
        (losses.parse(JAL), leaf, scores.softmax(1)),
        (losses.parse(JAL, label_smoothing=0.1), leaf, target),
        (losses.parse(JAL), leaf.double(), target),
    ]
    for loss, given, labels in calls:
        assert by_kernel(loss(given, labels)) == (cpu.kernel is not None)


def test_the_formula_answers_what_the_kernel_does_not():
    scores, target = batch()
    leaf = scores.clone().requires_grad_()
    assert not by_kernel(losses.parse("lc")(leaf, target))  # a single block of rows
    assert by_kernel(losses.parse("lc")(leaf.repeat(8000, 1), target.repeat(8000)))
    assert not by_kernel(losses.parse(JAL)(leaf[0], target[0]))
    weight = torch.ones(5, requires_grad=True)
    losses.parse(JAL, weight=weight)(leaf, target).backward()
    assert weight.grad is not None


def test_a_loss_of_ones_own_is_computed_from_its_own_formula():
    class Half(losses.MAE):
        def per_class(self, logits):
            return super().per_class(logits) / 2

    scores, target = batch()
    leaf = scores.clone().requires_grad_()
    assert not by_kernel(Half()(leaf, target))
    assert not by_kernel((Half() + losses.NCE())(leaf, target))
    torch.testing.assert_close(2 * Half()(scores, target), losses.MAE()(scores, target))

    class HalfSum(losses.WeightedSum):
        def per_class(self, logits):
            return super().per_class(logits) / 2

    half = HalfSum(losses.parse(JAL).terms())
    assert not by_kernel(half(leaf, target))
    torch.testing.assert_close(2 * half(scores, target), losses.parse(JAL)(scores, target))


@pytest.mark.parametrize("learned", [torch.nn.Parameter, torch.Tensor.requires_grad_])
def test_a_learned_parameter_gets_its_gradient(learned):
    scores, target = batch()
    loss = losses.parse("gce + 2*mae")
    q = loss.losses[0].q = learned(torch.tensor(0.7))
    value = loss(scores.requires_grad_(), target)
    assert not by_kernel(value)
    value.backward()
    at = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    p_y = scores.detach().double().softmax(1).gather(1, target[:, None])
    ((1 - p_y**at) / at).mean().backward()
    torch.testing.assert_close(q.grad.double(), at.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("learns", [False, True])
def test_a_trace_computes_the_loss_of_what_it_is_given(learns):
    scores, target = batch()
    traced = torch.jit.trace(losses.parse(JAL), (scores.clone().requires_grad_(learns), target))
    others, labels = scores.flip(0) + 1, target.flip(0)
    torch.testing.assert_close(traced(others, labels), losses.parse(JAL)(others, labels))


def test_changed_parameters_count_from_the_next_call():
    scores, target = batch()
    loss = losses.parse("gce + 2*mae")
    loss(scores, target)
    loss.losses[0].q = 0.2
    torch.testing.assert_close(loss(scores, target), losses.parse("gce(q=0.2) + 2*mae")(scores, target))
    loss.losses[1] = losses.NCE()
    torch.testing.assert_close(loss(scores, target), losses.parse("gce(q=0.2) + 2*nce")(scores, target))
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), loss.with_options(reduction="sum")):
        twin.losses[0].q = 1.0
        expected = losses.parse("gce(q=1) + 2*nce", reduction=twin.reduction)
        torch.testing.assert_close(twin(scores, target), expected(scores, target))


def test_dense_targets_keep_their_shape(formula_only):
    scores, target = torch.randn(2, 5, 3, 4, generator=seeded(2)), torch.randint(5, (2, 3, 4), generator=seeded(3))
    results = []
    for _ in range(2):
        for reduction in ("none", "mean", "sum"):
            loss = losses.parse(JAL, reduction=reduction, weight=torch.linspace(1, 2, 5), ignore_index=3)
            leaf = scores.clone().requires_grad_()
            value = loss(leaf, target)
            assert value.shape == (target.shape if reduction == "none" else ())
            assert by_kernel(value) == (_kernels.enabled and reduction != "none")
            value.sum().backward()
            results.append((value.detach(), leaf.grad))
        formula_only()
    for fast, slow in zip(results[:3], results[3:], strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("bad", [5, -1, 2**40])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_label_out_of_range_is_refused_in_the_words_of_torch(bad, requires_grad):
    scores, target = batch()
    target[3] = bad
    with pytest.raises(IndexError) as theirs:
        F.cross_entropy(scores, target)
    with pytest.raises(IndexError) as ours:
        losses.parse(JAL)(scores.requires_grad_(requires_grad), target)
    assert str(ours.value) == str(theirs.value)


def test_p_min_is_held_against_the_number_of_classes():
    scores, target = batch(classes=4)
    for name in ("nnce", "nnfl"):
        assert losses.parse(f"{name}(p_min=0.24)")(scores, target).isfinite()
        for p_min in (0.25, 0.3):
            with pytest.raises(ValueError, match="p_min must be below 1/K"):
                losses.parse(f"{name}(p_min={p_min})")(scores, target)


# Derivatives of every kind


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_second_derivatives_are_those_of_the_formula(reduction, formula_only):
    scores, target = batch()
    found = []
    for _ in range(2):
        loss, leaf = losses.parse(JAL, reduction=reduction), scores.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(leaf, target).sum(), leaf, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.square().sum(), leaf)
        found.append((slope.detach(), curvature))
        formula_only()
    torch.testing.assert_close(found[0], found[1])


def test_a_kept_graph_gives_the_same_gradient_again_and_keeps_it_apart():
    scores, target = batch()
    leaf = scores.clone().requires_grad_()
    value = losses.parse(JAL)(leaf, target)
    (first,) = torch.autograd.grad(value, leaf, retain_graph=True)
    before = first.clone()
    (second,) = torch.autograd.grad(2 * value, leaf, retain_graph=True)
    torch.testing.assert_close(second, 2 * before)
    value.backward()
    value = losses.parse(JAL)(leaf, target)
    value.backward()
    torch.testing.assert_close(leaf.grad, 2 * before)
    assert torch.equal(first, before)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_arrives_from_above_scales_each_row(reduction, dtype):
    scores, target = batch()
    loss = losses.parse(JAL, reduction=reduction)
    above = torch.linspace(-1, 3, 6) if reduction == "none" else torch.tensor(-2.5)
    leaf, exact = scores.to(dtype).requires_grad_(), scores.to(dtype).double().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf, target), leaf, above)
    (expected,) = torch.autograd.grad(loss(exact, target), exact, above.double())
    torch.testing.assert_close(slope.double(), expected, rtol=0, atol=2e-3 if dtype == torch.float16 else 1e-5)


def test_a_loss_scale_saves_small_gradients_of_half_precision():
    scores = torch.zeros(64, 1000, dtype=torch.float16, requires_grad=True)
    target = torch.zeros(64, dtype=torch.int64)
    (losses.CE()(scores, target) * 2.0**12).backward()  # 1 / (64 * 1000) / 1000 is no float16, times 4096 it is
    torch.testing.assert_close(
        scores.grad[:, 1:].double(), torch.full((64, 999), 2.0**12 / 64_000).double(), rtol=1e-3, atol=0
    )


def test_whole_jacobians_come_out_row_by_row():
    scores, target = batch()
    loss = losses.parse(JAL, reduction="none")
    plain = torch.autograd.functional.jacobian(lambda z: loss(z, target), scores)
    at_once = torch.autograd.functional.jacobian(lambda z: loss(z, target), scores, vectorize=True)
    torch.testing.assert_close(plain, at_once)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_transforms_see_the_formula():
    scores, target = batch()
    loss = losses.parse(JAL)
    value, slope = ones_of(loss, scores, target)
    torch.testing.assert_close(grad(loss)(scores, target), slope)
    each = vmap(losses.parse(JAL, reduction="none"))(scores[:, None], target[:, None])[:, 0]
    torch.testing.assert_close(each.mean(), value)
    _, along = jvp(lambda z: loss(z, target), (scores,), (torch.ones_like(scores),))
    torch.testing.assert_close(along, slope.sum(), rtol=0, atol=1e-5)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(scores, target), value)
    with torch.utils.flop_counter.FlopCounterMode(display=False):
        torch.testing.assert_close(loss(scores, target), value)


def test_autocast_and_no_grad_change_nothing():
    scores, target = batch()
    loss = losses.parse(JAL)
    value, _ = ones_of(loss, scores, target)
    with torch.no_grad():
        torch.testing.assert_close(loss(scores.clone().requires_grad_(), target), value)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(scores, target), value)
    assert not loss(scores, target).requires_grad


# Without the kernel

SCRIPT = """
import torch
{before}
from noiseproof import losses
from noiseproof.losses._kernels import cpu
draw = torch.Generator().manual_seed(1)
scores, target = torch.randn(6, 5, generator=draw).requires_grad_(), torch.tensor([0, 1, 2, 3, 4, 0])
value = losses.parse("nce + amse(a=30)")(scores, target)
value.backward()
print(value.grad_fn.name(), cpu.kernel is None, value.item(), *scores.grad.flatten().tolist())
"""


def in_a_new_process(before="", **environment):
    """The name of the value's node, whether the compiled kernel is missing, and value and gradient."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=True,
    )
    node, missing, *numbers = done.stdout.split()
    return node, missing == "True", torch.tensor([float(number) for number in numbers])


def test_the_environment_turns_the_fast_path_off():
    fast, _, numbers = in_a_new_process(NOISEPROOF_KERNEL="1")
    slow, _, expected = in_a_new_process(NOISEPROOF_KERNEL="0")
    assert (fast, slow) == ("_RowsBackward", "NllLossBackward0")
    torch.testing.assert_close(numbers, expected)


def test_without_the_compiled_kernel_closed_forms_take_over():
    node, missing, numbers = in_a_new_process("import sys; sys.modules['noiseproof.losses._kernels._kernel'] = None")
    assert (node, missing) == ("_RowsBackward", True)
    torch.testing.assert_close(numbers, in_a_new_process()[2])


def test_closed_forms_answer_whatever_the_kernel_does(monkeypatch):
    scores, target = batch()
    loss = losses.parse(JAL, weight=torch.linspace(1, 2, 5), ignore_index=3)
    value, _ = ones_of(loss, scores, target)
    monkeypatch.setattr(cpu, "kernel", None)
    closed = loss(scores, target)
    assert not closed.requires_grad
    torch.testing.assert_close(closed, value)
    with pytest.raises(IndexError, match="out of bounds"):
        loss(scores, target + 5)


def test_a_package_without_the_kernel_knows_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "noiseproof.losses._kernels._kernel", None)
    spec = importlib.util.find_spec("noiseproof.losses._kernels.cpu")
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert fresh.kernel is None


def test_scores_in_any_order_of_memory_are_read():
    scores, target = batch()
    turned = scores.t().contiguous().t()
    assert turned.stride(1) != 1
    for loss in (losses.parse(JAL), losses.parse("nfl", reduction="none")):
        torch.testing.assert_close(loss(turned, target), loss(scores, target), rtol=0, atol=0)


def test_the_package_builds_without_a_compiler(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "setup.py",
            "-q",
            "build_ext",
            "--build-lib",
            tmp_path / "lib",
            "--build-temp",
            tmp_path / "o",
        ],
        cwd=ROOT,
        env=os.environ | {"CC": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_the_kernel_takes_no_program_but_its_own():
    if cpu.kernel is None:
        pytest.skip("built without a C compiler")
    with pytest.raises(ValueError, match="not a program"):
        cpu.kernel.run(b"\0" * 40, b"\0" * 136)
    with pytest.raises(ValueError, match="not a call"):
        cpu.kernel.run(b"\0" * 40, b"")
    with pytest.raises(TypeError, match="a program and a call"):
        cpu.kernel.run(b"")
