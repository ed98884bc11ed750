"""Preference losses: values of TRL, and what they are made for."""

from __future__ import annotations

import json

import pytest
import torch

from conftest import ROOT
from noiseproof.errors import InputError
from noiseproof.integrations import preference

REFERENCE = ROOT.parent / "shared" / "reference" / "methods_a.json"


def test_losses_and_slopes_are_those_of_trl():
    if not REFERENCE.is_file():
        pytest.skip("no methods_a.json beside the checkout")
    cases = [case for case in json.loads(REFERENCE.read_text())["cases"] if case["id"].startswith("preference/")]
    for case in cases:
        beta, flip = case["params"]["beta"], case["params"]["label_smoothing"]
        for name, loss in (("robust", preference.rdpo), ("sigmoid_v0.28_conservative", preference.cdpo)):
            margin = torch.tensor(case["inputs"]["margin"], dtype=torch.float64, requires_grad=True)
            value = loss(margin, beta=beta, flip=flip)
            expected = torch.tensor(case["outputs"][name]["loss"], dtype=torch.float64)
            torch.testing.assert_close(value.detach(), expected)
            slope = torch.tensor(case["outputs"][name]["grad"], dtype=torch.float64)
            (found,) = torch.autograd.grad(value.sum(), margin)
            ratio = found / slope
            torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio[0])))  # theirs may be of the mean


def test_robust_dpo_averaged_over_flips_is_dpo_of_the_true_pairs():
    s = torch.linspace(-9, 9, 7, dtype=torch.float64)
    mixed = 0.7 * preference.rdpo(s, flip=0.3) + 0.3 * preference.rdpo(-s, flip=0.3)
    torch.testing.assert_close(mixed, preference.dpo(s))


def test_without_flips_all_are_dpo():
    s = torch.linspace(-9, 9, 7)
    for loss in (preference.cdpo, preference.rdpo):
        torch.testing.assert_close(loss(s, flip=0.0), -torch.nn.functional.logsigmoid(0.1 * s))
    torch.testing.assert_close(preference.vce_dpo(s, a=1e-6), preference.dpo(s), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("flip", [0.5, -0.1, 1.0])
def test_a_flip_rate_of_one_half_or_more_is_refused(flip):
    with pytest.raises(InputError, match=r"flip must lie in \[0, 0.5\)"):
        preference.rdpo(torch.zeros(1), flip=flip)
