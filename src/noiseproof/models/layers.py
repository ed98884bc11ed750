"""Layers of a network from input to head, for learning rates by layer and for layers that stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from noiseproof.models.base import Network

__all__ = ["Layer", "layers_of"]


@dataclass(eq=False)
class Layer:
    """Modules and parameters that count as one layer.

    Attributes:
        name: path of the first of them.
        modules: whose statistics belong to it.
        parameters: all of them.
    """

    name: str
    modules: list[nn.Module] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)


def layers_of(network: Network) -> list[Layer]:
    """Layers of a network in the order of definition, the head `fc` last; together they hold every parameter once.

    A block of a list of blocks (`nn.Sequential`, `nn.ModuleList`) is one layer, and so is a convolution or a linear
    map outside of such a list; normalisation and loose parameters belong to the layer before them.

    Example:
        >>> import torch
        >>> from noiseproof import models
        >>> net = models.build("cnn4", shape=(1, 28, 28), classes=10, generator=torch.Generator())
        >>> [layer.name for layer in layers_of(net)]
        ['body.0', 'body.4', 'fc1', 'fc']
    """
    found: list[Layer] = []
    seen: set[int] = set()
    for path, module, whole in _pieces(network, "", False):
        own = list(module.parameters(recurse=whole))
        parameters = [one for one in own if id(one) not in seen]
        seen |= {id(one) for one in parameters}
        if not own:
            continue
        weighs = any(one.dim() > 1 for one in own)
        if not found or (weighs and whole and found[-1].modules):
            found.append(Layer(path))
        if whole and not found[-1].modules:
            found[-1].name = path
        found[-1].modules += [module] if whole else []
        found[-1].parameters += parameters
    return found


def _pieces(module: nn.Module, path: str, in_list: bool) -> Iterator[tuple[str, nn.Module, bool]]:
    """Path and module of each piece, and true where it counts with everything below it."""
    listed = type(module) in (nn.Sequential, nn.ModuleList)
    if not any(True for _ in module.children()) or (in_list and not listed) or not (listed or _has_list(module)):
        yield path, module, True
        return
    yield path, module, False  # parameters of its own
    head = getattr(module, "fc", None) if isinstance(module, Network) else None
    for name, child in module.named_children():
        if child is not head:
            yield from _pieces(child, f"{path}.{name}".lstrip("."), listed)
    if isinstance(head, nn.Module):
        yield "fc", head, True


def _has_list(module: nn.Module) -> bool:
    """True for a module with a list of several layers somewhere in it, and for the network itself."""
    if isinstance(module, Network):
        return True
    lists = [one for one in module.modules() if type(one) in (nn.Sequential, nn.ModuleList)]
    return any(sum(1 for child in one.children() if any(True for _ in child.parameters())) > 1 for one in lists)
