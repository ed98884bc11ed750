"""Noise that depends on the input: its rates, its source, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from conftest import count
from noiseproof import noise, rng
from noiseproof.errors import InputError
from noiseproof.noise.instance import cut_normal, cut_normal_mean

CLASSES = 5
LABELS = np.arange(5000) % CLASSES
INPUTS = np.random.default_rng(0).normal(size=(5000, 12))


def draw(text, seed=1, labels=LABELS, inputs=INPUTS):
    return noise.corrupt(labels, text, num_classes=CLASSES, seed=seed, inputs=inputs)


def xia(inputs, labels, rate, seed):
    """The published algorithm with numpy's own generator: samples' rates, scores, softmax, draw."""
    draws = np.random.default_rng(seed)
    rates = stats.truncnorm(-rate / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).rvs(len(labels), random_state=draws)
    weights = draws.normal(size=(CLASSES, inputs.shape[1], CLASSES))
    x = (inputs - inputs.mean(0)) / inputs.std(0)
    given = np.empty_like(labels)
    for i, c in enumerate(labels):
        scores = x[i] @ weights[c]
        scores[c] = -np.inf
        p = rates[i] * np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        p[c] = 1 - rates[i]
        given[i] = draws.choice(CLASSES, p=p / p.sum())
    return given


def test_the_cut_normal_is_the_truncated_normal_distribution():
    even = (np.arange(2000) + 0.5) / 2000
    for mean in (0.0, 0.05, 0.2, 0.5, 0.97, 1.0):
        reference = stats.truncnorm(-mean / 0.1, (1 - mean) / 0.1, loc=mean, scale=0.1)
        assert cut_normal(mean, even) == pytest.approx(reference.ppf(even), abs=1e-9)
        assert cut_normal_mean(mean) == pytest.approx(reference.mean(), abs=1e-12)


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
def test_xia_noise_has_its_rate_on_average(rate):
    seeds = count(20, 200)
    rates = [draw(f"instance({rate})", seed).rate for seed in range(seeds)]
    # a flip's variance is that of a coin with the mean rate, whatever the spread of the samples' rates
    assert np.mean(rates) == pytest.approx(cut_normal_mean(rate), abs=5 * 0.5 / (seeds * len(LABELS)) ** 0.5)


def test_xia_noise_is_distributed_as_the_published_algorithm():
    """Over random weights: the shares of a class's favourite wrong labels, ours and a plain second implementation."""
    labels, inputs = LABELS[:1000], INPUTS[:1000]

    def favourites(given):
        shares = [
            np.sort(np.bincount(given[labels == c], minlength=CLASSES)[np.arange(CLASSES) != c]) for c in range(5)
        ]
        return np.concatenate(shares)

    seeds = count(15, 200)
    ours = [favourites(draw("instance(0.4)", seed, labels, inputs).labels) for seed in range(seeds)]
    theirs = [favourites(xia(inputs, labels, 0.4, seed)) for seed in range(seeds)]
    for rank in range(CLASSES - 1):
        one, other = (np.stack(found)[:, rank :: CLASSES - 1].ravel() for found in (ours, theirs))
        assert stats.ks_2samp(one, other).pvalue > 1e-4


def test_logitclip_noise_has_its_rate_exactly():
    for rate in (0.0, 0.1, 0.25, 0.4, 1.0):
        assert draw(f"instance({rate}, convention=logitclip)").flipped.sum() == rate * 5000


