"""The data sets that have a name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from noiseproof.data.dataset import Data
from noiseproof.registry import Registry

__all__ = ["DATASETS", "DataSet", "Remote", "default_root"]


@dataclass(frozen=True)
class Remote:
    """A file to download: where it is, what it is called under the root, how long it may be, what it must hash to."""

    url: str
    path: str
    size: int
    md5: str = ""
    sha256: str = ""


class DataSet:
    """A data set with a name; `root` is the folder its files lie under."""

    name: str
    remote: ClassVar[tuple[Remote, ...]] = ()

    def load(self, root: Path) -> Data:
        """Read it, checked, or say what is missing or wrong."""
        raise NotImplementedError

    def pieces(self, root: Path) -> list[Callable[[], object]]:
        """Parts that can be read on their own, so that a check names everything that is wrong."""
        return []


DATASETS: Registry[DataSet] = Registry("data set", "data")


def default_root() -> Path:
    """Default folder of the data sets: $NOISEPROOF_DATA, else the folder `data` here."""
    return Path(os.environ.get("NOISEPROOF_DATA") or "data")
