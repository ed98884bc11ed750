"""Networks that the package does not define: "my_model:Net" of the user's code, torchvision's, Hugging Face folders."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.errors import InputError
from noiseproof.models import torchvision_networks, transformers_networks
from noiseproof.models.base import MODELS, Network
from noiseproof.models.transformers_networks import TransformersClassifier
from noiseproof.registry import Entry
from noiseproof.runtime import own_parts

__all__ = ["OwnNetwork", "check_logits", "entry_of", "is_of_library", "option_names"]

_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # heads that torchvision's Inception had in training
# What a constructor may call the facts of the data; all other parameters are the recipe's to set.
_FACTS: Mapping[str, Callable[[Sequence[int], int], Any]] = {
    **dict.fromkeys(("shape", "input_shape"), lambda shape, classes: tuple(shape)),
    **dict.fromkeys(("classes", "num_classes", "n_classes"), lambda shape, classes: classes),
    **dict.fromkeys(("features", "in_features", "num_features"), lambda shape, classes: math.prod(shape)),
    **dict.fromkeys(("channels", "in_channels"), lambda shape, classes: shape[0]),
}


def entry_of(name: str) -> Entry[Any]:
    """The constructor that a model's name stands for.

    Args:
        name: a registered one, "torchvision:resnet18", "transformers:FOLDER", or "my_model:Net" of the user's code.

    Raises:
        UnknownNameError: nothing has that name.
        DataMissingError: there is no such folder.
        InputError: what has it is neither a class nor a function, or the library is not installed.
    """
    if ":" not in name:
        return MODELS[name]
    if name.startswith(torchvision_networks.PREFIX):
        return torchvision_networks.entry(name)
    if name.startswith(transformers_networks.PREFIX):
        return transformers_networks.entry(name)
    made = own_parts.attribute(name)
    if not callable(made):
        raise InputError(f"model {name} must be an nn.Module class or a function that returns one, got {made!r}")
    return Entry(name, made, {})


def is_of_library(name: str) -> bool:
    """True for a network of torchvision or of a Hugging Face folder."""
    return name.startswith((torchvision_networks.PREFIX, transformers_networks.PREFIX))


def option_names(entry: Entry[Any]) -> list[str]:
    """The parameters that a recipe's [model] may set: the constructor's, but for the facts of the data."""
    return [name for name in entry.parameters if name not in _FACTS]


def check_logits(logits: Any, rows: int, classes: int, who: str) -> None:
    """Refuse what a network returns if it cannot be the logits of so many samples.

    Raises:
        InputError: no tensor, another shape, or probabilities.
    """
    if not isinstance(logits, Tensor) or logits.shape != (rows, classes):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{who} must return logits of shape ({rows}, {classes}) for {rows} samples, got {got}")
    if classes > 1 and logits.min() >= 0 and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0])):
        raise InputError(f"{who} returns probabilities; leave out its softmax, losses take logits")


class OwnNetwork(Network):
    """Any `nn.Module` from inputs (N, *shape) to logits (N, classes), with the weights it was made with.

    If nothing follows its last linear layer, that becomes the head `fc` and its inputs the features; otherwise the
    logits serve as features.

    Raises:
        InputError: the constructor needs a parameter that is not set, or the module does not return logits.
    """

    def __init__(self, shape: Sequence[int], classes: int, entry: Entry[Any], options: Mapping[str, Any]) -> None:
        super().__init__(shape, classes)
        facts = {name: fact(shape, classes) for name, fact in _FACTS.items() if name in entry.parameters}
        needed = [name for name, default in entry.parameters.items() if default is inspect.Parameter.empty]
        if missing := [name for name in needed if name not in facts and name not in options]:
            raise InputError(f"model {entry.name} needs {missing[0]}; set it: model.{missing[0]}=VALUE")
        body = entry.cls(**{**facts, **options})
        if not isinstance(body, nn.Module):
            raise InputError(f"model {entry.name} must make an nn.Module, got {type(body).__name__}")
        self.body: nn.Module = body
        self.fc: nn.Module = nn.Identity()
        self.width = classes
        self.source = entry.name
        self.head = ""  # path of the head in the module
        self._check(entry.name, shape, classes)

    def _check(self, name: str, shape: Sequence[int], classes: int) -> None:
        trial = torch.randn(2, *shape, dtype=torch.float32, device="cpu", generator=torch.Generator().manual_seed(0))
        if isinstance(self.body, TransformersClassifier) and len(shape) == 1:
            trial = torch.zeros_like(trial)  # a token that every vocabulary has
        training = self.body.training
        self.body.eval()
        with torch.no_grad():
            try:
                logits = self.body(trial)
            except (RuntimeError, ValueError, AssertionError) as error:
                if not is_of_library(name):
                    raise
                text = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                raise InputError(
                    f"model {name} cannot take inputs of shape {tuple(shape)} ({text}); for pictures set "
                    "augment.resize and augment.crop"
                ) from None
            check_logits(logits, 2, classes, f"model {name}")
            self._split(trial, logits)
        self.body.train(training)

    def _split(self, trial: Tensor, logits: Tensor) -> None:
        """Make the last linear layer the head, if the module ends with it."""
        linear = [(path, module) for path, module in self.body.named_modules() if isinstance(module, nn.Linear)]
        if not linear or not linear[-1][0]:
            return
        path, last = linear[-1]
        parent, _, leaf = path.rpartition(".")
        setattr(self.body.get_submodule(parent), leaf, nn.Identity())
        features = self.body(trial)
        if features.shape == (2, last.in_features) and torch.equal(last(features), logits):
            self.fc, self.width, self.head = last, last.in_features, path
        else:
            setattr(self.body.get_submodule(parent), leaf, last)

    def features(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.body(inputs)
        return features

    def initialise(self, generator: torch.Generator) -> None:
        """Keep the weights that the module was made with."""

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict under this network's names, where it has those of the module inside."""
        inner = "model." if isinstance(self.body, TransformersClassifier) else ""
        names = {}
        for key in self.state_dict():
            path = key.removeprefix("body.") if key.startswith("body.") else self.head + key.removeprefix("fc")
            names[path.removeprefix(inner)] = key
        return {names.get(key, key): value for key, value in state.items() if not key.startswith(_AUXILIARY)}

    def head_keys(self) -> set[str]:
        """Names of the tensors that depend on the number of classes: those of the last layer."""
        state = list(self.state_dict())
        last = state[-1].rpartition(".")[0] if state else ""
        return {key for key in state if key.startswith(("fc.", f"{last}."))}
