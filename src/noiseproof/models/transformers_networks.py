"""Classifiers of Hugging Face folders, `transformers:FOLDER`: pictures or texts, a fresh head for any classes.

A folder is opened as data: its `config.json` names one of transformers' own architectures, its weights are
safetensors, and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.models.torchvision_networks import mend
from noiseproof.registry import Entry
from noiseproof.storage import files

__all__ = ["PREFIX", "TransformersClassifier", "entry", "folder_content", "folder_of", "from_config", "preprocessing"]

PREFIX = "transformers:"
_LARGEST = 16 << 20
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class TransformersClassifier(nn.Module):
    """Logits of a classifier of transformers.

    Pictures go in as (N, C, H, W); texts as numbers of tokens (N, L), where -1 pads.
    """

    def __init__(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.model, self.config = model, dict(config)
        self.padding = int(getattr(model.config, "pad_token_id", None) or 0)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dim() == 4:
            logits: Tensor = self.model(pixel_values=inputs).logits
            return logits
        mask = inputs >= 0
        tokens = torch.where(mask, inputs, self.padding).long()
        logits = self.model(input_ids=tokens, attention_mask=mask.long()).logits
        return logits


def folder_of(name: str) -> Path:
    """The folder that `transformers:FOLDER` names.

    Raises:
        DataMissingError: it holds no config.json.
    """
    folder = Path(name.removeprefix(PREFIX)).expanduser()
    if not (folder / "config.json").is_file():
        raise DataMissingError(
            f"{folder} is no Hugging Face folder (no config.json); give a folder on this disk: {PREFIX}FOLDER. "
            "Nothing is downloaded"
        )
    return folder


def entry(name: str) -> Entry[Any]:
    """The constructor of the classifier in a folder, with the folder's weights.

    Raises:
        DataMissingError: there is no such folder, or it holds no model.safetensors.
        InputError: transformers is not installed, or the architecture is none of its own.
    """
    folder = folder_of(name)
    if not any(folder.glob("model*.safetensors")):
        raise DataMissingError(
            f"{folder} holds no model.safetensors; save the model once more with save_pretrained (other formats of "
            "weights can run code)"
        )
    return Entry(name, partial(_from_folder, folder), {})


def folder_content(name: str) -> dict[str, str]:
    """SHA-256 of a folder's files that decide a result, as `network`; nothing for networks of another kind."""
    if not name.startswith(PREFIX):
        return {}
    folder, digest = folder_of(name), hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("tokenizer*.json"), *folder.glob("model*.safetensors")]):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return {"network": digest.hexdigest()}


def preprocessing(name: str) -> dict[str, Any]:
    """Resize, crop, mean and std of the folder's preprocessor_config.json, as a recipe's [augment] names them."""
    folder = folder_of(name)
    config, path = _json(folder / "config.json"), folder / "preprocessor_config.json"
    if config.get("model_type") not in _known("image") and not path.is_file():
        return {}
    steps = _json(path) if path.is_file() else {}
    found: dict[str, Any] = dict(_IMAGENET)
    if steps.get("image_mean") and steps.get("image_std"):
        found = {"mean": tuple(map(float, steps["image_mean"])), "std": tuple(map(float, steps["image_std"]))}
    size = steps.get("size") or config.get("image_size") or 224
    crop = steps.get("crop_size") if steps.get("do_center_crop", True) else None
    if isinstance(size, dict) and "shortest_edge" in size:
        side = int(size["shortest_edge"])
        return found | {"resize": side, "crop": min(side, _side(crop or side))}
    if isinstance(size, dict):
        return found | {"resize": (int(size["height"]), int(size["width"]))}
    return found | {"resize": (_side(size), _side(size))}


