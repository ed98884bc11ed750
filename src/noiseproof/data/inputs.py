"""Inputs of samples that are no tensors (texts, paths of picture files, frames) and the choice of some of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import numpy as np
import torch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Files", "Inputs", "Texts", "concatenated", "is_frame", "samples"]


class Texts(tuple[str, ...]):
    """Texts to classify, one a sample.

    Example:
        >>> len(Texts(["good", "bad"]))
        2
    """

    __slots__ = ()


class Files(tuple[Path, ...]):
    """Paths of picture files, one a sample; each becomes a `Path` when it is asked for.

    To make 200,000 of them at once takes longer than to list the files.

    Example:
        >>> Files(["cat/1.png", "cat/2.png"])[1].name
        '2.png'
    """

    __slots__ = ()

    def __new__(cls, paths: Iterable[str | os.PathLike[str]] = ()) -> Self:
        """Keep the paths as texts."""
        return super().__new__(cls, paths.names() if isinstance(paths, Files) else map(os.fspath, paths))  # type: ignore[arg-type]

    def names(self) -> Iterator[str]:
        """The paths as texts."""
        return super().__iter__()  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Path]:
        return map(Path, super().__iter__())

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return type(self)(found) if isinstance(index, slice) else Path(found)

    def __contains__(self, path: object) -> bool:
        return any(path == each for each in self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Any) -> Any:
        return tuple(self) + tuple(other)

    def take(self, where: Sequence[int]) -> Self:
        """The paths at these positions."""
        names = list(self.names())
        return type(self)([names[i] for i in where])


Inputs = (
    Any  # torch.Tensor | Files | tuple[Path, ...] | Texts | pandas.DataFrame; pandas is imported only where one is met
)


def is_frame(inputs: object) -> TypeGuard[pd.DataFrame]:
    """Test for a pandas data frame; pandas is not imported for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(inputs, pandas.DataFrame)


def samples(inputs: Any, where: np.ndarray) -> Any:
    """The inputs at these positions, of the kind they were."""
    if isinstance(inputs, torch.Tensor):
        return inputs[torch.from_numpy(where)]
    if is_frame(inputs):
        return inputs.iloc[where].reset_index(drop=True)
    if isinstance(inputs, Files):
        return inputs.take(where.tolist())
    return type(inputs)(inputs[i] for i in where.tolist())


def concatenated(parts: Sequence[Any]) -> Any:
    """Inputs of one kind, one after the other."""
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(list(parts))
    if is_frame(parts[0]):
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    return type(parts[0])(item for part in parts for item in part)
