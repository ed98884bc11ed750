"""Feature vectors of pictures, texts and tables, made without any label: frozen network, patches, TF-IDF, columns.

extractor = features.extractor_for(inputs).fit(inputs)      # inputs as a data set's split holds them
extractor.transform(inputs)                                 # float32 (N, D)
config, arrays = extractor.state()                          # plain values and arrays, no code
features.from_state(config, arrays).transform(new_inputs)
features.vectors(inputs)                                    # all at once, kept in the feature cache
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from noiseproof.errors import DataError, InputError
from noiseproof.features.base import EXTRACTORS, Array, Extractor, Inputs, Progress
from noiseproof.features.columns import Columns
from noiseproof.features.extraction import Extracted, extract
from noiseproof.features.frozen_network import FrozenNetwork
from noiseproof.features.patches import Patches
from noiseproof.features.tfidf import TextVectors
from noiseproof.features.vector_cache import DEFAULT, FeatureCache
from noiseproof.text import parse_call

__all__ = [
    "EXTRACTORS",
    "Columns",
    "Extracted",
    "Extractor",
    "FeatureCache",
    "FrozenNetwork",
    "Patches",
    "TextVectors",
    "extract",
    "extractor_for",
    "from_state",
    "kind_of",
    "vectors",
]


def kind_of(inputs: Inputs) -> str:
    """Kind of the inputs: "pictures", "text", "columns" (a table with names) or "vectors".

    Example:
        >>> import torch
        >>> kind_of(torch.zeros(2, 3)), kind_of((Path("a.jpg"),)), kind_of(("a text",))
        ('vectors', 'pictures', 'text')
    """
    if isinstance(inputs, Tensor | np.ndarray):
        return "pictures" if inputs.ndim == 4 else "vectors"
    if hasattr(inputs, "columns"):
        return "columns"
    return "text" if len(inputs) and isinstance(inputs[0], str) else "pictures"


def extractor_for(inputs: Inputs, text: str | None = None) -> Extractor:
    """Extractor for inputs of this kind, not fitted yet.

    Args:
        inputs: pictures uint8 (N, C, H, W) or paths, texts, a DataFrame, or numbers (N, D).
        text: an extractor by name, such as `lite2(side=160)` or `patches`. Unless given, pictures take the frozen
            network of the extra `[features]` where it is installed and patch features elsewhere.

    Raises:
        UnknownNameError: no such extractor.
        InputError: it takes another kind of inputs, or its weights are not installed.
    """
    kind = kind_of(inputs)
    if text is None:
        text = {"text": "tfidf", "columns": "columns", "vectors": "columns"}.get(kind) or (
            "lite0" if FrozenNetwork.installed("lite0") else "patches"
        )
    call = parse_call(text)
    entry = EXTRACTORS[call.name]
    found = EXTRACTORS.build(text)
    if kind not in found.kinds:
        takes = " or ".join(found.kinds)
        raise InputError(f"features {entry.name} take {takes}, got {kind}; leave the option out to choose by the data")
    found.kind = kind
    return found


def from_state(config: Mapping[str, Any], arrays: Mapping[str, Array]) -> Extractor:
    """The fitted extractor that `Extractor.state` describes.

    Raises:
        DataError: a name that is not known here, or parts that are missing.
    """
    name = config.get("name")
    if not isinstance(name, str) or name not in EXTRACTORS:
        raise DataError(f"features {name!r} are not known to this version; known: {', '.join(EXTRACTORS.names())}")
    try:
        found = EXTRACTORS.build(str(config["text"]))
        found.kind = str(config["kind"])
        found.restore(config, arrays)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise DataError(f"the state of the features {name} is damaged ({type(error).__name__}: {error})") from None
    return found


def vectors(
    inputs: Inputs,
    cache: str | Path | None = DEFAULT,
    *,
    extractor: Extractor | None = None,
    progress: Progress | None = None,
) -> Array:
    """Feature vectors of the inputs, float32 (N, D), fitted on these inputs alone.

    Args:
        inputs: pictures uint8 (N, C, H, W) or paths, texts, a DataFrame, or numbers (N, D).
        cache: folder that keeps vectors of pictures by content; None keeps nothing. Unless given, $NOISEPROOF_CACHE
            or the user's cache folder.
        extractor: another one than `extractor_for` chooses; fitted here.
        progress: called with (done, total) as pictures are read.

    Example:
        >>> import torch
        >>> vectors(torch.arange(6.0).reshape(3, 2), cache=None).astype(float).round(2).tolist()
        [[-1.22, -1.22], [0.0, 0.0], [1.22, 1.22]]
    """
    found = extractor or extractor_for(inputs)
    found.cache = FeatureCache.at(cache)
    return found.fit_transform(inputs, progress=progress)
