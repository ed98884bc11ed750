"""Optimisers of `NoisyLabelClassifier`, by name or class of torch.optim, and their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from noiseproof.errors import UnknownNameError, did_you_mean, one_of

__all__ = ["Optimizer", "arguments_of", "optimizer_of"]

Optimizer = type[torch.optim.Optimizer]

_NAMED: dict[str, Optimizer] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def optimizer_of(given: str | Optimizer) -> Optimizer:
    """The class that a name or a class means."""
    return _NAMED[one_of("optimizer", given, _NAMED)] if isinstance(given, str) else given


def arguments_of(optimizer: Optimizer, usual: Mapping[str, Any], own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of an optimiser: the usual ones that it takes, and the user's, which win.

    Raises:
        UnknownNameError: it takes no argument of the user's name.
    """
    known = [name for name in inspect.signature(optimizer).parameters if name not in ("params", "lr")]
    for name in own or {}:
        if name not in known:
            raise UnknownNameError(
                f"{optimizer.__name__} takes no {name!r} from optimizer_params (there are: {', '.join(known)})"
                f"{did_you_mean(name, known)}"
            )
    return {name: value for name, value in usual.items() if name in known} | dict(own or {})
