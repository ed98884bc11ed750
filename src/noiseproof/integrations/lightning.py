"""A health callback for Lightning: `Trainer(callbacks=[HealthCallback()])`."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from noiseproof.errors import InputError
from noiseproof.losses import Loss
from noiseproof.train.health import Watched

__all__ = ["HealthCallback"]


class HealthCallback(Callback):
    """Shares of the latest training samples that are fitted, stuck or without gradient, logged after every epoch.

    They stand in `trainer.callback_metrics` and in every logger as `health/fitted`, `health/stuck` and
    `health/no_gradient`. What went wrong is a warning at the end of training. Validation is not looked at.

    Args:
        loss: the loss object that `training_step` calls; the only `noiseproof.losses.Loss` of the module unless given.
    """

    def __init__(self, loss: Loss | None = None) -> None:
        self.loss = loss
        self.watched: Watched | None = None
        self._handle: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to look at what the loss is given."""
        loss = self.loss or _only_loss(pl_module)
        self.watched = watched = Watched(loss)

        def keep(module: Any, given: Any, value: Any) -> None:
            if trainer.training:
                watched.keep(*given[:2])

        self._handle = loss.register_forward_hook(keep)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the shares."""
        if self.watched is not None:
            shares = {name: value for name, value in self.watched.report().items() if isinstance(value, float)}
            pl_module.log_dict({f"health/{name}": value for name, value in shares.items()}, sync_dist=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop looking, and say what went wrong."""
        if self.watched is not None and (advice := self.watched.report()["advice"]):
            warnings.warn(advice, stacklevel=2)
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop looking."""
        self._stop()

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


def _only_loss(module: LightningModule) -> Loss:
    found = [each for each in module.modules() if isinstance(each, Loss)]
    outer = [one for one in found if not any(one is not other and one in other.modules() for other in found)]
    if len(outer) != 1:
        raise InputError(
            f"{type(module).__name__} holds {len(outer)} losses of noiseproof as attributes; give the one that "
            "training_step calls: HealthCallback(module.loss)"
        )
    return outer[0]
