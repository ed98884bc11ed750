"""Tables written down: Markdown, CSV, HTML, LaTeX and the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from noiseproof import escaping
from noiseproof.errors import one_of
from noiseproof.reporting import latex, paper
from noiseproof.reporting.aggregate import Aggregate, Record, aggregate
from noiseproof.reporting.tables import Cell, Table, tables_of

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["FORMATS", "console", "csv_lines", "csv_row", "html", "markdown", "render"]

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def render(records: Iterable[Record], form: str = "md", *, beside_paper: bool = False) -> str:
    """The records' tables as text, one for each data set.

    Args:
        records: of any runs, in any order.
        form: "md", "latex", "html" or "csv"; the CSV has one line for each `Aggregate` instead.
        beside_paper: the paper's tables with ours below each line; in the CSV, columns with the paper's numbers.

    Raises:
        InputError: another form, or no record belongs beside the paper's numbers.
    """
    one_of("--format", form, [*FORMATS, "csv"])
    if form == "csv":
        return csv_lines(
            [csv_row(row) | (paper.csv_columns(row) if beside_paper else {}) for row in aggregate(records)]
        )
    return FORMATS[form](paper.tables_of(records) if beside_paper else tables_of(records))


def markdown(tables: Iterable[Table]) -> str:
    """Pipe tables; best in bold, second best in italics."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    text, left = escaping.markdown, len(table.heads)
    star = {"best": "**", "second": "*", "": ""}

    def number(cell: Cell) -> str:
        return star[cell.mark] + text(cell.text) + star[cell.mark] + _superscripts(table, cell)

    lines = [[text(head) for head in (*table.heads, *table.columns)]]
    lines += [[*map(text, line.labels), *map(number, line.cells)] for line in table.rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)])
    piped = [
        " | ".join(
            part.ljust(width) if i < left else part.rjust(width)
            for i, (part, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    notes = [f"{_superscript(i)} {text(note, None)}  " for i, note in enumerate(table.notes, 1)]
    closing = [text(remark, None) for remark in table.closing("in italics")]
    return "\n".join(
        [
            f"### {text(table.title)}",
            "",
            *(f"| {line} |" for line in piped),
            "",
            *notes,
            *([""] if notes else []),
            *closing,
            "",
        ]
    )


def html(tables: Iterable[Table]) -> str:
    """A `<table>` for each, to be pasted into a page; best in `<strong>`, second best in `<u>`."""
    return "\n".join(_html(table) for table in tables)


def _html(table: Table) -> str:
    text = escaping.html
    tag = {"best": ("<strong>", "</strong>"), "second": ("<u>", "</u>"), "": ("", "")}

    def number(cell: Cell) -> str:
        before, after = tag[cell.mark]
        numbers = ",".join(str(table.notes.index(note) + 1) for note in cell.notes)
        return f"<td>{before}{text(cell.text)}{after}{f'<sup>{numbers}</sup>' if numbers else ''}</td>"

    heads = "".join(f'<th scope="col">{text(head)}</th>' for head in (*table.heads, *table.columns))
    body = "\n".join(
        "<tr>"
        + "".join(f'<th scope="row">{text(label)}</th>' for label in line.labels)
        + "".join(map(number, line.cells))
        + "</tr>"
        for line in table.rows
    )
    notes = "".join(f"<p><sup>{i}</sup> {text(note, None)}</p>\n" for i, note in enumerate(table.notes, 1))
    closing = "".join(f"<p>{text(remark, None)}</p>\n" for remark in table.closing())
    return (
        f"<table>\n<caption>{text(table.title)}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        f"{notes}{closing}"
    )


def console(tables: Iterable[Table]) -> Group:
    """For `rich.console.Console().print`; best in bold, second best underlined."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    style = {"best": "bold", "second": "underline", "": ""}
    parts: list[Table | Text] = []
    for table in tables:
        drawn = Table(title=Text(escaping.visible(table.title)), box=None, pad_edge=False, title_justify="left")
        for i, head in enumerate((*table.heads, *table.columns)):
            drawn.add_column(Text(escaping.visible(head)), justify="left" if i < len(table.heads) else "right")
        for line in table.rows:
            numbers = [
                Text(escaping.visible(cell.text), style[cell.mark]).append(_superscripts(table, cell), "dim")
                for cell in line.cells
            ]
            drawn.add_row(*(Text(escaping.visible(label)) for label in line.labels), *numbers)
        parts.append(drawn)
        parts += [
            Text(f"{_superscript(i)} {escaping.visible(note, None)}", "dim") for i, note in enumerate(table.notes, 1)
        ]
        parts += [Text(escaping.visible(remark, None), "dim") for remark in table.closing()]
    return Group(*parts)


def _superscript(index: int) -> str:
    return str(index).translate(_SUPERSCRIPT)


def _superscripts(table: Table, cell: Cell) -> str:
    return "˒".join(_superscript(table.notes.index(note) + 1) for note in cell.notes)


FORMATS: Mapping[str, Callable[[Iterable[Table]], str]] = {"md": markdown, "latex": latex.tables, "html": html}


# CSV: long, one line a protocol


def csv_row(row: Aggregate) -> dict[str, object]:
    """A row's numbers and everything that was alike in its runs, flat."""
    settled = {key: "" if value is None else value for key, value in row.shared.items()}
    first = {key: settled.pop(key) for key in ("data", "noise", "method")}
    return {
        **first,
        "mean": "" if row.mean is None else f"{row.mean:.4f}",
        "std": "" if row.std is None else f"{row.std:.4f}",
        "n": row.n,
        **{name: " ".join(map(str, getattr(row, name))) for name in ("seeds", "diverged", "failed")},
        **settled,
    }


def csv_lines(lines: Sequence[Mapping[str, object]]) -> str:
    """Lines as CSV under all the keys that occur, in the order of first appearance; text never becomes a formula."""
    keys = dict.fromkeys(key for line in lines for key in line)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(escaping.csv, keys))
    writer.writerows([_field(line.get(key, "")) for key in keys] for line in lines)
    return out.getvalue()


def _field(value: object) -> object:
    number = isinstance(value, int | float) or (isinstance(value, str) and _is_number(value))
    return value if number else escaping.csv(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
