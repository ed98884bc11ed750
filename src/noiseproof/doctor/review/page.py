"""The review page: one HTML file with every suspect, worked by keyboard alone, which keeps each decision.

The page asks for nothing from anywhere: a Content-Security-Policy allows its own style and script by hash and pictures
that lie in it or beside it. Values enter as JSON; the script writes them as text, never as HTML.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noiseproof.data.dataset import Origin, Split, Texts, is_frame
from noiseproof.doctor.issues import LabelIssues
from noiseproof.escaping import page_policy, visible

__all__ = ["review_page"]

Columns = Mapping[str, Sequence[Any]]

_SIDE = 320  # pixels of a picture
_MOST = 600  # suspects on a page
_TEXT = 2_000  # characters of a text that are shown
_COLUMNS = 40


def review_page(
    name: str, split: Split, issues: LabelIssues, origin: Origin, names: Sequence[str] = (), *, most: int = _MOST
) -> str:
    """The page as text.

    Args:
        name: of the data.
        split: the samples that were judged.
        issues: what was found about them.
        origin: where each sample came from.
        names: of the columns of vectors; numbered where they have none.
        most: suspects on the page, the most suspect; the page says how many there are.
    """
    flagged = [i for i in issues.ranking.tolist() if issues.is_issue[i]]
    chosen = flagged[:most]
    scores = np.asarray(issues.score, np.float64)
    columns = origin.columns()
    rest = np.sort(np.delete(scores, np.array(chosen, np.int64)))[::-1]
    content = {
        "data": visible(name),
        "made": hashlib.sha256(json.dumps([name, len(scores), chosen]).encode()).hexdigest()[:16],
        "classes": list(split.classes),
        "keys": list(columns),
        "total": len(scores),
        "flagged": len(flagged),
        "rate": issues.rate,
        "restSum": float(rest.sum()),
        "restNext": [float(value) for value in rest[:100]],
        "suspects": [_suspect(split, issues, origin, columns, names, i) for i in chosen],
    }
    style, script = (_file(name) for name in ("review.css", "review.js"))
    values = {
        "TITLE": _html(f"Review of {visible(name)}"),
        "POLICY": page_policy([style], [script], images="data: file: blob:"),
        "STYLE": style,
        "SCRIPT": script,
        "CONTENT": json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"),
    }
    return re.sub(r"%([A-Z]+)%", lambda match: values[match[1]], _file("review.html"))


def _suspect(
    split: Split, issues: LabelIssues, origin: Origin, columns: Columns, names: Sequence[str], i: int
) -> dict[str, Any]:
    item = split.inputs
    shown: dict[str, Any] = {}
    if isinstance(item, Texts):
        shown["text"] = item[i][:_TEXT]
    elif is_frame(item):
        row = item.iloc[i]
        shown["columns"] = [[str(name), str(row[name])[:200]] for name in item.columns[:_COLUMNS]]
    elif isinstance(item, torch.Tensor) and item.dim() == 2:
        titles = names if len(names) == item.shape[1] else range(item.shape[1])
        shown["columns"] = [
            [str(title), f"{value:.6g}"] for title, value in zip(titles, item[i][:_COLUMNS].tolist(), strict=False)
        ]
    else:
        shown["picture"] = _picture(item[i])
        if isinstance(item[i], Path):
            shown["file"] = item[i].resolve().as_uri()
    return {
        "key": [str(values[i]) for values in columns.values()],
        "name": visible(origin.name(i)),
        "given": int(issues.given[i]),
        "likely": int(issues.likely[i]),
        "suspicion": round(float(issues.score[i]), 6),
        **shown,
    }


def _picture(source: Path | torch.Tensor) -> str | None:
    """A small JPEG or PNG as a data URL; None for a file that cannot be read any more."""
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
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE))
    kind = "PNG" if max(image.size) <= 64 else "JPEG"
    image.save(memory, format=kind, **({"quality": 80} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64," + base64.b64encode(memory.getvalue()).decode()


def _file(name: str) -> str:
    return resources.files("noiseproof.doctor.review").joinpath(name).read_text(encoding="utf-8")


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
