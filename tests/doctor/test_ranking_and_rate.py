"""Laws of the rate, its interval and the flags, on probabilities of which the truth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from noiseproof.doctor import find_label_issues
from noiseproof.doctor.judges.base import MANY, Task, folds_of, one_hot
from noiseproof.doctor.judging_rounds import judge_vectors
from noiseproof.doctor.sure_regions import SureRegions, sure_regions


def peaked(labels, classes, peak):
    p = np.full((len(labels), classes), (1 - peak) / (classes - 1))
    p[np.arange(len(labels)), labels] = peak
    return p


def test_a_sure_region_is_never_larger_than_its_class():
    given = np.repeat([0, 1, 2], [60, 4, 1])
    for region in sure_regions(peaked(given, 3, 0.9), given):
        assert (region.sizes <= [60, 4, 1]).all()
        assert (region.counts == np.diag(region.sizes)).all()  # each class is named after its own samples


def test_the_cleanest_region_is_the_one_with_the_fewest_strange_labels():
    regions = SureRegions(np.array([[6.0, 4.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))  # the last class has no region
    assert regions.cleanest == pytest.approx(0.1)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_interval_holds_an_even_rate_where_the_judge_knows_the_truth(rate):
    random = np.random.default_rng(3)
    clean = random.integers(4, size=2_000)
    given = np.where(random.random(2_000) < rate, (clean + random.integers(1, 4, size=2_000)) % 4, clean)
    found = find_label_issues(given, peaked(clean, 4, 0.9))
    low, high = found.rate_interval
    assert low <= (given != clean).mean() <= high
    assert found.rate == pytest.approx((given != clean).mean(), abs=0.02)
    assert (found.is_issue == (given != clean)).mean() > 0.99


def test_predictions_that_lead_the_most_frequent_label_by_chance_alone_flag_nothing():
    random = np.random.default_rng(5)
    given = random.integers(2, size=300)
    found = find_label_issues(given, peaked(np.where(random.random(300) < 0.52, given, 1 - given), 2, 0.52))
    assert found.agreement > np.bincount(given).max() / 300  # a little better than the majority
    assert not found.informed
    assert not found.is_issue.any()


def test_neighbours_improve_the_ranking_of_wide_vectors_also_where_classes_are_unequal():
    clean = np.repeat(np.arange(6), (450, 200, 70, 50, 40, 40))
    found = []
    for seed in (0, 2):
        random = np.random.default_rng(seed)
        means = 0.18 * random.normal(size=(6, 120)) * random.exponential(1, 120)
        vectors = means[clean] + random.normal(size=(len(clean), 120)) * np.linspace(0.2, 3, 120)
        wrong = random.random(len(clean)) < 0.3
        judged = judge_vectors(vectors.astype(np.float32), np.where(wrong, (clean + 1) % 6, clean), 6)
        found.append([average_precision_score(wrong, one) for one in (judged.first.log_odds, judged.suspicion)])
    first, ranking = np.mean(found, axis=0)
    assert ranking > first + 0.03


def test_of_many_samples_a_model_learns_from_some_and_never_from_the_fold_it_judges():
    given = np.arange(MANY + 5_000) % 2
    vectors = np.zeros((len(given), 3), np.float32)
    task = Task(vectors, given, one_hot(given, 2), folds_of(given, 5, 1), 1)
    learned = task.learned(2)
    assert len(learned) == 10_000 == len(np.unique(learned))
    assert (task.fold[learned] != 2).all()
    assert given[learned].mean() == pytest.approx(0.5, abs=0.02)
