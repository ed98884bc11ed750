"""The answers of `noiseproof.theory` as they are printed and written, word for word."""

from __future__ import annotations

import json
import math

import pytest
from test_theory import OfProbabilities

from noiseproof import theory

SQUARED = OfProbabilities(lambda p: (1 - p) ** 2)
OTHERS = OfProbabilities(lambda p: p.square().sum(1, keepdim=True) - p**2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: theory.amse_condition([0.75, 0.25], a=1.5), "violated, margin -0.25"),
        (lambda: theory.amse_condition([0.75, 0.25], a=5), "holds, margin 1.5"),
        (lambda: theory.amse_condition([0.75, 0.25], a=5, q=0.5), "holds, margin 0.5"),
        (lambda: theory.smallest_a([0.75, 0.25], q=1), "a >= 1 (q = 1, w_m - w_n = 0.5)"),
        (lambda: theory.smallest_a([0.75, 0.25]), "a >= 2 (q = 2, w_m - w_n = 0.5)"),
        (lambda: theory.smallest_a([0.5, 0.5]), "no a satisfies AMSE's condition (w_m - w_n = 0)"),
        (
            lambda: theory.excess_risk_bound(0.125, [0.75, 0.25], a=3),
            "at most 33.33 % wrong (risk rises by 0.375 for each wrong sample)",
        ),
        (lambda: theory.is_symmetric("nce", 5), "symmetric: the losses of all labels add up to 1"),
        (lambda: theory.is_symmetric("nnce", 4), "symmetric: the losses of all labels add up to 3"),
        (lambda: theory.is_symmetric("rce", 4), "symmetric: the losses of all labels add up to 27.631"),
        (lambda: theory.is_symmetric(SQUARED, 4), "not symmetric: the sum over all labels varies by 0.75"),
        (lambda: theory.is_active("ce"), "active: ce is active by its definition"),
        (lambda: theory.is_passive("mae"), "passive: mae is passive by its definition"),
        (
            lambda: theory.is_active("nce + 2*nce"),
            "active: nce is active by its definition; nce is active by its definition",
        ),
        (
            lambda: theory.is_active("nce + amse(a=30)"),
            "active and passive terms: nce is active by its definition; amse is passive by its definition",
        ),
        (
            lambda: theory.is_active(SQUARED),
            "active: OfProbabilities depends on the given label's probability alone",
        ),
        (
            lambda: theory.is_passive(OTHERS),
            "passive: OfProbabilities does not depend on the given label's probability alone",
        ),
        (
            lambda: theory.asymmetry_ratio("ael(a=2)"),
            "asymmetry ratio 0.606531: enough where w_m / w_n >= 1.64872",
        ),
        (lambda: theory.asymmetry_ratio("ce"), "asymmetry ratio 0: no noise is tolerated by this condition"),
        (
            lambda: theory.is_asymmetric("mae", [0.6, 0.4, 0]),
            """\
asymmetric here: the risk is lowest at the clean class
slope away from it at least 0.4
because the risk is linear and no edge falls from e_0""",
        ),
        (
            lambda: theory.is_asymmetric("gce(q=0.5)", [0.1, 0.3, 0.6]),  # w^2: 0.36, 0.09, 0.01 of 0.46
            """\
not asymmetric here: the risk is lowest near 0.7826 on 2, 0.1957 on 1, 0.02174 on 0
0.1565 below the clean class; least slope away from it -inf
because the risk falls from e_2 towards e_0""",
        ),
        (
            lambda: theory.is_asymmetric("ce", [0.4, 0.3, 0.2, 0.1]),
            """\
not asymmetric here: the risk is lowest near 0.4 on 0, 0.3 on 1, 0.2 on 2
inf below the clean class; least slope away from it -inf
because the risk falls from e_0 towards e_1""",
        ),
        (
            lambda: theory.is_asymmetric("amse(a=2)", [0.6, 0.3, 0.1]),
            """\
not asymmetric here: the risk is lowest near 0.8 on 0, 0.2 on 1
0.02667 below the clean class; least slope away from it -0.2667
because the risk falls from e_0 towards e_1""",
        ),
        (
            lambda: theory.is_asymmetric("nce", [0.5, 0.3, 0.15, 0.05]),
            """\
asymmetric here: the risk is lowest at the clean class, and just as low elsewhere
slope away from it at least 0
because the losses of all labels add up to a constant, and the least likely label carries all of it
the loss jumps at the vertices; its infimum is approached where the least likely class fades first
the same infimum is approached away from the clean class too, so the risk alone does not lead there""",
        ),
        (
            lambda: theory.is_asymmetric("lc", [0.6, 0.4]),
            """\
not asymmetric here: the risk is lowest near 0.6 on 0, 0.4 on 1
0.1103 below the clean class; least slope away from it nan
by search alone, without a certificate
the loss depends on the size of the scores, not on the probabilities alone: searched over scores""",
        ),
    ],
)
def test_an_answer_says_why(answer, said):
    assert str(answer()) == said


