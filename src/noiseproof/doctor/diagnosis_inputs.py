"""Inputs of `diagnose` in one form: samples of a data set with their labels, and vectors to judge them by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noiseproof.data import Data, Split, load
from noiseproof.data.dataset import Origin, Texts, is_frame
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.column_roles import assign
from noiseproof.data.readers.frames import table_of_frame
from noiseproof.data.readers.python_objects import check_order, holds_labels
from noiseproof.data.readers.table import Column
from noiseproof.doctor.label_encoding import labels_of
from noiseproof.errors import InputError, NoiseproofError

__all__ = ["samples_of", "vectors_of"]

Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int], object]
_LARGEST = 1e18  # numbers beyond are brought to it: squares of them stay finite in float32
_COLUMNS = 300  # of a sparse matrix, at most: a wider one becomes its leading singular directions
_DIRECTIONS = (50, 500)  # of texts, fewest and most
_SAMPLES = 15  # for each direction: the last directions of few samples are noise
_CHANNELS = (1, 3, 4)


def samples_of(
    data: Any, labels: Any = None, *, label: str | None = None, root: str | Path | None = None, **reading: Any
) -> tuple[str, Split, tuple[str, ...]]:
    """A name, the samples with the labels they came with, and the names of a table's columns.

    Args:
        data: a data set, its name or path; or samples: numbers (N, D), dense or sparse; pictures (N, H, W),
            (N, C, H, W) or (N, H, W, C); texts; paths of pictures; a pandas frame.
        labels: of the samples, of any kind; for a frame also the name of its column.
        label: name of the label column of a frame or file.
        root: folder that holds the data sets.
        reading: further options of `data.load`.

    Raises:
        InputError: no labels, as many labels as samples there are not, or inputs of no kind that is known.
    """
    if isinstance(data, Data):
        return _name(data), data.everything(), _columns(data)
    if isinstance(data, Split):
        return "samples", data, ()
    if isinstance(data, str | Path) and labels is None:
        options = {**reading, **({"label": label} if label is not None else {})}
        found = load(data, root=root, **options)
        return _name(found), found.everything(), _columns(found)
    if is_frame(data):
        return _of_frame(data, labels, label)
    if labels is None and holds_labels(data):
        found = load(data, root=root, label=label, **reading)
        return _name(found), found.everything(), _columns(found)
    if labels is None:
        raise InputError('labels are missing: diagnose(X, y), diagnose(frame, label="...") or diagnose("pets.csv")')
    inputs = _inputs(data)
    given, classes = labels_of(labels)
    _same_length(len(inputs) if isinstance(inputs, tuple) else inputs.shape[0], len(given))
    return "samples", Split(inputs, torch.from_numpy(given), None, classes, _positions("X", inputs)), ()


def _name(data: Data) -> str:
    """The file or folder of own data, without options of its reading; the name of any other data set."""
    return data.name if data.reading is None or not data.reading.source else data.reading.source


def _columns(data: Data) -> tuple[str, ...]:
    return () if data.reading is None else data.reading.columns


def vectors_of(inputs: Any, *, directions: int | None = None, on_progress: Progress | None = None) -> Vectors:
    """Float32 vectors (N, D) of the inputs of a split, made without any label; numbers stay as they are.

    Args:
        inputs: of a split.
        directions: of texts; as many as such a number of texts tells from noise unless given.
        on_progress: called with (done, total) as pictures are read.
    """
    if isinstance(inputs, Tensor) and inputs.dim() == 2:
        return _finite(inputs.numpy())
    from noiseproof import features

    extractor = None
    if features.kind_of(inputs) == "text":
        extractor = features.TextVectors(dims=directions or _directions(len(inputs)))
    return np.asarray(features.vectors(inputs, extractor=extractor, progress=on_progress), dtype=np.float32)


def _of_frame(frame: Any, labels: Any, label: str | None) -> tuple[str, Split, tuple[str, ...]]:
    if label is None and isinstance(labels, str):
        label, labels = labels, None
    if label is not None and label not in frame.columns:
        raise InputError(f"the frame has no column {label!r}; it has {', '.join(map(repr, frame.columns[:20]))}")
    if label is None and labels is None:
        raise InputError(
            f'which column holds the labels? type label="..."; there are {", ".join(map(repr, frame.columns[:20]))}'
        )
    if label is None:
        check_order(frame, labels)
    given, classes = labels_of(frame[label] if label is not None else labels)
    _same_length(len(frame), len(given))
    rest = frame if label is None else frame.drop(columns=[label])
    if not len(rest.columns):
        raise InputError("the frame has no column but the labels; there is nothing to judge them by")
    keys = None if list(rest.index) == list(range(len(rest))) else tuple(map(str, rest.index))
    key = str(rest.index.name or "id") if keys else ""
    used, named = _roles(rest, [classes[number] for number in given.tolist()], label)
    if keys is None and named is not None:
        keys, key = tuple(map(str, rest[named])), str(named)
    origin = Origin("frame", np.arange(len(rest)), keys=keys, key=key)
    rest = rest[used]
    only = rest.iloc[:, 0]
    inputs: Any = rest.reset_index(drop=True)
    if len(rest.columns) == 1 and all(isinstance(value, str) for value in only):
        inputs = _of_strings(only.tolist())
    columns = tuple(map(str, used)) if len(used) < len(frame.columns) - (label is not None) else ()
    return "frame", Split(inputs, torch.from_numpy(given), None, classes, origin), columns


def _roles(frame: Any, labels: list[str], label: str | None) -> tuple[list[Any], Any]:
    """Columns of a frame to judge by, and the one that names the samples, as `data.load` finds them."""
    everything = list(frame.columns)
    name = str(label) if label is not None else "label"
    while name in map(str, everything):
        name = f"_{name}"
    try:
        table = table_of_frame(frame.reset_index(drop=True))
        table.columns.append(Column(name, labels))
        roles = assign(table, ReadingOptions(label=name), lambda names: False)
    except NoiseproofError:  # `data.load` would ask; here every column counts
        return everything, None
    names = {str(each): each for each in everything}
    used = [roles.path] if roles.path is not None else [roles.text] if roles.text is not None else roles.features
    found = [names[each] for each in used if each in names]
    return found or everything, names.get(roles.id) if roles.id is not None else None


def _inputs(data: Any) -> Any:
    """Samples as a split holds them."""
    if hasattr(data, "tocsr"):
        return torch.from_numpy(_reduced(data))
    if isinstance(data, Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.dtype == torch.bfloat16 else data).numpy()
    if isinstance(data, Sequence) and not isinstance(data, str) and len(data) and isinstance(data[0], str | Path):
        return _of_strings(list(data))
    try:
        array = np.asarray(data)
    except ValueError:
        raise InputError("X must have samples of one shape; for pictures of several sizes give their paths") from None
    if array.dtype.kind in "OUS" and array.ndim == 1 and all(isinstance(value, str | Path) for value in array.tolist()):
        return _of_strings(array.tolist())
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError("X holds things that are no numbers; give a pandas frame for mixed columns") from None
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise InputError(f"X must be numbers, pictures, texts, paths or a frame, got {array.dtype} {array.shape}")
    if array.ndim == 1:
        array = array[:, None]
    return torch.from_numpy(_vectors(array) if array.ndim == 2 else _pictures(array))


def _vectors(array: npt.NDArray[Any]) -> Vectors:
    found = np.empty(array.shape, np.float32)
    for start in range(0, len(array), 65_536):
        rows = slice(start, start + 65_536)
        found[rows] = np.clip(array[rows].astype(np.float64), -_LARGEST, _LARGEST)
    return found


def _finite(vectors: Vectors) -> Vectors:
    """Empty cells (NaN) filled with their column's mean, with a further column that says where they were."""
    vectors = np.clip(vectors, -_LARGEST, _LARGEST)
    if np.isfinite(vectors).all():
        return vectors
    from sklearn.impute import SimpleImputer

    filled = SimpleImputer(add_indicator=True, keep_empty_features=True).fit_transform(vectors)
    return np.asarray(filled, dtype=np.float32)


