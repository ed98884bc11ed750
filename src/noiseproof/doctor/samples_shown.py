"""A sample as a page shows it: a small picture, the text, or the columns."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from noiseproof.data.dataset import Split, Texts, is_frame

__all__ = ["shown"]

_TEXT = 2_000  # characters of a text
_COLUMNS = 40
_SMALL = 64  # pixels up to which a picture stays lossless


def shown(split: Split, i: int, names: Sequence[str] = (), *, side: int) -> dict[str, Any]:
    """The part of a sample that a page shows.

    Args:
        split: the samples.
        i: position of the sample.
        names: of the columns of vectors; numbered where they have none.
        side: pixels of a picture, at most.

    Returns:
        `text`, or `columns` (name and value each), or `picture` (a data URL; None for a file that cannot be read any
        more), with its `file` if it has one.
    """
    inputs = split.inputs
    if isinstance(inputs, Texts):
        return {"text": inputs[i][:_TEXT]}
    if is_frame(inputs):
        row = inputs.iloc[i]
        return {"columns": [[str(name), str(row[name])[:200]] for name in inputs.columns[:_COLUMNS]]}
    if isinstance(inputs, torch.Tensor) and inputs.dim() == 2:
        titles = names if len(names) == inputs.shape[1] else range(inputs.shape[1])
        values = inputs[i][:_COLUMNS].tolist()
        return {"columns": [[str(name), f"{value:.6g}"] for name, value in zip(titles, values, strict=False)]}
    if isinstance(inputs[i], Path):
        return {"picture": _picture(inputs[i], side), "file": inputs[i].resolve().as_uri()}
    return {"picture": _picture(inputs[i], side)}


def _picture(source: Path | torch.Tensor, side: int) -> str | None:
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(source, Path):
        try:
            with Image.open(source) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError):
            return None
    else:
        pixels = source.numpy()
        image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).copy())
    memory = io.BytesIO()
    image.thumbnail((side, side))
    kind = "PNG" if max(image.size) <= _SMALL else "JPEG"
    image.save(memory, format=kind, **({"quality": 80} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64," + base64.b64encode(memory.getvalue()).decode()
