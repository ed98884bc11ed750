"""Output manifests of SageMaker Ground Truth: an item in each line, with the name of its class in the metadata."""

from __future__ import annotations

from collections.abc import Sequence

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.record_table import Record, table_of
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["is_export", "table"]

_ITEMS = {"source-ref": "path", "source": "text"}


def is_export(records: Sequence[Record]) -> bool:
    """Test for records with an item and the metadata of an answer."""
    return all(any(item in record for item in _ITEMS) and _jobs(record) for record in records[:20])


def table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record an item; an item whose answer failed has no label.

    Raises:
        DataError: items were labelled by several jobs.
    """
    jobs = list(dict.fromkeys(job for record in records for job in _jobs(record)))
    job = options.label if options.label in jobs else jobs[0]
    if len(jobs) > 1 and options.label not in jobs:
        raise DataError(
            f"{source}: was labelled by several jobs ({', '.join(jobs)}); say which with --label {jobs[0]!r}"
        )
    item = next(name for name in _ITEMS if name in records[0])
    rows = [
        {item: record.get(item), job: (record.get(f"{job}-metadata") or {}).get("class-name")} for record in records
    ]
    return table_of(rows, source, "a Ground Truth manifest", known={"label": job, _ITEMS[item]: item})


def _jobs(record: Record) -> list[str]:
    """Names of the labelling jobs of a record."""
    return [
        name.removesuffix("-metadata")
        for name, value in record.items()
        if name.endswith("-metadata") and isinstance(value, dict) and "class-name" in value
    ]
