"""`noiseproof bench`: our speed beside the alternatives, measured in turn within one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Rounds = Annotated[int, typer.Option(min=1, help="Least number of rounds; the median counts.")]
Out = Annotated[Path | None, typer.Option(help="JSON file to write the result to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@app.command("losses", short_help="Measure every loss, forward and backward.")
def losses_(device: Device = "cpu", rounds: Rounds = 7, out: Out = None, as_json: AsJson = False) -> None:
    """Measure every loss beside F.cross_entropy, its usual spelling and torch.compile; takes 15 minutes.

    \b
    Examples:
    noiseproof bench losses
    noiseproof bench losses --rounds 3 --out losses.json
    """
    if device != "cpu":
        from noiseproof.speed.losses_gpu import run as run_on_gpu

        return _show(run_on_gpu(device=device, rounds=rounds, output=out), as_json)
    from noiseproof.speed.losses import run

    result = run(rounds=rounds, output=out)
    if not as_json:
        _table("memory beyond the scores, in their size", result["memory"])
        _table("a linear layer with the loss", result["linear"])
        _table("goals", result["goals"])
    _show(result, as_json)


@app.command(short_help="Measure a training step and whole runs.")
def train(device: Device = "cpu", rounds: Rounds = 5, out: Out = None, as_json: AsJson = False) -> None:
    """Measure a training step of CNN-8 beside the published loop; with --device cuda whole runs too.

    \b
    Examples:
    noiseproof bench train
    noiseproof bench train --rounds 3 --json
    """
    from noiseproof.speed.training import run

    result = run(device=device, rounds=rounds, output=out)
    if not as_json:
        if result["runs"]:
            _table("whole runs, extrapolated from a few epochs", result["runs"])
        typer.echo(f"JAL with L1 adds {result['jal_and_l1_over_ce']:.1%} to a step with cross-entropy")
    _show(result, as_json)


@app.command(short_help="Measure the loading of pictures.")
def loader(rounds: Rounds = 5, out: Out = None, as_json: AsJson = False) -> None:
    """Measure batches of small pictures and of image files beside Pillow's chain, on one thread.

    \b
    Examples:
    noiseproof bench loader
    noiseproof bench loader --out loader.json
    """
    from noiseproof.speed.loader import run

    _show(run(rounds=rounds, output=out), as_json)


@app.command(short_help="Compile the C++ node that makes small batches faster.")
def build(
    compiler: Annotated[str | None, typer.Option(help="The C++ compiler. [$CXX, else c++ or g++]")] = None,
) -> None:
    """Compile the losses' node of autograd for the torch that is installed; takes about a minute, once for each torch.

    \b
    Examples:
    noiseproof bench build
    noiseproof bench build --compiler clang++
    """
    from noiseproof.losses import build_node

    typer.echo(f"compiled: {build_node(compiler)}")


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result))
        return
    _table(result["what"], result["rows"])
    typer.echo(f"goal: {result['goal']}, {'reached' if result['reached'] else 'not reached'}")


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = [name for name, value in rows[0].items() if not isinstance(value, list)]
    table = Table(box=None, pad_edge=False)
    for column in columns:
        text = isinstance(rows[0][column], str)
        table.add_column(column.replace("_", " "), justify="left" if text else "right")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    console = Console()
    console.print(title, style="bold")
    console.print(table)
