"""Tables in LaTeX, with booktabs."""

from __future__ import annotations

from collections.abc import Iterable

from noiseproof.escaping import latex as escape
from noiseproof.reporting.tables import Cell, Grid, Line

__all__ = ["table", "tables"]


def tables(grids: Iterable[Grid]) -> str:
    """All tables, each a float; the first line says what the preamble needs."""
    needs = "% needs \\usepackage{booktabs}, \\usepackage{textcomp} and \\usepackage[T1]{fontenc}\n"
    return needs + "\n".join(table(grid) for grid in grids)


def table(grid: Grid) -> str:
    """One table: best in bold, second best underlined, footnotes and remarks below in small print.

    Example:
        >>> grid = Grid("digits", ("method",), ("clean",), (Line(("ce",), (Cell("97.10 ± 0.20", "best"),)),))
        >>> print(table(grid).splitlines()[6].strip())
        ce & \\textbf{97.10 $\\pm$ 0.20} \\\\
    """
    heads = [escape(head) for head in (*grid.heads, *grid.columns)]
    wide = len(grid.columns) > 6
    lines = [
        rf"\begin{{table{'*' if wide else ''}}}",
        r"  \centering",
        *([r"  \footnotesize\setlength{\tabcolsep}{3pt}"] if wide else []),
        rf"  \begin{{tabular}}{{{'l' * len(grid.heads)}{'r' * len(grid.columns)}}}",
        r"    \toprule",
        f"    {' & '.join(heads)} \\\\",
        r"    \midrule",
        *(f"    {_line(grid, line)} \\\\" for line in grid.lines),
        r"    \bottomrule",
        r"  \end{tabular}",
        rf"  \caption{{{escape(grid.title)}}}",
        r"  \par\raggedright\footnotesize",
        *(rf"  \par \textsuperscript{{{i}}} {escape(note, None)}" for i, note in enumerate(grid.notes, 1)),
        *(rf"  \par {escape(remark, None)}" for remark in grid.closing()),
        rf"\end{{table{'*' if wide else ''}}}",
    ]
    return "\n".join(lines) + "\n"


def _line(grid: Grid, line: Line) -> str:
    return " & ".join([*(escape(label) for label in line.labels), *(_cell(grid, cell) for cell in line.cells)])


def _cell(grid: Grid, cell: Cell) -> str:
    text = escape(cell.text)
    if cell.mark:
        text = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{text}}}"
    numbers = ",".join(str(grid.notes.index(note) + 1) for note in cell.notes)
    return rf"{text}\textsuperscript{{{numbers}}}" if numbers else text
