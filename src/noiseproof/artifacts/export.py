"""Export to ONNX or torch.export: preprocessing inside, probabilities out, checked on the spot with the probes.

Pictures go in as uint8 (N, 3, H, W) of any size, rows of a table as float32 (N, C) (missing: NaN; categories: their
number in the metadata), texts as numbers of terms and weights, or of tokens; `Model.encode` makes all of them.
"""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noiseproof.artifacts.model import Model
from noiseproof.artifacts.model_folder import probes, replay
from noiseproof.data.dataset import Texts
from noiseproof.errors import InputError, one_of
from noiseproof.storage import files

__all__ = ["FORMATS", "export", "probe_tensors"]

FORMATS = ("onnx", "torch")
_ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}


def export(model: Model, path: str | Path | None = None, format: str = "onnx") -> tuple[Path, str]:
    """Write the model as one file that needs no noiseproof, and check its answers to the probes.

    Args:
        model: from `load_model`.
        path: of the file; unless given, model.onnx or model.pt2 in the model's folder.
        format: "onnx" or "torch" (torch.export).

    Returns:
        The file, and a sentence that says how it was checked.

    Raises:
        InputError: no such format, or a package is missing.
        MachineError: the exported graph answers otherwise than the model; no file is left.
    """
    one_of("format", format, FORMATS)
    target = Path(path) if path is not None else Path(str(model.about.get("folder", "."))) / f"model{_ENDINGS[format]}"
    if target.is_dir():
        target = target / f"model{_ENDINGS[format]}"
    inputs = probe_tensors(model)
    expected = model_answers(model, inputs)
    graph = _Probabilities(model.module).eval()
    content, checked = (_onnx if format == "onnx" else _torch)(model, graph, inputs, expected)
    files.write_atomic(target, content)
    return target, checked


def probe_tensors(model: Model) -> list[tuple[Tensor, ...]]:
    """Inputs of the module, one tuple a probe (texts: one for all)."""
    found = probes(model)
    if isinstance(found, Texts):
        return [tuple(model.architecture.encode(found))]
    return [(one[None],) for one in found]


def model_answers(model: Model, inputs: list[tuple[Tensor, ...]]) -> np.ndarray:
    """Probabilities of probes by the model itself."""
    module = model.module
    with torch.inference_mode():
        return torch.cat([module(*some).double().softmax(1) for some in inputs]).numpy()


class _Probabilities(nn.Module):
    """Softmax of a module's logits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = self.module(*inputs).softmax(1)
        return found


def _examples(model: Model, inputs: list[tuple[Tensor, ...]]) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
    """A batch of two, since one of one would be taken for a constant, and what may vary in it."""
    batch = torch.export.Dim("batch", min=1)
    if model.kind == "text":
        longest = getattr(getattr(model.architecture, "tokenizer", None), "length", None)
        terms = torch.export.Dim("length", min=1) if longest is None else torch.export.Dim("length", min=2, max=longest)
        return tuple(one[:2] for one in inputs[0]), tuple({0: batch, 1: terms} for _ in inputs[0])
    (one,) = inputs[1]
    example = torch.cat([one, one])
    if model.kind != "pictures":
        return (example,), ({0: batch},)
    any_size = {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    return (example,), ({0: batch, **any_size},)


def _exported(model: Model, graph: nn.Module, inputs: list[tuple[Tensor, ...]]) -> Any:
    example, free = _examples(model, inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(graph, example, dynamic_shapes=(free,), strict=False)


def _torch(model: Model, graph: nn.Module, inputs: list[tuple[Tensor, ...]], expected: np.ndarray) -> tuple[bytes, str]:
    memory, facts = io.BytesIO(), {"metadata.json": json.dumps(_facts(model))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(_exported(model, graph, inputs), memory, extra_files=facts)
    again = torch.export.load(io.BytesIO(memory.getvalue())).module()
    with torch.inference_mode():
        answers = torch.cat([again(*some) for some in inputs]).double().numpy()
    replay(model, answers, expected, "the exported graph")
    return memory.getvalue(), "opened again by torch.export; " + _difference(answers, expected)


def _onnx(model: Model, graph: nn.Module, inputs: list[tuple[Tensor, ...]], expected: np.ndarray) -> tuple[bytes, str]:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError("ONNX needs two more packages; type: pip install 'noiseproof[onnx]'") from None
    names = model.architecture.inputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _exported(model, graph, inputs), dynamo=True, input_names=names, output_names=["probabilities"],
            verbose=False,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        program.save(str(Path(folder, "model.onnx")), external_data=False)  # type: ignore[union-attr]
        proto = onnx.load(str(Path(folder, "model.onnx")))
    for key, value in _facts(model).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    content: bytes = proto.SerializeToString()
    try:
        import onnxruntime
    except ImportError:
        return content, "not checked, for onnxruntime is not installed; type: pip install onnxruntime"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    given = [{name: part.numpy() for name, part in zip(names, some, strict=True)} for some in inputs]
    answers = np.concatenate([session.run(["probabilities"], some)[0] for some in given]).astype(np.float64)
    replay(model, answers, expected, "the ONNX graph in onnxruntime")
    return content, "opened again by onnxruntime; " + _difference(answers, expected)


def _difference(answers: np.ndarray, expected: np.ndarray) -> str:
    return f"its probabilities differ from the model's by at most {np.abs(answers - expected).max():.1g}"


def _facts(model: Model) -> dict[str, Any]:
    """Metadata of a graph: names of classes and columns, and its inputs."""
    found: dict[str, Any] = {"names": list(model.classes), "kind": model.kind, "producer": "noiseproof"}
    if columns := model.architecture.columns:
        found["columns"] = columns
        levels = getattr(getattr(model.architecture, "extractor", None), "levels", {})
        found["levels"] = levels
    return found
