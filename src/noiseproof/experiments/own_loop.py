"""An experiment whose training loop is the user's own, recorded beside the runs of `compare` and `sweep`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noiseproof import data as datasets
from noiseproof import noise as noises
from noiseproof.data import Data
from noiseproof.errors import InputError, in_range, one_of
from noiseproof.experiments import records
from noiseproof.experiments.run_content import Sources, code_of
from noiseproof.experiments.single_run import given_labels, realised, recipe_for
from noiseproof.experiments.specification import Run

__all__ = ["Experiment"]


class Experiment:
    """One training by the user's own loop: the labels to train on, and the record of what came out.

    The data, noise and seed are those of noiseproof's own runs, so that the given labels are the same, bit for bit. The
    source of `code` is part of the record's name: an edited loop makes another run.

    Args:
        method: its name in tables.
        data: a data set's name or path, as `noiseproof compare` takes it, or a loaded one.
        noise: the noise text, put on the true labels where they are known; "clean" adds none.
        seed: of the noise; seed the loop with it too.
        code: the function or class that trains.
        settings: plain values that decide the result, such as {"epochs": 5, "lr": 0.1}; runs that differ in them
            share no mean.
        recipe: runs of one data set and recipe stand in one table; None: the one that `compare` takes for the data.
        precision, mode: "fp32", "tf32" or "bf16", and "deterministic" or "fast", as the loop computes; a table says
            where its rows differ in them.
        root: where the named data sets lie.

    Attributes:
        data: the loaded data set.
        given: labels to train on, int64 (N,).

    Raises:
        InputError: a name or number that is none; `code` is not the user's.
    """

    def __init__(
        self,
        method: str,
        data: str | Path | Data,
        noise: str = "clean",
        *,
        seed: int,
        code: object,
        settings: dict[str, Any] | None = None,
        recipe: str | None = None,
        precision: str = "fp32",
        mode: str = "deterministic",
        root: Path | None = None,
    ) -> None:
        if not isinstance(method, str) or not method.strip():
            raise InputError(f"method must be the name of the row in tables, such as 'my-trick', got {method!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InputError(f"seed must be a whole number from 0 on, got seed={seed!r}")
        if not (digest := code_of(code)):
            raise InputError(f"code must be the function or class of your own that trains, got {code!r}")
        text = data.name if isinstance(data, Data) else str(data)
        self.data = data if isinstance(data, Data) else datasets.load(text, root=root)
        sources, kind = Sources(root), str(noises.parse(noise))
        sources.take(text, self.data)
        self._noisy = given_labels(self.data, kind, seed, root)
        split = self.data.train
        self.given: Tensor = split.given if self._noisy is None else torch.as_tensor(self._noisy.labels).long()
        spec: dict[str, Any] = {
            "data": text,
            "noise": kind,
            "method": method,
            "loss": method,
            "recipe": recipe or recipe_for(text, root, sources),
            "settings": {"loop": dict(settings or {}), "method": {}},
            "seed": seed,
            "precision": one_of("precision", precision, ("fp32", "tf32", "bf16")),
            "mode": one_of("mode", mode, ("deterministic", "fast")),
            "content": {**sources.inputs(text, kind), f"code loop {method}": digest},
        }
        try:
            self.run = Run(records.canonical(spec))
        except (TypeError, ValueError) as error:
            raise InputError(f"settings must be plain numbers, texts, lists and dictionaries ({error})") from None
        self._curves: dict[str, list[float]] = {}
        self._started = time.perf_counter()

    def epoch(self, *, test_accuracy: float, **values: float) -> None:
        """Note one epoch.

        Args:
            test_accuracy: in percent, on the test split.
            values: further curves, such as train_loss; the same ones every epoch.
        """
        found = {"test_accuracy": in_range("test_accuracy", test_accuracy, 0, 100), **values}
        if self._curves and self._curves.keys() != found.keys():
            raise InputError(f"every epoch has the same curves: {', '.join(self._curves)}; got {', '.join(found)}")
        for name, value in found.items():
            self._curves.setdefault(name, []).append(float(value))

    def record(self) -> records.Record:
        """The record of the epochs so far; its accuracy is that of the last epoch.

        Raises:
            InputError: no epoch was noted.
        """
        if not self._curves:
            raise InputError("no epoch was noted; call experiment.epoch(test_accuracy=...) after each one")
        curves = {name: [v if math.isfinite(v) else None for v in values] for name, values in self._curves.items()}
        return self.run.record(
            status="done",
            result={"accuracy": curves["test_accuracy"][-1], "curves": curves},
            noise=realised(self.data, self._noisy),
            data={"name": self.data.name, "fingerprint": self.data.fingerprint, "notes": list(self.data.notes)},
            seconds=round(time.perf_counter() - self._started, 3),
            device="",
            threads=torch.get_num_threads(),
            versions=records.versions(),
            precision=self.run.spec["precision"],
            mode=self.run.spec["mode"],
            health={},
            error=None,
        )

    def save(self, folder: str | Path) -> Path:
        """Write the record into a results folder; `noiseproof table` shows it.

        Returns:
            The record's file.

        Raises:
            InputError: the folder holds another result of this very run, which stays.
        """
        folder, record = Path(folder), self.record()
        path = records.location(folder, self.run.run_id)
        if not records.write(folder, record) and records.read(path)["result"] != record["result"]:
            raise InputError(
                f"{path} holds another result of the same code, settings and seed; delete it to keep this one"
            )
        return path
