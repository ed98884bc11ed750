"""The network inside `NoisyLabelClassifier`: built or copied anew for every fit, behind a standardisation."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from noiseproof import models, rng
from noiseproof.artifacts import Model, OnNetwork
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import InputError
from noiseproof.models.mlp import MLP
from noiseproof.models.own import check_logits
from noiseproof.registry import Entry

__all__ = ["Module", "Standardized", "model_of", "network_for", "seeded"]

#: What `module` may be: a factory `(shape, classes) -> nn.Module`, a class, a network to copy, or "my_model:Net".
Module = Callable[[tuple[int, ...], int], nn.Module] | type[nn.Module] | nn.Module | str

_GLOBAL_STREAM = threading.RLock()  # torch has one global random stream for all threads


@contextmanager
def seeded(module: object, seed: int) -> Iterator[None]:
    """Seed torch's global stream for a network of the user's, one thread at a time, and put it back afterwards.

    The built-in network draws from generators of its own, so nothing has to be done for it.
    """
    if module is None:
        yield
        return
    with _GLOBAL_STREAM, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def network_for(
    module: Module | None, shape: tuple[int, ...], classes: int, hidden: Sequence[int], seed: int
) -> nn.Module:
    """A network of its own for one fit: a network that is given is copied, so that no fit sees another's training.

    Raises:
        InputError: `module` is none of the things it may be.
    """
    generator = rng.generator(seed, "init")
    if module is None:
        return models.build("mlp", shape=shape, classes=classes, generator=generator, hidden=tuple(hidden))
    if isinstance(module, str):
        return models.build(module, shape=shape, classes=classes, generator=generator)
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    if inspect.isclass(module) and issubclass(module, nn.Module):
        return models.OwnNetwork(shape, classes, Entry(module.__name__, module, {}), {})
    if not callable(module):
        raise InputError(
            f"module must be a function (shape, classes) -> nn.Module, a class or a network, got {module!r}"
        )
    network: Any = module(shape, classes)  # type: ignore[call-arg]
    if not isinstance(network, nn.Module):
        raise InputError(f"module(shape, classes) must return an nn.Module, got {type(network).__name__}")
    return copy.deepcopy(network)


class Standardized(nn.Module):
    """A network behind (x - mean) / std; features that never change are passed on as 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: npt.NDArray[Any], std: npt.NDArray[Any]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.from_numpy(mean))
        varies = std > 1e-6 * np.abs(mean).clip(1e-30)
        self.register_buffer("scale", torch.from_numpy(np.where(varies, 1 / np.where(varies, std, 1), 0)))
        self.to(self.mean.dtype)

    @classmethod
    def around(cls, network: nn.Module, X: npt.NDArray[Any], weights: npt.NDArray[Any], classes: int) -> Standardized:
        """The network standardised by these samples, after a look at what it returns for two of them."""
        mean = np.average(X, axis=0, weights=weights)
        made = cls(network, mean, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights)))
        modes = [module.training for module in made.modules()]
        with torch.no_grad():
            check_logits(made.eval()(torch.from_numpy(X[:2])), len(X[:2]), classes, "module")
        for module, training in zip(made.modules(), modes, strict=True):
            module.training = training
        return made

    def forward(self, X: Tensor, sample_weight: Tensor | None = None, soft: Tensor | None = None) -> Tensor:
        logits: Tensor = self.network((X - self.mean) * self.scale)
        return logits


def model_of(trained: Standardized, classes: npt.NDArray[Any], columns: Sequence[str], about: dict[str, Any]) -> Model:
    """The model that a folder can hold, in float32; class names become text.

    Raises:
        InputError: the network is none of the package's for features (N, D), or two classes have the same name.
    """
    network, names = copy.deepcopy(trained.network), tuple(str(name) for name in classes.tolist())
    if type(network) is not MLP or trained.mean.dim() != 1:
        raise InputError(
            "a model folder holds the built-in perceptron on features (N, D); "
            f"keep a {type(network).__name__} on inputs {tuple(trained.mean.shape)} with pickle or joblib"
        )
    if len(set(names)) < len(names):
        raise InputError(f"two classes have the same name as text: {', '.join(names[:10])}")
    network, layers = network.cpu().float(), [part for part in network.modules() if isinstance(part, nn.Linear)]
    scale = trained.scale.cpu().double()
    varies = scale > 0
    with torch.no_grad():
        layers[0].weight[:, ~varies] = 0  # a feature that never changed counts for nothing
    std = torch.where(varies, 1 / scale, 1.0)
    augment = Augment(mean=tuple(trained.mean.cpu().tolist()), std=tuple(std.tolist()))
    options = {"hidden": tuple(layer.out_features for layer in layers[:-1])}
    return Model(OnNetwork(network, "mlp", options, (len(scale),), len(names), augment, list(columns)), names, about)
