"""Table files by their ending: CSV and its kin, JSON, parquet, Excel, lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from noiseproof.data.readers import arff, csv_table, cvat, excel, image_list, json_file, label_studio, parquet
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.number_lists import spread_lists
from noiseproof.data.readers.packed import inner_name
from noiseproof.data.readers.table import Table

__all__ = ["ENDINGS", "is_table", "read_table"]

Read = Callable[[Path, ReadingOptions], Table]

ENDINGS: dict[str, Read] = {
    ".csv": csv_table.read_csv,
    ".tsv": csv_table.read_csv,
    ".tab": csv_table.read_csv,
    ".data": csv_table.read_csv,
    ".json": json_file.read_json,
    ".jsonl": json_file.read_json_lines,
    ".ndjson": json_file.read_json_lines,
    ".manifest": json_file.read_json_lines,
    ".parquet": parquet.read_arrow,
    ".pq": parquet.read_arrow,
    ".feather": parquet.read_arrow,
    ".arrow": parquet.read_arrow,
    ".xlsx": excel.read_excel,
    ".xlsm": excel.read_excel,
    ".xml": cvat.read_cvat,
    ".txt": image_list.read_list,
    ".dat": image_list.read_list,
    ".arff": arff.read_arff,
}


def is_table(path: Path) -> bool:
    """Test for a file whose ending, behind that of a compression, is one of a table."""
    return path.is_file() and _ending(path) in ENDINGS


def read_table(path: Path, options: ReadingOptions) -> Table:
    """Read a table file in the form that its ending names."""
    found = label_studio.trimmed(ENDINGS[_ending(path)](path, options))
    spread_lists(found, options.columns())
    return found


def _ending(path: Path) -> str:
    return "." + inner_name(path).rpartition(".")[2]
