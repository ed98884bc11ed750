"""The checked suggestion beside `gce` and `ce` on tables whose labels were spoiled by hand.

    OMP_NUM_THREADS=1 python benchmarks/suggest_tables.py [--settings pima-sym30,...] [--quick]

A diagnosis of four fifths of a table suggests a method and checks it by training (`with_checked_suggestion`); each
A diagnosis of four fifths of a table suggests a method and checks it by training (`with_checked_suggestion`); each
added to benchmarks/suggest_tables.json as they are finished; those that it holds stay as they are.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from noisy_tables import NOISE_OF, setting

import noiseproof
from noiseproof import features, recipes, train
from noiseproof.data import Data, Split
from noiseproof.data.dataset import stratified

OUT = Path(__file__).with_suffix(".json")
SETTINGS = [f"{name}-{kinds.split()[0]}" for name, kinds in NOISE_OF.items()]  # one kind of noise each


def measure(name: str, seed: int = 1) -> dict[str, object]:
    found = setting(name, seed)
    stay, held = stratified(torch.from_numpy(found.clean))
    vectors, given = found.inputs[stay], found.given[stay]
    started = time.process_time()
    suggestion = noiseproof.diagnose(vectors, given).with_checked_suggestion().issues.suggestion
    seconds = time.process_time() - started
    recipe = recipes.load("digits")
    inputs = torch.from_numpy(np.asarray(features.vectors(torch.from_numpy(found.inputs)), dtype=np.float32))
    names = tuple(map(str, range(found.classes)))
    labels, clean = torch.from_numpy(found.given), torch.from_numpy(found.clean)
    data = Data(name, Split(inputs[stay], labels[stay], None, names), Split(inputs[held], clean[held], None, names), "")
    accuracies = {
        method: round(train.fit(data, None, method, recipe, seed=seed, device="cpu").accuracy, 2)
        for method in dict.fromkeys([suggestion.method, "gce", "ce"])
    }
    return {
        "setting": name,
        "seed": seed,
        "wrong": round(float(found.wrong.mean()), 3),
        "suggested": suggestion.method,
        "accuracy": accuracies[suggestion.method],
        "gce": accuracies["gce"],
        "ce": accuracies["ce"],
        "cpu": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--quick", action="store_true", help="one setting; writes nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(OUT.read_text())["rows"] if OUT.exists() and not arguments.quick else []
    done = {row["setting"] for row in rows}
    names = [name for name in arguments.settings.split(",") if name not in done]
    for name in names[:1] if arguments.quick else names:
        rows.append(measure(name))
        print(json.dumps(rows[-1]), flush=True)
        if not arguments.quick:
            OUT.write_text(json.dumps(summary(rows), indent=1) + "\n")
    print(json.dumps({key: value for key, value in summary(rows).items() if key != "rows"}, indent=1))


def summary(rows: list[dict]) -> dict[str, object]:
    """Mean lead of the suggestion in points, and where it was made."""
    lead = {other: round(float(np.mean([row["accuracy"] - row[other] for row in rows])), 2) for other in ("gce", "ce")}
    machine = f"{platform.machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
    worst = min(row["accuracy"] - row["gce"] for row in rows)
    return {"machine": machine, "lead": lead, "worst_lead_over_gce": round(worst, 2), "rows": rows}


if __name__ == "__main__":
    main()
