"""Predictions as a table: the item as the user knows it, `label`, `confidence`, and more on request."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof import escaping
from noiseproof.artifacts.model import Model
from noiseproof.artifacts.model import top as most_probable
from noiseproof.artifacts.new_items import Items
from noiseproof.errors import InputError, MachineError
from noiseproof.features.base import Bad, Progress
from noiseproof.storage import files

__all__ = ["Predictions", "predict"]

_FORMATS = (".csv", ".parquet", ".json")


@dataclass(eq=False)
class Predictions:
    """Columns of equal length, and the items that were left out, each with the reason."""

    columns: dict[str, list[Any]]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def csv(self) -> str:
        """As CSV with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in zip(*self.columns.values(), strict=True):
            writer.writerow([_cell(cell) for cell in row])
        return text.getvalue()

    def write(self, path: Path) -> None:
        """Write CSV, Parquet or JSON, by the ending of the name.

        Raises:
            InputError: another ending, or Parquet without pyarrow.
        """
        ending = path.suffix.lower()
        if ending not in _FORMATS:
            raise InputError(f"predictions are written as {', '.join(_FORMATS)}, got {path.name}; choose another name")
        if ending == ".csv":
            files.write_atomic(path, self.csv())
        elif ending == ".json":
            names = list(self.columns)
            rows = [dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]
            files.write_atomic(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        else:
            try:
                import pyarrow as arrow
                from pyarrow import parquet
            except ImportError:
                raise InputError("Parquet needs pyarrow; type: pip install pyarrow, or write a .csv") from None
            memory = io.BytesIO()
            parquet.write_table(arrow.table(self.columns), memory)
            files.write_atomic(path, memory.getvalue())


def predict(
    model: Model, items: Items, *, proba: bool = False, top: int | None = None, progress: Progress | None = None
) -> Predictions:
    """Predict items; those that cannot be read are listed in `skipped`.

    Args:
        model: from `load_model`.
        items: from `read_items`.
        proba: one column a class.
        top: columns `label_2`, `confidence_2`, ... up to this many.
        progress: called with (done, total).
    """
    bad: Bad = {}
    p = model.probabilities(items.inputs, bad=bad, progress=progress)
    kept = np.array([position for position in range(len(p)) if position not in bad], np.int64)
    origin = items.origin.take(kept).columns()
    if len(origin) > 1:
        origin.pop("index")
    p = p[kept]
    if not np.isfinite(p).all():
        raise MachineError("the model gave probabilities that are no numbers; train it again")
    best = most_probable(p, min(top or 1, p.shape[1]))
    found: dict[str, list[Any]] = dict(origin)
    for rank in range(best.shape[1]):
        suffix = f"_{rank + 1}" if rank else ""
        chosen = best[:, rank]
        found[_free("label" + suffix, origin)] = [model.classes[k] for k in chosen.tolist()]
        found[_free("confidence" + suffix, origin)] = p[np.arange(len(p)), chosen].tolist()
    if proba:
        for number, name in enumerate(model.classes):
            found[name if name not in found else f"p({name})"] = p[:, number].tolist()
    skipped = [*items.skipped, *((items.origin.name(position), why) for position, why in sorted(bad.items()))]
    return Predictions(found, skipped)


def _free(name: str, taken: Any) -> str:
    return name if name not in taken else f"predicted_{name}"


def _cell(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are."""
    if isinstance(cell, float):
        return f"{cell:.6g}"
    try:
        float(cell)
    except ValueError:
        return escaping.csv(cell)
    return cell
