"""Guides that stay true: the code tour, STYLE's example, the files that CONTRIBUTING and the architecture page name."""

from __future__ import annotations

import ast
import re

import pytest

from conftest import ROOT

SOURCE = ROOT / "src" / "noiseproof"
TOUR = re.findall(
    r"^\| .* \| `([\w/]+\.py)` \| `([\w.]+)` \|$", (ROOT / "docs" / "code-tour.md").read_text(), re.MULTILINE
)


def defined(path) -> set[str]:
    """Names of functions, classes, their methods, and assigned names of a file."""
    names = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


def test_the_tour_has_its_walks():
    assert len(TOUR) >= 30


@pytest.mark.parametrize(("file", "name"), TOUR)
def test_every_step_of_the_code_tour_is_there(file, name):
    assert (SOURCE / file).is_file()
    assert name in defined(SOURCE / file)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "STYLE.md"])
def test_files_that_a_guide_names_exist(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:src|tests|docs|scripts|benchmarks)/[\w./-]+)`", text))
    missing = {name for name in named if not (ROOT / name.rstrip("/")).exists()}
    assert missing == set()
    inside = set(re.findall(r"`([a-z_]+/(?:[\w]+/)*[\w]*(?:\.py)?)`", text)) - named
    roots = (ROOT, SOURCE)
    unknown = {name for name in inside if not any((root / name.rstrip("/")).exists() for root in roots)}
    assert unknown == set()


def test_the_loss_that_style_shows_is_the_one_in_the_code():
    """The function and the class of STYLE's example stand in the source as they are printed there."""
    block = next(
        b for b in re.findall(r"```python\n(.*?)```", (ROOT / "STYLE.md").read_text(), re.DOTALL) if "class GCE" in b
    )
    shown = {node.name: node for node in ast.parse(block).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    tree = ast.parse((SOURCE / "losses" / "power.py").read_text())
    real = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for name, node in shown.items():
        assert ast.unparse(node) == ast.unparse(real[name])
