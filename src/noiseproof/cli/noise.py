"""`noiseproof noise`: make given labels and say what was made."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.errors import one_of
from noiseproof.storage import files

if TYPE_CHECKING:
    from rich.table import Table

    from noiseproof.data import Data
    from noiseproof.noise import NoisyLabels

_SHOWN = 20  # classes a summary or a figure names one by one


def noise(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or the path of your own data.")],
    rule: Annotated[
        str, typer.Argument(metavar="text", help="The noise, such as 'symmetric(0.4)'; see `noiseproof list noise`.")
    ],
    data_root: Annotated[Path | None, typer.Option(help="The folder that holds the data sets.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the labels to a .npy, .csv or .txt file, and FILE.json beside it.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the matrix to a .png, .pdf or .svg file.")] = None,
    spreadsheet: Annotated[
        bool,
        typer.Option("--spreadsheet", help="In a .csv, put ' before what a spreadsheet takes for a formula."),
    ] = False,
) -> None:
    """Make given labels out of a data set's clean ones and describe them; of your own data all samples.

    \b
    Examples:
    noiseproof noise digits "symmetric(0.4)" --seed 1 --plot matrix.png
    noiseproof noise pets.csv "pairflip(0.2)" --out pets-noisy.csv
    """
    for path, endings in ((out, (".npy", ".csv", ".txt")), (plot, (".png", ".pdf", ".svg"))):
        if path is not None:
            one_of(f"the ending of {path.name}", path.suffix.lower(), endings)
    from noiseproof import data as datasets
    from noiseproof.experiments.single_run import corrupted
    from noiseproof.noise import parse
    from noiseproof.reporting import figure_style

    parsed = parse(rule)
    found = datasets.load(data, root=data_root)
    split = found.everything()
    noisy = corrupted(found, split, parsed, seed, data_root)
    facts = describe(noisy, found.name)
    written = []
    if out is not None:
        beside = out.with_name(out.name + ".json")
        if found.reading is not None and out.suffix.lower() != ".npy":
            content = own_labels(found, noisy, out.suffix.lower(), spreadsheet=spreadsheet)
        else:
            content = _encoded(noisy, out.suffix.lower())
        files.write_atomic(out, content)
        files.write_atomic(beside, json.dumps(facts, indent=1) + "\n")
        written += [out, beside]
    if plot is not None:
        with figure_style.looks():
            draw(found.name, noisy, found.classes, plot)
        written.append(plot)
    if as_json:
        reading = {} if found.reading is None else {"reading": found.reading.to_json()}
        typer.echo(json.dumps({**facts, **reading}))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for part in summary(noisy, found.name, found.classes):
        console.print(part, markup=False, soft_wrap=True)
    if split.clean is None:
        typer.echo(f"{found.name} has no clean labels: the noise was put on the labels it came with")
    for path in written:
        typer.echo(f"wrote {path}")


def describe(noisy: NoisyLabels, data: str) -> dict[str, Any]:
    """Contents of `--json`. `overtaken`: the classes whose own label is not the most frequent one."""
    return {
        "data": data,
        "noise": noisy.text,
        "seed": noisy.seed,
        "samples": len(noisy.labels),
        "flipped": int(noisy.flipped.sum()),
        "rate": noisy.rate,
        "sha256": noisy.sha256,
        "overtaken": noisy.overtaken,
        "transition": noisy.transition.tolist(),
    }


def own_labels(found: Data, noisy: NoisyLabels, ending: str, *, spreadsheet: bool = False) -> bytes:
    """Labels of the user's own data by name: in a .txt one a line, in a .csv with what identifies each sample.

    Columns of the CSV: those of the origin, `label`, `clean` and `flipped`; `split` where the data have parts of their
    own, whose other parts keep their labels.
    """
    import csv

    from noiseproof.escaping import csv as escaped

    split = found.everything()
    names = found.classes
    if ending == ".txt":
        return "".join(f"{names[label]}\n" for label in noisy.labels).encode()
    clean = split.given if split.clean is None else split.clean
    blocks = [(split, noisy.labels.tolist(), clean.tolist(), "train")]
    if found.held_out is None:
        others = {"test": found.test, **found.also}
        blocks += [(part, part.given.tolist(), part.given.tolist(), name) for name, part in others.items()]
    header: list[str] = []
    rows: list[tuple[int, list[Any]]] = []
    for part, labels, truth, name in blocks:
        identity = {} if part.origin is None else part.origin.columns()
        header = [*identity, "label", "clean", "flipped", *(["split"] if len(blocks) > 1 else [])]
        for place, (label, true) in enumerate(zip(labels, truth, strict=True)):
            row = [*(column[place] for column in identity.values()), names[label], names[true], int(label != true)]
            index = place if part.origin is None else int(part.origin.index[place])
            rows.append((index, [*row, name] if len(blocks) > 1 else row))
    memory = io.StringIO()
    table = csv.writer(memory, lineterminator="\n")
    table.writerow(header)
    for _, row in sorted(rows, key=lambda pair: pair[0]):
        table.writerow([escaped(cell) if spreadsheet and isinstance(cell, str) else cell for cell in row])
    return memory.getvalue().encode()


def _encoded(noisy: NoisyLabels, ending: str) -> bytes:
    if ending == ".npy":
        import numpy as np

        memory = io.BytesIO()
        np.save(memory, noisy.labels, allow_pickle=False)
        return memory.getvalue()
    if ending == ".txt":
        return "".join(f"{label}\n" for label in noisy.labels).encode()
    rows = zip(noisy.labels, noisy.flipped.astype(int), strict=True)
    return "".join(["label,flipped\n", *(f"{label},{flipped}\n" for label, flipped in rows)]).encode()


def summary(noisy: NoisyLabels, data: str, classes: tuple[str, ...]) -> Iterator[str | Table]:
    """The rate, and of each class what share kept its label and what the others mostly became."""
    from rich.table import Table
    from rich.text import Text

    def called(c: int) -> Text:
        return Text(str(c) if classes[c] == str(c) else f"{c} {classes[c]}")

    yield f"{data}, {noisy.text}, seed {noisy.seed}"
    yield f"flipped    {noisy.flipped.sum()} of {len(noisy.labels)} labels ({noisy.rate:.2%})"
    yield f"sha256     {noisy.sha256}"
    yield f"overtaken  {', '.join(str(called(c)) for c in noisy.overtaken) or 'none'} (own label not the most frequent)"
    kept = noisy.transition.diagonal()
    shown = list(range(len(classes)))
    if len(classes) > _SHOWN:
        yield f"the {_SHOWN} of {len(classes)} classes that keep least:"
        shown = kept.argsort(kind="stable")[:_SHOWN].tolist()
    table = Table("class", "kept", "mostly becomes", "", box=None)
    for column in (1, 3):
        table.columns[column].justify = "right"
    for c in shown:
        others = noisy.transition[c].copy()
        others[c] = 0
        most = int(others.argmax())
        becomes = (called(most), f"{others[most]:.2%}") if others[most] else ()
        table.add_row(called(c), f"{kept[c]:.2%}", *becomes)
    yield table


def draw(data: str, noisy: NoisyLabels, classes: tuple[str, ...], path: Path) -> None:
    """A heat map of the realised matrix."""
    from noiseproof.reporting import figure_style

    with figure_style.looks():
        side = min(7.0, max(2.9, 0.4 * len(classes)))
        figure, axes = figure_style.panels(1, height=side, width=side + 1)
        image = figure_style.matrix(axes[0], noisy.transition, classes)
        title = f"{data}, {noisy.text}, seed {noisy.seed}: {noisy.rate:.2%} of {len(noisy.labels):,} labels wrong"
        axes[0].set_title(figure_style.wrap(title, side - 0.6), loc="left")
        figure_style.colour_bar(figure, image, axes, "share of the clean class")
        files.write_atomic(path, figure_style.picture(figure, path.suffix[1:].lower()))
