"""The contract of autograd and of modules: what torch's own losses keep, every loss here keeps."""

from __future__ import annotations

import copy
import importlib
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from conftest import ROOT, count, seeded
from noiseproof import losses
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu, program

JAL = "nce + amse(a=30)"
KERNELS = ROOT / "src" / "noiseproof" / "losses" / "_kernels"
TEXTS = ["ce", "mae", "gce", "aul(a=1, q=0.5)", "agce(a=6, q=1.5)", "nce", "amse", "nfl", "nfl(detach=true)", "ece"]
TEXTS += ["5*nce + 5*nnce", "5*nfl(detach=true) + 5*nnfl(detach=true)", "nnfl", "nce + amse", "fl(gamma=2)", "sce"]


def both(loss, scores, target):
    """Value and gradient by the kernel, and by the formula in float64."""
    leaf, exact = scores.clone().requires_grad_(), scores.double().requires_grad_()
    value = _kernels.answer(loss, leaf, target)
    weight = None if loss.weight is None else loss.weight.double()
    wide = target.double() if target.is_floating_point() else target
    truth = loss.with_options(weight=weight).formula(exact, wide)
    above = torch.linspace(0.5, 2, len(scores)) if value.dim() else torch.tensor(1.5)
    slope = torch.autograd.grad(value, leaf, above.to(value.dtype))[0]
    return value, slope, truth, torch.autograd.grad(truth, exact, above.double())[0]


@pytest.mark.skipif(cpu.kernel is None, reason="built without a C compiler")
@pytest.mark.parametrize("text", TEXTS)
def test_options_run_in_the_kernel_and_give_what_the_formula_gives(text):
    for K in (3, 10, 130):
        draw = seeded(K)
        target, soft = torch.randint(K, (9,), generator=draw), torch.rand(9, K, generator=draw).softmax(1)
        soft[0] = F.one_hot(target[0], K)
        for dtype, size, masked in ((torch.float32, 2, 0), (torch.float32, 20, 1), (torch.float64, 8, 1)):
            scores = (size * torch.randn(9, K, generator=draw)).to(dtype)
            if masked:
                scores[1, 0] = -torch.inf
                target[1] = 1
                soft[1, 0] = 0
            weight = (torch.rand(K, generator=draw) + 0.5).to(dtype)
            for given, smoothing in ((target, 0.1), (soft.to(dtype), 0.0), (soft.to(dtype), 0.2), (target, 0.0)):
                reduction = "none" if smoothing else "mean"
                loss = losses.parse(text, weight=weight, label_smoothing=smoothing, reduction=reduction)
                value, slope, truth, expected = both(loss, scores, given)
                kept = truth.isfinite()
                assert torch.equal(kept, value.isfinite())
                if not kept.all():
                    continue
                single = dtype is torch.float32
                torch.testing.assert_close(
                    value.double(), truth, rtol=2e-6 if single else 1e-9, atol=2e-6 if single else 1e-9
                )
                largest = expected.abs().amax(1, keepdim=True) + 1e-6
                assert ((slope.double() - expected).abs() <= (2e-4 if single else 1e-7) * largest).all()


@pytest.mark.parametrize("text", ["nce + amse", "lc", "ldr"])
@pytest.mark.parametrize("option", ["label_smoothing", "probabilities", "float64"])
def test_no_option_takes_more_than_one_more_tensor(text, option):
    scores, target = torch.randn(512, 1000, generator=seeded(1)), torch.arange(512)
    loss = losses.parse(text, label_smoothing=0.1 if option == "label_smoothing" else 0.0)
    scores = (scores.double() if option == "float64" else scores).requires_grad_()
    target = scores.detach().softmax(1) if option == "probabilities" else target
    assert loss(scores, target).grad_fn.name() == "_RowsBackward"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("way", ["backward", "second backward", "create_graph"])
def test_labels_that_change_before_backward_raise_or_do_no_harm(dtype, way):
    scores, target = torch.randn(4, 5, generator=seeded(1)).to(dtype), torch.tensor([0, 1, 2, 3])
    expected = torch.autograd.grad(losses.parse(JAL)(leaf := scores.requires_grad_(), target), leaf)[0]
    value = losses.parse(JAL)(leaf, target)
    if way == "second backward":
        torch.autograd.grad(value, leaf, retain_graph=True)
    target.fill_(4)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(value, leaf, create_graph=way == "create_graph")
    assert expected.isfinite().all()


def test_what_is_set_after_the_call_does_not_count():
    scores, target = torch.randn(4, 5, generator=seeded(1)).requires_grad_(), torch.tensor([0, 1, 2, 3])
    loss = losses.parse("gce(q=0.7)", weight=torch.ones(5))
    expected = torch.autograd.grad(loss(scores, target), scores)[0]
    value = loss(scores, target)
    loss.q, loss.reduction, loss.weight = 0.1, "sum", torch.arange(5.0)
    torch.testing.assert_close(torch.autograd.grad(value, scores, create_graph=True)[0].detach(), expected)


