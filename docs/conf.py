"""How the documentation is built: MyST pages, and pages made from the code's own registries."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from noiseproof import __version__

project = "noiseproof"
author = "The noiseproof authors"
copyright = "2026, the noiseproof authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "generate"]
if find_spec("sphinx_copybutton"):  # the pages read as well without the buttons
    extensions.append("sphinx_copybutton")
myst_enable_extensions = ["attrs_block", "dollarmath"]
myst_heading_anchors = 3
myst_url_schemes = {
    "http": None,
    "https": None,
    "gh": {"url": "https://github.com/{{path}}/issues/{{fragment}}", "title": "{{path}}#{{fragment}}"},
}
exclude_patterns = ["_build", "examples", "import-diagram.md", "performance-tables.md"]

copybutton_prompt_text = "$ "  # of a console block the commands alone are copied

html_theme = "furo"
html_title = "noiseproof"
html_static_path = ["_static"]
html_css_files = ["noiseproof.css"]
versions = os.environ.get("NOISEPROOF_DOCS_VERSIONS", "").split()  # built side by side by scripts/docs-versions
if versions:
    templates_path = ["_templates"]
    html_context = {"versions": versions}
    navigation = ("sidebar/brand.html", "sidebar/search.html", "sidebar/scroll-start.html", "sidebar/navigation.html")
    html_sidebars = {"**": [*navigation, "versions.html", "sidebar/scroll-end.html"]}
html_theme_options = {"source_repository": "", "navigation_with_keys": True}

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
nitpicky = False


def setup(app: object) -> None:
    app.connect("autodoc-process-docstring", _to_rst)  # type: ignore[attr-defined]


def _to_rst(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Our docstrings are Markdown, with `code` and $formulas$; autodoc reads reStructuredText."""
    text = re.sub(r"(?<![`:\w])`([^`\n]+)`(?!`)", r"``\1``", "\n".join(lines))
    lines[:] = re.sub(r"\$([^$]+)\$", r":math:`\1`", text).split("\n")
