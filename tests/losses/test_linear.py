"""The fused linear layer against the layer and the loss apart."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from conftest import seeded
from noiseproof import losses
from noiseproof.losses import linear as module
from noiseproof.losses import linear_loss

LOSSES = ["ce", "nce + amse(a=30)", "5*nfl(detach=true) + 5*nnfl(detach=true)", "lc", "ldr"]


@pytest.fixture(params=[1 << 22, 50], ids=["one chunk", "chunks of 7 rows"])
def chunks(request, monkeypatch):
    monkeypatch.setattr(module, "_SCORES", request.param)


def parts(rows=20, features=4, classes=7, dtype=torch.float32):
    draw = seeded(rows)
    hidden = torch.randn(rows, features, generator=draw).to(dtype)
    weight, bias = torch.randn(classes, features, generator=draw), torch.randn(classes, generator=draw)
    return hidden, weight.to(dtype), bias.to(dtype), torch.randint(classes, (rows,), generator=draw)


def gradients(value, leaves, above):
    return [value.detach(), *torch.autograd.grad(value, leaves, above)]


@pytest.mark.parametrize("text", LOSSES)
def test_value_and_gradients_are_those_of_the_layer_and_the_loss(text, chunks):
    for reduction, weighted, smoothing, with_bias in itertools.product(
        ("none", "mean", "sum"), (False, True), (0.0, 0.1), (False, True)
    ):
        hidden, weight, bias, target = parts()
        options = {"reduction": reduction, "ignore_index": 2, "label_smoothing": smoothing}
        if weighted:
            options["weight"] = torch.linspace(0.5, 2, 7)
        loss = losses.parse(text, **options)
        leaves = [leaf.requires_grad_() for leaf in ([hidden, weight, bias] if with_bias else [hidden, weight])]
        above = torch.linspace(-1, 2, 20) if reduction == "none" else torch.tensor(1.5)
        given = bias if with_bias else None
        found = gradients(linear_loss(loss, hidden, weight, target, given), leaves, above)
        expected = gradients(loss.formula(F.linear(hidden, weight, given), target), leaves, above)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_probabilities_are_targets_too(reduction, chunks):
    hidden, weight, bias, _ = parts()
    loss, soft = losses.parse("nce + amse", reduction=reduction), torch.rand(20, 7, generator=seeded(4)).softmax(1)
    torch.testing.assert_close(
        linear_loss(loss, hidden, weight, soft, bias), loss(F.linear(hidden, weight, bias), soft)
    )


def test_sequences_keep_their_shape(chunks):
    hidden, weight, _, target = parts()
    for reduction in ("none", "mean"):
        loss = losses.parse("nce + amse", reduction=reduction)
        value = linear_loss(loss, hidden.reshape(4, 5, 4), weight, target.reshape(4, 5))
        expected = loss(F.linear(hidden, weight), target)
        torch.testing.assert_close(value, expected.reshape(4, 5) if reduction == "none" else expected)


@pytest.mark.parametrize("needed", list(itertools.product([False, True], repeat=3)))
def test_only_what_is_needed_is_made(needed, chunks):
    hidden, weight, bias, target = parts()
    leaves = [leaf.requires_grad_(need) for leaf, need in zip((hidden, weight, bias), needed, strict=True)]
    value = linear_loss(losses.parse("nce + amse"), hidden, weight, target, bias)
    assert value.requires_grad == any(needed)
    if any(needed):
        value.backward()
    assert [leaf.grad is not None for leaf in leaves] == list(needed)


def test_a_kept_graph_and_second_derivatives(chunks):
    hidden, weight, bias, target = parts()
    leaves = [leaf.requires_grad_() for leaf in (hidden, weight, bias)]
    loss = losses.parse("nce + amse")
    value = linear_loss(loss, hidden, weight, target, bias)
    first = torch.autograd.grad(value, leaves, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(value, leaves, retain_graph=True), strict=True):
        torch.testing.assert_close(one, other)
    found = torch.autograd.grad(value, leaves, create_graph=True)
    expected = torch.autograd.grad(loss.formula(F.linear(hidden, weight, bias), target), leaves, create_graph=True)
    for one, other in zip(found, expected, strict=True):
        ours, theirs = (
            torch.autograd.grad(slope.square().sum(), weight, retain_graph=True)[0] for slope in (one, other)
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_half_precision_sums_in_float32(chunks):
    hidden, weight, bias, target = parts(rows=600, dtype=torch.bfloat16)
    leaves = [leaf.requires_grad_() for leaf in (hidden, weight, bias)]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    loss = losses.parse("nce + amse")
    found = gradients(linear_loss(loss, hidden, weight, target, bias), leaves, None)
    expected = gradients(loss(F.linear(exact[0], exact[1], exact[2]), target), exact, None)
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).abs().max() <= 0.02 * other.abs().max()


def test_autocast_computes_the_scores_in_half_precision():
    hidden, weight, bias, target = parts()
    loss = losses.parse("nce + amse")
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = linear_loss(loss, hidden, weight, target, bias), loss(F.linear(hidden, weight, bias), target)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_transforms_see_the_layer_and_the_loss():
    hidden, weight, _, target = parts()
    loss = losses.parse("nce + amse")
    slope = torch.func.grad(lambda w: linear_loss(loss, hidden, w, target))(weight)
    torch.testing.assert_close(slope, torch.func.grad(lambda w: loss(F.linear(hidden, w), target))(weight))


def test_a_parameter_that_the_loss_learns_gets_its_gradient():
    hidden, weight, bias, target = parts()
    loss = losses.parse("gce + nce")
    loss.losses[0].q = torch.nn.Parameter(torch.tensor(0.7))
    (found,) = torch.autograd.grad(linear_loss(loss, hidden, weight, target, bias), loss.losses[0].q)
    (expected,) = torch.autograd.grad(loss.formula(F.linear(hidden, weight, bias), target), loss.losses[0].q)
    torch.testing.assert_close(found, expected)


def test_the_scores_are_never_held():
    rows, features, classes = 1024, 4, 20_000
    hidden, weight, _, target = parts(rows, features, classes)
    hidden.requires_grad_(), weight.requires_grad_()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        linear_loss(losses.parse("nce + amse"), hidden, weight, target).backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest <= (1 << 23) * 4 + weight.nbytes  # one chunk; all scores would be 82 MB


def test_shapes_that_do_not_fit_are_refused():
    hidden, weight, bias, target = parts()
    with pytest.raises(ValueError, match=r"hidden must be \(..., D\) and weight \(K, D\), got \(20, 4\) and \(4, 7\)"):
        linear_loss(losses.CE(), hidden, weight.t(), target)
    with pytest.raises(ValueError, match=r"target must be \(20,\) class indices, got \(19,\)"):
        linear_loss(losses.CE(), hidden, weight, target[1:])
    with pytest.raises(IndexError, match="out of bounds"):
        linear_loss(losses.CE(), hidden, weight, target + 7, bias)
