"""The documentation's blocks run as they stand."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT, count
from noiseproof.losses import LOSSES
from noiseproof.testing import CHECKS

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_block_of_a_page_runs_in_order(page, tmp_path, monkeypatch):
    """Python blocks share one namespace; `$ noiseproof ...` lines run where CI is set (they take minutes)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES._entries))  # a page may register a loss of its own
    module = ModuleType("page_" + page.stem.replace("-", "_"))  # a module, so that its classes can be pickled
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for kind, text in blocks(page):
        if kind == "python":
            exec(compile(text, page.name, "exec"), vars(module))
        elif count(0, 1):
            for command in re.findall(r"^\$ (noiseproof .*(?:\\\n.*)*)$", text, re.MULTILINE):
                run(command)


def run(command: str) -> None:
    words = shlex.split(command.replace("\\\n", " "))
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_names_in_the_pages_links_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text()):
            made = target.startswith("losses/") or page.parent.name == "losses"
            assert made or (page.parent / target).is_file(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("segmentation.py", ["--epochs", "2", "--loss", "ce"]), ("lightning.py", [])],
)
def test_the_examples_run(script, arguments):
    if script == "lightning.py":
        pytest.importorskip("lightning", reason="the example needs lightning")
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "examples" / script, *arguments],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "%" in done.stdout


def test_on_wrong_masks_the_robust_loss_beats_cross_entropy(monkeypatch):
    if not count(0, 1):
        pytest.skip("trains two networks for a minute; runs where CI is set")
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    import segmentation

    robust = segmentation.train("nce + amse(a=30)", epochs=20, seed=1)
    assert robust > segmentation.train("ce", epochs=20, seed=1) + 3


def test_the_conformance_page_is_what_the_checks_find():
    page = (ROOT / "docs" / "conformance.md").read_text()
    assert f"{len(CHECKS)} named checks" in page
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == LOSSES.names()
    for name, cells in rows:
        for cell in cells.split(" | "):
            passed, ran = cell.split(" of ")
            assert passed == ran, f"{name}: {cell}"
    if count(0, 1):
        made = runpy.run_path(str(ROOT / "scripts" / "conformance"))["page"]()
        assert made == page, "scripts/conformance writes it anew"
