"""The Lightning callback, on the module of the example page."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import InputError

lightning = pytest.importorskip("lightning")

from noiseproof.integrations.lightning import HealthCallback  # noqa: E402


class Classifier(lightning.LightningModule):
    def __init__(self, lr: float, **modules: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.lr = torch.nn.Linear(8, 3), lr
        for name, module in modules.items():
            setattr(self, name, module)

    def training_step(self, batch, _):
        return self.loss(self.model(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.loss(self.model(batch[0]), (batch[1] + 1) % 3)  # would spoil the shares if it were looked at

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def fit(module: Classifier, *callbacks: object):
    x = torch.randn(120, 8, generator=seeded(1))
    loader = DataLoader(TensorDataset(x, x[:, :3].argmax(1)), batch_size=40)
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.filterwarnings("ignore", message=".*num_workers|.*`isinstance.treespec, LeafSpec.`|.*litlogger")
        trainer = lightning.Trainer(
            max_epochs=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=list(callbacks),
        )  # fmt: skip
        trainer.fit(module, loader, loader)
    return trainer


def test_the_shares_of_the_training_samples_are_logged():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = Classifier(2.0, loss=losses.parse("nce + mae"))
    metrics = fit(module, HealthCallback()).callback_metrics
    assert metrics["health/fitted"] > 0.7
    assert 0 <= metrics["health/stuck"] <= metrics["health/no_gradient"] <= 1
    assert not module.loss._forward_hooks


def test_what_was_not_seen_is_said():
    module = Classifier(0.1, loss=losses.parse("ce"))
    with pytest.warns(UserWarning, match="saw nothing"):
        fit(module, HealthCallback(losses.parse("ce")))


def test_a_module_with_two_losses_is_asked_for_one():
    module = Classifier(0.1, loss=losses.parse("ce"), other=losses.parse("mae"))
    with pytest.raises(InputError, match="holds 2 losses"):
        fit(module, HealthCallback())