@pytest.mark.parametrize("convention", ["xia", "logitclip"])
def test_a_wrong_label_is_the_class_that_the_sample_scores_highest_when_scores_are_far_apart(convention):
    inputs = INPUTS * 1.0
    inputs[:, 0] = 1e3 * np.sign(INPUTS[:, 0])  # one feature decides; standardised it is +-1
    wide = np.repeat(inputs[:, :1], 4000, axis=1)  # 4,000 copies of it: scores far apart
    noisy = draw(f"instance(0.5, convention={convention})", inputs=wide)
    for c in range(CLASSES):
        words = rng.random_uint64(4000 * CLASSES, 1, "noise", "instance", c).astype(np.float64) / 2.0**64
        sums = stats.norm.ppf(words).reshape(4000, CLASSES).sum(0)
        for sign in (-1, 1):
            rows = noisy.flipped & (c == LABELS) & (np.sign(INPUTS[:, 0]) == sign)
            scores = sign * sums
            scores[c] = -np.inf
            gap = np.diff(np.sort(scores))[-1]
            share = (noisy.labels[rows] == scores.argmax()).mean()
            assert share == pytest.approx(1 / (1 + np.exp(-gap)), abs=0.12)


def test_scores_beyond_what_an_exponential_holds_choose_the_highest_class():
    wide = np.repeat(np.sign(INPUTS[:40, :1]), 1_000_000, axis=1).astype(np.float32)  # scores of +-1,000
    noisy = noise.corrupt(LABELS[:40], "instance(0.5)", num_classes=CLASSES, seed=1, inputs=wide)
    rows = np.flatnonzero(noisy.flipped)
    assert len(rows) > 5
    favourites = {(LABELS[i], wide[i, 0], noisy.labels[i]) for i in rows}
    assert len(favourites) == len({favourite[:2] for favourite in favourites})  # one for each class and sign


def test_equal_inputs_of_a_class_share_their_favourites_and_unlike_ones_do_not():
    same = draw("instance(0.5)", inputs=np.repeat(INPUTS[:1], 5000, axis=0) + np.arange(5000)[:, None] % 2)
    for c in range(CLASSES):
        kinds = [same.labels[same.flipped & (c == LABELS) & (np.arange(5000) % 2 == half)] for half in (0, 1)]
        one, other = (np.bincount(kind, minlength=CLASSES) / len(kind) for kind in kinds)
        assert max(abs(one - other)) > 0.2


@pytest.mark.parametrize("scale", [(1, 0), (255, 7), (1e-6, -3)])
def test_the_scale_of_the_inputs_does_not_matter(scale):
    factor, shift = scale
    assert draw("instance(0.4)", inputs=INPUTS * factor + shift).sha256 == draw("instance(0.4)").sha256


def test_images_are_standardised_a_channel():
    images = np.random.default_rng(1).integers(0, 256, (5000, 3, 2, 2), dtype=np.uint8)
    stretched = images.astype(np.float64) * np.array([1.0, 0.5, 3.0])[:, None, None] + 10
    one, other = draw("instance(0.4)", inputs=images), draw("instance(0.4)", inputs=stretched)
    assert one.sha256 == other.sha256 == draw("instance(0.4)", inputs=torch.from_numpy(images)).sha256


def test_a_constant_feature_is_no_reason_to_fail():
    dull = np.concatenate([INPUTS, np.ones((5000, 1))], axis=1)
    assert 0.35 < draw("instance(0.4)", inputs=dull).rate < 0.45


def test_the_cut_that_shifts_the_rate_far_is_refused_unless_wanted():
    with pytest.raises(InputError, match=r"flips 12\.88% of these labels where 10\.00% are asked for"):
        draw("instance(0.1)")
    assert draw("instance(0.1, allow_wrong_rate=true)").rate == pytest.approx(0.1288, abs=0.025)
    with pytest.raises(InputError, match="asked for"):
        draw("instance(0)")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (None, "instance noise looks at the inputs"),
        (INPUTS[:, 0], "instance noise looks at the inputs"),
        (("a.jpg",) * 5000, "got tuple"),
        (INPUTS[:7], "a row for each of the 5000 labels, got 7 rows"),
        (np.where(np.arange(12) == 3, np.nan, INPUTS), "inputs must be finite"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(inputs, words):
    with pytest.raises(InputError, match=words):
        draw("instance(0.4)", inputs=inputs)
