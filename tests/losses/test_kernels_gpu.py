"""The Triton kernel: run by Triton's interpreter, and compiled for a GPU that need not be there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from conftest import count

pytest.importorskip("triton")

INTERPRETED = """
import torch
from noiseproof import losses
from noiseproof.losses._kernels import gpu
from noiseproof.losses._kernels.plan import Call, plan

gpu._LARGEST_BLOCK = 16  # rows of 40 classes take three blocks
draw = torch.Generator().manual_seed(1)
for text in {texts!r}:
    for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 8e-3)):  # the interpreter cuts bfloat16 off
        for size in {sizes!r}:
            scores = (size * torch.randn(8, 40, generator=draw)).to(dtype)
            scores[6, 3] = -torch.inf
            target = torch.randint(4, 40, (8,), generator=draw)
            target[::3] = scores.argmax(1)[::3]
            target[1] = -100
            weight, above = torch.rand(40, generator=draw) + 0.1, torch.rand(8, generator=draw)
            for reduction in ("none", "mean"):
                loss = losses.parse(text, reduction=reduction, weight=weight)
                exact = scores.double().requires_grad_()
                truth = loss.formula(exact, target)
                upstream = above if reduction == "none" else above[0]
                (expected,) = torch.autograd.grad(truth, exact, upstream.double())
                grad = torch.empty_like(scores)
                value = gpu.run(Call(plan(loss), -100, reduction), scores, target, weight, grad, upstream)
                torch.testing.assert_close(value.double(), truth.detach(), rtol=1e-5, atol=1e-5)
                error = (grad.double() - expected).abs().amax(1)
                assert (error <= limit * expected.abs().amax(1) + 1e-30).all(), (text, dtype, size, error)
                gpu.scale(grad, torch.tensor(2.0))
                atol = 2.1 * limit * float(expected.abs().max())
                torch.testing.assert_close(grad.double(), 2 * expected, rtol=0, atol=atol)
        bad = torch.tensor([40, 3])
        value = gpu.run(Call(plan(loss), -100, "none"), scores[:2], bad, None, grad[:2])
        assert value.isnan().tolist() == [True, False] and grad[0].isnan().all()
print("agreed")
"""

TEXTS = [
    "ce",
    "nce + amse",
    "5*nce + 5*nnce",
    "5*nfl + 5*nnfl",
    "agce(a=6, q=1.5) + gce",
    "ece(m=10) + mae",
    "fl",
    "aul",
]
MORE = [
    "nfl(detach=true) + amse",
    "5*nfl(detach=true) + 5*nnfl(detach=true)",
    "mse",
    "sce",
    "ael",
    "efl(detach=true)",
    "phuber + vce",
    "taylor-ce + piecewise-zero(c=0.1)",
    "piecewise-zero(c=0)",
]


def test_interpreted_it_gives_the_formulas_values_and_gradients():
    texts = TEXTS[: count(4, 8)] + (MORE if count(0, 1) else [])
    script = INTERPRETED.format(texts=texts, sizes=[3.0] if count(0, 1) == 0 else [0.5, 30.0])
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "agreed", done.stderr[-3000:]


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from noiseproof import losses
from noiseproof.losses._kernels import gpu
from noiseproof.losses._kernels.plan import plan
from noiseproof.losses._kernels.program import NEEDS

names = gpu._rows_kernel.arg_names
for text, scores in {cases!r}:
    program = plan(losses.parse(text)).program
    constants = dict(
        FORM=gpu._form(program),
        NEEDS_S=bool(program.needs & (NEEDS["S"] | NEEDS["U"])),
        NEEDS_U=bool(program.needs & NEEDS["U"]),
        NEEDS_FOCAL=bool(program.needs & NEEDS["focal"]),
        ATTACHED=program.attached,
        WEIGHTED=True,
        MEAN=True,
        GRADIENT=True,
        UPSTREAM=True,
        BLOCK=1024,
    )
    kinds = dict(scores="*" + scores, grad="*" + scores, target="*i64", focus="fp32", floor="fp32")
    kinds |= dict.fromkeys(("values", "weight", "upstream", "denominator"), "*fp32")
    signature = {{name: "constexpr" if name in constants else kinds.get(name, "i32") for name in names}}
    source = ASTSource(
        gpu._rows_kernel, signature, {{(names.index(name),): value for name, value in constants.items()}}
    )
    built = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=dict(num_warps=4))
    print(text, len(built.asm["cubin"]) > 0)
"""


def test_it_compiles_for_a_gpu(tmp_path):
    cases = [("nce + amse", "fp32"), ("5*nfl + 5*nnfl", "bf16"), ("5*nce + 5*nnce", "fp16")][: count(2, 3)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILED.format(cases=cases)],
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [f"{text} True" for text, _ in cases], done.stderr[-3000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text", TEXTS + MORE)
def test_on_a_gpu_it_gives_the_formulas_values_and_gradients(text, dtype):
    from noiseproof import losses

    for classes in (10, 1000, 50_000):
        scores = (3 * torch.randn(33, classes)).to("cuda", dtype)
        target = torch.randint(classes, (33,), device="cuda")
        leaf, exact = scores.clone().requires_grad_(), scores.double().requires_grad_()
        loss = losses.parse(text)
        value, truth = loss(leaf, target), loss(exact, target)
        assert value.grad_fn.name() == "_RowsBackward"
        (1.5 * value).backward()
        (1.5 * truth).backward()
        limit = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]  # halves: rounded twice
        torch.testing.assert_close(value.double(), truth, rtol=1e-5, atol=1e-6)
        assert (leaf.grad.double() - exact.grad).abs().max() <= limit * exact.grad.abs().max() + 6e-8
