"""One of several processes that train together: `python ddp_worker.py DATA ROOT OUT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from noiseproof import data, recipes
from noiseproof.train import Outcome, Team, fit

torch.set_num_threads(1)


def train(team: Team, name: str, root: str, model: dict[str, Any], **options: Any) -> Outcome:
    """Two epochs on the tiny tree under `root`."""
    small: dict[str, Any] = {"train.epochs": 2, "train.batch_size": 8, "train.eval_batch_size": 8, "augment.crop": 32}
    small |= {"augment.resize": [36, 36] if name == "clothing1m" else 36, "model": model}
    recipe = recipes.load(name, small | {"train.lr": 0.05 if name == "webvision" else 0.005})
    found = data.load("webvision(classes=3)" if name == "webvision" else name, root=root)
    outcome = fit(found, None, "jal-ce", recipe, seed=1, device="cpu", checkpoint_every=0.0, team=team, **options)
    assert team.broadcast(lambda: outcome.curves["test_accuracy"]) == outcome.curves["test_accuracy"]
    return outcome


def main(name: str, root: str, out: str) -> None:
    """Train; the first process writes metrics and weights to `out`, and what a ResNet-50 did in its second run."""
    team = Team.assemble("cpu")
    outcome = train(team, name, root, {"name": "mlp", "hidden": [16]}, precision="fp32")
    told = {
        "curves": {key: values for key, values in outcome.curves.items() if key != "seconds"},
        "also": outcome.also,
        "health": outcome.health,
        "device": outcome.device,
    }
    if team.size > 1 and name == "webvision":
        kept = {"precision": "bf16", "checkpoint_dir": out}
        first, again = (train(team, name, root, {"name": "resnet50"}, **kept) for _ in range(2))
        told["resnet50"] = {
            "status": first.status,
            "same": all(map(torch.equal, first.model.state_dict().values(), again.model.state_dict().values())),
            "curves": first.curves == again.curves,
            "notes": again.notes,
        }
    if team.rank == 0:
        Path(out).with_suffix(".json").write_text(json.dumps(told))
        save_file(outcome.model.state_dict(), Path(out).with_suffix(".safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