def from_config(config: Mapping[str, Any], shape: Sequence[int], classes: int) -> TransformersClassifier:
    """The network of a configuration, with weights of its own drawing.

    Args:
        config: as `config.json` holds it.
        shape: of one input, (C, H, W) for pictures or (L,) for tokens.
        classes: number of logits.

    Raises:
        InputError: transformers is not installed.
        DataError: the configuration names none of its architectures, or asks for other code or other files.
    """
    with _quiet() as library:
        settings = _settings(library, config, classes, shape)
        kind = _kind(library, shape)
        model = kind.from_config(settings, attn_implementation="eager", trust_remote_code=False)
        return TransformersClassifier(model.float(), json.loads(settings.to_json_string(use_diff=True)))


def _from_folder(folder: Path, shape: Sequence[int], num_classes: int) -> TransformersClassifier:
    with _quiet() as library:
        settings = _settings(library, _json(folder / "config.json"), num_classes, shape)
        model, loading = _kind(library, shape).from_pretrained(
            str(folder), config=settings, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            ignore_mismatched_sizes=True, attn_implementation="eager", output_loading_info=True,
        )  # fmt: skip
    names = dict(model.named_parameters())
    missing = [name for name in loading["missing_keys"] if name in names]
    if 4 * sum(names[name].numel() for name in missing) > sum(value.numel() for value in names.values()):
        raise DataError(
            f"{folder}: model.safetensors lacks {len(missing)} tensors of the architecture in config.json, for example "
            f"{min(missing)!r}"
        )
    return TransformersClassifier(model.float(), json.loads(settings.to_json_string(use_diff=True)))


def _settings(library: Any, config: Mapping[str, Any], classes: int, shape: Sequence[int]) -> Any:
    """The configuration for these classes: of a known architecture, without what could load code or other files."""
    name, kind = config.get("model_type"), "image" if len(shape) == 3 else "text"
    if name not in _known(kind):
        raise DataError(
            f"config.json: transformers' model type {name!r} classifies no {'pictures' if kind == 'image' else 'texts'}"
            f"; known are {', '.join(_known(kind)[:6])} and others"
        )
    foreign = [
        key
        for key in ("auto_map", "backbone", "quantization_config", "use_timm_backbone", "use_pretrained_backbone")
        if config.get(key)
    ]
    if foreign:
        raise DataError(f"config.json asks for code or files of elsewhere ({foreign[0]}), which is not opened here")
    own = {key: value for key, value in config.items() if not key.startswith("_") and "attn_implementation" not in key}
    for key in ("model_type", "id2label", "label2id", "num_labels", "problem_type", "torch_dtype", "dtype"):
        own.pop(key, None)
    found = library.AutoConfig.for_model(name, **own, num_labels=classes)
    if kind == "text" and getattr(found, "pad_token_id", None) is None:
        found.pad_token_id = 0
    return found


def _kind(library: Any, shape: Sequence[int]) -> Any:
    return library.AutoModelForImageClassification if len(shape) == 3 else library.AutoModelForSequenceClassification


def _known(kind: str) -> list[str]:
    """Model types that classify pictures or texts."""
    _library()
    from transformers.models.auto import modeling_auto

    table = {"image": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES"}.get(
        kind, "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"
    )
    return [name for name in getattr(modeling_auto, table) if name != "timm_wrapper"]


def _side(size: Any) -> int:
    if isinstance(size, dict):
        return int(size["height"])
    return int(size[0]) if isinstance(size, list | tuple) else int(size)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(files.read(path, at_most=_LARGEST))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is no JSON; copy the folder again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: must hold an object, got {type(found).__name__}")
    return found


def _library() -> Any:
    mend()  # which it imports itself
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"{PREFIX}FOLDER needs transformers, which cannot be imported here ({str(error)[:120]}); "
            "type: pip install 'noiseproof[hf]'"
        ) from None
    return transformers


@contextmanager
def _quiet() -> Iterator[Any]:
    """The library, without its progress bars and its report of a head that is fresh."""
    library = _library()
    logging = library.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield library
    except ModuleNotFoundError as error:
        raise InputError(f"transformers cannot build this network here ({str(error)[:160]})") from None
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