@pytest.mark.parametrize("text", [JAL, "lc"])
def test_a_checkpoint_computes_the_same(text):
    head, hidden = torch.randn(3000, 8, generator=seeded(2)).requires_grad_(), torch.randn(40, 8, generator=seeded(3))
    target, loss = torch.arange(40), losses.parse(text)
    plain = torch.autograd.grad(loss(hidden @ head.T, target), head)[0]
    again = checkpoint(lambda h, y: loss(h @ head.T, y), hidden, target, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(again, head)[0], plain)


def test_two_equal_losses_in_a_model_are_two_modules():
    model = nn.ModuleDict({"one": losses.CE(weight=torch.ones(5)), "two": losses.CE(weight=torch.ones(5))})
    model.double().eval()
    assert model["two"].weight.dtype == torch.float64
    assert not model["two"].training
    assert model["one"] != model["two"]
    assert model["one"].same_as(model["two"])
    assert len(set(model.values())) == 2


def test_class_weights_and_probabilities_are_learned_where_they_want_it():
    scores, target = torch.randn(6, 5, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 4, -100])
    for reduction in ("mean", "sum"):
        loss = losses.parse(JAL, weight=torch.linspace(1, 2, 5), reduction=reduction)
        loss.weight = nn.Parameter(loss.weight)
        loss(scores, target).backward()
        step = torch.zeros(5)
        step[2] = 1e-3
        up, down = (loss.with_options(weight=(loss.weight + s * step).detach())(scores, target) for s in (1, -1))
        torch.testing.assert_close(loss.weight.grad[2], (up - down) / 2e-3, rtol=1e-3, atol=1e-3)
    hidden, head = torch.randn(6, 3, generator=seeded(2)), torch.randn(5, 3, generator=seeded(3))
    soft = scores.softmax(1).requires_grad_()
    losses.linear_loss(losses.parse(JAL), hidden, head, soft).backward()
    expected = losses.parse(JAL).per_class(hidden @ head.T) / 6
    torch.testing.assert_close(soft.grad, expected)


def test_options_are_refused_where_they_are_given():
    for refused, error in (
        ({"redution": "sum"}, TypeError),
        ({"reduction": "avg"}, ValueError),
        ({"weight": [1]}, TypeError),
    ):
        with pytest.raises(error):
            losses.CE(**refused)
        with pytest.raises(error):
            losses.CE().with_options(**refused)


