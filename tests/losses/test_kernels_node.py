"""The C++ node of autograd: the same losses, sooner. Every other test of the losses runs through it, too, once it is
compiled (`noiseproof bench build`); NOISEPROOF_NODE=0 runs them without."""

from __future__ import annotations

import os
import stat

import pytest
import torch
from torch import nn

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import MachineError
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu, node

compiled = pytest.mark.skipif(_kernels.cpp_node is None, reason="not compiled: noiseproof bench build")
JAL = "nce + amse(a=30)"


def batch(rows=6, classes=5):
    draw = seeded(1)
    return torch.randn(rows, classes, generator=draw), torch.randint(classes, (rows,), generator=draw)


def both(monkeypatch, loss, scores, target, through=lambda value: value.sum()):
    """Gradient and value with the node, and without it."""
    found = []
    for answer in (_kernels.cpp_node, None):
        monkeypatch.setattr(_kernels, "cpp_node", answer)
        leaf = scores.clone().requires_grad_()
        value = loss(leaf, target)
        found.append((value.detach(), torch.autograd.grad(through(value), leaf)[0], type(value.grad_fn).__name__))
    return found


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_it_gives_bit_for_bit_what_python_gives(monkeypatch, dtype, reduction):
    scores, target = batch()
    target[2] = -100
    weight = torch.linspace(1, 2, 5).to(torch.float64 if dtype is torch.float64 else torch.float32)
    for text in ("ce", JAL, "5*nfl + 5*nnfl"):
        for smoothing in (0.0, 0.1):
            loss = losses.parse(text, weight=weight, reduction=reduction, label_smoothing=smoothing)
            with monkeypatch.context() as patch:
                (value, grad, name), (expected, slope, other) = both(patch, loss, scores.to(dtype), target)
            assert (name, other) == ("CppFunction", "_RowsBackward")
            assert torch.equal(value, expected)
            assert torch.equal(grad, slope)


@compiled
def test_a_parameter_that_changes_changes_the_loss():
    scores, target = batch()
    loss, whole = losses.GCE(q=0.7), losses.parse("gce(q=0.7) + 2*mae")
    for q in (0.7, 0.2, 0.7):
        loss.q = whole.losses[0].q = q
        assert torch.allclose(_kernels.cpp_node(loss, scores, target), losses.GCE(q=q).formula(scores, target))
        assert torch.allclose(_kernels.cpp_node(whole, scores, target), whole.formula(scores, target))
    whole.losses[0] = losses.CE()
    assert torch.allclose(_kernels.cpp_node(whole, scores, target), whole.formula(scores, target))

    class Annealed(losses.WeightedSum):
        share = 1.0

        def terms(self):
            return [(self.share, losses.MAE())]

    mine = Annealed([(1.0, losses.CE())])
    for mine.share in (1.0, 3.0):
        expected = mine.share * losses.MAE().formula(scores, target)
        assert torch.allclose(_kernels.cpp_node(mine, scores, target), expected)


@compiled
def test_what_is_not_plain_is_left_to_python():
    scores, target = batch()
    loss = losses.parse(JAL)

    class Other(losses.CE):
        def per_class(self, logits):
            return 2 * super().per_class(logits)

    refused = {
        "half precision": (loss, scores.half(), target),
        "probabilities": (loss, scores, scores.softmax(1)),
        "narrow labels": (loss, scores, target.int()),
        "scores of other strides": (loss, scores.T.contiguous().T, target),
        "a negative bit": (loss, torch._neg_view(scores), target),
        "meta": (loss, scores.to("meta"), target.to("meta")),
        "a label out of range": (loss, scores, target + 5),
        "a loss without a form": (losses.LC(), scores, target),
        "another's loss": (Other(), scores, target),
        "no loss": (nn.Linear(1, 1), scores, target),
        "no tensor": (loss, scores.tolist(), target),
    }
    for name, (own, given, labels) in refused.items():
        assert _kernels.cpp_node(own, given, labels) is None, name
    learned = losses.CE()
    learned.weight = nn.Parameter(torch.ones(5))
    assert _kernels.cpp_node(learned, scores, target) is None
    torch.func.vmap(lambda row: [None, _kernels.cpp_node(loss, row, target)][0] or row)(scores[None])
    assert _kernels.cpp_node(loss, scores, target) is not None
    with pytest.raises(TypeError, match="takes a loss, scores and labels"):
        _kernels.cpp_node(loss)


@compiled
def test_derivatives_of_every_kind():
    scores, target = batch()
    loss = losses.parse(JAL, reduction="none")
    exact = scores.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), exact)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target), exact)
    leaf = scores.clone().requires_grad_()
    value = loss(leaf, target)
    rows = [torch.autograd.grad(value[i], leaf, retain_graph=True)[0] for i in range(len(value))]
    (many,) = torch.autograd.grad(value, leaf, torch.eye(len(value)), is_grads_batched=True, retain_graph=True)
    torch.testing.assert_close(many, torch.stack(rows))
    value.sum().backward()
    torch.testing.assert_close(leaf.grad, torch.stack(rows).sum(0))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.sum().backward()


@compiled
def test_saved_tensors_are_watched_and_seen_by_hooks():
    scores, target = batch()
    leaf, weight = scores.clone().requires_grad_(), torch.ones(5)
    loss = losses.parse(JAL, weight=weight)
    for changed in (target, weight):
        value = loss(leaf, target)
        changed.add_(0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            value.backward()
    seen = []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: seen.append(saved.shape) or saved, lambda saved: saved):
        value = loss(leaf, target)
    assert sorted(map(tuple, seen)) == [(5,), (6,), (6, 5), (6, 5)]
    value.backward()


def test_a_node_for_another_torch_or_of_another_user_is_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEPROOF_CACHE", str(tmp_path))
    monkeypatch.setattr(cpu, "kernel", cpu.kernel or object())
    assert node.load() is None  # there is none
    path = node.place()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a library")
    path.chmod(0o755)
    assert node.load() is None
    called = []
    monkeypatch.setattr(node, "_connected", lambda path: called.append(path) or len)
    assert node.load() is len
    path.chmod(stat.S_IRWXU | stat.S_IWOTH)
    assert node.load() is None
    path.chmod(0o755)
    monkeypatch.setenv("NOISEPROOF_NODE", "0")
    assert node.load() is None
    monkeypatch.delenv("NOISEPROOF_NODE")
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert node.place() != path
    assert node.load() is None
    monkeypatch.setenv("NOISEPROOF_CACHE", "off")
    assert node.load() is None


@pytest.mark.skipif(cpu.kernel is None, reason="built without a C compiler")
def test_a_compiler_that_is_missing_or_fails_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEPROOF_CACHE", str(tmp_path / "cache"))
    failing = tmp_path / "c++"
    failing.write_text("#!/bin/sh\necho 'node.cpp:1:1: error: no such thing' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", str(failing))
    with pytest.raises(MachineError, match=r"cannot compile the node for torch [\s\S]*error: no such thing"):
        losses.build_node()
    assert list((tmp_path / "cache" / "node").iterdir()) == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CXX", "c++")
    with pytest.raises(MachineError, match=r"needs a C\+\+ compiler"):
        losses.build_node()
    monkeypatch.setenv("NOISEPROOF_CACHE", "off")
    with pytest.raises(MachineError, match="name a folder"):
        losses.build_node()


@pytest.mark.skipif(not os.environ.get("NOISEPROOF_BUILD"), reason="compiles for a minute: NOISEPROOF_BUILD=1")
def test_it_compiles(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEPROOF_CACHE", str(tmp_path))
    assert losses.build_node() == node.place()
    assert node.load() is not None
