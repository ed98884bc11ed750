"""Networks of a model folder: described in plain values, rebuilt from a closed list, so that a folder runs no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noiseproof import models, rng
from noiseproof.errors import DataError, InputError
from noiseproof.methods.ensemble import COMBINATIONS, Ensemble
from noiseproof.models import MODELS, Network, OwnNetwork, StudentHead
from noiseproof.runtime import own_parts
from noiseproof.runtime.own_code_hash import code_of

__all__ = ["KEYS", "describe", "rebuild"]

KEYS = ("network", "student", "transformers", "code", "members", "combination")
"""Keys of what `describe` gives."""


def describe(network: Network, name: str) -> dict[str, Any]:
    """Plain values that `rebuild` takes, beside shape, classes and options.

    Args:
        network: with its weights; an ensemble's members must be alike.
        name: what `models.build` made it by.

    Raises:
        InputError: it cannot be described so.
    """
    if isinstance(network, Ensemble):
        if network.combination is None:
            raise InputError(
                "the method combines its networks by a `predict` of its own, which no model folder can hold"
            )
        inner = describe(network.members[0], name)  # type: ignore[arg-type]
        return inner | {"members": len(network.members), "combination": network.combination}
    found: dict[str, Any] = {"network": name, "student": None}
    if isinstance(network.fc, StudentHead):
        found["student"] = {"alpha": network.fc.alpha, "lam": network.fc.lam}
    if isinstance(network, OwnNetwork):
        if name.startswith("transformers:"):
            settings = dict(network.body.config)  # type: ignore[arg-type]
            return found | {"network": f"transformers:{settings['model_type']}", "transformers": settings}
        if code := ("" if models.is_of_library(name) else code_of(models.entry_of(name).cls)):
            found["code"] = code
    elif name not in MODELS or type(network) is not MODELS[name].cls:
        raise InputError(f"a {type(network).__name__} cannot be kept as a model folder; only what `models.build` makes")
    elif code := code_of(type(network)):
        found["code"] = code
    return found


def rebuild(config: Mapping[str, Any], shape: Sequence[int], classes: int, options: Mapping[str, Any]) -> Network:
    """The network of such values, its weights still to be loaded.

    Only the package's own networks, torchvision's by name and transformers' by a checked configuration are built; code
    of the user's own must have been loaded by them, and be the code that was trained.

    Raises:
        InputError: a library or the user's own code is not here.
        DataError: the description is damaged, or the code is another.
    """
    count = int(config.get("members", 1))
    if not 1 <= count <= 64:
        raise DataError(f"a model of {count} networks is not known to this version")
    members = [_one(config, shape, classes, options) for _ in range(count)]
    if count == 1:
        return members[0]
    combination = config.get("combination")
    if combination not in COMBINATIONS:
        raise DataError(f"networks combined by {combination!r} are not known to this version")
    return Ensemble(members, COMBINATIONS[combination], combination)


def _one(config: Mapping[str, Any], shape: Sequence[int], classes: int, options: Mapping[str, Any]) -> Network:
    name, generator = str(config["network"]), rng.generator(0, "init")
    settings = config.get("transformers")
    if settings is not None:
        network = models.build_from_config(name, settings, shape=shape, classes=classes, generator=generator)
    else:
        _known(name, config.get("code"))
        network = models.build(name, shape=shape, classes=classes, generator=generator, **options)
    if config["student"] is not None:
        network.fc = StudentHead(network.width, classes, **config["student"])
    return network


def _known(name: str, code: Any) -> None:
    """Refuse a network that the package does not define, unless the user has loaded its code."""
    if models.is_of_library(name) or (name in MODELS and not code_of(MODELS[name].cls)):
        return
    part = name.rpartition(":")[0]
    here = name in MODELS if not part else any(part == one.module for one in own_parts.loaded())
    if not here:
        where = f"{part or 'FILE'}.py"
        raise InputError(
            f"this model's network is {name}, code of your own, which a model folder does not hold; "
            f"load it first: --import {where} (in Python: noiseproof.runtime.own_parts.load({where!r}))"
        )
    if code_of(models.entry_of(name).cls) != code:
        raise DataError(f"the code of {name} is not the one that this model was trained with; load that file")
