"""Arrays of inputs and labels, from a file or from Python, as labelled samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.data.dataset import Inputs, Origin, Split, Texts, is_frame, offenders
from noiseproof.data.readers.annotators import Annotations, from_shares, soft_targets
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.classes import NO_LABEL, in_order
from noiseproof.data.readers.soft_labels import is_one_hot, label_rows, row_names
from noiseproof.data.reading_account import Reading, Skipped
from noiseproof.errors import DataError

__all__ = ["arrays", "inputs_of", "label_texts"]

Named = tuple[str, Any]  # where it came from, for messages, and the values


def arrays(
    inputs: Sequence[Named],
    labels: Sequence[Named],
    cleans: Sequence[Named | None],
    classes: Sequence[str],
    source: str,
    reading: Reading,
    options: ReadingOptions,
) -> tuple[Split, Annotations | None]:
    """Samples of one or more blocks of inputs and labels.

    Args:
        inputs: features (N, D), pictures (N, H, W), (N, C, H, W) or (N, H, W, C), texts, paths or a frame, by block.
        labels: of each block, (N,), or rows (N, K) that are one-hot or probabilities; classes are the values that
            occur, unless `classes` names them by number.
        cleans: true labels of each block, or None.
        classes: names of the classes where labels are their numbers; may be empty.
        source: for messages.
        reading: where what is left out is written down.
        options: whether soft targets are wanted.

    Returns:
        The samples; and the annotations, where labels are probabilities.

    Raises:
        DataError: shapes or values that cannot be; says which.
    """
    blocks = [inputs_of(values, where) for where, values in inputs]
    found, labels = _of_rows(labels, classes, reading)
    if found is not None:
        classes = found.classes
    texts = [
        label_texts(values, where, classes, count=len(block))
        for (where, values), block in zip(labels, blocks, strict=True)
    ]
    truth = [
        None if clean is None else label_texts(clean[1], clean[0], classes, count=len(block))
        for clean, block in zip(cleans, blocks, strict=True)
    ]
    names = list(classes) or in_order(text for block in (*texts, *truth) if block is not None for text in block if text)
    place = {name: number for number, name in enumerate(names)} | {"": NO_LABEL}
    given = np.array([place[text] for block in texts for text in block], np.int64)
    known = [block for block in truth if block is not None]
    clean = np.array([place[text] for block in known for text in block], np.int64) if len(known) == len(truth) else None
    if len(names) * 2 > max(len(given), 4) and len(given) >= 10 and not classes:
        raise DataError(f"{labels[0][0]}: {len(names):,} different labels for {len(given):,} samples are no classes")
    if not names:
        raise DataError(f"{labels[0][0]}: holds no label")
    whole = blocks[0] if len(blocks) == 1 else _joined(blocks)
    split = Split(
        whole, torch.from_numpy(np.maximum(given, 0)), None, tuple(names), Origin(source, np.arange(len(given)))
    )
    if clean is not None and (clean >= 0).all():
        split = Split(whole, split.given, torch.from_numpy(clean), split.classes, split.origin)
    blank = np.flatnonzero(given < 0)
    if len(blank):
        reading.skipped += [Skipped(f"sample {place}", "samples have no label") for place in blank.tolist()]
        split = split.take(np.flatnonzero(given >= 0).tolist())
    kept = np.flatnonzero(given >= 0)
    return replace(split, soft=soft_targets(found, options.soft, source, reading, kept)), found


def _of_rows(
    labels: Sequence[Named], classes: Sequence[str], reading: Reading
) -> tuple[Annotations | None, Sequence[Named]]:
    """Annotations of blocks whose labels are probabilities, and each block with one label a sample."""
    rows = [label_rows(values, where) for where, values in labels]
    known = [each for each in rows if each is not None]
    if not known:
        return None, labels
    where, values = labels[0]
    if len(known) < len(rows) or len({each.shape[1] for each in known}) > 1:
        raise DataError(f"{where}: the parts have labels of different shapes; give all of them one label a sample")
    names = row_names(values, classes, known[0].shape[1], where)
    whole = np.concatenate(known)
    if is_one_hot(whole):
        reading.notes.append(f"labels are one-hot rows of {whole.shape[1]}, read as the column of the 1")
        chosen = [np.array(names, object)[each.argmax(axis=1)] for each in known]
        return None, [(where, list(each)) for (where, _), each in zip(labels, chosen, strict=True)]
    found = from_shares(whole, names)
    texts = np.array(found.classes, object)[found.consensus]
    ends = np.cumsum([len(each) for each in known])[:-1]
    pieces = np.split(texts, ends)
    return found, [(where, list(each)) for (where, _), each in zip(labels, pieces, strict=True)]


def label_texts(values: Any, where: str, classes: Sequence[str] = (), *, count: int | None = None) -> list[str]:
    """Labels as texts, blank where there is none.

    Args:
        values: a list, array, tensor or series of texts, whole numbers, truth values, or floats.
        where: for messages.
        classes: names of the classes that numbers stand for.
        count: how many there must be.

    Raises:
        DataError: they are no vector, too few or too many, or numbers that no class has.
    """
    found = _array(values, where)
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8")
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]  # how Keras stores them
    if found.ndim != 1 or found.dtype.kind not in "iufbUO":
        raise DataError(f"{where}: must be integers of shape (N,) or texts, got {found.dtype} {found.shape}")
    if count is not None and len(found) != count:
        raise DataError(f"{where}: {count:,} labels are expected, the file has {len(found):,}")
    if classes:
        bad = np.ones(len(found), bool) if found.dtype.kind not in "iu" else (found < 0) | (found >= len(classes))
        if found.dtype.kind in "UO":
            bad = np.array([str(each) not in classes for each in found])
        if bad.any():
            raise DataError(
                f"{where}: labels must be integers in 0..{len(classes) - 1}; {offenders(bad, found.tolist())}"
            )
        return [str(each) if found.dtype.kind in "UO" else classes[int(each)] for each in found]
    if found.dtype.kind == "f":
        continuous = np.isfinite(found) & (found != np.floor(found))
        if continuous.any():
            raise DataError(f"{where}: labels must be names or whole numbers; {offenders(continuous, found.tolist())}")
        if np.isinf(found).any():
            raise DataError(f"{where}: labels must be finite; {offenders(np.isinf(found), found.tolist())}")
    return [_text(each) for each in found.tolist()]


def _text(value: object) -> str:
    missing = value is None or value != value or type(value).__name__ in ("NAType", "NaTType")
    text = "" if missing else str(value)
    return text if text.strip() else ""


def _array(values: Any, where: str) -> npt.NDArray[Any]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
        return np.asarray(values.numpy())
    if type(values).__module__.startswith("pandas"):
        values = values.astype(object).to_numpy() if values.dtype.name == "category" else values.to_numpy()
    if isinstance(values, list | tuple) and any(isinstance(each, str) or each is None for each in values):
        boxed = np.empty(len(values), object)
        boxed[:] = values
        return boxed
    try:
        made = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: numpy cannot read them ({error})") from None
    return made


# Inputs


def inputs_of(values: Any, where: str) -> Inputs:
    """Inputs in the form that a split holds.

    Args:
        values: features (N, D), also sparse; pictures uint8 (or numbers of that range), with or without a channel
            axis; a list of texts or of paths; a pandas frame.
        where: for messages.

    Raises:
        DataError: another shape or type, or numbers that are not finite.
    """
    if is_frame(values) or isinstance(values, Texts):
        return values.reset_index(drop=True) if is_frame(values) else values
    if hasattr(values, "toarray"):
        _ = _fits_in_memory(values.shape, where)
        values = values.astype(np.float32).toarray()
    if isinstance(values, Path | str):
        raise DataError(f"{where}: a list of texts or paths is expected, got a single one")
    listed = values if isinstance(values, list | tuple) else None
    if listed is None and getattr(values, "dtype", None) is not None and getattr(values.dtype, "kind", "") in "OUT":
        listed = list(values)
    if listed and all(isinstance(each, Path) for each in listed):
        return tuple(listed)
    if listed and all(isinstance(each, str) for each in listed):
        return Texts(str(each) for each in listed)
    return _numbers(_array(values, where), where)


def _fits_in_memory(shape: tuple[int, int], where: str) -> int:
    size = 4 * shape[0] * shape[1]
    if size > 8 * 2**30:
        raise DataError(
            f"{where}: {shape[0]:,} x {shape[1]:,} sparse numbers would take {size / 2**30:.0f} GiB; "
            "reduce them first (such as with TruncatedSVD)"
        )
    return size


def _numbers(found: npt.NDArray[Any], where: str) -> torch.Tensor:
    pictures = found.ndim in (3, 4) and found.dtype.kind in "uif" and found.size > 0
    if pictures and found.ndim == 4 and found.shape[1] not in (1, 3) and found.shape[3] not in (1, 3):
        pictures = False
    if pictures and found.dtype != np.uint8:
        found = _bytes(found, where)
    if pictures:
        planes = found[:, None] if found.ndim == 3 else found
        if found.ndim == 4 and found.shape[1] not in (1, 3):
            planes = np.moveaxis(found, 3, 1)
        return torch.from_numpy(np.array(planes, order="C"))
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: must be features (N, D) or uint8 images (N, H, W), (N, C, H, W) or (N, H, W, C), "
            f"got {found.dtype} {found.shape}"
            + ("; for mixed columns give a pandas frame" if found.dtype == object else "")
        )
    with np.errstate(over="ignore"):
        features = found.astype(np.float32)
    bad = np.asarray(~np.isfinite(features).all(axis=1))
    if bad.any():
        raise DataError(
            f"{where}: numbers must be finite in float32; {offenders(bad, found.tolist())}; gaps (NaN) are filled in a "
            "frame: pandas.DataFrame(X)"
        )
    return torch.from_numpy(features)


def _bytes(found: npt.NDArray[Any], where: str) -> npt.NDArray[np.uint8]:
    """Pictures of other numbers as bytes: whole numbers to 255, or floats from 0 to 1."""
    low, high = found.min(), found.max()
    if low >= 0 and high <= 255 and (found.dtype.kind in "ui" or (found == np.floor(found)).all()) and high > 1:
        return found.astype(np.uint8)
    if low >= 0 and high <= 1 and found.dtype.kind == "f":
        return (found * 255).round().astype(np.uint8)
    if found.dtype == np.uint16:
        return (found >> 8).astype(np.uint8)
    raise DataError(
        f"{where}: must be features (N, D) or uint8 images; {found.dtype} {found.shape} from {low:g} to {high:g} are "
        "neither (pictures are 0..255, or floats 0..1)"
    )


def _joined(blocks: Sequence[Any]) -> Inputs:
    try:
        return torch.cat(list(blocks))
    except RuntimeError:
        shapes = " and ".join(str(tuple(block.shape)) for block in blocks)
        raise DataError(f"the parts have inputs of different shapes, {shapes}") from None
