"""The command line: `noiseproof COMMAND ...`; one module a group of commands.

Exit codes: 0 done, 2 the input is wrong, 3 the machine or a file failed. One clear message on stderr; the
traceback only with `--debug`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from noiseproof import __version__
from noiseproof.cli import bench, compare, data, diagnose, lists, noise, records, results, runs, theory
from noiseproof.cli.options import accept_imports
from noiseproof.errors import NoiseproofError

app = typer.Typer(
    help="Train classifiers on labels that are partly wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "compare": compare.compare,
    "train": runs.train,
    "sweep": runs.sweep,
    "table": results.table,
    "figure": results.figure,
    "report": results.report,
    "noise": noise.noise,
    "theory": theory.theory,
    "diagnose": diagnose.diagnose,
    "list": lists.list_names,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(data.app, name="data", help="Download data sets and check what lies on the disk.")
app.add_typer(records.app, name="records", help="Verify folders of records and put them together.")
app.add_typer(bench.app, name="bench", help="Our speed beside the alternatives, measured in one process.")
accept_imports(app)


@app.callback(invoke_without_command=True)
def options(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Train classifiers on labels that are partly wrong. `--debug` anywhere shows the traceback of an error."""
    if version:
        typer.echo(f"noiseproof {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with its code."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app(prog_name="noiseproof")
    except NoiseproofError as error:
        if debug:
            raise
        _complain(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing more to say
        sys.exit(0)
    except MemoryError:
        if debug:
            raise
        _complain("the machine ran out of memory; use fewer workers or a smaller batch")
        sys.exit(3)
    except OSError as error:
        if debug:
            raise
        where = f" {error.filename}" if error.filename else ""
        _complain(f"the system refused{where}: {error.strerror or error}")
        sys.exit(3)


def _complain(message: str) -> None:
    print(f"noiseproof: {message}", file=sys.stderr)