def test_without_a_heaviest_class_nothing_holds():
    found = theory.is_asymmetric("mae", [1, 2, 2])
    assert found == theory.Asymmetry(
        False, 1, 0.0, (0.2, 0.4, 0.4), 0.0, False, "", ("no single class has the largest weight",)
    )


NOISE = [[0.75, 0.25, 0.0], [0.0, 0.625, 0.375], [0.5, 0.0, 0.5]]


@pytest.mark.parametrize(
    ("loss", "noise", "said"),
    [
        (
            "amse(a=3)",
            [[0.625, 0.25, 0.125], [0, 1, 0], [0, 0, 1]],
            """\
amse(a=3): tolerates this noise
hardest class 0: its label is 0.375 likelier than 1
AMSE needs a >= 2.66667 (q = 2, w_m - w_n = 0.375)
class 0
  asymmetric here: the risk is lowest at the clean class
  slope away from it at least 0.08333
  because the risk is convex and no edge falls from e_0""",
        ),
        (
            "amse(a=2)",
            [[1, 0, 0], [0, 1, 0], [0, 0.375, 0.625]],
            """\
amse(a=2): does not tolerate this noise for 1 of 3 classes
hardest class 2: its label is 0.25 likelier than 1
AMSE needs a >= 4 (q = 2, w_m - w_n = 0.25)
class 2
  not asymmetric here: the risk is lowest near 0.75 on 2, 0.25 on 1
  0.04167 below the clean class; least slope away from it -0.3333
  because the risk falls from e_2 towards e_1""",
        ),
        (
            "mae",
            NOISE,
            """\
mae: does not tolerate this noise for 1 of 3 classes
hardest class 2: its label is 0 likelier than 0
AMSE: no a satisfies AMSE's condition (w_m - w_n = 0)
class 2
  not asymmetric here: the risk is lowest near 0.5 on 0, 0.5 on 2
  0 below the clean class; least slope away from it 0
  because the clean label does not dominate
  label 0 is given to this class at least as often as its own""",
        ),
    ],
)
def test_the_answer_for_a_matrix_names_the_hardest_class_and_the_first_that_fails(loss, noise, said):
    assert str(theory.tolerance(loss, noise)) == said


def test_a_matrix_is_answered_in_plain_json():
    told = json.loads(json.dumps(theory.tolerance("mae", NOISE).to_json(), allow_nan=False))
    linear = {"tolerates": True, "gap": 0, "unique": True, "notes": []}
    assert told == {
        "loss": "mae",
        "tolerates": False,
        "margin": 0,
        "smallest_a": None,
        "classes": [
            {
                "class": 0, "margin": 0.5, "rival": 1, "smallest_a": 2, "slope": pytest.approx(2 * 0.5),
                "minimiser": [1, 0, 0], "certificate": "the risk is linear and no edge falls from e_0", **linear,
            },
            {
                "class": 1, "margin": 0.25, "rival": 2, "smallest_a": 4, "slope": pytest.approx(2 * 0.25),
                "minimiser": [0, 1, 0], "certificate": "the risk is linear and no edge falls from e_1", **linear,
            },
            {
                "class": 2, "margin": 0, "rival": 0, "smallest_a": None, "slope": 0, "minimiser": [0.5, 0, 0.5],
                "certificate": "the clean label does not dominate", "tolerates": False, "gap": 0, "unique": False,
                "notes": ["label 0 is given to this class at least as often as its own"],
            },
        ],
    }  # fmt: skip


def test_json_has_no_infinities():
    (first, _) = theory.tolerance("ce", [[0.75, 0.25], [0, 1]]).to_json()["classes"]
    assert (first["slope"], first["gap"], first["smallest_a"]) == (None, None, 2)
    assert first["minimiser"] == pytest.approx([0.75, 0.25], abs=1e-6)
    assert math.isinf(theory.tolerance("ce", [[0.75, 0.25], [0, 1]]).classes[0].verdict.gap)
