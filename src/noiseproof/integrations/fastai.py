"""A health callback for fastai: `Learner(dls, model, loss_func=losses.parse("jal-ce"), cbs=HealthCallback())`."""

from __future__ import annotations

import warnings
from typing import Any

from fastai.callback.core import Callback

from noiseproof.errors import InputError
from noiseproof.losses import Loss
from noiseproof.train.health import Watched

__all__ = ["HealthCallback"]


class HealthCallback(Callback):  # type: ignore[misc]
    """Shares of the latest training samples that are fitted, stuck or without gradient, after every epoch.

    `learn.health.reports` holds them, an entry an epoch; what went wrong is a warning at the end of `fit`.
    Validation is not looked at. The Learner's `loss_func` must be a loss of noiseproof.
    """

    order = 60  # after the Recorder
    name = "health"

    def before_train(self) -> None:
        """Start to look at logits and labels, once a fit; fastai announces a fit for predictions as well."""
        if not isinstance(self.learn.loss_func, Loss):
            got = type(self.learn.loss_func).__name__
            raise InputError(f"HealthCallback needs a Learner whose loss_func is a loss of noiseproof, got a {got}")
        if self.learn.epoch == 0:
            self.watched = Watched(self.learn.loss_func)
            self.reports: list[dict[str, Any]] = []

    def after_loss(self) -> None:
        """Keep the batch."""
        if self.learn.training and self.learn.yb:
            self.watched.keep(self.learn.pred.detach(), self.learn.yb[0])

    def after_train(self) -> None:
        """Keep the report of the epoch, and say what went wrong after the last."""
        self.reports.append(self.watched.report())
        if self.learn.epoch == self.learn.n_epoch - 1 and (advice := self.reports[-1]["advice"]):
            warnings.warn(advice, stacklevel=2)
