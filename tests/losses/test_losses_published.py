"""Values and gradients that others computed: the paper's published code, and vectors worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from noiseproof import losses

FOLDER = Path(__file__).parents[1] / "reference"
CASES = json.loads((FOLDER / "published_losses.json").read_text())
ARRAYS = np.load(FOLDER / "published_losses.npz", allow_pickle=False)

# The published names, in our text. `detach=true`: that code holds the focal weight constant.
TEXT = {
    "ce": "ce",
    "fl": "fl(gamma={gamma}, detach=true)",
    "mae": "mae",
    "mse": "mse",
    "rce": "rce",
    "gce": "gce(q={q})",
    "sce": "sce(alpha={a}, beta={b})",
    "nce": "nce",
    "nfl": "nfl(gamma={gamma}, detach=true)",
    "agce": "agce(a={a}, q={q})",
    "aul": "aul(a={a}, q={q})",
    "ael": "ael(a={a})",
    "amse": "amse(a={a})",
    "amse-q1.5": "amse(a={a}, q={q})",
    "amse-q3": "amse(a={a}, q={q})",
    "ldr": "ldr(c={threshold}, lam={Lambda})",
    "ce+lc": "lc(delta={delta})",
    "nfl+rce": "{alpha}*nfl(gamma={gamma}, detach=true) + {beta}*rce",
    "nce+mae": "{alpha}*nce + 0.5*({beta}*mae)",  # their MAE inside a sum is 1 - p
    "nce+rce": "{alpha}*nce + {beta}*rce",
    "nce+agce": "{alpha}*nce + {beta}*agce(a={a}, q={q})",
    "nce+aul": "{alpha}*nce + {beta}*aul(a={a}, q={q})",
    "nce+ael": "{alpha}*nce + {beta}*ael(a={a})",
    "anl-ce": "{alpha}*nce + {beta}*nnce",
    "anl-fl": "{alpha}*nfl(detach=true) + {beta}*nnfl(detach=true)",
    "jal-ce": "{alpha}*nce + {beta}*amse(a={a})",
    "jal-fl": "{alpha}*nfl(detach=true) + {beta}*amse(a={a})",
    "ece+mae": "{alpha}*ece(m={m}) + {beta}*mae",
}

# Where that code clamps p at 1e-8 and a sample lies below: the formula has a gradient, the code has none.
# One of the eight samples; its gradient is p^0.6 = 1.4e-5, against a largest entry of 0.017.
CLAMPED = {"webvision/s4.0/gce": 1e-3}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["key"])
def test_values_and_gradients_are_those_of_the_published_code(case):
    scores = torch.from_numpy(ARRAYS[case["inputs"] + "/logits"]).double().requires_grad_()
    target = torch.from_numpy(ARRAYS[case["inputs"] + "/target"])
    loss = float(case["params"].get("scale", 1)) * losses.parse(TEXT[case["loss"]].format(**case["params"]))
    mean = loss(scores, target)
    (gradient,) = torch.autograd.grad(mean, scores)
    published = {name: torch.from_numpy(ARRAYS[f"{case['key']}/{name}"]) for name in ("per_sample", "grad")}
    if case["loss"] == "amse-q1.5":  # a negative base under a fractional power
        assert published["per_sample"].isnan().all()
        assert mean.isfinite()
        assert gradient.isfinite().all()
        return
    each = loss.per_class(scores).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(each, published["per_sample"], rtol=1e-5, atol=0)
    torch.testing.assert_close(mean.item(), float(ARRAYS[case["key"] + "/mean"]), rtol=1e-5, atol=0)
    largest = published["grad"].abs().max()
    error = (gradient - published["grad"]).abs().max()
    assert error <= CLAMPED.get(case["key"], 2e-5) * largest


def test_a_fractional_power_of_amse_is_the_formula():
    # K = 2, even scores: (|a - 1/2|^q + (1/2)^q) / 2 with a = 4.5, q = 1.5: (8 + 0.3535533906) / 2
    value = losses.AMSE(a=4.5, q=1.5)(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([1]))
    assert value.item() == pytest.approx(4.1767766953, rel=1e-10)


# Scores (2, 1, 0.1, -1), label 1: p = (0.63806635, 0.23473149, 0.09543470, 0.03176745)
VALUES = {
    "ce": 1.44931300,
    "fl": 1.26785360,
    "nce": 0.18828967,
    "nfl": 0.17691029,
    "nnce": 0.74280145,
    "nnce(p_min=1e-7)": 0.74163366,
    "nnfl": 0.74212509,
    "nnfl(p_min=1e-7)": 0.74085941,
    "rce": 7.04838343,
    "mae": 1.53053701,
    "gce(q=0.7)": 0.91060463,
    "agce(a=6, q=1.5)": 1.96832073,
    "agce(a=0.6, q=0.6)": 0.71416903,
    "aul(a=6.3, q=1.5)": 1.82392331,
    "aul(a=6, q=3)": 22.20928169,
    "ael(a=5)": 0.95413863,
    "mse": 0.25072038,
    "amse(a=1)": 0.25072038,
    "amse(a=5)": 5.78125739,
    "amse(a=20)": 97.77077120,
    "amse(a=30)": 221.59711373,
    "nce + amse(a=30)": 221.78540340,
    "lc(delta=2.5)": 1.45909114,
    "lc(delta=0.5)": 1.31468683,
    "ece(m=1e5)": 12.96224847,
    "ldr(c=0.1, lam=1)": 0.09513582,
    "ldr(c=0.1, lam=10)": -0.07484627,
}
GRADIENTS = {
    "fl(detach=true)": [0.55817806, -0.66945403, 0.08348592, 0.02779005],
    "fl": [0.68224683, -0.81825662, 0.10204272, 0.03396707],
    "nfl(detach=true)": [0.03900281, -0.09158538, 0.02709015, 0.02549242],
    "nfl": [0.0526474, -0.11106161, 0.03116084, 0.02725337],
    "nce": [0.04492393, -0.09792701, 0.02752241, 0.02548068],
    "amse(a=30)": [2.29948478, -2.72237691, 0.31803782, 0.10485432],
    "amse(a=20)": [1.55061344, -1.82421382, 0.20603017, 0.06757021],
    "nnce": [0.00361937, -0.01135948, 0.00385616, 0.00388394],
    "lc(delta=2.5)": [0.48738764, -0.86764256, 0.08618339, 0.11575105],
    "ece": [0.63806635, 0.23473149 - 1, 0.09543470, 0.03176745],
}


def worked_sample():
    scores = torch.tensor([[2.0, 1.0, 0.1, -1.0]], dtype=torch.float64, requires_grad=True)
    return scores, torch.tensor([1])


@pytest.mark.parametrize("text", VALUES)
def test_values_are_those_worked_out(text):
    assert losses.parse(text)(*worked_sample()).item() == pytest.approx(VALUES[text], abs=2e-8)


@pytest.mark.parametrize("text", GRADIENTS)
def test_gradients_are_those_worked_out(text):
    scores, target = worked_sample()
    (gradient,) = torch.autograd.grad(losses.parse(text)(scores, target), scores)
    torch.testing.assert_close(gradient[0], torch.tensor(GRADIENTS[text], dtype=torch.float64), rtol=0, atol=2e-8)


def test_eps_softmax_of_the_predicted_class_is_worked_out():
    scores, _ = worked_sample()
    assert losses.ECE(m=1e5)(scores, torch.tensor([0])).item() == pytest.approx(3.6193e-6, abs=1e-10)
