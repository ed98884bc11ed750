"""State of a run: every tensor and curve that it needs to go on bit for bit, to and from its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from noiseproof.train import checkpoint

__all__ = ["resume", "state_of", "tensors_of"]

# `training` below is a `loop.Training`, which imports this module.


def tensors_of(training: Any) -> dict[str, Tensor]:
    """Every tensor of the networks, the method and the additions, by name."""
    modules: dict[str, nn.Module] = {"model": training.networks[0], "method": training.rule}
    modules |= {f"model{number}": network for number, network in enumerate(training.networks[1:], 1)}
    modules |= {f"addition{number}": addition for number, addition in enumerate(training.rule.additions)}
    return {
        f"{part}.{name}": tensor for part, module in modules.items() for name, tensor in module.state_dict().items()
    }


def state_of(training: Any) -> checkpoint.State:
    """The state after the latest epoch."""
    moments = checkpoint.moments(training.optimizer)
    for number, optimizer in enumerate(training.own):
        moments |= {f"own{number}.{name}": value for name, value in checkpoint.moments(optimizer).items()}
    tensors = tensors_of(training) | moments
    return checkpoint.State(training.identity(), training.epoch, {"curves": training.curves}, tensors)


def resume(training: Any, folder: Path) -> None:
    """Go on from the first process's newest state, which all take over: they may have no disk in common."""
    own = tensors_of(training)

    def find() -> tuple[checkpoint.State | None, tuple[str, ...]]:
        checkpoint.make_room(folder, own)
        return checkpoint.newest(folder, training.identity(), own)

    state, notes = training.team.broadcast(find)
    training.notes += notes
    if state is None:
        return
    for name, tensor in own.items():
        tensor.copy_(state.tensors[name])
    checkpoint.restore_moments(training.optimizer, state.tensors)
    for number, optimizer in enumerate(training.own):
        prefix = f"own{number}."
        mine = {name[len(prefix) :]: each for name, each in state.tensors.items() if name.startswith(prefix)}
        checkpoint.restore_moments(optimizer, mine)
    training.curves = {name: list(state.values["curves"][name]) for name in training.curves}
    training.notes += (f"went on from epoch {state.epoch} of {training.recipe.train.epochs}",)
