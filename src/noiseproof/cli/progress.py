"""Progress of a sweep on stderr: bars on a terminal, plain lines elsewhere. stdout stays for results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noiseproof.cli.terminal import harmless
from noiseproof.experiments.driver import Callback
from noiseproof.humanize import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from noiseproof.experiments.records import Record
    from noiseproof.experiments.specification import Run

__all__ = ["Epochs", "Lines", "Several", "outcome", "shown", "tensorboard"]


class Several(Callback):
    """Passes every call on to several callbacks."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks

    def begin(self, waiting: int, recorded: int) -> None:
        for callback in self.callbacks:
            callback.begin(waiting, recorded)

    def started(self, run: Run) -> None:
        for callback in self.callbacks:
            callback.started(run)

    def progress(self, run: Run, content: Any) -> None:
        for callback in self.callbacks:
            callback.progress(run, content)

    def recorded(self, run: Run, record: Record) -> None:
        for callback in self.callbacks:
            callback.recorded(run, record)

    def note(self, text: str) -> None:
        for callback in self.callbacks:
            callback.note(text)


class Lines(Callback):
    """A line for every run that is recorded."""

    def begin(self, waiting: int, recorded: int) -> None:
        self._total, self._done = waiting, 0
        if recorded:
            self._say(f"{recorded} of {waiting + recorded} runs are recorded already")

    def recorded(self, run: Run, record: Record) -> None:
        self._done += 1
        self._say(f"[{self._done}/{self._total}] {run}: {outcome(record)}")

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bars(Callback):
    """One bar for the grid and one for each run under way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[Run, TaskID] = {}

    def begin(self, waiting: int, recorded: int) -> None:
        known = f" ({recorded} recorded before)" if recorded else ""
        self._whole = self._progress.add_task(f"runs{known}", total=waiting)

    def started(self, run: Run) -> None:
        self._close(run)
        self._bars[run] = self._progress.add_task(_plain(str(run)), total=None)

    def progress(self, run: Run, content: Any) -> None:
        if run in self._bars:
            self._progress.update(self._bars[run], completed=content["epoch"], total=content["epochs"])

    def recorded(self, run: Run, record: Record) -> None:
        self._close(run)
        self._progress.advance(self._whole)
        self._progress.console.print(harmless(f"{run}: {outcome(record)}"), markup=False, highlight=False)

    def note(self, text: str) -> None:
        self._progress.console.print(harmless(text), markup=False, highlight=False)

    def _close(self, run: Run) -> None:
        if run in self._bars:
            self._progress.remove_task(self._bars.pop(run))


class Epochs(Callback):
    """A line for every epoch of a single run."""

    recorded_before = False

    def begin(self, waiting: int, recorded: int) -> None:
        self.recorded_before = bool(recorded)

    def started(self, run: Run) -> None:
        self._begun = time.monotonic()
        self._first = 0

    def progress(self, run: Run, content: Any) -> None:
        epoch, epochs = content["epoch"], content["epochs"]
        self._first = self._first or epoch  # a resumed run does not begin at 1
        each = (time.monotonic() - self._begun) / (epoch - self._first + 1)
        rate = content["images"] / content["seconds"] if content["seconds"] else 0.0
        print(
            f"epoch {epoch:{len(str(epochs))}}/{epochs}  test {content['test_accuracy']:5.2f} %  "
            f"given labels {content['train_accuracy']:5.2f} %  loss {content['train_loss']:.4g}  "
            f"{rate:,.0f} samples/s  {duration(each * (epochs - epoch))} left",
            file=sys.stderr,
            flush=True,
        )

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _TensorBoard(Callback):
    """Curves for TensorBoard, one run of ours one run of its."""

    def __init__(self, folder: Path, writer: Any) -> None:
        self._folder, self._make = folder, writer
        self._writers: dict[Run, Any] = {}

    def progress(self, run: Run, content: Any) -> None:
        if run not in self._writers:
            spec = run.spec
            name = f"{spec['data']} {spec['noise']} {spec['method']} {spec['seed']} {run.run_id[:8]}".replace("/", "_")
            self._writers[run] = self._make(str(self._folder / name))
        for key in ("test_accuracy", "train_accuracy", "train_loss"):
            self._writers[run].add_scalar(key, content[key], content["epoch"])

    def recorded(self, run: Run, record: Record) -> None:
        if writer := self._writers.pop(run, None):
            writer.close()


def tensorboard(folder: Path) -> Callback:
    """Writes curves under `folder/tensorboard` as the runs go.

    Raises:
        InputError: TensorBoard is not installed.
    """
    from noiseproof.errors import InputError

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs TensorBoard; type: pip install 'noiseproof[tensorboard]'") from None
    return _TensorBoard(folder / "tensorboard", SummaryWriter)


@contextmanager
def shown() -> Iterator[Callback]:
    """Bars if stderr is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        yield Bars(progress)


def outcome(record: Record) -> str:
    """Outcome of a run in a few words."""
    if record["status"] == "done":
        return f"{record['result']['accuracy']:.2f} % in {duration(record['seconds'])}"
    return f"{record['status']}: {record['error']}"


def _plain(text: str) -> str:
    return harmless(text).replace("[", r"\[")
