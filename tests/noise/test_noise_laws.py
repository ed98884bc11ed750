"""Label noise as probability: rates, matrices, nesting, independence, and the same numbers everywhere."""

from __future__ import annotations

import csv
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conftest import ROOT, count
from noiseproof import noise, rng
from test_rng import words_in_python

CLASSES = 10
LABELS = np.arange(10_000) % CLASSES
KINDS = [
    f"{kind}, convention={convention})"
    for kind in ("symmetric(0.2", "symmetric(0.8", "asymmetric(0.4", "pairflip(0.3")
    for convention in ("exact", "independent")
]


def draw(text, seed, labels=LABELS, num_classes=CLASSES):
    return noise.corrupt(labels, text, num_classes=num_classes, seed=seed, data="cifar10")


# Rates


@given(
    sizes=st.lists(st.integers(0, 30), min_size=2, max_size=12).filter(any),
    rate=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_exact_noise_has_its_rate_to_one_sample_in_each_class(sizes, rate, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    noisy = noise.corrupt(labels, noise.Symmetric(rate), num_classes=len(sizes), seed=seed)
    flips = np.bincount(labels[noisy.flipped], minlength=len(sizes))
    assert (abs(flips - rate * np.array(sizes)) < 1).all()


@pytest.mark.parametrize(("classes", "each", "rate"), [(1000, 2, 0.2), (100, 50, 0.4), (100, 7, 0.1), (37, 3, 0.5)])
def test_exact_noise_on_many_small_classes_has_its_rate_overall(classes, each, rate):
    labels = np.arange(classes * each) % classes
    noisy = noise.corrupt(labels, noise.Symmetric(rate), num_classes=classes, seed=1)
    assert abs(int(noisy.flipped.sum()) - rate * len(labels)) < 1


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.29, 0.4, 0.57, 0.8, 1.0])
def test_whole_numbers_of_flips_are_met_in_spite_of_binary_fractions(rate):
    # 0.29 * 100 is 28.999999999999996 to a computer
    noisy = draw(f"symmetric({rate})", seed=3, labels=np.arange(1000) % 10)
    assert np.bincount(LABELS[:1000][noisy.flipped]).tolist() == [round(rate * 100)] * 10


def test_independent_noise_has_its_rate_over_many_seeds():
    seeds, rate = count(50, 200), 0.4
    labels = np.arange(50_000) % CLASSES
    flips = [draw(f"symmetric({rate}, convention=independent)", seed, labels).rate for seed in range(seeds)]
    assert abs(np.mean(flips) - rate) < 5 * (rate * (1 - rate) / (seeds * len(labels))) ** 0.5
    # and each seed varies as independent flips do: the standard deviation to 5 of its own standard errors
    spread = (rate * (1 - rate) / len(labels)) ** 0.5
    assert abs(np.std(flips) / spread - 1) < 5 / (2 * seeds) ** 0.5


# Matrices


def p_value(text, seed, labels=LABELS, rule=None):
    """Of the chi-square test that the pairs of all classes come from the nominal matrix."""
    noisy = draw(text, seed, labels)
    rule = rule or noise.parse(text)
    wanted = rule.matrix(CLASSES, "cifar10")
    tested = np.ones(len(labels), bool)
    if rule.convention == "exact":  # the number of flips is fixed; where they go is random
        tested = noisy.flipped
        np.fill_diagonal(wanted, 0)
        wanted /= wanted.sum(1, keepdims=True)
    seen = np.zeros((CLASSES, CLASSES))
    np.add.at(seen, (labels[tested], noisy.labels[tested]), 1)
    wanted *= seen.sum(1, keepdims=True)
    cells = wanted > 0
    assert (seen[~cells] == 0).all()
    return stats.chi2.sf(((seen - wanted)[cells] ** 2 / wanted[cells]).sum(), cells.sum() - CLASSES)


