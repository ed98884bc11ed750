"""The loss that a classifier's arguments name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noiseproof import losses, recipes
from noiseproof.errors import InputError, UnknownNameError, did_you_mean

__all__ = ["loss_of"]


def loss_of(loss: str | losses.Loss, loss_params: Mapping[str, Any] | None, classes: int) -> losses.Loss:
    """The loss that is meant, without a reduction, with the paper's parameters for so many classes.

    Args:
        loss: a published method that is a loss, a loss text, or a loss.
        loss_params: parameters to change in the one term that has them.
        classes: number of classes.

    Raises:
        InputError: it is more than a loss, or a parameter that more than one term has.
        UnknownNameError: no such loss or parameter.
    """
    if isinstance(loss, str):
        method = recipes.load("cifar10" if classes < 32 else "cifar100").method(loss)
        if method.head is not None:
            raise InputError(f"{loss} replaces the network's last layer ({method.head}); use a loss alone")
        if method.method is not None:
            raise InputError(
                f"{loss} is more than a loss of each sample; give a loss such as 'jal-ce' or 'gce(q=0.7)', or "
                "train it with noiseproof.train.fit"
            )
        found = method.loss
    elif isinstance(loss, losses.Loss):
        found = loss
    else:
        raise InputError(f"loss must be a method, a loss text or a loss of noiseproof.losses, got {loss!r}")
    for name, value in (loss_params or {}).items():
        found = _with_parameter(found, name, value)
    return found.with_options(reduction="none")


def _with_parameter(loss: losses.Loss, name: str, value: Any) -> losses.Loss:
    """The loss with one parameter changed in the one term that has it."""
    terms = loss.terms()
    owners = [index for index, (_, term) in enumerate(terms) if name in losses.LOSSES[term.name].parameters]
    if len(owners) != 1:
        known = sorted({each for _, term in terms for each in losses.LOSSES[term.name].parameters})
        if not owners:
            raise UnknownNameError(
                f"no term of {loss} has a parameter {name!r} (there are: {', '.join(known) or 'none'})"
                f"{did_you_mean(name, known)}"
            )
        raise InputError(f"more than one term of {loss} has a parameter {name!r}; write the loss text in full")
    factor, term = terms[owners[0]]
    entry = losses.LOSSES[term.name]
    changed = entry.cls(**{key: getattr(term, key) for key in entry.parameters} | {name: value})
    terms[owners[0]] = (factor, changed)
    return losses.WeightedSum(terms) if len(terms) > 1 or factor != 1 else changed
