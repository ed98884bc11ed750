"""Made-up records, as finished runs leave them, for the tests of whatever reads records."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from noiseproof.experiments import records

# Names that are more than text somewhere: in HTML, in Jinja, in a spreadsheet, in LaTeX, in Markdown, in a terminal.
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<!-- -->",
    "]]>",
    "&lt;b&gt; &amp; &#60;",
    "{{7*7}}",
    "{% raw %}",
    "${7*7} #{7*7}",
    "=cmd()",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r\n=1+1",
    'a,b;c"d',
    "\\input{/etc/passwd}",
    "$x^2_1$ % & # ~ ^ { } \\",
    "a|b `c` *d* _e_ [f](g) ![h](i)",
    "\u202etxt.exe",
    "\u2066\u0627\u0644\u0639\u0631\u0628\u064a\u0629\u2069",
    "zero\u200bwidth\ufeff",
    "\x1b[31mred\x1b[0m\x07",
    "nul\x00byte\x7f",
    "line\nbreak\u2028\u2029\x85",
    "[bold]not markup[/bold]",
    "\u4e2d\u6587 \U0001f600 e\u0301",
    "x" * 10_000,
    "javascript:alert(1)",
    "<a href=//127.0.0.1:9/x>",
    "",
    " ",
]


def make_record(
    *,
    data: str = "digits",
    noise: str = "symmetric(rate=0.4)",
    method: str = "ce",
    loss: str = "ce",
    seed: int = 1,
    accuracy: float | None = 90.0,
    status: str = "done",
    selection: str = "last epoch",
    precision: str = "fp32",
    mode: str = "deterministic",
    convention: str = "exact",
    epochs: int = 4,
    recipe: str = "digits",
    classes: int = 3,
    error: str | None = None,
    device: str = "cpu",
    seconds: float = 12.5,
    notes: tuple[str, ...] = (),
    fingerprint: str = "f" * 64,
    **settings: Any,
) -> dict[str, Any]:
    """A record whose curves rise to `accuracy`; `settings` are the method's own, such as l1=5e-5."""
    run = {
        "data": data,
        "noise": noise,
        "method": method,
        "loss": loss,
        "recipe": recipe,
        "settings": {
            "model": {"name": "mlp"},
            "train": {"epochs": epochs, "lr": 0.05},
            "augment": {},
            "method": {"l1": 0.0, "l2": 1e-4, "head": None, "optimizer": None, "lr": None, **settings},
        },
        "seed": seed,
        "precision": precision,
        "mode": mode,
    }
    told = [run, convention, selection, fingerprint]
    run_id = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    end = 0.0 if accuracy is None else accuracy
    test = [end * (1 - 0.5 ** (epoch + 1)) for epoch in range(epochs - 1)] + [end]
    rate = 0.4
    record = {
        "schema": 1,
        "run_id": run_id,
        "run": run,
        "status": status,
        "selection": selection,
        "result": {
            "accuracy": accuracy,
            "curves": {
                "test_accuracy": test,
                "train_loss": [2.0 / (epoch + 1) for epoch in range(epochs)],
                "train_accuracy": [0.6 * value for value in test],
            },
        },
        "noise": {
            "rate": rate,
            "transition": [
                [1 - rate if i == j else rate / (classes - 1) for j in range(classes)] for i in range(classes)
            ],
            "sha256": hashlib.sha256(f"{noise}{seed}".encode()).hexdigest(),
            "convention": convention,
        },
        "data": {"name": data, "fingerprint": fingerprint, "notes": list(notes)},
        "seconds": seconds,
        "device": device,
        "threads": 1,
        "versions": {"noiseproof": "0.1.0", "torch": "2.13.0", "python": "3.11.2", "numpy": "2.3.0"},
        "precision": precision,
        "mode": mode,
        "health": {},
        "error": error,
    }
    record["sha256"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return record


def made(seed: int = 1, *, accuracy: float = 90.0, status: str = "done", **run: Any) -> records.Record:
    """A record of two epochs that can be written: its run has the name it says. Keywords replace entries of its run."""
    failed = status == "failed"
    record: Any = make_record(
        seed=seed,
        method="jal-ce",
        loss="nce + amse",
        accuracy=None if failed else accuracy,
        status=status,
        epochs=2,
        error="RuntimeError: made up" if failed else None,
        notes=("naïve <b>note</b>",),
    )
    del record["sha256"]
    text = {**record["run"], "settings": {"train": {"epochs": 2}}, **run}
    if failed:
        record["result"]["curves"] = {}
    return {**record, "schema": records.SCHEMA, "run": text, "run_id": records.run_id(text)}


def arrays(record: dict[str, object]) -> dict[str, np.ndarray]:
    """Outputs as a run keeps them, of few samples."""
    draw = np.random.default_rng(record["run"]["seed"])
    flipped = draw.random(200) < 0.4
    given = np.where(flipped, draw.beta(1, 5, 200), draw.beta(5, 1, 200)).astype(np.float32)
    clean = np.arange(60) % 3
    return {
        "train_probability_given": given,
        "train_max_probability": np.maximum(given, 1 - given),
        "flipped": flipped.astype(np.uint8),
        "test_features": (np.eye(3)[clean] * 9 + draw.normal(size=(60, 3))).astype(np.float32),
        "test_clean": clean,
    }