def _directions(samples: int) -> int:
    """Number of singular directions that so many samples tell from noise."""
    return min(max(samples // _SAMPLES, _DIRECTIONS[0]), _DIRECTIONS[1])


def _reduced(matrix: Any) -> Vectors:
    """A sparse matrix as a dense one: its columns, or where they are many its leading singular directions."""
    from sklearn.decomposition import TruncatedSVD

    matrix = matrix.tocsr().astype(np.float32)
    if matrix.shape[1] <= _COLUMNS:
        return np.asarray(matrix.toarray(), dtype=np.float32)
    directions = min(_directions(matrix.shape[0]), _COLUMNS, *matrix.shape)
    found = TruncatedSVD(directions, n_iter=2, random_state=0).fit_transform(matrix)
    return np.asarray(found, dtype=np.float32)


def _pictures(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Pictures of any layout as uint8 (N, C, H, W); numbers up to 1 are shares of 255."""
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4:
        raise InputError(f"X must be (N, D), (N, H, W), (N, C, H, W) or (N, H, W, C), got shape {array.shape}")
    if array.shape[1] not in _CHANNELS and array.shape[3] in _CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.shape[1] not in _CHANNELS:
        raise InputError(f"pictures have 1, 3 or 4 channels, got shape {array.shape}; flatten X to (N, D) for numbers")
    array = array[:, :3]
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    array = np.nan_to_num(array.astype(np.float32))
    low, high = float(array.min()), float(array.max())
    if low >= 0 and high <= 1:
        array = array * 255
    elif low < 0 or high > 255:
        array = (array - low) * (255 / (high - low))
    return np.ascontiguousarray(array.round().astype(np.uint8))


def _of_strings(values: list[Any]) -> Any:
    """Paths if each names a file that is there, else texts."""
    paths = [Path(value) for value in values[:1]]
    if isinstance(values[0], Path) or (len(str(values[0])) < 1_000 and _is_file(paths[0])):
        paths = [Path(value) for value in values]
        missing = [str(path) for path in paths if not _is_file(path)]
        if missing:
            raise InputError(f"{len(missing)} of {len(paths)} paths name no file, the first {missing[0]!r}")
        return tuple(paths)
    return Texts(str(value) for value in values)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _positions(source: str, inputs: Any) -> Origin:
    paths = tuple(map(str, inputs)) if isinstance(inputs, tuple) and not isinstance(inputs, Texts) else None
    return Origin(source, np.arange(len(inputs)), paths=paths)


def _same_length(samples: int, labels: int) -> None:
    if samples != labels:
        raise InputError(f"X has {samples} samples and y {labels} labels; they must be as many")
    if not samples:
        raise InputError("there is nothing to judge: X and y are empty")
