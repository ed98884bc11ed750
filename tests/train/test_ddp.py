"""Two processes on one network: the same batches and metrics, and without batch normalisation the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import ROOT
from noiseproof import data, recipes
from noiseproof.errors import InputError, MachineError
from noiseproof.train import Team, Training, checkpoint, fit
from support import ddp_worker

TRAIN, TEST = 21, 11  # 8, 8 and 5 a batch: the last is split into 3 and 2


def picture(path: Path, label: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 80, (40, 44, 3)) + 50 * label
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)


def webvision(root: Path) -> Path:
    """Three classes in WebVision's layout: Google's part, its validation images, and ImageNet's."""
    lists: dict[str, list[str]] = {"train_filelist_google.txt": [], "val_filelist.txt": []}
    for number in range(TRAIN):
        name = f"google/q{number % 3:04d}/{number}.jpg"
        picture(root / name, number % 3, number)
        lists["train_filelist_google.txt"].append(f"{name} {number % 3}")
    for number in range(TEST):
        picture(root / "val_images_256" / f"val{number}.jpg", number % 3, 100 + number)
        lists["val_filelist.txt"].append(f"val{number}.jpg {number % 3}")
    for number in range(7):
        picture(root / "imagenet" / "val" / f"n0000000{number % 3}" / f"{number}.JPEG", number % 3, 200 + number)
    (root / "info").mkdir()
    for name, lines in lists.items():
        (root / "info" / name).write_text("\n".join(lines) + "\n")
    return root


def clothing1m(root: Path) -> Path:
    """Fourteen classes in Clothing1M's layout: key lists and labels by key."""
    (root / "annotations").mkdir(parents=True)
    for part, labels, count in (("noisy_train", "noisy_label_kv", TRAIN), ("clean_test", "clean_label_kv", TEST)):
        keys = [f"images/{number % 10}/{number:02d}/{part}{number}.jpg" for number in range(count)]
        for number, key in enumerate(keys):
            picture(root / key, number % 4, number)
        (root / "annotations" / f"{part}_key_list.txt").write_text("\n".join(keys) + "\n")
        lines = [f"{key} {number % 4}" for number, key in enumerate(keys)]
        (root / "annotations" / f"{labels}.txt").write_text("\n".join(lines) + "\n")
    return root


def train(processes: int, out: Path, name: str, root: Path):
    """Alone in this process, or as torchrun starts several, with their ranks in the environment."""
    if processes == 1:
        ddp_worker.main(name, str(root), str(out))
    else:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        # Standalone: the launcher binds a port that is free, where any number chosen before could be taken by then.
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [*launcher, ROOT / "tests" / "support" / "ddp_worker.py", name, root, out]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.with_suffix(".json").read_text()), load_file(out.with_suffix(".safetensors"))


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return {make.__name__: make(tmp_path_factory.mktemp(make.__name__)) for make in (webvision, clothing1m)}


@pytest.mark.parametrize("name", ["webvision", "clothing1m"])
def test_two_processes_train_the_weights_of_one_and_tell_the_same_metrics(name, trees, tmp_path):
    one, weights_of_one = train(1, tmp_path / "one", name, trees[name])
    two, weights_of_two = train(2, tmp_path / "two", name, trees[name])
    assert (one["device"], two["device"]) == ("cpu", "2 x cpu")
    for key, weight in weights_of_one.items():
        torch.testing.assert_close(weights_of_two[key], weight, rtol=0, atol=1e-5)
    for curve in ("test_accuracy", "train_accuracy"):
        assert two["curves"][curve] == one["curves"][curve]
    assert two["curves"]["train_loss"] == pytest.approx(one["curves"]["train_loss"], rel=1e-5)
    assert two["also"] == one["also"]
    assert set(one["also"]) == ({"ilsvrc12"} if name == "webvision" else set())
    # Shares of 11 samples: no sample was counted twice to fill a batch up.
    assert two["curves"]["test_accuracy"][-1] * TEST / 100 == pytest.approx(
        round(two["curves"]["test_accuracy"][-1] * TEST / 100)
    )
    if name == "webvision":  # in bf16, a ResNet-50 whose second run finds the first one's checkpoint
        run = two["resnet50"]
        assert run == {"status": "done", "same": True, "curves": True, "notes": ["went on from epoch 2 of 2"]}


def test_a_process_alone_is_a_team_of_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = Team.assemble()
    value = torch.ones(2)
    assert (team.rank, team.size, team.device) == (0, 1, None)
    assert team.all_reduce(value) is value
    assert team.broadcast(lambda: 7) == team.rank_zero_first(lambda: 7) == 7
    team.same("anything", 7)


class OneOfTwo:
    """A stand-in for a launched Fabric: rank 1 of 2, whose first process has sent `sent`."""

    global_rank, world_size, device = 1, 2, torch.device("cpu")

    def __init__(self, *sent: object) -> None:
        self.sent = list(sent)

    def broadcast(self, mine: object) -> object:
        return self.sent.pop(0)

    def all_reduce(self, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
        return value


def test_an_error_of_the_first_process_is_raised_at_all_of_them():
    with pytest.raises(MachineError, match="no space"):
        Team(OneOfTwo((None, MachineError("no space")))).broadcast(lambda: 7)
    assert Team(OneOfTwo((7, None))).broadcast(lambda: 8) == 7

    class First(OneOfTwo):
        global_rank = 0

        def broadcast(self, mine: object) -> object:
            self.sent.append(mine)
            return mine

    def fails() -> None:
        raise ValueError("broken")

    first = First()
    with pytest.raises(ValueError, match="broken"):
        Team(first).broadcast(fails)
    ((value, error),) = first.sent
    assert value is None
    assert str(error) == "the first process of the team failed: ValueError: broken"


def test_processes_that_train_different_things_refuse():
    with pytest.raises(InputError, match="1 of the 2 processes of the team differ from the first one in the data"):
        Team(OneOfTwo(("theirs", None))).same("the data", "ours")


def test_a_process_without_a_checkpoint_goes_on_from_that_of_the_first(tmp_path):
    """Each has a disk of its own; only the first one's holds the state."""
    recipe = recipes.load("digits", {"train.epochs": 2})
    found, options = data.load("digits"), {"seed": 1, "device": "cpu"}
    fit(found, None, "ce", recipe, checkpoint_dir=tmp_path / "first", checkpoint_every=0, **options)
    lone = Training(found, None, "ce", recipe, **options)
    state, _ = checkpoint.newest(tmp_path / "first", lone.identity(), {})
    second = Training(found, None, "ce", recipe, **options)
    second.team = Team(OneOfTwo(((state, ()), None)))
    second._resume(tmp_path / "second")
    assert second.epoch == 2
    assert not (tmp_path / "second").exists()
    for name, tensor in second.network.state_dict().items():
        assert torch.equal(tensor, state.tensors[f"model.{name}"])
