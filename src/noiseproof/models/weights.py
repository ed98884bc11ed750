"""Starting weights from a file, or torchvision's published ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.models import torchvision_networks
from noiseproof.models.base import Network
from noiseproof.models.own import OwnNetwork

__all__ = ["load_weights", "weights_content"]


def load_weights(network: Network, source: str) -> None:
    """Start from given weights; a last layer for other classes keeps the weights it drew.

    Args:
        network: takes the weights of every layer but perhaps the last.
        source: a .safetensors file or a state dict saved by torch (.pt, .pth); or the name of torchvision's weights,
            IMAGENET1K_V1 or IMAGENET1K_V2: for a resnet50 fetched by torchvision, which must be installed; for
            torchvision:NAME read from torch's cache folder.

    Raises:
        DataMissingError: neither a file nor torchvision's.
        DataError: the file cannot be read, or its weights are another network's.
    """
    found = _published(source, network) if _is_published(source) else _read(Path(source))
    own = network.state_dict()
    heads = {key for key in own if key.startswith("fc.")}
    if isinstance(network, OwnNetwork):
        found, heads = network.renamed(found), network.head_keys()
        found = {
            **{key: own[key] for key in own if key.endswith("num_batches_tracked")},
            **found,
        }  # absent in old files
    last = {key for key in heads if key in found and found[key].shape != own[key].shape}
    missing, foreign = own.keys() - found.keys(), found.keys() - own.keys()
    wrong = [key for key in own.keys() & found.keys() - last if own[key].shape != found[key].shape]
    if missing or foreign or wrong:
        name = network.source if isinstance(network, OwnNetwork) else network.name
        example = sorted([*missing, *foreign, *wrong])[0]
        raise DataError(
            f"{source} does not hold the weights of a {name}: {len(missing)} are missing, {len(foreign)} have "
            f"no place and {len(wrong)} have another shape, for example {example!r}"
        )
    network.load_state_dict({key: own[key] if key in last else found[key] for key in own})


def weights_content(source: str) -> dict[str, str]:
    """SHA-256 of a file of starting weights, as `weights`; nothing for torchvision's, which it checks by their hash.

    Raises:
        DataMissingError: there is no such file.
    """
    if _is_published(source):
        return {}
    path = Path(source)
    _needed(path)
    with path.open("rb") as file:
        return {"weights": hashlib.file_digest(file, "sha256").hexdigest()}


def _is_published(source: str) -> bool:
    return source.startswith("IMAGENET1K")


def _needed(path: Path) -> None:
    if not path.is_file():
        raise DataMissingError(
            f"no weights at {path}; give a .safetensors, .pt or .pth file, or IMAGENET1K_V2 (torchvision's)"
        )


def _read(path: Path) -> dict[str, Tensor]:
    _needed(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - foreign weights, nothing in them can run
    except Exception as error:  # the readers raise a dozen types between them
        raise DataError(f"cannot read weights from {path}: {error}") from None
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise DataError(f"{path} holds no state dict (names and tensors), got {type(state).__name__}")
    return state


def _published(name: str, network: Network) -> dict[str, Tensor]:
    if isinstance(network, OwnNetwork) and network.source.startswith(torchvision_networks.PREFIX):
        return _read(torchvision_networks.published_file(network.source, name))
    try:
        from torchvision.models import get_weight
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"weights={name} are fetched by torchvision, which cannot be imported here ({error}); install "
            "noiseproof[vision], or download the file and give its path: model.weights=FILE.pth"
        ) from None
    state: dict[str, Tensor] = get_weight(f"ResNet50_Weights.{name}").get_state_dict(progress=False, check_hash=True)
    return state
