"""An evaluation as one self-contained HTML page."""

from __future__ import annotations

from html import escape

from noiseproof import escaping
from noiseproof.artifacts.evaluation import Evaluation

__all__ = ["page"]

_SHOWN = 40  # classes of a confusion matrix
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; } th:first-child { text-align: left; }
tr { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
.wide { overflow-x: auto; } .right { font-weight: 700; }
"""


def page(found: Evaluation, title: str) -> str:
    """The page: accuracy and what it was measured against, each class, the confusion matrix."""
    text = str(found).split("\nclass ")[0]
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in [*text.splitlines(), *found.notes])
    rows = "".join(
        f"<tr><th scope=row>{_name(one.name)}</th><td>{one.samples}</td><td>{_share(one.recall)}</td>"
        f"<td>{_share(one.precision)}</td></tr>"
        for one in found.classes
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f'<meta http-equiv="Content-Security-Policy" content="{escaping.page_policy([_STYLE])}">'
        f"<title>{_name(title)}</title><style>{_STYLE}</style></head><body><h1>{_name(title)}</h1>{paragraphs}"
        "<h2>Classes</h2><div class=wide><table><thead><tr><th>class<th>samples<th>recall %<th>precision %</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{_matrix(found)}</body></html>\n"
    )


def _matrix(found: Evaluation) -> str:
    if len(found.classes) > _SHOWN:
        return f"<p>The confusion matrix of {len(found.classes)} classes is in evaluation.json.</p>"
    head = "".join(f"<th scope=col>{_name(one.name)}" for one in found.classes)
    rows = []
    for place, one in enumerate(found.classes):
        cells = "".join(
            f"<td{' class=right' if place == column else ''}>{count}"
            for column, count in enumerate(found.confusion[place].tolist())
        )
        rows.append(f"<tr><th scope=row>{_name(one.name)}</th>{cells}</tr>")
    return (
        f"<h2>Confusion matrix</h2><p>Rows are the label, columns the prediction.</p><div class=wide><table><thead><tr>"
        f"<th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _name(text: str) -> str:
    return escape(escaping.visible(text))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