def test_value_and_grad_checks_what_it_is_given():
    scores, target = torch.randn(4, 5, generator=seeded(1)), torch.tensor([0, 1, 2, 3])
    each = losses.CE(reduction="none")
    with pytest.raises(ValueError, match="upstream must have the shape"):
        losses.value_and_grad(each, scores, target, upstream=torch.ones(3))
    with pytest.raises(TypeError, match="floating-point"):
        losses.value_and_grad(each, scores, target, upstream=torch.ones(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="device"):
        losses.value_and_grad(each, scores, target, upstream=torch.ones(4, device="meta"))
    with pytest.raises(RuntimeError, match="single memory location"):
        losses.value_and_grad(each, scores[:1].expand(4, 5), target, inplace=True)
    version, expected = scores._version, losses.value_and_grad(each, scores, target, upstream=scores[:, 0].clone())[1]
    losses.value_and_grad(each, scores, target, upstream=scores[:, 0], inplace=True)
    assert scores._version > version
    torch.testing.assert_close(scores, expected)


def test_without_gradients_none_is_made(monkeypatch):
    hidden, head = torch.randn(6, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    for text in (JAL, "lc", "ldr"):
        loss = losses.parse(text, label_smoothing=0.1)
        expected = losses.linear_loss(loss, hidden, head, target).detach()
        with torch.no_grad():
            assert torch.allclose(losses.linear_loss(loss, hidden, head, target), expected)
        with torch.inference_mode():
            assert torch.allclose(losses.linear_loss(loss, hidden.clone(), head, target), expected)
            losses.value_and_grad(loss, hidden @ head.T, target)


@pytest.mark.parametrize("text", [*TEXTS, "lc", "ldr", "efl"])
def test_an_overflowed_score_is_nan_on_both_ways(text):
    for dtype in (torch.float32, torch.float16, torch.float64):
        leaf = torch.tensor([[torch.inf, 0.0, 1.0]], dtype=dtype, requires_grad=True)
        for loss in (losses.parse(text), losses.parse(text).formula, losses.parse(text, label_smoothing=0.1)):
            value = loss(leaf, torch.tensor([1]))
            assert value.isnan()
            assert torch.autograd.grad(value, leaf)[0].isnan().all()


def test_lazily_negated_tensors_are_read_as_they_are():
    scores, target = torch.randn(4, 5, generator=seeded(1)), torch.tensor([0, 1, 2, 3])
    loss = losses.parse(JAL, weight=torch._neg_view(-torch.linspace(1, 2, 5)))
    expected = losses.parse(JAL, weight=torch.linspace(1, 2, 5))(-scores, target)
    torch.testing.assert_close(loss(torch._neg_view(scores), target), expected)


def test_tracers_get_a_node_or_one_clear_sentence():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = losses.parse(JAL)

        def forward(self, scores, target):
            return self.loss(scores, target)

    scores, target = torch.randn(4, 5, generator=seeded(1)), torch.tensor([0, 1, 2, 3])
    torch.testing.assert_close(torch.fx.symbolic_trace(Model())(scores, target), losses.parse(JAL)(scores, target))
    with pytest.raises(torch.fx.proxy.TraceError, match="trace the model that holds it"):
        torch.fx.symbolic_trace(losses.CE())
    with pytest.raises(RuntimeError, match=r"use torch\.compile"):
        losses.CE().__prepare_scriptable__()


def test_python_and_c_count_alike():
    header = (KERNELS / "program.h").read_text()
    enums = [[name.strip() for name in found.split(",")] for found in re.findall(r"enum \{([^=}]*)\}", header)]
    statistics, results, operations = enums
    assert [name.lower() for name in statistics[:-1]] == [name.lower() for name in program.STATISTICS]
    assert [name.removeprefix("BY_").lower() for name in results[:-1]] == [name.lower() for name in program.RESULTS]
    assert len(operations) == len(program.OPERATIONS)
    needs = dict(re.findall(r"NEEDS_(\w+) = (\d+)", header))
    assert {name.lower(): int(bit) for name, bit in needs.items()} == {k.lower(): v for k, v in program.NEEDS.items()}


# torch's own samples


def torchs_own(module):
    """A module of torch's own tests; while it is imported it forbids to set flags of backends from then on."""
    pytest.importorskip("expecttest")  # torch's own tests ask for it
    found = importlib.import_module(f"torch.testing._internal.{module}")
    torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True
    return found


def samples(name, dtype=torch.float64):
    op_db = torchs_own("common_methods_invocations").op_db
    op = next(op for op in op_db if op.name == f"nn.functional.{name}")
    every = list(op.sample_inputs("cpu", dtype, requires_grad=True))
    return every[:: count(7, 1)]


@pytest.mark.filterwarnings("ignore")
def test_torchs_samples_of_cross_entropy_hold_for_every_loss():
    for sample in samples("cross_entropy"):
        (target,), options = sample.args, sample.kwargs
        expected = F.cross_entropy(sample.input, target, **options)
        found = losses.CE(**options)(sample.input, target)
        torch.testing.assert_close(found, expected, equal_nan=True)
        for text in TEXTS[1:]:
            loss = losses.parse(text, **options)
            found = loss(sample.input, target)
            assert found.shape == expected.shape
            torch.testing.assert_close(found, loss.formula(sample.input, target), equal_nan=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="from torch 2.13 on")
def test_torchs_samples_of_linear_cross_entropy_hold_for_the_fused_layer():
    seen = 0
    for sample in samples("linear_cross_entropy"):
        (weight, target), options = sample.args, dict(sample.kwargs)
        if weight.dim() != 2 or options.get("options") is not None:  # classes in a grid
            continue
        expected = F.linear_cross_entropy(sample.input, weight, target, **options)
        bias = options.pop("linear_bias", None)
        own = {name: value for name, value in options.items() if value is not None and name != "options"}
        for text in ("ce", *TEXTS[1:]):
            loss = losses.parse(text, **own)
            found = losses.linear_loss(loss, sample.input, weight, target, bias)
            scores = F.linear(sample.input, weight, bias)
            torch.testing.assert_close(
                found, expected if text == "ce" else loss.formula(scores, target), equal_nan=True
            )
            seen += 1
    assert seen


@pytest.mark.filterwarnings("ignore")
def test_torchs_samples_of_binary_cross_entropy_hold_for_the_sigmoid_form():
    for sample in samples("binary_cross_entropy_with_logits"):
        (target,), options = sample.args, dict(sample.kwargs)
        if options.get("reduction", "mean") not in ("mean", "sum", "none"):
            continue
        expected = F.binary_cross_entropy_with_logits(sample.input, target, **options)
        detached = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        torch.testing.assert_close(losses.SigmoidLoss("ce", **detached)(sample.input, target), expected)


@pytest.mark.filterwarnings("ignore")
def test_torchs_module_samples_of_cross_entropy_hold():
    module_db = torchs_own("common_modules").module_db
    info = next(info for info in module_db if info.module_cls is nn.CrossEntropyLoss)
    for sample in info.module_inputs_func(info, "cpu", torch.float64, True, False)[:: count(5, 1)]:
        options, (scores, target) = sample.constructor_input.kwargs, sample.forward_input.args
        loss = copy.deepcopy(losses.CE(**options))
        torch.testing.assert_close(loss(scores, target), nn.CrossEntropyLoss(**options)(scores, target), equal_nan=True)
