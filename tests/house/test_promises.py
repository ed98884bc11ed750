"""What the pages promise: numbers that are in our files, and no claim of what has not been done."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from conftest import ROOT
from noiseproof.reporting.tables import tables_of

README = runpy.run_path(str(ROOT / "scripts" / "readme"))
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])

# A claim, and the files that would make it true. None of them is here yet: then no page may say so.
CLAIMS = {
    r"(?<!not )on PyPI\b|pypi\.org/project/noiseproof|pip install noiseproof\b": (),
    r"every (loss|method|number) of the (literature|paper|field)": (),
    r"state[- ]of[- ]the[- ]art": (),
    r"(faster|times|speed-up) on (a|an|the) (GPU|A100|H100|H200)": ("benchmarks/losses-gpu.json",),
    r"works on (macOS|Windows)": (),
}
UNTESTED = re.compile(r"GPU code has run on no GPU yet")


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_page_claims_what_has_not_been_done(claim):
    if CLAIMS[claim] and all((ROOT / file).is_file() for file in CLAIMS[claim]):
        pytest.skip("it has been done since")
    found = [f"{page.name}: {match[0]}" for page in PAGES for match in re.finditer(claim, page.read_text(), re.I)]
    assert found == []


def test_a_page_that_speaks_of_running_on_a_gpu_says_that_none_has_run_it():
    speaks = re.compile(r"\b(on|with) (a|an|one|several|the) (GPU|CUDA)|\bGPUs\b", re.IGNORECASE)
    silent = [page.name for page in PAGES if speaks.search(text(page)) and not UNTESTED.search(text(page))]
    assert silent == [] or (ROOT / "benchmarks" / "losses-gpu.json").is_file()


def text(page: Path) -> str:
    """The page's text with its lines joined."""
    return " ".join(page.read_text().split())


def test_the_numbers_of_the_pages_are_those_of_our_records_and_measurements():
    stale = [path.name for path, made in README["pages"]() if path.read_text() != made]
    assert stale == [], "scripts/readme writes them anew"


def test_the_advice_on_human_noise_is_what_our_own_table_says():
    (table,) = tables_of(README["found"]("small-cifar10"))
    (column,) = [place for place, name in enumerate(table.columns) if name == "human(worst)"]
    ranked = sorted(table.rows, key=lambda row: -(row.cells[column].value or 0))
    best = [row.labels[0] for row in ranked[:3]]
    said = text(ROOT / "docs" / "which-loss.md").partition("**Is the noise human?**")[2].partition("**")[0]
    advised = [name for name in re.findall(r"`([\w+-]+)`", said) if name in {row.labels[0] for row in table.rows}]
    assert advised == best
    assert (ranked[0].cells[column].value or 0) - (ranked[2].cells[column].value or 0) < 1
