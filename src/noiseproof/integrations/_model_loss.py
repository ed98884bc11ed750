"""Losses of models that return outputs with logits: for a Trainer, and with the head of a language model."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof import losses
from noiseproof.errors import InputError
from noiseproof.losses.sigmoid import SigmoidLoss

__all__ = ["Items", "as_loss", "causal_loss", "compute_loss", "unwrapped"]

Items = Tensor | int | None

_SLIP = 0.01  # of a sum of probabilities, as of rounded ones or of half precision


def compute_loss(
    loss: losses.Loss | SigmoidLoss | str, *, shift_labels: bool = False
) -> Callable[[Any, Tensor, Items], Tensor]:
    """A function for `Trainer(compute_loss_func=...)`.

    Labels of -100 count nothing. The Trainer passes the number of labels of the whole accumulated batch; the summed
    loss is divided by it (also with class weights), so that accumulating gradients equals one big batch. Without that
    number the loss is the mean, as in `cross_entropy`.

    Args:
        loss: a loss or its text, with `ignore_index` -100: that is what the Trainer counts by; or a `SigmoidLoss`, for
            multi-label classification.
        shift_labels: True for causal language models: position t is compared with label t+1.

    Returns:
        A function of the model's output (with `logits` (B, K) or (B, T, K)), the labels and the number of labels.
        Labels are class indices (B,) or (B, T); or of the logits' shape: probabilities, or marks for a `SigmoidLoss`.

    Raises:
        InputError: another `ignore_index`; later, an output without `logits`, no labels or labels of another shape.
    """
    loss = as_loss(loss)

    def from_outputs(outputs: Any, labels: Tensor, num_items_in_batch: Items = None) -> Tensor:
        logits = _logits(outputs)
        if labels is None:
            raise InputError("the batch holds no `labels`; check the data set's columns and `label_names`")
        labels = labels.to(logits.device)
        if shift_labels:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        rows, targets = _paired(loss, logits, labels)
        items: Any = num_items_in_batch
        if items is not None and isinstance(loss, losses.Loss) and targets.dim() == 2:
            items = items / targets.shape[1]  # the Trainer counts each probability as a label
        return _reduced(lambda chosen: chosen(rows, targets), loss, rows.device, items)

    return from_outputs


def causal_loss(
    loss: losses.Loss | str,
    model: Any,
    inputs: Mapping[str, Tensor],
    num_items_in_batch: Items = None,
) -> Tensor:
    """The loss of a causal language model whose logits are never held: its head and the loss are one step.

    The model is called as always (autocast, `torch.compile`, DDP and LoRA hold); only its head passes its input on. The
    first call for a model also runs it once with numbers of ours for the head's output, and refuses a model whose
    logits are not these: factors, caps and layers behind the head would otherwise make another loss.

    Args:
        loss: a loss or its text, with `ignore_index` -100.
        model: a `...ForCausalLM` with a linear head (`get_output_embeddings`), also wrapped (PEFT, DDP, compiled).
        inputs: what the model takes, `labels` (B, T) included; position t is compared with label t+1.
        num_items_in_batch: the number of labels to divide by, as the Trainer gives it.

    Raises:
        InputError: the model has no linear head, or its logits are not the head's; use
            `Trainer(compute_loss_func=compute_loss(..., shift_labels=True))` for it.
    """
    checked = as_loss(loss)
    if not isinstance(checked, losses.Loss):
        raise InputError("causal_loss takes losses over one class of many; a SigmoidLoss is for compute_loss")
    head = _linear_head(model)
    body = {name: value for name, value in inputs.items() if name != "labels"}
    _check_head(model, head, body)
    hidden = _hidden(model, head, body)
    labels = inputs["labels"].to(hidden.device)
    prompt = hidden.shape[1] - labels.shape[1]  # positions that prompt tuning puts in front have no labels
    targets = nn.functional.pad(labels, (prompt, 0), value=-100)[..., 1:].reshape(-1)
    rows = hidden[..., :-1, :].reshape(-1, hidden.shape[-1]).to(head.weight.dtype)
    return _reduced(
        lambda chosen: losses.linear_loss(chosen, rows, head.weight, targets, bias=head.bias),
        checked,
        rows.device,
        num_items_in_batch,
    )


class _StandIn:
    """A stand-in for a head: it keeps its input and returns one column of it, too narrow to cost anything."""

    input: Tensor

    def forward(self, input: Tensor) -> Tensor:
        self.input = input
        return input[..., :1]


_STAND_INS: weakref.WeakKeyDictionary[nn.Module, _StandIn] = weakref.WeakKeyDictionary()  # one a head: compiled once


def _hidden(model: Any, head: nn.Linear, body: Mapping[str, Any]) -> Tensor:
    """Input of the model's head, by the model's own forward."""
    stand_in = _STAND_INS.setdefault(head, _StandIn())
    head.forward = stand_in.forward  # type: ignore[method-assign]
    try:
        model(**body)
        return stand_in.input
    finally:
        del head.forward
        vars(stand_in).pop("input", None)


_CHECKED: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def _check_head(model: Any, head: nn.Linear, body: Mapping[str, Any]) -> None:
    """Once a model: its logits must be what its head returns, also where that is large and a cap would show."""
    if head in _CHECKED:
        return
    few = {name: value[:1] if isinstance(value, Tensor) and value.dim() else value for name, value in body.items()}
    probes: list[Tensor] = []

    def probed(module: nn.Module, given: object, value: Tensor) -> Tensor:
        probes.append(torch.linspace(-64, 64, value.numel(), device=value.device).reshape(value.shape).to(value.dtype))
        return probes[-1]

    handle = head.register_forward_hook(probed)
    model = unwrapped(model)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            logits = _logits(model.eval()(**few)).float()
    finally:
        handle.remove()
        for module, training in modes:
            module.training = training
    if len(probes) != 1 or not torch.equal(probes[0].float(), logits):
        raise InputError(
            f"the logits of {type(model).__name__} are not its head's output (a factor, a cap or a layer "
            "follows it); use Trainer(compute_loss_func=compute_loss(..., shift_labels=True))"
        )
    _CHECKED.add(head)


def unwrapped(model: Any) -> Any:
    """The model inside DDP, `torch.compile` and PEFT."""
    for name in ("module", "_orig_mod"):
        if isinstance(inner := getattr(model, name, None), nn.Module):
            return unwrapped(inner)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _linear_head(model: Any) -> nn.Linear:
    model = unwrapped(model)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if isinstance(head, nn.Linear) and type(head).forward is nn.Linear.forward:
        return head
    raise InputError(
        f"causal_loss needs a plain ...ForCausalLM with a linear head, got {type(model).__name__}"
        f"{'' if head is None else f' with a {type(head).__module__}.{type(head).__name__}'}; "
        "for others use Trainer(compute_loss_func=compute_loss(..., shift_labels=True))"
    )


def as_loss(loss: losses.Loss | SigmoidLoss | str) -> losses.Loss | SigmoidLoss:
    loss = losses.parse(loss) if isinstance(loss, str) else loss
    if isinstance(loss, losses.Loss) and loss.ignore_index != -100:
        raise InputError(f"the Trainer counts the labels that are not -100; got ignore_index={loss.ignore_index}")
    return loss


def _logits(outputs: Any) -> Tensor:
    if isinstance(outputs, Mapping):
        found = outputs.get("logits")
    else:
        found = getattr(outputs, "logits", outputs[0] if isinstance(outputs, tuple | list) else None)
    if not isinstance(found, torch.Tensor):
        raise InputError(f"the model's output must hold `logits`, got {type(outputs).__name__} without them")
    return found


def _paired(loss: losses.Loss | SigmoidLoss, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits as rows of classes, and their labels: indices, probabilities or marks."""
    rows = logits.reshape(-1, logits.shape[-1])
    if labels.shape == logits.shape[:-1] and isinstance(loss, losses.Loss) and not labels.is_floating_point():
        return rows, labels.reshape(-1)
    if labels.shape == logits.shape:
        soft = labels.reshape(rows.shape)
        if isinstance(loss, SigmoidLoss):
            return rows, soft.to(rows.dtype)
        if labels.is_floating_point():
            _check_sums(soft)
            return rows, soft
    wanted = "marks of 0 and 1 in the logits' shape"
    if isinstance(loss, losses.Loss):
        wanted = "class indices, or probabilities in the logits' shape; for several labels a sample use SigmoidLoss"
    raise InputError(
        f"labels of shape {tuple(labels.shape)} ({labels.dtype}) do not fit logits of shape {tuple(logits.shape)}; "
        f"give {wanted}"
    )


def _check_sums(soft: Tensor) -> None:
    """Refuse rows that are no probabilities: those of several labels a sample would be another loss."""
    off = (soft.sum(1) - 1).abs() > _SLIP
    if off.any():
        row = int(off.int().argmax())
        raise InputError(
            f"labels in the logits' shape must be probabilities, and those of sample {row} of the batch add up to "
            f"{float(soft[row].sum()):g}; for several labels a sample use losses.SigmoidLoss"
        )


def _reduced(
    value: Callable[[Any], Tensor], loss: losses.Loss | SigmoidLoss, device: torch.device, items: Items
) -> Tensor:
    """The mean, or the sum over the number of labels that the Trainer counted; class weights move with the logits."""
    if isinstance(loss, losses.Loss) and loss.weight is not None:
        loss = loss.with_options(weight=loss.weight.to(device))
    twin = copy.copy(loss)
    twin.reduction = "mean" if items is None else "sum"
    if items is None:
        return value(twin)
    total = value(twin)
    if isinstance(items, Tensor):
        # For DataParallel the Trainer repeats the count for each GPU and multiplies the loss by their number, as if
        # each GPU had a loss of its own; the logits are gathered, so there is one.
        items = items.to(total.device).flatten()[0] * items.numel()
    return total / items
