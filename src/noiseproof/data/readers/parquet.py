"""Parquet, Feather and Arrow files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noiseproof.data.io.archives import regular
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.frames import add_pictures, column_of, holds_pictures
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["class_names", "read_arrow"]


def read_arrow(path: Path, options: ReadingOptions) -> Table:
    """Read a column store; numbers stay numbers, classes keep the names that the file gives them."""
    regular(path)
    try:
        table = _table(path)
    except Exception as error:  # what Arrow raises on damaged files is not a closed list
        raise DataError(f"{path}: not a sound {path.suffix[1:]} file ({str(error)[:100]})") from None
    frame = table.to_pandas(ignore_metadata=True)
    form = "parquet" if path.suffix.lower() in (".parquet", ".pq") else "Arrow"
    names = class_names(table)
    found = Table(str(path), form, [], len(frame))
    for name in frame.columns:
        values = frame[name]
        if values.dtype == object and holds_pictures(values[:100]) and holds_pictures(values):
            add_pictures(found, str(name), list(values))
        else:
            found.columns += column_of(str(name), values, names.get(str(name)), str(path))
    return found


def _table(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import feather, parquet

    if path.suffix.lower() in (".parquet", ".pq"):
        return parquet.ParquetFile(path).read()
    try:
        return feather.read_table(path)
    except pa.ArrowInvalid:
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_stream(file).read_all()  # as Hugging Face's data sets are kept


def class_names(table: Any) -> dict[str, list[str]]:
    """Names of classes that Hugging Face keeps in the schema."""
    import json

    blob = (table.schema.metadata or {}).get(b"huggingface")
    if not blob:
        return {}
    try:
        features = json.loads(blob)["info"]["features"]
        return {name: each["names"] for name, each in features.items() if each.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
