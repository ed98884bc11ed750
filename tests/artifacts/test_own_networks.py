"""Model folders of the user's own networks and of several networks; none runs code that the user has not loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import noiseproof
from noiseproof import artifacts, data, recipes, train
from noiseproof.errors import InputError

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, in_features, num_classes, width=8):
        super().__init__()
        self.first, self.last = nn.Linear(in_features, width), nn.Linear(width, num_classes)

    def forward(self, inputs):
        return self.last(self.first(inputs).relu())
"""
VALUES = {"train.epochs": 1, "train.samples": 200}


def kept(method: str, folder, **values):
    digits, recipe = data.load("digits"), recipes.load("digits", {**VALUES, **values})
    outcome = train.fit(digits, None, method, recipe, seed=1, device="cpu")
    return digits, outcome, artifacts.save(artifacts.of_outcome(outcome, digits, recipe), folder)


def agrees(digits, outcome, folder) -> bool:
    model = noiseproof.load_model(folder)
    named = np.array(model.classes, object)[digits.test.given.numpy()]
    return abs(100 * (model.predict(digits.test.inputs) == named).mean() - outcome.accuracy) < 1e-6


@pytest.mark.parametrize("method", ["co-teaching", "dividemix(warmup=1)", "elr-plus", "jocor", "ce + ema"])
def test_several_networks_predict_from_the_folder_as_they_did_in_training(method, tmp_path):
    digits, outcome, folder = kept(method, tmp_path / "model")
    assert agrees(digits, outcome, folder)


def test_a_network_of_the_users_own_needs_their_code_and_that_very_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_of_mine.py").write_text(OWN)
    digits, outcome, folder = kept("ce", tmp_path / "model", **{"model.name": "net_of_mine.py:Net"})
    assert agrees(digits, outcome, folder)
    code = (
        "import sys, noiseproof\nfrom noiseproof.errors import NoiseproofError\n"
        "from noiseproof.runtime import own_parts\n"
        "def tried():\n"
        "    try:\n        return noiseproof.load_model('model').classes\n"
        "    except NoiseproofError as error:\n        return str(error)\n"
        "print(tried(), 'net_of_mine' in sys.modules)\nown_parts.load('net_of_mine.py')\nprint(tried())\n"
    )

    def said() -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    first, then = said().splitlines()
    assert "load it first: --import net_of_mine.py" in first
    assert first.endswith("False")
    assert then.startswith("('0', '1'")
    (tmp_path / "net_of_mine.py").write_text(OWN + "\n# another\n")
    assert "is not the one that this model was trained with" in said()


@pytest.mark.parametrize("network", ["os:system", "evil:Net", "subprocess:run"])
def test_a_folder_cannot_name_code(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    _, _, folder = kept("ce", tmp_path / "model")
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, "network": network, "options": {"command": "touch ran"}}))
    with pytest.raises(InputError, match="code of your own, which a model folder does not hold"):
        noiseproof.load_model(folder)
    assert not (tmp_path / "ran").exists()


def test_a_method_with_a_rule_of_its_own_is_not_kept(tmp_path):
    from noiseproof.methods import METHODS

    class Mine(METHODS["co-teaching"].cls):
        def predict(self, logits):
            return logits[0]

    digits, recipe = data.load("digits"), recipes.load("digits", VALUES)
    training = train.Training(digits, None, "ce", recipe, seed=1, device="cpu", rule=Mine())
    for _ in training.steps():
        pass
    with pytest.raises(InputError, match=r"`predict` of its own"):
        artifacts.of_outcome(training.outcome(), digits, recipe)
