"""A Sphinx extension: formulas as MathML, which every browser shows by itself, without a network or JavaScript."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline(self: Any, node: Any) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block(self: Any, node: Any) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def mathml(formula: str, display: str) -> str:
    """A formula in LaTeX as MathML.

    Raises:
        ValueError: something in it is beyond latex2mathml.
    """
    text: str = convert(formula.replace(r"\arg", r"\operatorname{arg}"), display=display)
    if "\\" in text or ">&<" in text:
        raise ValueError(f"latex2mathml cannot read {formula!r}: {text}")
    return text
