"""The digits of scikit-learn: always there, trained on in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from noiseproof.data.dataset import Data, Split, fingerprint, stratified
from noiseproof.data.dataset_registry import DATASETS, DataSet


@DATASETS.register("digits", classes=10, train=1438, test=359, source="scikit-learn's copy of UCI's digits")
class Digits(DataSet):
    """1,797 handwritten digits, 8 x 8 grey levels as 64 features in [0, 1]; a fifth of each class is held out."""

    def load(self, root: Path) -> Data:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        features = torch.from_numpy((pixels / 16).astype(np.float32))
        truth = torch.from_numpy(labels.astype(np.int64))
        whole = Split(features, truth, truth, tuple("0123456789"))
        train, test = (whole.take(part) for part in stratified(labels))
        return Data(self.name, train, test, fingerprint(train, test), official=True)
