"""The variation ratio is what can be worked out by hand, and a loss knows the value of a perfect fit."""

from __future__ import annotations

import math

import pytest

from noiseproof import losses, theory


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("vce(a=4)", 5 / 4),
        ("vce(a=0.5)", 3),
        ("mae", 1),
        ("gce(q=1)", 1),
        ("taylor-ce(t=2)", 2),
        ("taylor-ce(t=3)", 3),
        ("phuber(tau=5)", 5),
        ("agce(a=1, q=2)", 2),
        ("ael(a=2)", math.exp(1 / 2)),
        ("ce", math.inf),
        ("gce(q=0.5)", 1e6),
    ],
)
def test_the_ratio_of_slopes_is_the_closed_form(text, ratio):
    found = theory.variation_ratio(text, 10)
    assert found == pytest.approx(ratio, rel=1e-3) or (ratio == 1e6 and found >= 1e5)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_minimum_of_jal_ce_is_that_of_amse(classes):
    assert losses.parse("nce + amse(a=30)").minimum(classes) == pytest.approx(29**2 / classes)


@pytest.mark.parametrize(
    ("text", "minimum", "span"),
    [
        ("ce", 0, math.inf),
        ("mae", 0, 2),
        ("gce(q=0.5)", 0, 2),
        ("nce", 0, 1),
        ("vce(a=4)", -math.log(5), math.log(5 / 4)),
        ("taylor-ce(t=3)", 0, 1 + 1 / 2 + 1 / 3),
        ("2*mae + gce(q=0.5)", 0, 6),
        ("sym(mae)", -1.8, 2),
        ("phuber(tau=2)", 0, 1 + math.log(2)),
    ],
)
def test_minimum_and_span_are_the_closed_forms(text, minimum, span):
    loss = losses.parse(text)
    assert loss.minimum(10) == pytest.approx(minimum, abs=1e-9)
    assert loss.span(10) == pytest.approx(span)
