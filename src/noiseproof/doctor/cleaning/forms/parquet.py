"""Parquet and Feather: rows dropped, labels replaced in the column's own type, weights as a column."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof.data.readers.parquet import class_names
from noiseproof.doctor.cleaning.forms.base import WEIGHT, Edit, Job, whole
from noiseproof.errors import InputError
from noiseproof.storage import files

__all__ = ["accepts", "write"]

_ENDINGS = (".parquet", ".pq", ".feather", ".arrow")


def accepts(path: Path) -> bool:
    """Test for a parquet or Feather file."""
    return path.name.lower().endswith(_ENDINGS)


def write(job: Job) -> list[Edit]:
    """Write the table with the schema, metadata and compression of the original.

    Raises:
        InputError: a new label is no value of the label column's type.
    """
    import pyarrow as pa
    from pyarrow import feather, parquet

    raw = job.source.read_bytes()
    is_parquet = raw[:4] == b"PAR1"
    table = parquet.read_table(io.BytesIO(raw)) if is_parquet else feather.read_table(io.BytesIO(raw))
    changes = job.by_index()
    values = table.column(job.label).to_pylist()
    names = class_names(table).get(job.label, [])
    for index, change in changes.items():
        if change.label is not None:
            known = change.label in names
            values[index] = names.index(change.label) if known else _typed(change.label, values, job)
    kind = table.schema.field(job.label).type
    if any(change.label is not None for change in changes.values()):
        at = table.schema.get_field_index(job.label)
        table = table.set_column(at, table.schema.field(job.label), pa.chunked_array([pa.array(values, kind)]))
    if job.weighted:
        weights = np.ones(len(table))
        for index, change in changes.items():
            weights[index] = 1.0 if change.weight is None else change.weight
        table = table.append_column(WEIGHT, pa.array(weights))
    kept = np.array([not (index in changes and changes[index].drop) for index in range(len(table))])
    table = table.filter(pa.array(kept))
    memory = io.BytesIO()
    if is_parquet:
        parquet.write_table(table, memory, compression=_compression(parquet.ParquetFile(io.BytesIO(raw))))
    else:
        feather.write_feather(table, memory)
    files.write_atomic(job.out, memory.getvalue(), exist_ok=False)
    return whole(raw, memory.getvalue())


def _compression(file: Any) -> str:
    groups = file.metadata.num_row_groups
    found = file.metadata.row_group(0).column(0).compression if groups else "SNAPPY"
    return "none" if found == "UNCOMPRESSED" else str(found).lower()


def _typed(label: str, values: list[Any], job: Job) -> Any:
    """The class as a value of the column: the one that stands there for it, else of the same type."""
    found = {_name(value): value for value in values}
    if label in found:
        return found[label]
    example = next((value for value in values if value is not None), "")
    try:
        return type(example)(label)
    except (TypeError, ValueError):
        raise InputError(
            f"{job.source}: column {job.label!r} holds {type(example).__name__}, {label!r} is none"
        ) from None


def _name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
