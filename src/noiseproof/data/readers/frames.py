"""Objects of Python as a table: pandas frames, dictionaries of columns, Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noiseproof.data.io.unpack import kept_pictures
from noiseproof.data.readers.record_table import as_text, table_of
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import InputError

__all__ = ["add_pictures", "column_of", "holds_pictures", "table_of_frame", "table_of_hub", "table_of_mapping"]


def table_of_frame(frame: Any, source: str = "the frame") -> Table:
    """A pandas frame as a table; an index that was set names the samples."""
    import pandas as pd

    names = [_name(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{source}: two columns are named {twice[0]!r}; rename one")
    columns = [made for at, name in enumerate(names) for made in column_of(name, frame.iloc[:, at], None, source)]
    table = Table(source, "a data frame", columns, len(frame))
    if not isinstance(frame.index, pd.RangeIndex):
        name = str(frame.index.name) if frame.index.name is not None else "index"
        while name in names:
            name = f"{name}_"
        table.columns.insert(0, Column(name, [str(key) for key in frame.index]))
        table.known["id"] = name
    return table


def _name(name: Any) -> str:
    """The name of a column; of one with several levels, those that are not empty."""
    return ".".join(str(level) for level in name if str(level)) if isinstance(name, tuple) else str(name)


def table_of_mapping(columns: Mapping[str, Sequence[Any]], source: str = "the dictionary") -> Table:
    """A dictionary of columns as a table."""
    import pandas as pd

    lengths = {str(name): len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{source}: columns must be equally long, got {lengths}")
    plain = {str(name): pd.Series(list(column)) for name, column in columns.items()}
    return table_of_frame(pd.DataFrame(plain), source)


def table_of_hub(dataset: Any, source: str = "the data set") -> Table:
    """A Hugging Face `Dataset` as a table; classes keep their names, pictures their paths."""
    features = dataset.features
    plain = dataset.with_format(None)
    for name, feature in features.items():
        if type(feature).__name__ == "Image":
            plain = plain.cast_column(name, type(feature)(decode=False))
    frame = plain.to_pandas()
    table = Table(source, "a Hugging Face data set", [], len(frame))
    for name, feature in features.items():
        values = frame[name]
        if type(feature).__name__ == "Image":
            add_pictures(table, name, list(values))
            continue
        names = list(feature.names) if type(feature).__name__ == "ClassLabel" else None
        table.columns += column_of(name, values, names, source)
        if names is not None and "label" not in table.known:
            table.known["label"] = name
    return table


def holds_pictures(values: Sequence[Any]) -> bool:
    """Test for the pictures of a Hugging Face image column: bytes, a path, or both."""
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, dict) and value.keys() == {"bytes", "path"} for value in known)


def add_pictures(table: Table, name: str, values: Sequence[Any]) -> None:
    """Add a column of pictures; those that lie in the table itself get a file each in the user's cache folder."""
    names = [(value or {}).get("path") or "" for value in values]
    inside = [place for place, value in enumerate(values) if value is not None and value.get("bytes") is not None]
    paths = list(names)
    for place, path in zip(inside, kept_pictures(values[place]["bytes"] for place in inside), strict=True):
        paths[place] = str(path)
    table.columns.append(Column(name, paths))
    table.known["path"] = name
    if inside and "id" not in table.known:
        unique = all(names) and len(set(names)) == len(names)
        table.columns.append(Column("record", names if unique else [str(number) for number in range(len(names))]))
        table.known["id"] = "record"


def column_of(name: str, values: Any, names: Sequence[str] | None, source: str) -> list[Column]:
    """The columns that a pandas series makes: one, or one a number where it holds vectors.

    Args:
        name: of the column.
        values: the series.
        names: names of classes whose numbers it holds.
        source: for messages.
    """
    import pandas as pd

    if names is not None:
        known = list(names)
        return [Column(name, ["" if pd.isna(at) or at < 0 else known[int(at)] for at in values])]
    if isinstance(values.dtype, pd.CategoricalDtype):
        texts = [as_text(_plain(each)) for each in values.cat.categories]
        return [Column(name, ["" if code < 0 else texts[code] for code in values.cat.codes])]
    if pd.api.types.is_bool_dtype(values.dtype):
        return [Column(name, ["" if each is pd.NA else str(bool(each)) for each in values])]
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return [Column(name, lambda: ["" if pd.isna(each) else str(each) for each in values.tolist()], numbers)]
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return [Column(name, ["" if pd.isna(each) else each.isoformat() for each in values])]
    plain = [_plain(each) for each in values]
    if any(isinstance(each, list | dict) for each in plain):
        return table_of([{name: each} for each in plain], source, "").columns
    return [Column(name, [str(each) if isinstance(each, bool) else as_text(each) for each in plain])]


def _plain(value: Any) -> Any:
    """A value without NumPy and pandas: text, number, truth value, list, or None for a gap."""
    import pandas as pd

    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, str | list | dict):
        return str(value) if isinstance(value, str) else value  # without NumPy's own kind of text
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    return (
        value.item()
        if isinstance(value, np.generic)
        else value
        if isinstance(value, int | float | bool)
        else str(value)
    )
