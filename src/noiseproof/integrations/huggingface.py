"""Losses for the Hugging Face Trainer: `Trainer(..., compute_loss_func=compute_loss("nce + amse(a=30)"))`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from noiseproof import losses
from noiseproof.errors import InputError

__all__ = ["causal_loss", "compute_loss"]


def compute_loss(
    loss: losses.Loss | str, *, shift_labels: bool = False
) -> Callable[[Any, Tensor, Tensor | int | None], Tensor]:
    """A function for `Trainer(compute_loss_func=...)`.

    Labels of -100 (the loss's `ignore_index`) count nothing. The Trainer passes the number of labels of the whole
    accumulated batch; the summed loss is divided by it, so that accumulating gradients equals one big batch. Without
    that number the loss is the mean, as in `cross_entropy`.

    Args:
        loss: a loss or its text.
        shift_labels: True for causal language models: position t is compared with label t+1.

    Returns:
        A function of the model's output (with `logits` (B, K) or (B, T, K)), the labels (B,) or (B, T) and the number
        of labels.
    """
    loss = _as_loss(loss)

    def from_outputs(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        logits = _logits(outputs)
        if logits.dim() == labels.dim():
            raise InputError(
                f"labels of shape {tuple(labels.shape)} do not index scores of shape {tuple(logits.shape)}; "
                "compute_loss serves classification of sequences or tokens and causal language models"
            )
        labels = labels.to(logits.device)
        if shift_labels:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        rows, targets = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        return _reduced(lambda chosen: chosen(rows, targets), loss, num_items_in_batch)

    return from_outputs


def causal_loss(
    loss: losses.Loss | str,
    model: Any,
    inputs: Mapping[str, Tensor],
    num_items_in_batch: Tensor | int | None = None,
) -> Tensor:
    """The loss of a causal language model whose logits are never held: its head and the loss are one step.

    For a `Trainer`, override one method:

        class RobustTrainer(Trainer):
            def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
                return causal_loss("nce + amse(a=30)", model, inputs, num_items_in_batch)

    Args:
        loss: a loss or its text.
        model: a `...ForCausalLM` with a linear head (`get_output_embeddings`).
        inputs: what the model takes, `labels` (B, T) included; position t is compared with label t+1.
        num_items_in_batch: the number of labels to divide by, as the Trainer gives it.
    """
    body = {name: value for name, value in inputs.items() if name != "labels"}
    hidden = model.base_model(**body)[0][..., :-1, :]
    head = model.get_output_embeddings()
    rows, targets = hidden.reshape(-1, hidden.shape[-1]), inputs["labels"][..., 1:].reshape(-1)
    return _reduced(
        lambda chosen: losses.linear_loss(chosen, rows, head.weight, targets, bias=head.bias),
        _as_loss(loss),
        num_items_in_batch,
    )


def _as_loss(loss: losses.Loss | str) -> losses.Loss:
    return losses.parse(loss) if isinstance(loss, str) else loss


def _logits(outputs: Any) -> Tensor:
    if isinstance(outputs, Mapping):
        found = outputs.get("logits")
    else:
        found = getattr(outputs, "logits", outputs[0] if isinstance(outputs, tuple | list) else None)
    if not isinstance(found, torch.Tensor):
        raise InputError(f"the model's output must hold `logits`, got {type(outputs).__name__} without them")
    return found


def _reduced(value: Callable[[losses.Loss], Tensor], loss: losses.Loss, items: Tensor | int | None) -> Tensor:
    if items is None:
        return value(loss.with_options(reduction="mean"))
    total = value(loss.with_options(reduction="sum"))
    return total / (items.to(total.device) if isinstance(items, Tensor) else items)
