"""The state of a run on the disk: one safetensors file an epoch, whole or absent, the newest two kept.

The header's metadata holds the run, the epoch and the curves as JSON, and a SHA-256 over everything else in the file.
A new file is read back and checked before an older one is removed. A damaged one is moved aside, and the run goes on
from the one before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from noiseproof.errors import DataError, InputError
from noiseproof.storage import files

__all__ = ["State", "load", "make_room", "moments", "newest", "restore_moments", "save"]

SCHEMA = 1
_HEADER = 16 << 20  # bytes; the header of a ResNet-50 has 60 thousand
_TENSORS = 20_000
_LARGEST = 64 << 30
_NAME = re.compile(r"checkpoint-(\d+)\.safetensors\Z")


@dataclass(frozen=True)
class State:
    """State that a run needs to go on as if it had never stopped.

    Args:
        run: everything that decides the run, as plain values; a run takes up only its own state.
        epoch: epochs that are behind it.
        values: numbers and texts: the curves.
        tensors: weights, buffers and the optimiser's moments by name.
    """

    run: Mapping[str, Any]
    epoch: int
    values: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def save(folder: Path, state: State) -> Path:
    """Write a state; afterwards the folder holds it and the newest of the others.

    Raises:
        MachineError: the disk is full, read-only or broken; what was there is intact.
    """
    path = folder / f"checkpoint-{state.epoch:06d}.safetensors"
    files.write_atomic(path, _pack(state))
    older = [each for each in _found(folder) if each != path]
    load(path)  # before anything is removed
    for each in older[1:]:
        files.remove(each)
    return path


def newest(folder: Path, run: Mapping[str, Any], own: Mapping[str, Tensor]) -> tuple[State | None, tuple[str, ...]]:
    """The last state of this run that is whole, and what had to be passed over.

    Args:
        folder: where to look.
        run: the run that wants to go on.
        own: its tensors; a state must hold all of these names and shapes.

    Raises:
        InputError: the folder holds the states of another run.
        MachineError: a state cannot be read now; it stays where it is.
    """
    files.clear_temporaries(folder)
    notes = []
    for path in _found(folder):
        try:
            state = load(path)
            foreign = state.run != json.loads(json.dumps(run))
            lacking = [name for name, tensor in own.items() if _shape(state, name) != tensor.shape]
            if lacking and not foreign:
                raise DataError(f"{path} does not hold {lacking[0]} of shape {tuple(own[lacking[0]].shape)}")
        except DataError as error:
            files.move_aside(path, folder / "damaged")
            notes.append(f"checkpoint {path.name} is damaged and was moved aside: {error}")
            continue
        if foreign:
            raise InputError(
                f"{folder} holds the checkpoints of another run ({_difference(state.run, run)}); "
                "choose another folder or remove them"
            )
        return state, tuple(notes)
    return None, tuple(notes)


def load(path: Path) -> State:
    """Read one file.

    Raises:
        DataError: it is damaged, or no checkpoint.
    """
    content = files.read(path, at_most=_LARGEST)
    header, body = _split(content, path)
    metadata = header["__metadata__"]
    if metadata.get("sha256") != _digest(header, body) or content != _join(header, body):  # spaces count too
        raise DataError(f"{path} does not match its own SHA-256")
    try:
        kept = json.loads(metadata["state"])
        if kept["schema"] != SCHEMA:
            raise DataError(f"{path} was written by another version (schema {kept['schema']}, this one reads {SCHEMA})")
        curves = {str(name): [float(value) for value in curve] for name, curve in kept["values"]["curves"].items()}
        tensors = safetensors.torch.load(content)
        return State(dict(kept["run"]), int(kept["epoch"]), {"curves": curves}, tensors)
    except (DataError, MemoryError, OSError):
        raise
    except Exception as error:  # whoever can compute a hash can seal anything
        raise DataError(f"{path} is no checkpoint ({type(error).__name__}: {str(error)[:200]})") from None


def _shape(state: State, name: str) -> torch.Size | None:
    return state.tensors[name].shape if name in state.tensors else None


def make_room(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse to begin where three checkpoints would not fit: two are kept while a third is written.

    Raises:
        MachineError: too little space.
    """
    files.make_folder(folder)
    # The optimiser's moments take up to twice the weights.
    size = 3 * sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    files.need_space(folder, 3 * size + (64 << 20))


def _found(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first."""
    return [path for path in reversed(files.listing(folder)) if _NAME.match(path.name)]


# The file: eight bytes with the header's length, the header as JSON, the tensors' bytes


def _pack(state: State) -> bytes:
    metadata = {"schema": SCHEMA, "run": state.run, "epoch": state.epoch, "values": state.values}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    plain = safetensors.torch.save(tensors, {"state": json.dumps(metadata, sort_keys=True, allow_nan=False)})
    header, body = _split(plain, Path("memory"))
    header["__metadata__"]["sha256"] = _digest(header, body)
    return _join(header, body)


def _split(content: bytes, path: Path) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_HEADER, len(content) - 8):
        raise DataError(f"{path} is cut short or no checkpoint")
    try:
        header = json.loads(content[8 : 8 + length])
        if not (isinstance(header, dict) and isinstance(header.get("__metadata__"), dict)):
            raise ValueError("no metadata")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} has a damaged header ({error})") from None
    if len(header) > _TENSORS:
        raise DataError(f"{path} holds {len(header)} tensors; at most {_TENSORS} are read")
    return header, memoryview(content)[8 + length :]


def _join(header: Mapping[str, Any], body: memoryview) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def _digest(header: Mapping[str, Any], body: memoryview) -> str:
    metadata = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps({**header, "__metadata__": metadata}, sort_keys=True).encode())
    digest.update(body)
    return digest.hexdigest()


def _difference(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> str:
    """The first key in which two runs differ."""
    for key in sorted({*one, *other}):
        mine, theirs = one.get(key), other.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            if found := _difference(mine, theirs, f"{prefix}{key}."):
                return found
        elif json.dumps(mine) != json.dumps(theirs):
            return f"its {prefix}{key} is {mine!r}, this one's {theirs!r}"
    return ""


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by parameter number and name."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"optimizer.{number}.{key}": value
        for number, parameter in enumerate(parameters)
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_moments(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `moments` gave, laid out in memory as the parameters are."""
    parameters = [(parameter, group) for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            parameter, group = parameters[int(number)]
            if value.dim():
                own = torch.empty_like(parameter, requires_grad=False).copy_(value)
            else:  # Adam's count of steps
                own = value.to(parameter.device if group.get("capturable") else "cpu")
            optimizer.state[parameter][key] = own
