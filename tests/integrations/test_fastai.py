"""The fastai callback, and what a Learner makes of a loss's `activation` and `decodes`."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from conftest import seeded
from noiseproof import losses

pytest.importorskip("fastai.learner", reason="needs fastai")


def test_a_learner_trains_reports_and_predicts():
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner

    from noiseproof.integrations.fastai import HealthCallback

    x = torch.randn(120, 8, generator=seeded(1))
    data = TensorDataset(x, x[:, :3].argmax(1))
    loaders = DataLoaders(DataLoader(data, bs=40, num_workers=0), DataLoader(data, bs=40, num_workers=0))
    loss = losses.parse("nce + mae")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        learner = Learner(loaders, torch.nn.Linear(8, 3), loss_func=loss, lr=0.1, cbs=HealthCallback())
        learner.fit(8)
        probabilities, _, decoded = learner.get_preds(with_decoded=True)
    assert len(learner.health.reports) == 8
    assert learner.health.reports[-1]["fitted"] > 0.7
    torch.testing.assert_close(probabilities.sum(1), torch.ones(120))
    assert torch.equal(decoded, probabilities.argmax(1))
