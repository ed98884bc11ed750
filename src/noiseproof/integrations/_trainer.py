"""A Hugging Face Trainer and callback for robust losses; imports transformers."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback

from noiseproof.errors import InputError
from noiseproof.integrations._model_loss import Items, as_loss, causal_loss, compute_loss, unwrapped
from noiseproof.losses import Loss, SigmoidLoss
from noiseproof.train.health import Watched

__all__ = ["HealthCallback", "RobustTrainer"]


class RobustTrainer(Trainer):
    """A Trainer whose training loss and `eval_loss` are the same robust loss.

    Args:
        loss: a loss or its text; a `SigmoidLoss` for multi-label classification.
        args: as `transformers.Trainer` takes them: model, arguments, ... Their `label_smoothing_factor` becomes the
            loss's `label_smoothing`.
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
        arguments = options.get("args", args[1] if len(args) > 1 else None)
        self.robust_loss: Any = _smoothed(as_loss(loss), getattr(arguments, "label_smoothing_factor", 0.0))
        self._fused = fused
        options["compute_loss_func"] = compute_loss(self.robust_loss, shift_labels=shift_labels)
        super().__init__(*args, **options)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Items = None
    ) -> Any:
        prepare = getattr(unwrapped(model), "prepare_decoder_input_ids_from_labels", None)
        if prepare is not None and "labels" in inputs and "decoder_input_ids" not in inputs:
            # The Trainer keeps the labels from the model, which would shift them for its decoder.
            inputs = {**inputs, "decoder_input_ids": prepare(labels=inputs["labels"])}
        if return_outputs or not self._fused:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        value = causal_loss(self.robust_loss, model, inputs, num_items_in_batch)
        whole = num_items_in_batch is not None and self.args.average_tokens_across_devices
        # The count is that of all processes, whose gradients are averaged.
        return value * self.accelerator.num_processes if whole else value


def _smoothed(loss: Loss | SigmoidLoss, factor: float) -> Loss | SigmoidLoss:
    if not factor:
        return loss
    if isinstance(loss, SigmoidLoss):
        raise InputError(f"a SigmoidLoss has no label smoothing; got label_smoothing_factor={factor:g}")
    if loss.label_smoothing not in (0.0, factor):
        raise InputError(f"label_smoothing_factor={factor:g} and the loss's {loss.label_smoothing:g} differ; give one")
    return loss.with_options(label_smoothing=factor)


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
