"""Making a network by its name, with freshly drawn weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from noiseproof.errors import InputError
from noiseproof.models.base import Network
from noiseproof.models.own import OwnNetwork, entry_of, option_names
from noiseproof.models.transformers_networks import from_config
from noiseproof.registry import Entry

__all__ = ["build", "build_from_config"]


def build(name: str, *, shape: Sequence[int], classes: int, generator: torch.Generator, **options: Any) -> Network:
    """A network with freshly drawn weights.

    Args:
        name: one of `noiseproof list models`; "torchvision:resnet18"; "transformers:FOLDER", a Hugging Face folder; or
            "my_model:Net", a class or function in a file or module of the user's.
        shape: of one input, for example (3, 32, 32).
        classes: number of classes.
        generator: where the initial weights come from; torch's global state is not touched.
        options: what the network takes besides, such as `hidden` of an mlp.

    Raises:
        UnknownNameError: no such model.
        InputError: inputs of this shape do not fit the network.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> net = build("cnn8", shape=(3, 32, 32), classes=10, generator=generator)
        >>> sum(p.numel() for p in net.parameters())
        1639794
    """
    return _build(entry_of(name), shape, classes, generator, options)


def build_from_config(
    name: str, config: Mapping[str, Any], *, shape: Sequence[int], classes: int, generator: torch.Generator
) -> Network:
    """A classifier of transformers by its configuration, with freshly drawn weights; see `build`.

    Raises:
        DataError: the configuration names none of its architectures, or asks for other code or other files.
    """
    return _build(Entry(name, partial(from_config, config), {}), shape, classes, generator, {})


def _build(entry: Entry[Any], shape: Sequence[int], classes: int, generator: torch.Generator, options: Any) -> Network:
    name = entry.name
    unknown = options.keys() - set(option_names(entry))
    if unknown:
        raise InputError(f"model {name} takes no {', '.join(sorted(unknown))}; write {entry.usage}")
    if not shape or min(shape) < 1 or classes < 1:
        raise InputError(f"model {name} needs inputs and classes of at least 1, got shape {shape}, {classes} classes")
    if not (inspect.isclass(entry.cls) and issubclass(entry.cls, Network)):
        return _own(entry, shape, classes, generator, options)
    with torch.device("meta"):
        network = entry.cls(shape, classes, **options)
    network.float().to_empty(device="cpu")
    network.initialise(generator)
    return network


def _own(entry: Entry[Any], shape: Sequence[int], classes: int, generator: torch.Generator, options: Any) -> Network:
    """The network, its own random draws seeded from the generator; torch's global state is put back."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OwnNetwork(shape, classes, entry, options).float()
