"""Classifiers of torchvision by name, `torchvision:resnet18`, with weights from a file and a head for any classes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.library
from torch import nn

from noiseproof.errors import DataMissingError, InputError, UnknownNameError, did_you_mean
from noiseproof.registry import Entry

__all__ = ["PREFIX", "entry", "mend", "preprocessing", "published_file"]

PREFIX = "torchvision:"
_SIGNATURES: list[Any] = []  # of operators; torch forgets them with the object that defined them


def entry(name: str) -> Entry[Any]:
    """The constructor of a classifier, such as `torchvision:resnet18`.

    Raises:
        UnknownNameError: torchvision has no classifier of this name.
        InputError: torchvision is not installed.
    """
    library, short = _library(), name.removeprefix(PREFIX)
    known = library.list_models(module=library)
    if short not in known:
        raise UnknownNameError(
            f"torchvision has no classifier named {short!r}{did_you_mean(short, known)} "
            f"(there are {len(known)}, such as {PREFIX}resnet18, {PREFIX}efficientnet_b0 and {PREFIX}vit_b_16)"
        )
    return Entry(name, partial(_build, short), {})


def preprocessing(name: str) -> dict[str, Any]:
    """Resize, crop, mean and std that the published weights were trained with, as a recipe's [augment] names them."""
    library = _library()
    try:
        steps: Any = library.get_model_weights(name.removeprefix(PREFIX)).DEFAULT.transforms()
        (resize,), (crop,) = steps.resize_size, steps.crop_size
        mean, std = steps.mean, steps.std
    except (ValueError, AttributeError, TypeError):  # a classifier without published weights
        resize, crop, mean, std = 256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return {"resize": resize, "crop": crop, "mean": tuple(mean), "std": tuple(std)}


def published_file(name: str, weights: str) -> Path:
    """The file of published weights in torch's cache folder; it is never downloaded here.

    Args:
        name: of the network, such as `torchvision:resnet18`.
        weights: their name, such as IMAGENET1K_V1.

    Raises:
        InputError: the network has no such weights.
        DataMissingError: the file is not on this machine.
    """
    enum = _library().get_model_weights(name.removeprefix(PREFIX))
    if weights not in enum.__members__:
        raise InputError(f"{name} has no weights {weights!r} (there are: {', '.join(enum.__members__)})")
    url = enum[weights].url
    cache = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    path = Path(cache, "hub", "checkpoints", url.rpartition("/")[2]).expanduser()
    if not path.is_file():
        raise DataMissingError(
            f"the weights {weights} of {name} are not on this machine ({path}); download {url} and give its path: "
            "model.weights=FILE"
        )
    return path


def _build(short: str, shape: Sequence[int], num_classes: int) -> nn.Module:
    options: dict[str, Any] = {}
    if short in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    elif short.startswith("vit_"):
        options = {"image_size": shape[-1]}
    made: nn.Module = _library().get_model(short, weights=None, num_classes=num_classes, **options)
    return made


def mend() -> None:
    """Make torchvision importable where it was built for another torch, such as one with CUDA.

    Its import needs two operators of detection to have a signature; networks that classify never call them.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            return
        library: Any = torch.library.Library
        _SIGNATURES.append(library("torchvision", "FRAGMENT"))
        for operator in ("nms", "qnms"):
            _SIGNATURES[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    except ImportError:
        return


def _library() -> Any:
    mend()
    try:
        import torchvision.models as library
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"{PREFIX}NAME needs torchvision, which cannot be imported here ({str(error)[:120]}); "
            "type: pip install 'noiseproof[vision]'"
        ) from None
    return library
