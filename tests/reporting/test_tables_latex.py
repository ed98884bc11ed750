"""The LaTeX of our tables compiles, whatever the names in it are."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from noiseproof.reporting import table_formats
from support.made_records import HOSTILE, make_record

pytestmark = pytest.mark.latex

PAGE = r"""\documentclass[twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{booktabs}
\begin{document}
%s
\clearpage
\end{document}
"""


def compiled(text: str, folder) -> str:
    """pdfLaTeX's log; fails where it found an error."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-base and texlive-latex-recommended)")
    (folder / "page.tex").write_text(PAGE % text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, log[-3000:]
    assert (folder / "page.pdf").stat().st_size > 1000
    return log


def test_our_table_compiles(tmp_path):
    records = [
        make_record(method=method, noise=noise, seed=seed, accuracy=80 + seed)
        for method in ("ce", "nce+rce", "jal-ce")
        for noise in ("clean", "symmetric(rate=0.4)")
        for seed in (1, 2, 3)
    ]
    compiled(table_formats.render(records, "latex"), tmp_path)


def test_the_papers_table_compiles(tmp_path):
    records = [make_record(data="cifar10", recipe="cifar10", noise="clean", method="ce", seed=seed) for seed in (1, 2)]
    compiled(table_formats.render(records, "latex", beside_paper=True), tmp_path)


def test_hostile_names_compile_and_read_no_file(tmp_path):
    records = [make_record(method=name, noise=name, accuracy=70.0) for name in HOSTILE]
    log = compiled(table_formats.render(records[:14], "latex") + table_formats.render(records[14:], "latex"), tmp_path)
    assert "passwd" not in log
