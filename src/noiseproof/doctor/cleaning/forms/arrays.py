"""Arrays in an .npz file: rows dropped from every array of the training part, labels replaced, weights beside them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from noiseproof.data.readers.npz import training_arrays
from noiseproof.doctor.cleaning.forms.base import Edit, Job, whole
from noiseproof.errors import InputError
from noiseproof.storage import files

__all__ = ["accepts", "write"]


def accepts(path: Path) -> bool:
    """Test for an .npz file."""
    return path.suffix.lower() == ".npz"


def write(job: Job) -> list[Edit]:
    """Write the arrays; those of other parts and other lengths stay as they are.

    Raises:
        InputError: a new label is no value that the label array can hold.
    """
    raw = job.source.read_bytes()
    with np.load(io.BytesIO(raw), allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    inputs, labels = training_arrays(arrays, job.label)
    if inputs is None or labels is None:
        raise InputError(f"{job.source}: does not hold the inputs and labels any more that were read")
    count = len(arrays[labels])
    changes = {index: change for index, change in job.by_index().items() if index < count}
    kept = np.array([not (index in changes and changes[index].drop) for index in range(count)])
    given = arrays[labels]
    names = [str(name) for name in arrays["classes"]] if "classes" in arrays else None
    new = given.astype(object) if given.dtype.kind == "U" else given.copy()
    for index, change in changes.items():
        if change.label is not None and given.ndim == 2 and given.shape[1] > 1:  # one-hot or soft
            known = names or [str(number) for number in range(given.shape[1])]
            new[index] = np.eye(given.shape[1], dtype=given.dtype)[known.index(change.label)]
        elif change.label is not None:
            value: object = names.index(change.label) if names is not None else change.label
            try:
                new.reshape(-1)[index] = value if given.dtype.kind == "U" else given.dtype.type(float(str(value)))
            except ValueError:
                raise InputError(f"{job.source}: {labels} holds {given.dtype}, the label {value!r} is none") from None
    arrays[labels] = new.astype(str) if given.dtype.kind == "U" else new
    if job.weighted:
        weights = np.ones(count)
        for index, change in changes.items():
            weights[index] = 1.0 if change.weight is None else change.weight
        arrays["sample_weight"] = weights
    beside = [name for name, array in arrays.items() if array.shape[:1] == (count,) and _of_training(name)]
    for name in {inputs, labels, *beside}:
        arrays[name] = arrays[name][kept]
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        packed = any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())
    save = np.savez_compressed if packed else np.savez
    save(memory, **arrays)
    files.write_atomic(job.out, memory.getvalue(), exist_ok=False)
    return whole(raw, memory.getvalue())


def _of_training(name: str) -> bool:
    return not any(word in name.lower() for word in ("test", "val", "dev", "classes"))
