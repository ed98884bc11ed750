"""Tables in LaTeX, with booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from noiseproof.escaping import latex as escape
from noiseproof.reporting.tables import Cell, Table, TableRow

__all__ = ["table", "tables"]


def tables(all_tables: Iterable[Table]) -> str:
    """All tables, each a float; the first line says what the preamble needs."""
    needs = "% needs \\usepackage{booktabs}, \\usepackage{textcomp} and \\usepackage[T1]{fontenc}\n"
    return needs + "\n".join(table(each) for each in all_tables)


def table(table: Table) -> str:
    """One table: best in bold, second best underlined, footnotes and remarks below in small print.

    Example:
        >>> made = Table("digits", ("method",), ("clean",), (TableRow(("ce",), (Cell("97.10 ± 0.20", "best"),)),))
        >>> print(table(made).splitlines()[6].strip())
        ce & \\textbf{97.10 $\\pm$ 0.20} \\\\
    """
    heads = [escape(head) for head in (*table.heads, *table.columns)]
    wide = len(table.columns) > 6
    lines = [
        rf"\begin{{table{'*' if wide else ''}}}",
        r"  \centering",
        *([r"  \footnotesize\setlength{\tabcolsep}{3pt}"] if wide else []),
        rf"  \begin{{tabular}}{{{'l' * len(table.heads)}{'r' * len(table.columns)}}}",
        r"    \toprule",
        f"    {' & '.join(heads)} \\\\",
        r"    \midrule",
        *(f"    {_line(table, line)} \\\\" for line in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        rf"  \caption{{{escape(table.caption(), None)}}}",
        rf"  \label{{{_label(table)}}}",
        r"  \par\raggedright\footnotesize",
        *(rf"  \par \textsuperscript{{{i}}} {escape(note, None)}" for i, note in enumerate(table.notes, 1)),
        *(rf"  \par {escape(remark, None)}" for remark in table.closing()[len(table.remarks[:1]) :]),
        rf"\end{{table{'*' if wide else ''}}}",
    ]
    return "\n".join(lines) + "\n"


def _label(table: Table) -> str:
    """The label by which a text refers to the table.

    Example:
        >>> _label(Table("cifar10, recipe small-cifar10", ("method",), ("clean",), ()))
        'tab:cifar10-recipe-small-cifar10'
    """
    return "tab:" + (re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-") or "results")


def _line(table: Table, line: TableRow) -> str:
    return " & ".join([*(escape(label) for label in line.labels), *(_cell(table, cell) for cell in line.cells)])


def _cell(table: Table, cell: Cell) -> str:
    text = escape(cell.text)
    if cell.mark:
        text = rf"\{'textbf' if cell.mark == 'best' else 'underline'}{{{text}}}"
    numbers = ",".join(str(table.notes.index(note) + 1) for note in cell.notes)
    return rf"{text}\textsuperscript{{{numbers}}}" if numbers else text
