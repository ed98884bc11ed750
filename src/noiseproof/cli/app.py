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
from noiseproof.cli import (
    bench,
    clean,
    compare,
    data,
    diagnose,
    features,
    lists,
    new,
    noise,
    records,
    reporting,
    sweep,
    theory,
    train,
    trained_model,
)
from noiseproof.cli.help import group_options
from noiseproof.cli.options import accept_imports
from noiseproof.cli.reading_options import accept_reading_options
from noiseproof.cli.terminal import harmless_output
from noiseproof.errors import NoiseproofError
from noiseproof.runtime.own_parts import in_own_code


def with_examples(sentence: str, *examples: str) -> str:
    """Help of a group of commands: a sentence, then examples, a line each."""
    return "\n".join([sentence, "", "\b", "Examples:", *examples])


app = typer.Typer(
    help=with_examples(
        "Train classifiers on labels that are partly wrong.",
        "noiseproof diagnose pets.csv --out suspects",
        "noiseproof compare digits",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Each command with the line that `noiseproof --help` shows of it.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "diagnose": (diagnose.diagnose, "Find wrong labels and estimate how many there are."),
    "clean": (clean.clean, "Drop, relabel or weight suspects; write a new copy."),
    "train": (train.train, "Train once; leave a record and a model."),
    "predict": (trained_model.predict, "Label new items with a trained model."),
    "evaluate": (trained_model.evaluate, "Measure a model, also against noisy labels."),
    "export": (trained_model.export, "Write a model as ONNX or torch.export file."),
    "features": (features.features, "Compute features of many pictures ahead."),
    "compare": (compare.compare, "Train several methods and print their table."),
    "sweep": (sweep.sweep, "Run a grid on this machine or many; resumable."),
    "table": (reporting.table, "Print the table of a results folder."),
    "figure": (reporting.figure, "Draw a figure of a results folder."),
    "report": (reporting.report, "Write one page with tables and figures."),
    "noise": (noise.noise, "Make noisy labels out of clean ones."),
    "theory": (theory.theory, "Test a loss for noise tolerance, and say why."),
    "new": (new.new, "Write a file to start a part of your own from."),
    "list": (lists.list_names, "List losses, methods, noises, data and models."),
}
for name, (command, line) in COMMANDS.items():
    app.command(name, short_help=line)(command)
GROUPS: dict[str, tuple[typer.Typer, str, tuple[str, str]]] = {
    "data": (
        data.app,
        "Download data sets; check what lies on the disk.",
        ("noiseproof data fetch cifar10 --root data", "noiseproof data check cifar10 --root data"),
    ),
    "records": (
        records.app,
        "Verify and merge folders of records.",
        ("noiseproof records check results", "noiseproof records merge from-another-machine results"),
    ),
    "bench": (
        bench.app,
        "Measure our speed beside the alternatives.",
        ("noiseproof bench losses", "noiseproof bench train --device cpu"),
    ),
}
for name, (group, line, lines) in GROUPS.items():
    app.add_typer(group, name=name, short_help=line, help=with_examples(line, *lines))
accept_imports(app)
accept_reading_options(app)
group_options(app)


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
    with harmless_output():
        try:
            app(prog_name="noiseproof")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing more to say
            sys.exit(0)
        except (NoiseproofError, MemoryError, OSError, RecursionError, UnicodeError) as error:
            if debug:
                raise
            message, code = _in_a_sentence(error)
            print(f"noiseproof: {message}", file=sys.stderr)
            sys.exit(code)
        except Exception as error:  # of the user's own parts, in a sentence; any other one is a fault of ours
            message = "" if debug else in_own_code(error)
            if not message:
                raise
            print(f"noiseproof: {message} (--debug shows the traceback)", file=sys.stderr)
            sys.exit(2)


def _in_a_sentence(error: Exception) -> tuple[str, int]:
    """Message of an error, and the exit code."""
    if isinstance(error, NoiseproofError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return "the machine ran out of memory; use fewer workers or a smaller batch", 3
    if isinstance(error, RecursionError):
        return "something is nested too deep, such as folders in folders; move it nearer to the root", 2
    if isinstance(error, UnicodeError):
        return f"a name or a file is not UTF-8 ({error}); rename or convert it", 2
    assert isinstance(error, OSError)
    where = f" {error.filename}" if error.filename else ""
    return f"the system refused{where}: {error.strerror or error}", 3
