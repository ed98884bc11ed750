"""Derivatives of every loss: first and second, backward, functional and compiled."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacrev, vmap

from conftest import count, seeded
from noiseproof import losses

NAMES = losses.LOSSES.names()
VARIANTS = [
    *NAMES,
    *("fl(gamma=2)", "gce(q=0.1)", "gce(q=1)", "agce(a=6, q=1.5)", "agce(a=1e-5, q=0.5)", "aul(a=6, q=3)"),
    *("aul(a=1, q=0.5)", "amse(a=1, q=0.5)", "amse(a=1, q=1.5)", "amse(a=4, q=3)", "lc(delta=2.5)", "ldr(lam=10)"),
    *("nce + amse", "5*nfl + 5*nnfl"),
]
HELD = ["fl(detach=true)", "nfl(detach=true)", "nnfl(detach=true)", "efl(detach=true)"]
TIGHT = {"rtol": 1e-6, "atol": 1e-8, "eps": 1e-5}  # amse is near 300: a smaller step would measure rounding


def point(number, shape=(3, 4)):
    return (2 * torch.randn(shape, generator=seeded(number), dtype=torch.float64)).requires_grad_()


@pytest.mark.parametrize("text", VARIANTS)
def test_first_and_second_derivatives_are_those_of_the_value(text):
    loss, target = losses.parse(text), torch.tensor([0, 3, 1])
    for number in range(count(2, 50)):
        assert gradcheck(lambda z: loss(z, target), point(number), **TIGHT, check_batched_grad=True)
        assert gradgradcheck(lambda z: loss(z, target), point(number), **TIGHT)


@pytest.mark.parametrize("text", VARIANTS)
def test_derivatives_do_not_depend_on_how_the_scores_lie_in_memory(text):
    loss, target = losses.parse(text), torch.tensor([0, 3, 1])
    strided = (2 * torch.randn(4, 6, generator=seeded(1), dtype=torch.float64)).requires_grad_()
    assert gradcheck(lambda z: loss(z.mT[::2], target), strided, **TIGHT)
    row = point(2, (1, 4))
    assert gradcheck(lambda z: loss(z.expand(3, 4), target), row, **TIGHT)


@pytest.mark.parametrize("text", ["nce + amse", "nnfl", "agce", "ldr"])
def test_derivatives_with_options_are_those_of_the_value(text):
    weight = torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64)
    loss = losses.parse(text, weight=weight, label_smoothing=0.2, ignore_index=3)
    target = torch.tensor([0, 3, 1])
    assert gradcheck(lambda z: loss(z, target), point(0), **TIGHT)
    loss.ignore_index = -100
    soft = point(1).softmax(1).detach().requires_grad_()
    assert gradcheck(loss, (point(0), soft), **TIGHT)
    assert gradgradcheck(loss, (point(0), soft), **TIGHT)


@pytest.mark.parametrize("text", HELD)
def test_a_held_weight_is_a_constant_in_the_gradient(text):
    # Written out: the loss as a function of log p with the weights (1 - p)^gamma as given numbers.
    loss, target = losses.parse(text), torch.tensor([0, 3, 1])
    z = point(0)
    (found,) = torch.autograd.grad(loss(z, target), z)

    held = (1 - z.detach().softmax(1)) ** 0.5
    name, p_min = text.partition("(")[0], 1e-8
    if name == "efl":
        top = torch.nn.functional.one_hot(z.argmax(1), 4)
        t = (z.softmax(1) + 1e5 * top) / (1e5 + 1)
        table = -((1 - t.detach()) ** 0.1) * t.log()
    else:
        F = -held * z.log_softmax(1)
        A = -((1 - p_min) ** 0.5) * torch.tensor(p_min, dtype=torch.float64).log()
        table = {
            "fl": F,
            "nfl": F / F.sum(1, keepdim=True),
            "nnfl": 1 - (A - F) / (A - F).sum(1, keepdim=True),
        }[name]
    (expected,) = torch.autograd.grad(table.gather(1, target[:, None]).mean(), z)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("text", [*VARIANTS, *HELD])
def test_functional_derivatives_are_those_of_backward(text):
    loss, target, z = losses.parse(text), torch.tensor([0, 3, 1]), point(3)
    (slope,) = torch.autograd.grad(loss(z, target), z)
    same = {"rtol": 1e-10, "atol": 1e-14}
    torch.testing.assert_close(grad(loss)(z, target), slope, **same)
    torch.testing.assert_close(vmap(grad(loss))(z, target) / 3, slope, **same)
    torch.testing.assert_close(jacrev(loss)(z, target), slope, **same)
    torch.testing.assert_close(functional_call(loss, {}, (z, target)), loss(z, target))
    torch.testing.assert_close(vmap(loss, in_dims=(0, None))(torch.stack([z, z]), target), loss(z, target).expand(2))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("text", ["ce", "nce + amse", "nnfl", "agce"])
def test_hessians_are_symmetric_and_flat_along_a_shift(text):
    loss, target = losses.parse(text), torch.tensor(1)
    H = hessian(loss)(point(4, (4,)), target)
    torch.testing.assert_close(H, H.mT, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(H.sum(1), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", [*VARIANTS, *HELD])
def test_second_derivatives_stay_finite_at_extreme_scores(text):
    loss = losses.parse(text)
    direction = torch.tensor([1.0, -2.0, 3.0, 0.3])
    for dtype in (torch.float32, torch.float64):
        for gap in (20.0, 100.0, 1e4):
            z = torch.tensor([[gap, 0.0, -1.0, 0.5]] * 3, dtype=dtype, requires_grad=True)
            (slope,) = torch.autograd.grad(loss.formula(z, torch.tensor([0, 1, 2])), z, create_graph=True)
            (second,) = torch.autograd.grad((slope * direction.to(dtype)).sum(), z)
            assert slope.isfinite().all()
            assert second.isfinite().all()


@pytest.mark.parametrize("text", ["nce + amse", "nfl(detach=true) + nnfl", "efl", "ldr"][: count(2, 4)])
def test_one_graph_holds_the_whole_loss(text):
    loss, target, z = losses.parse(text), torch.tensor([0, 3, 1]), point(5)
    with torch._dynamo.config.patch(recompile_limit=1_000_000):
        compiled = torch.compile(lambda z, target: loss(z, target), fullgraph=True, backend="aot_eager")
        found = compiled(z, target)
    torch.testing.assert_close(found, loss(z, target))
    slopes = [torch.autograd.grad(value, z)[0] for value in (found, loss(z, target))]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-14)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own
def test_the_compiler_makes_code_of_it():
    for text in ["ldr", "nce + amse", "nnfl", *VARIANTS, *HELD][: count(1, 3)]:
        loss, target = losses.parse(text), torch.tensor([0, 3, 1])
        z = point(6).detach().float().requires_grad_()
        torch._dynamo.reset()
        found = torch.compile(loss, fullgraph=True)(z, target)
        torch.testing.assert_close(found, loss(z, target))
        slopes = [torch.autograd.grad(value, z)[0] for value in (found, loss(z, target))]
        torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)
