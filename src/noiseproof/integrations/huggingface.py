"""Losses for the Hugging Face Trainer: `Trainer(..., compute_loss_func=compute_loss("nce + amse(a=30)"))`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof import losses
from noiseproof.errors import InputError

__all__ = ["causal_loss", "compute_loss"]


def compute_loss(
    loss: losses.Loss | str, *, shift_labels: bool = False
) -> Callable[[Any, Tensor, Tensor | int | None], Tensor]:
    """A function for `Trainer(compute_loss_func=...)`.

    Labels of -100 count nothing. The Trainer passes the number of labels of the whole accumulated batch; the summed
    loss is divided by it (also with class weights), so that accumulating gradients equals one big batch. Without that
    number the loss is the mean, as in `cross_entropy`.

    Args:
        loss: a loss or its text, with `ignore_index` -100: that is what the Trainer counts by.
        shift_labels: True for causal language models: position t is compared with label t+1.

    Returns:
        A function of the model's output (with `logits` (B, K) or (B, T, K)), the labels (B,) or (B, T) and the number
        of labels.

    Raises:
        InputError: another `ignore_index`; later, an output without `logits`, no labels or labels of another shape.
    """
    loss = _as_loss(loss)

    def from_outputs(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        logits = _logits(outputs)
        if labels is None:
            raise InputError("the batch holds no `labels`; check the data set's columns and `label_names`")
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

    For a `Trainer`, override one method (evaluation wants the logits and goes the usual way)::

        class RobustTrainer(Trainer):
            def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
                if return_outputs:
                    return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
                return causal_loss("nce + amse(a=30)", model, inputs, num_items_in_batch)

    Args:
        loss: a loss or its text, with `ignore_index` -100.
        model: a `...ForCausalLM` with a linear head (`get_output_embeddings`), not wrapped (DDP, FSDP).
        inputs: what the model takes, `labels` (B, T) included; position t is compared with label t+1.
        num_items_in_batch: the number of labels to divide by, as the Trainer gives it.

    Raises:
        InputError: the model is wrapped, has no linear head, or changes the head's scores afterwards.
    """
    head = _linear_head(model)
    body = {name: value for name, value in inputs.items() if name != "labels"}
    hidden = model.base_model(**body)[0][..., :-1, :]
    rows, targets = hidden.reshape(-1, hidden.shape[-1]), inputs["labels"][..., 1:].reshape(-1)
    return _reduced(
        lambda chosen: losses.linear_loss(chosen, rows, head.weight, targets, bias=head.bias),
        _as_loss(loss),
        num_items_in_batch,
    )


def _as_loss(loss: losses.Loss | str) -> losses.Loss:
    loss = losses.parse(loss) if isinstance(loss, str) else loss
    if loss.ignore_index != -100:
        raise InputError(f"the Trainer counts the labels that are not -100; got ignore_index={loss.ignore_index}")
    return loss


# Factors and caps between a head and the logits, by the names that transformers' configurations give them.
_AFTER_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def _linear_head(model: Any) -> nn.Linear:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not isinstance(head, nn.Linear):
        raise InputError(
            f"causal_loss needs a plain ...ForCausalLM with a linear head, got {type(model).__name__}; "
            "for others use Trainer(compute_loss_func=compute_loss(..., shift_labels=True))"
        )
    for name in _AFTER_THE_HEAD:
        if getattr(model.config, name, None) not in (None, 1.0):
            raise InputError(
                f"{type(model).__name__} changes its head's scores ({name}={getattr(model.config, name)}); "
                "use Trainer(compute_loss_func=compute_loss(..., shift_labels=True))"
            )
    return head


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
