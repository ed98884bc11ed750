"""Made-up records for the tests of whatever reads records."""

from __future__ import annotations

from typing import Any

from noiseproof.experiments import records


def made(seed: int = 1, *, accuracy: float = 90.0, status: str = "done", **run: Any) -> records.Record:
    """A record of two epochs; keywords replace entries of its run."""
    text: Any = {
        "data": "digits",
        "noise": "symmetric(rate=0.4)",
        "method": "jal-ce",
        "loss": "nce + amse",
        "recipe": "digits",
        "settings": {"train": {"epochs": 2}},
        "seed": seed,
        "precision": "fp32",
        "mode": "deterministic",
        **run,
    }
    failed = status == "failed"
    return {
        "schema": records.SCHEMA,
        "run_id": records.run_id(text),
        "run": text,
        "status": status,  # type: ignore[typeddict-item]
        "selection": "last epoch",
        "result": {
            "accuracy": None if failed else accuracy,
            "curves": {} if failed else {"test_accuracy": [accuracy / 2, accuracy], "train_loss": [1.5, None]},
        },
        "noise": {"rate": 0.4, "transition": [[0.6, 0.4], [0.4, 0.6]], "sha256": "0" * 64, "convention": "exact"},
        "data": {"name": "digits", "fingerprint": "1" * 64, "notes": ["naïve <b>note</b>"]},
        "seconds": 1.5,
        "device": "cpu",
        "threads": 1,
        "versions": {"noiseproof": "0.1.0", "torch": "2.13.0", "python": "3.11.7", "numpy": "2.4.6"},
        "precision": "fp32",
        "mode": "deterministic",
        "health": {"dead_gradients": 0.0},
        "error": "RuntimeError: made up" if failed else None,
    }
