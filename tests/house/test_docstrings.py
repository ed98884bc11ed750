"""Docstrings name the thing in plain English: a noun phrase or an imperative, subject first, in the field's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

PACKAGE = ROOT / "src" / "noiseproof"
FILES = sorted(PACKAGE.rglob("*.py"))
QUESTION = re.compile(r"(What|How|Where|Whether|When|Why|Who|Which)\b")
RIDDLES = re.compile(r"\b(by heart|nobody knows|called so|knows how long)\b", re.IGNORECASE)
# Names of the field instead of ours: told -> spec, Place -> DeviceConfig, set_rate -> set_lr, and so on.
OLD_NAMES = {
    "Place", "Tally", "Watch", "agree", "alone", "drive", "facts", "first_alone", "from_first", "hits", "in_reach",
    "measured", "rows_of", "set_rate", "spread",
}  # fmt: skip


def documented(file: Path) -> Iterator[tuple[int, str]]:
    """Line and docstring of everything in a file that has one."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def test_the_first_line_of_a_docstring_is_no_question():
    asked = [
        f"{file}:{line}: {text.splitlines()[0]}"
        for file in FILES
        for line, text in documented(file)
        if QUESTION.match(text)
    ]
    assert asked == [], "begin with the thing, or with a verb: 'Number of classes.', not 'How many classes there are.'"


def test_no_text_of_the_package_is_a_riddle():
    pages = [*FILES, *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    found = [f"{page}: {match[0]}" for page in pages for match in RIDDLES.finditer(page.read_text())]
    assert found == []


def test_old_names_are_not_defined_again():
    found = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(node, "name", None) if isinstance(node, ast.ClassDef | ast.FunctionDef) else None
            if name in OLD_NAMES:
                found.append(f"{file}:{node.lineno}: {name}")
    assert found == []
