"""The review page: one HTML file with every suspect, worked by keyboard alone, which keeps each decision.

The page asks for nothing from anywhere: a Content-Security-Policy allows its own style and script by hash and pictures
that lie in it or beside it. Values enter as JSON; the script writes them as text, never as HTML.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from noiseproof.data.dataset import Origin, Split
from noiseproof.doctor.issues import LabelIssues
from noiseproof.doctor.samples_shown import shown
from noiseproof.escaping import page_policy, visible

__all__ = ["review_page"]

Columns = Mapping[str, Sequence[Any]]

_SIDE = 320  # pixels of a picture
_MOST = 600  # suspects on a page


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
    return {
        "key": [str(values[i]) for values in columns.values()],
        "name": visible(origin.name(i)),
        "given": int(issues.given[i]),
        "likely": int(issues.likely[i]),
        "suspicion": round(float(issues.score[i]), 6),
        **shown(split, i, names, side=_SIDE),
    }


def _file(name: str) -> str:
    return resources.files("noiseproof.doctor.review").joinpath(name).read_text(encoding="utf-8")


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
