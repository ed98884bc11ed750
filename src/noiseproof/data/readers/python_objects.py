"""Data that Python holds: frames, dictionaries, Hugging Face data sets, inputs with labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from noiseproof.data.dataset import Data, Origin, is_frame
from noiseproof.data.readers.arrays import arrays, label_texts
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.frames import table_of_frame, table_of_hub, table_of_mapping
from noiseproof.data.readers.number_lists import spread_lists
from noiseproof.data.readers.part_names import part_of
from noiseproof.data.readers.recognition import assemble
from noiseproof.data.readers.record_table import table_of
from noiseproof.data.readers.samples import labelled, parts
from noiseproof.data.readers.soft_labels import is_one_hot, label_rows, row_names
from noiseproof.data.readers.table import Column, Table
from noiseproof.data.reading_account import Reading
from noiseproof.errors import DataError, InputError

__all__ = ["check_order", "holds_labels", "load_arrays", "load_table"]


def holds_labels(source: Any) -> bool:
    """Test for an object with the labels beside the inputs: a frame or an Arrow or polars table, a dictionary, records,
    a structured array, a Hugging Face data set."""
    if is_frame(source) or isinstance(source, Mapping) or hasattr(source, "features") or hasattr(source, "to_pandas"):
        return True
    if isinstance(source, list):
        return bool(source) and all(isinstance(each, Mapping) for each in source)
    return getattr(getattr(source, "dtype", None), "names", None) is not None


def check_order(inputs: Any, labels: Any) -> None:
    """Refuse labels that list the samples of a frame in another order.

    Raises:
        InputError: both have the same index, and in another order.
    """
    here: Any = getattr(inputs, "index", None)
    there: Any = getattr(labels, "index", None)
    if not hasattr(here, "equals") or not hasattr(there, "equals") or here.equals(there):
        return
    if len(here) == len(there) and set(here) == set(there):
        raise InputError("the labels list the samples in another order than the inputs; type labels.loc[inputs.index]")


def load_table(source: Any, options: ReadingOptions) -> Data:
    """A frame, a dictionary of columns, records, a Hugging Face `Dataset` or `DatasetDict`, as `load` reads a table."""
    if isinstance(source, Mapping) and {"data", "target"} <= source.keys():  # a bunch of scikit-learn
        names = [str(name) for name in source.get("target_names", [])]
        numbers = source["target"]
        named = (
            len(names) > 1
            and getattr(getattr(numbers, "dtype", None), "kind", "") in "iu"
            and max(numbers) < len(names)
        )
        return load_arrays(source["data"], [names[number] for number in numbers] if named else numbers, options)
    if not is_frame(source) and not hasattr(source, "features"):
        import pandas as pd

        if hasattr(source, "to_pandas"):
            source = source.to_pandas()
        elif getattr(source, "dtype", None) is not None:
            source = pd.DataFrame.from_records(source)
    if isinstance(source, Mapping) and source and all(hasattr(each, "features") for each in source.values()):
        table = _of_parts({name: table_of_hub(each) for name, each in source.items()})
    elif is_frame(source):
        table = table_of_frame(source)
    elif isinstance(source, Mapping):
        table = table_of_mapping(source)
    elif isinstance(source, list):
        table = table_of(source, "the records", "records")
    else:
        table = table_of_hub(source)
    spread_lists(table, options.columns())
    reading = Reading(table.source, table.form)
    return assemble(table.source, labelled(table, options, reading, options.root), reading)


def load_arrays(inputs: Any, labels: Any, options: ReadingOptions) -> Data:
    """Inputs with their labels, as `load` reads arrays; a frame's columns are taken as a table's."""
    if options.label is not None:
        raise InputError("labels are given twice, as labels and as label=")
    check_order(inputs, labels)
    if is_frame(inputs):
        name = "label"
        while name in map(str, inputs.columns):
            name = f"_{name}"
        table = table_of_frame(inputs)
        table.columns += _label_columns(name, labels, len(inputs))
        table.known["label"] = name
        reading = Reading(table.source, table.form)
        return assemble(table.source, labelled(table, options, reading, options.root), reading)
    reading = Reading("the arrays", "arrays")
    whole, found = arrays([("inputs", inputs)], [("labels", labels)], [None], (), "the arrays", reading, options)
    index = getattr(labels, "index", None)
    if whole.origin is not None and index is not None and not callable(index) and type(index).__name__ != "RangeIndex":
        keys = [str(key) for key in index]
        chosen = tuple(keys[i] for i in whole.origin.index.tolist())
        whole = replace(whole, origin=Origin("the arrays", whole.origin.index, keys=chosen, key=index.name or "index"))
    return assemble("the arrays", replace(parts(whole, None, reading), annotations=found), reading)


def _label_columns(name: str, labels: Any, count: int) -> list[Column]:
    """Labels as one column, or one a class where they are rows of probabilities."""
    rows = label_rows(labels, "labels")
    if rows is None:
        return [Column(name, label_texts(labels, "labels", count=count))]
    if len(rows) != count:
        raise DataError(f"labels: {count:,} are expected, got {len(rows):,}")
    names = row_names(labels, (), rows.shape[1], "labels")
    if is_one_hot(rows):
        return [Column(name, [names[place] for place in rows.argmax(axis=1).tolist()])]
    return [
        Column(f"{name}[{each}]", [repr(share) for share in column.tolist()], column)
        for each, column in zip(names, rows.T, strict=True)
    ]


def _of_parts(tables: Mapping[str, Table]) -> Table:
    """The tables of a `DatasetDict` as one with a split column."""
    unknown = [name for name in tables if not part_of(name)]
    if unknown and len(tables) > 1:
        raise DataError(f"the parts {', '.join(unknown)} are neither train, validation nor test; give one of them")
    first = next(iter(tables.values()))
    columns = [Column(name, [text for table in tables.values() for text in table[name].texts]) for name in first.names]
    count = sum(table.count for table in tables.values())
    if len(tables) > 1:
        columns.append(Column("split", [name for name, table in tables.items() for _ in range(table.count)]))
    return Table(first.source, first.form, columns, count, known=first.known)