@pytest.mark.parametrize("text", [text for text in KINDS if "exact" not in text or "symmetric" in text[:9]])
def test_the_pairs_of_classes_follow_the_nominal_matrix(text):
    values = [p_value(text, seed) for seed in range(count(40, 200))]
    assert stats.kstest(values, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("text", ["asymmetric(0.4)", "pairflip(0.3)"])
def test_noise_with_one_target_a_class_has_its_nominal_matrix_exactly(text):
    assert draw(text, 1).transition.tolist() == noise.parse(text).matrix(CLASSES, "cifar10").tolist()


def test_the_chi_square_test_would_notice_a_generator_that_may_keep_the_label():
    text, labels = "symmetric(0.4, convention=dividemix)", np.arange(50_000) % CLASSES
    rule = noise.parse("symmetric(0.4, convention=independent)")
    assert max(p_value(text, seed, labels, rule) for seed in range(5)) < 1e-20
    assert min(p_value(text, seed, labels) for seed in range(5)) > 1e-4


# Who is flipped


@pytest.mark.parametrize("convention", ["exact", "independent"])
@pytest.mark.parametrize("kind", ["symmetric", "asymmetric", "pairflip", "instance"])
@given(low=st.floats(0.15, 0.9), step=st.floats(0, 0.1), seed=st.integers(0, 5))
def test_the_flips_of_a_rate_are_among_those_of_a_larger_one(kind, convention, low, step, seed):
    if kind == "instance":
        convention = {"exact": "logitclip", "independent": "xia"}[convention]
    labels = np.arange(230) % CLASSES
    inputs = np.random.default_rng(0).normal(size=(230, 6))
    less, more = (
        noise.corrupt(
            labels, f"{kind}({rate}, convention={convention})", num_classes=10, seed=seed, data="mnist", inputs=inputs
        )
        for rate in (low, low + step)
    )
    assert (more.flipped >= less.flipped).all()
    assert (more.labels == less.labels)[less.flipped].all()


@given(others=st.lists(st.integers(0, CLASSES - 1), min_size=0, max_size=50), seed=st.integers(0, 9))
def test_an_independent_label_depends_on_its_own_index_and_label_alone(others, seed):
    text = "symmetric(0.5, convention=independent)"
    long = noise.corrupt([3, 1, 4, *others], text, num_classes=CLASSES, seed=seed)
    short = noise.corrupt([3, 1, 4], text, num_classes=CLASSES, seed=seed)
    assert long.labels[:3].tolist() == short.labels.tolist()


@pytest.mark.parametrize("text", KINDS)
def test_flips_do_not_depend_on_where_a_sample_stands(text):
    place = np.arange(len(LABELS)) * 20 // len(LABELS)
    touched = noise.parse(text).matrix(CLASSES, "cifar10").diagonal()[LABELS] < 1
    values = []
    for seed in range(count(40, 200)):
        flipped = draw(text, seed).flipped
        table = [np.bincount(place[touched & (flipped == side)], minlength=20) for side in (False, True)]
        values.append(stats.chi2_contingency(table).pvalue)
    assert stats.kstest(values, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("convention", ["exact", "independent"])
def test_neighbours_are_not_flipped_together(convention):
    pairs = [draw(f"symmetric(0.4, convention={convention})", seed).flipped for seed in range(50)]
    together = np.mean([(one[1:] & one[:-1]).mean() for one in pairs])
    assert together == pytest.approx(0.16, abs=5 * 0.4 / (50 * len(LABELS)) ** 0.5)


@pytest.mark.parametrize("text", KINDS)
def test_another_seed_draws_other_flips_and_the_same_seed_the_same(text):
    assert draw(text, 1).sha256 == draw(text, 1).sha256 != draw(text, 2).sha256
    one, other = draw(text, 1).flipped, draw(text, 2).flipped
    matrix = noise.parse(text).matrix(CLASSES, "cifar10")
    wrong = 1 - matrix.diagonal()
    assert (one & other).mean() == pytest.approx((wrong**2).mean(), abs=5 * 0.5 / len(LABELS) ** 0.5)


# The same numbers everywhere


def by_hand(labels, rate, num_classes, seed, exact):
    """Symmetric noise from docs/noise.md, in Python's own integers and fractions."""
    words = words_in_python(2 * len(labels), rng.key(seed, "noise", "symmetric"))
    spread = words_in_python(num_classes, rng.key(seed, "noise", "symmetric", "rounding"))
    level = sorted(range(num_classes), key=lambda k: spread[k])
    given = list(labels)
    for i, c in enumerate(labels):
        first, second = words[2 * i : 2 * i + 2]
        if exact:
            rank = sum(words[2 * j] < first for j, other in enumerate(labels) if other == c)
            flip = rank + Fraction(2 * level[c] + 1, 2 * num_classes) < Fraction(rate) * labels.count(c)
        else:
            flip = first // 2**11 < Fraction(rate) * 2**53
        if flip:
            share = round(2**31 / (num_classes - 1))
            step = second % (share * (num_classes - 1)) // share
            given[i] = step + (step >= c)
    return given


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    rate=st.sampled_from([0.125, 0.375, 0.5, 0.8125]),
    seed=st.integers(0, 50),
    exact=st.booleans(),
)
def test_a_second_implementation_draws_the_same_labels(labels, rate, seed, exact):
    text = f"symmetric({rate}, convention={'exact' if exact else 'independent'})"
    ours = noise.corrupt(labels, text, num_classes=5, seed=seed).labels.tolist()
    assert ours == by_hand(labels, rate, 5, seed, exact)


with open(ROOT / "tests" / "reference" / "noise_goldens.csv", newline="") as file:
    GOLDENS = list(csv.DictReader(file))


@pytest.mark.parametrize("row", GOLDENS, ids=lambda row: f"{row['noise']} K={row['classes']} seed={row['seed']}")
def test_labels_are_those_recorded(row):
    """Recorded with numpy 2.4.6 on x86-64; equal with numpy 1.26.4 and 2.0.2."""
    classes = int(row["classes"])
    i = np.arange(5000)
    noisy = noise.corrupt((i * i + i // 7) % classes, row["noise"], num_classes=classes, seed=int(row["seed"]))
    assert (int(noisy.flipped.sum()), noisy.sha256) == (int(row["flipped"]), row["sha256"])
