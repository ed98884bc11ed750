"""Tables: numbers standardised, missing cells marked, categories one column each; matched by column name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noiseproof.data.readers.feature_columns import MOST_CATEGORIES, numbers_in
from noiseproof.errors import DataError, InputError, did_you_mean
from noiseproof.features.base import EXTRACTORS, Array, Bad, Extractor, Inputs, Progress

__all__ = ["Columns"]

_UNKNOWN = -1.0  # code of a category that was not seen in training
_ARRAYS = ("numeric", "gaps", "median", "mean", "scale")


@EXTRACTORS.register("columns")
class Columns(Extractor):
    """Numbers at mean 0 and standard deviation 1 (missing: the median, and a column that says so), categories one-hot.

    Inputs are a DataFrame, whose columns are matched by name in any order, or numbers (N, D).
    """

    kinds = ("columns", "vectors")
    names: list[str]
    levels: dict[str, list[str]]  # of each column of categories

    def fit_transform(self, inputs: Inputs, *, progress: Progress | None = None) -> Array:
        if not len(inputs):
            raise InputError("features need at least one row, got none")
        self.levels = {}
        if hasattr(inputs, "columns"):
            self.names = [str(name) for name in inputs.columns]
            for place, name in enumerate(self.names):
                if _holds_categories(column := inputs.iloc[:, place]):
                    self.levels[name] = _common(_texts(column))
        else:
            self.names = [str(number) for number in range(inputs.shape[1])]
        coded = self.encode(inputs).numpy()
        numeric = [place for place, name in enumerate(self.names) if name not in self.levels]
        self.numeric = np.array(numeric, np.int64)
        numbers = coded[:, numeric].astype(np.float64)
        missing = np.isnan(numbers)
        self.gaps = np.array([at for at in range(len(numeric)) if missing[:, at].any()], np.int64)
        with np.errstate(all="ignore"):
            empty = missing.all(0)
            self.median = np.where(empty, 0.0, np.nanmedian(np.where(empty, 0.0, numbers), axis=0)).astype(np.float32)
        filled = np.where(missing, self.median, numbers)
        self.mean = filled.mean(0).astype(np.float32)
        std = filled.std(0)
        self.scale = np.where(std > 1e-6 * np.maximum(np.abs(self.mean), 1e-6), std, 1.0).astype(np.float32)
        return self.transform(inputs, progress=progress)

    def transform(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        coded, module = self.encode(inputs, bad), self.module()
        with torch.inference_mode():
            found: Array = torch.cat([module(some) for some in torch.split(coded, 8192)]).numpy()
        found[list(bad or ())] = np.nan
        if progress:
            progress(len(found), len(found))
        return found

    def encode(self, inputs: Inputs, bad: Bad | None = None) -> Tensor:
        """Float32 (N, C) in the order of training: numbers, NaN where missing, and codes of categories (-1: unknown).

        Args:
            inputs: a frame, or numbers (N, C).
            bad: takes rows that hold a text where numbers were learned; None: the first such row raises.

        Raises:
            InputError: a column is missing, or holds texts where numbers were learned.
        """
        if not hasattr(inputs, "columns"):
            numbers = torch.as_tensor(inputs)
            if numbers.dim() != 2 or numbers.shape[1] != len(self.names):
                raise InputError(f"rows must have {len(self.names)} numbers, got shape {tuple(numbers.shape)}")
            return numbers.to(torch.float32)
        given = [str(name) for name in inputs.columns]
        missing = [name for name in self.names if name not in given]
        if missing:
            shown = ", ".join(f"{name!r}{did_you_mean(name, given)}" for name in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise InputError(f"columns of training are missing: {shown}{more}; found {', '.join(given[:8])[:200]}")
        found = np.empty((len(inputs), len(self.names)), np.float32)
        for place, name in enumerate(self.names):
            column = inputs.iloc[:, given.index(name)]
            found[:, place] = self._codes(name, column) if name in self.levels else _numbers(name, column, bad)
        return torch.from_numpy(found)

    def unknown_columns(self, inputs: Inputs) -> list[str]:
        """Columns of the inputs that were not there in training; they are left out."""
        return [str(name) for name in getattr(inputs, "columns", ()) if str(name) not in self.names]

    def unknown_values(self, inputs: Inputs) -> dict[str, list[str]]:
        """Categories of the inputs, by column, that training did not show; columns of very many are left out."""
        given = [str(name) for name in getattr(inputs, "columns", ())]
        found = {}
        for name, levels in self.levels.items():
            if name in given and len(levels) < MOST_CATEGORIES:
                values = {text for text in _texts(inputs.iloc[:, given.index(name)]) if text is not None}
                found[name] = sorted(values - set(levels))
        return {name: values for name, values in found.items() if values}

    def _codes(self, name: str, column: Any) -> Array:
        texts = _texts(column)
        code = {level: number for number, level in enumerate(self.levels[name])}
        return np.array([np.nan if text is None else code.get(text, _UNKNOWN) for text in texts], np.float32)

    def module(self) -> nn.Module:
        counts = [len(self.levels.get(name, ())) for name in self.names]
        return _Encoded(counts, self.arrays()).eval()

    def arrays(self) -> dict[str, Array]:
        """The fitted numbers."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        config = {**self.base_state(), "columns": self.names, "levels": self.levels}
        return config, self.arrays()

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.names = [str(name) for name in config["columns"]]
        self.levels = {str(name): [str(level) for level in levels] for name, levels in config["levels"].items()}
        for name in _ARRAYS:
            setattr(self, name, arrays[name])
        numeric = [place for place, name in enumerate(self.names) if name not in self.levels]
        if self.numeric.tolist() != numeric or len(self.mean) != len(numeric):
            raise DataError("the state of the features columns is damaged: its columns do not fit together")


