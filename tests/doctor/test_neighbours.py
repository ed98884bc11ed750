"""Neighbours: doubt falls on the sample whose surroundings are of another class."""

from __future__ import annotations

import numpy as np

from noiseproof.doctor.judges.base import one_hot
from noiseproof.doctor.neighbours import neighbour_doubt


def test_a_label_that_no_neighbour_shares_is_doubted_most():
    random = np.random.default_rng(0)
    clean = np.arange(90) % 3
    vectors = (6 * np.eye(3)[clean] + random.normal(size=(90, 3))).astype(np.float32)
    given = clean.copy()
    given[5] = (given[5] + 1) % 3
    doubt = neighbour_doubt(vectors, one_hot(given, 3), given)
    assert doubt.argmax() == 5
    assert doubt[5] > 0.9
    assert np.delete(doubt, 5).max() < 0.5


def test_a_sample_is_not_its_own_neighbour():
    vectors = np.eye(4, dtype=np.float32)
    doubt = neighbour_doubt(vectors, one_hot(np.arange(4), 4), np.arange(4))
    np.testing.assert_allclose(doubt, 1)
