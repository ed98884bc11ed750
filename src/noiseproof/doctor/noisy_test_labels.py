"""Noise among test labels: accuracy on them is too low by it, and cleaning the training part does not change that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from noiseproof.data import Data
from noiseproof.doctor.diagnosis import Diagnosis
from noiseproof.doctor.diagnosis_inputs import vectors_of
from noiseproof.doctor.issues import find_label_issues

__all__ = ["HeldOutNoise", "noise_of_test_labels"]

_LEAST = 0.01  # share of wrong labels that is worth a word
_FEWEST = 20  # test samples


@dataclass(frozen=True)
class HeldOutNoise:
    """Estimated share of wrong labels of the test part; falsy where the data do not speak for any.

    Attributes:
        samples: number of test samples.
        rate: estimated share of wrong labels.
        interval: lowest and highest share that the data speak for.
        own: the test part came with the data, and was not held out of the samples that were judged.
    """

    samples: int
    rate: float
    interval: tuple[float, float]
    own: bool

    def __bool__(self) -> bool:
        return self.interval[0] > _LEAST

    def __str__(self) -> str:
        low, high = self.interval
        whose = f"the {self.samples:,} test labels" + ("" if self.own else ", held out of these samples,")
        clean = "; noiseproof clean leaves them as they are" if self.own else ""
        return (
            f"warning: {whose} are noisy, too: about {self.rate:.0%} are wrong ({low:.0%} to {high:.0%}); accuracy "
            f"measured on them is too low, and noiseproof evaluate corrects it{clean}"
        )

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain values."""
        return {"samples": self.samples, "rate": self.rate, "interval": list(self.interval), "own": self.own}


def noise_of_test_labels(data: Data, diagnosis: Diagnosis) -> HeldOutNoise | None:
    """Estimate the noise of the labels that a model is tested on.

    A held-out part has the noise of the data that it was taken from. A test part of its own is judged by a logistic
    regression on the samples of the training part that are not suspect.

    Returns:
        None where the test part is small, lacks a class's training samples, or has known clean labels.
    """
    test = data.test
    if len(test) < _FEWEST or test.clean is not None:
        return None
    if data.held_out is not None:
        return HeldOutNoise(len(test), diagnosis.rate, diagnosis.rate_interval, own=False)
    train, kept = data.train, ~diagnosis.is_issue
    given = train.given.numpy()[kept]
    if len(np.unique(given)) < len(train.classes):
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from noiseproof.doctor.cleaning.apply import joined

    vectors = vectors_of(joined(train, test).inputs)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    p = model.fit(vectors[: len(train)][kept], given).predict_proba(vectors[len(train) :])
    found = find_label_issues(test.given.numpy(), p)
    return HeldOutNoise(len(test), found.rate, found.rate_interval, own=True)
