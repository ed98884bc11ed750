"""Extraction ahead of training: the vectors of a part of the pictures, kept in the cache that train and predict read.

Several machines that share the cache folder take a part each. A stopped part goes on where it was, and every vector has
the same bits however the pictures were parted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noiseproof.data.dataset import Inputs, samples
from noiseproof.errors import InputError
from noiseproof.features.base import EXTRACTORS, Bad, Progress
from noiseproof.features.frozen_network import FrozenNetwork
from noiseproof.features.vector_cache import FeatureCache
from noiseproof.text import parse_call

__all__ = ["Extracted", "extract", "frozen_network"]


@dataclass(frozen=True)
class Extracted:
    """Counts of an extraction.

    Attributes:
        pictures: of this part.
        present: how many of them the cache had.
        bad: positions in the part that cannot be read, with the reason.
    """

    pictures: int
    present: int
    bad: Bad


def frozen_network(text: str) -> FrozenNetwork:
    """The frozen network of a text such as `lite2(side=160)`.

    Raises:
        InputError: features of another kind, which are fitted to each data set and made in seconds.
    """
    found = EXTRACTORS.build(text)
    if not isinstance(found, FrozenNetwork):
        names = [entry.name for entry in EXTRACTORS if issubclass(entry.cls, FrozenNetwork)]  # type: ignore[arg-type]
        raise InputError(
            f"features {parse_call(text).name} are fitted to each data set; only those of a frozen network can be made "
            f"ahead: {', '.join(names)}"
        )
    found.kind = "pictures"
    return found


def extract(
    inputs: Sequence[Inputs],
    text: str,
    folder: str | Path,
    *,
    part: tuple[int, int] = (1, 1),
    progress: Progress | None = None,
) -> Extracted:
    """Compute the vectors of a part of the pictures that the cache does not have.

    Args:
        inputs: pictures of each split.
        text: a frozen network, such as `lite0`.
        folder: of the cache.
        part: (I, N): every N-th picture of a split, from the I-th on.
        progress: called with (done, all) of a split.

    Raises:
        InputError: the inputs are no pictures, or the features those of no frozen network.
    """
    network = frozen_network(text)
    network.cache, network.whole_batches = FeatureCache(folder), True
    count = present = 0
    bad: Bad = {}
    for one in inputs:
        number, of = part
        chosen = samples(one, np.arange(number - 1, len(one), of))
        unread: Bad = {}
        network.transform(chosen, bad=unread, progress=progress)
        bad |= {count + position: why for position, why in unread.items()}
        count += len(chosen)
        present += network.found_in_cache
    return Extracted(count, present, bad)
