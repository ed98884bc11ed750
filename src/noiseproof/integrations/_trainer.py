"""A Hugging Face Trainer and callback for robust losses; imports transformers."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback

from noiseproof.integrations._model_loss import Items, as_loss, causal_loss, compute_loss, unwrapped
from noiseproof.losses import Loss
from noiseproof.train.health import Watched

__all__ = ["HealthCallback", "RobustTrainer"]


class RobustTrainer(Trainer):
    """A Trainer whose training loss and `eval_loss` are the same robust loss.

    Args:
        loss: a loss or its text; a `SigmoidLoss` for multi-label classification.
        args: as `transformers.Trainer` takes them: model, arguments, ...
        shift_labels: True for causal language models; None: by the model's class name.
        fused: for causal language models, join head and loss while training (`causal_loss`).
        options: as `transformers.Trainer` takes them.
    """

    def __init__(
        self, loss: Any, *args: Any, shift_labels: bool | None = None, fused: bool = False, **options: Any
    ) -> None:
        name = type(unwrapped(options.get("model", args[0] if args else None))).__name__
        if shift_labels is None:
            shift_labels = "CausalLM" in name or "LMHead" in name
        self.robust_loss: Any = as_loss(loss)
        self._fused = fused
        options["compute_loss_func"] = compute_loss(self.robust_loss, shift_labels=shift_labels)
        super().__init__(*args, **options)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Items = None
    ) -> Any:
        if return_outputs or not self._fused:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        value = causal_loss(self.robust_loss, model, inputs, num_items_in_batch)
        whole = num_items_in_batch is not None and self.args.average_tokens_across_devices
        # The count is that of all processes, whose gradients are averaged.
        return value * self.accelerator.num_processes if whole else value


class HealthCallback(TrainerCallback):
    """Shares of the latest samples that are fitted, stuck or without gradient, in every log of a Trainer.

    Args:
        loss: the loss object that the Trainer uses.
    """

    def __init__(self, loss: Loss) -> None:
        self.watched = Watched(loss)
        loss.register_forward_hook(lambda module, given, value: self.watched.keep(*given[:2]))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        if logs is not None and "loss" in logs:
            found = {f"health_{name}": value for name, value in self.watched.report().items()}
            logs |= found
            state.log_history[-1] |= found
