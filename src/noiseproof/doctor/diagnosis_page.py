"""The diagnosis as one self-contained page: what was found, and for images a contact sheet of the most suspect.

The page asks for nothing from anywhere: a Content-Security-Policy allows its own style by hash and pictures that lie in
it, and no script at all. Jinja escapes every value; names come from users and their files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from noiseproof.data import Split
from noiseproof.doctor.issues import LabelIssues
from noiseproof.doctor.samples_shown import shown
from noiseproof.escaping import page_policy, visible

__all__ = ["page"]

_SHEET = 120  # samples on the contact sheet
_SIDE = 112  # pixels of a picture on it
_CLASSES = 20  # of the matrix and the list of classes; beyond, the hardest

_STYLE = """
:root { --ink: #1b1f24; --paper: #fff; --soft: #5b6470; --line: #d9dde2; --given: #9d2b00; --likely: #0b5c94; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #16191d; --soft: #9aa4b0; --line: #363c44; --given: #ff9b73; --likely: #7cc0f5; }
}
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 74rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.2rem; }
p, li { max-width: 46rem; }
.soft { color: var(--soft); font-size: .9rem; }
.warning { color: var(--given); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; }
th:first-child, td.name { text-align: left; }
td:not(.name) { white-space: nowrap; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: 1rem;
  padding: 0; list-style: none; }
.sheet li { font-size: .8rem; line-height: 1.3; }
.sheet img { display: block; width: 7rem; height: 7rem; object-fit: contain;
  background: color-mix(in srgb, var(--ink) 6%, transparent);
  image-rendering: pixelated; }
.given { color: var(--given); }
.likely { color: var(--likely); }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Labels of {{ name }}</title>
<style>{{ style }}</style>
</head>
<body>
<h1>Labels of {{ name }}</h1>
<p class="soft">{{ lead }}</p>
<p><strong>About {{ "%.1f"|format(100 * issues.rate) }} % of the labels seem wrong</strong>
({{ "%.0f to %.0f"|format(100 * issues.rate_interval[0], 100 * issues.rate_interval[1]) }} %;
by the confident joint: {{ "%.1f"|format(100 * issues.confident_rate) }} %);
{{ issues|length }} of {{ issues.given|length }} samples are more likely something else.</p>
{% for warning in issues.warnings %}<p class="warning">{{ warning }}</p>
{% endfor %}
<h2>What to train with</h2>
<p><code>{{ issues.suggestion.method }}</code></p>
<ul>
{% for reason in issues.suggestion.reasons %}<li>{{ reason }}</li>
{% endfor %}</ul>
<h2>Class by class</h2>
{% if few %}<p class="soft">The {{ rows|length }} of {{ classes|length }} classes whose own label leads least.</p>
{% endif %}<div class="scroll" tabindex="0">
<table>
<thead><tr><th scope="col">class</th><th scope="col">samples with this label</th><th scope="col">of them wrong</th>
<th scope="col">of the class with this label</th><th scope="col">next likeliest label</th>
<th scope="col">lead</th></tr></thead>
<tbody>
{% for row in rows %}<tr><th scope="row">{{ classes[row.label]|clip }}</th><td>{{ row.given }}</td>
<td>{{ "%.1f"|format(100 * row.wrong) }} %</td><td>{{ "%.1f"|format(100 * row.kept) }} %</td>
<td class="name">{{ classes[row.rival]|clip }}</td><td>{{ "%.3f"|format(row.margin) }}</td></tr>
{% endfor %}</tbody>
</table>
</div>
<h2>The most suspect samples</h2>
{% if samples %}<ol class="sheet">
{% for one in samples %}<li>
{% if one.picture %}<img src="{{ one.picture }}" alt="sample {{ one.index }}" loading="lazy">{% endif %}
{% if one.text %}<q>{{ one.text|clip(160) }}</q><br>{% endif %}
{{ one.title|clip(300) }}<br>given <span class="given">{{ one.given|clip(40) }}</span><br>
likely <span class="likely">{{ one.likely|clip(40) }}</span><br>
<span class="soft">{{ "%.4f"|format(one.score) }}</span></li>
{% endfor %}</ol>
<p class="soft">All samples, the most suspect first, are in issues.csv.</p>
{% else %}<p>None: every given label is also the likeliest one.</p>
{% endif %}</body>
</html>
"""


def page(name: str, lead: str, split: Split, issues: LabelIssues, title: Callable[[int], str]) -> str:
    """The page as text; pictures are made of the most suspect images only.

    Args:
        name: of the data.
        lead: a sentence that says how the samples were judged.
        split: the samples.
        issues: what was found about them.
        title: the name of a sample by its position, as the user knows it.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["clip"] = lambda text, longest=80: visible(text, longest)
    rows = sorted(issues.classes, key=lambda one: one.margin)[:_CLASSES]
    return environment.from_string(
        _PAGE
    ).render(
        policy=page_policy([_STYLE]),
        style=Markup(_STYLE),  # noqa: S704 - the package's own style sheet
        name=visible(name),
        lead=lead,
        issues=issues,
        classes=split.classes,
        rows=rows,
        few=len(split.classes) > len(rows),
        samples=[
            _sample(split, issues, index, title(index)) for index in issues.ranking[: min(_SHEET, len(issues))].tolist()
        ],
    )


def _sample(split: Split, issues: LabelIssues, index: int, title: str) -> dict[str, Any]:
    source = split.inputs[index] if isinstance(split.inputs, tuple) else None
    return {
        "index": index,
        "title": source.name if isinstance(source, Path) else title,
        "given": split.classes[int(issues.given[index])],
        "likely": split.classes[int(issues.likely[index])],
        "score": float(issues.score[index]),
        **{"picture": None, "text": "", **shown(split, index, side=2 * _SIDE)},
    }
