"""The model folder: `model.json`, `weights.safetensors`, `probes.safetensors` and a model card, nothing that runs.

`read` is the one gate: every file is named in model.json with its SHA-256, names are plain, arrays are safetensors, and
architectures come from a closed list. Probes are inputs with the probabilities that the model gave when it was saved;
whoever loads or exports the model replays them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noiseproof import __version__
from noiseproof.artifacts import architectures
from noiseproof.artifacts.architectures import OnFeatures, OnNetwork, OnTokens
from noiseproof.artifacts.card import card
from noiseproof.artifacts.model import Model
from noiseproof.data.dataset import Texts
from noiseproof.errors import DataError, DataMissingError, MachineError
from noiseproof.features import TextVectors
from noiseproof.storage import files

__all__ = ["SCHEMA", "load_model", "probes", "replay", "save"]

SCHEMA = 1
TOLERANCE = 1e-3  # of a probability, between machines
_LARGEST_TEXT, _LARGEST = 256 << 20, 8 << 30
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}\Z")
_PROBES = 4


def save(model: Model, folder: str | Path) -> Path:
    """Write a model folder; files of an earlier model in it are replaced, `model.json` last."""
    from safetensors.torch import save as pack

    folder = files.make_folder(folder)
    inputs = probes(model)
    expected = torch.from_numpy(_answers(model, inputs))
    texts = list(inputs) if isinstance(inputs, Texts) else []
    arrays = {} if texts else {f"input.{number}": one.contiguous() for number, one in enumerate(inputs)}
    contents = {
        "weights.safetensors": pack({key: value.contiguous() for key, value in model.architecture.arrays().items()}),
        "probes.safetensors": pack({"probabilities": expected, **arrays}),
        "README.md": card(model).encode(),
    }
    about = {
        "format": "noiseproof model",
        "schema": SCHEMA,
        "kind": model.kind,
        "classes": list(model.classes),
        **model.architecture.config(),
        "about": dict(model.about),
        "probe_texts": texts,
        "versions": {"noiseproof": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    for name, content in contents.items():
        files.write_atomic(folder / name, content)
    about["sha256"] = _hash_of(json.loads(json.dumps(about)))
    files.write_atomic(folder / "model.json", json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    return folder


def load_model(folder: str | Path) -> Model:
    """Open a model folder; nothing in it can run code.

    Args:
        folder: that `train`, `compare --keep-model` or `artifacts.save` wrote, wherever it was copied to; or the
            results folder, which holds it as `model`.

    Raises:
        DataMissingError: no model is there.
        DataError: a file is damaged or changed, of a later format, or the model no longer answers as it did.

    Example:
        >>> load_model("/nowhere")
        Traceback (most recent call last):
        noiseproof.errors.DataMissingError: /nowhere holds no model (no model.json); give the folder that `train` wrote
    """
    folder = Path(folder)
    if not (folder / "model.json").is_file() and (folder / "model" / "model.json").is_file():
        folder = folder / "model"
    about = _about(folder)
    contents = {name: _checked(folder, about, name) for name in ("weights.safetensors", "probes.safetensors")}
    arrays, kept = (_arrays(folder / name, content) for name, content in contents.items())
    classes = about.get("classes")
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes) and len(classes) > 1):
        raise DataError(f"{folder / 'model.json'}: classes must be at least two names")
    extra = about.get("about")
    more = {**(extra if isinstance(extra, dict) else {}), "versions": about.get("versions"), "folder": str(folder)}
    model = Model(architectures.from_config(about, arrays), tuple(classes), more)
    _replay_kept(model, kept, about.get("probe_texts") or [], folder)
    if "sha256" in about and about["sha256"] != _hash_of(about):  # earlier folders have none
        raise DataError(f"{folder / 'model.json'}: is damaged or was changed by hand; copy the folder again")
    return model


def probes(model: Model) -> Any:
    """Inputs that the model is checked with: made up, so that a model folder holds none of the data.

    Returns:
        What `Architecture.encode` gives: pictures of several sizes, or coded rows; for texts, the texts.
    """
    generator = torch.Generator().manual_seed(0)
    if model.kind == "pictures":
        fixed = isinstance(model.architecture, OnNetwork)
        channels = model.architecture.shape[0] if isinstance(model.architecture, OnNetwork) else 3
        sizes = [(48, 64), (96, 80), (130, 190), (224, 224)]
        if fixed and isinstance(model.architecture, OnNetwork) and model.architecture.augment.resize is None:
            sizes[0] = (model.architecture.shape[1], model.architecture.shape[2])
        return [_picture(channels, *size, generator) for size in sizes]
    if isinstance(model.architecture, OnTokens):
        words = model.architecture.tokenizer.words(40)
        chosen = torch.randint(0, len(words), (_PROBES, 12), generator=generator).tolist()
        return Texts(" ".join(words[i] for i in row) for row in chosen)
    if isinstance(model.architecture, OnFeatures) and isinstance(model.architecture.extractor, TextVectors):
        terms = model.architecture.extractor.terms
        words = terms.get("words") or next(iter(terms.values()))
        chosen = torch.randint(0, len(words), (_PROBES, 12), generator=generator).tolist()
        return Texts(" ".join(words[i] for i in row) for row in chosen)
    return list(_rows(model, generator))


def replay(model: Model, answers: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], where: str) -> None:
    """Compare probabilities with those of the model when it was saved.

    Raises:
        MachineError: they differ by more than 0.001.
    """
    if answers.shape != expected.shape:
        raise MachineError(f"{where}: answers of shape {answers.shape} to probes with {expected.shape}")
    worst = float(np.abs(answers - expected).max(initial=0))
    if not worst <= TOLERANCE:
        raise MachineError(
            f"{where}: answers its probes with probabilities that differ by up to {worst:.3g} from those stored with "
            "the model; it does not compute what was trained"
        )


def _answers(model: Model, inputs: Any) -> npt.NDArray[np.float64]:
    """Probabilities of probes."""
    module, found = model.module, []
    with torch.inference_mode():
        if isinstance(inputs, Texts):
            found.append(module(*model.architecture.encode(inputs)))
        else:
            found.extend(module(one[None]) for one in inputs)
    return torch.cat(found).double().softmax(1).numpy()


def _replay_kept(model: Model, kept: Mapping[str, Tensor], texts: Any, folder: Path) -> None:
    inputs: Any
    if model.kind == "text":
        inputs = Texts(map(str, texts))
    else:
        inputs = [kept[f"input.{number}"] for number in range(len(kept) - 1)]
    if not len(inputs) or "probabilities" not in kept:
        raise DataError(f"{folder}: the probes are missing; train the model again")
    try:
        answers = _answers(model, inputs)
    except (RuntimeError, IndexError, ValueError) as error:
        raise DataError(f"{folder}: the model cannot answer its probes ({str(error)[:120]})") from None
    replay(model, answers, kept["probabilities"].numpy(), str(folder))


def _rows(model: Model, generator: torch.Generator) -> Tensor:
    """Made-up rows: numbers around the mean of training, and known categories."""
    architecture = model.architecture
    if isinstance(architecture, OnNetwork):
        mean = torch.tensor(architecture.augment.mean or (0.0,), dtype=torch.float32)
        std = torch.tensor(architecture.augment.std or (1.0,), dtype=torch.float32)
        return mean + std * torch.randn(_PROBES, architecture.shape[0], generator=generator)
    table: Any = architecture.extractor  # type: ignore[attr-defined]
    rows = torch.zeros(_PROBES, len(table.names))
    drawn = torch.randn(_PROBES, len(table.numeric), generator=generator)
    rows[:, table.numeric] = torch.from_numpy(table.mean) + torch.from_numpy(table.scale) * drawn
    for place, name in enumerate(table.names):
        if count := len(table.levels.get(name, ())):
            rows[:, place] = torch.randint(0, count, (_PROBES,), generator=generator).float()
    if len(table.gaps):
        rows[-1, table.numeric[table.gaps]] = torch.nan
    return rows


def _picture(channels: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Soft blobs of colour, uint8."""
    coarse = torch.rand(1, channels, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (255 * smooth[0]).round().to(torch.uint8)


# The gate


def _hash_of(about: Mapping[str, Any]) -> str:
    """SHA-256 of a description but for this hash itself: names of classes and columns decide no probe's answer."""
    rest = {key: value for key, value in about.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _about(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    if not path.is_file():
        raise DataMissingError(f"{folder} holds no model (no model.json); give the folder that `train` wrote")
    try:
        about = json.loads(files.read(path, at_most=_LARGEST_TEXT))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is no JSON; the file is damaged, copy the folder again") from None
    if not isinstance(about, dict) or about.get("format") != "noiseproof model":
        raise DataError(f"{path}: is not the description of a noiseproof model")
    if not isinstance(schema := about.get("schema"), int) or not 1 <= schema <= SCHEMA:
        raise DataError(f"{path}: has format {schema!r}, this version reads up to {SCHEMA}; update noiseproof")
    return about


def _checked(folder: Path, about: Mapping[str, Any], name: str) -> bytes:
    listed = about.get("files")
    if not isinstance(listed, dict) or not all(isinstance(key, str) and _PLAIN.match(key) for key in listed):
        raise DataError(f"{folder / 'model.json'}: files must be plain names in the folder")
    content = files.read(folder / name, at_most=_LARGEST)
    if hashlib.sha256(content).hexdigest() != listed.get(name):
        raise DataError(f"{folder / name}: is damaged or not the file of this model; copy the folder again")
    return content


def _arrays(path: Path, content: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{path}: is no safetensors file ({str(error)[:120]})") from None