class _Encoded(nn.Module):
    """Vectors of coded rows (N, C): standardised numbers, marks of missing ones, one-hot categories."""

    median: Tensor
    mean: Tensor
    scale: Tensor
    numeric: Tensor
    gaps: Tensor

    def __init__(self, counts: list[int], arrays: Mapping[str, Array]) -> None:
        super().__init__()
        self.categories = [(place, count) for place, count in enumerate(counts) if count]
        for name in _ARRAYS:
            if len(arrays[name]):  # an exported graph takes no empty arrays
                self.register_buffer(name, torch.from_numpy(np.array(arrays[name])))
        self.has_numbers, self.has_gaps = len(arrays["numeric"]) > 0, len(arrays["gaps"]) > 0

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors, float32 (N, D)."""
        parts = []
        if self.has_numbers:
            numbers = rows.index_select(1, self.numeric)
            missing = numbers.isnan()
            parts.append((torch.where(missing, self.median, numbers) - self.mean) / self.scale)
            if self.has_gaps:
                parts.append(missing.index_select(1, self.gaps).float())
        for place, count in self.categories:
            levels = torch.arange(count, device=rows.device, dtype=rows.dtype)
            parts.append((rows[:, place, None] == levels).float())
        return torch.cat(parts, 1)


def _holds_categories(column: Any) -> bool:
    from pandas.api import types

    return not (types.is_numeric_dtype(column.dtype) or types.is_datetime64_any_dtype(column.dtype))


def _texts(column: Any) -> list[str | None]:
    """Cells of a column of categories as texts, None where a cell is empty."""
    import pandas as pd

    return [None if pd.isna(cell) else str(cell) for cell in column]


def _numbers(name: str, column: Any, bad: Bad | None = None) -> Array:
    """A column of numbers or times as float32; texts, which go to `bad`, count as missing."""
    from pandas.api import types

    if types.is_datetime64_any_dtype(column.dtype):
        days = column.to_numpy("datetime64[ns]").astype(np.int64) / 8.64e13
        return np.where(column.isna(), np.nan, days).astype(np.float32)
    try:
        with np.errstate(over="ignore"):
            found: Array = column.to_numpy(np.float32, na_value=np.nan)
    except (ValueError, TypeError):
        values, wrong = numbers_in(["" if text is None else text for text in _texts(column)])
        texts = {row: str(column.iloc[row])[:40] for row in np.flatnonzero(wrong).tolist()}
        for row, cell in texts.items():
            why = f"column {name!r} held numbers in training"
            if bad is None:
                raise InputError(f"{why}; row {row} holds {cell!r}") from None
            bad.setdefault(row, f"{why}, and this row holds {cell!r}")
        found = np.where(wrong, np.nan, values).astype(np.float32)
    return np.where(np.isfinite(found), found, np.nan)


def _common(texts: list[str | None]) -> list[str]:
    """The most frequent categories, most frequent first."""
    from collections import Counter

    counts = Counter(text for text in texts if text is not None)
    return [text for text, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]]
