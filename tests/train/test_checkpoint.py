"""Checkpoints: a run that is killed goes on bit for bit, and no damaged file is ever believed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from conftest import ROOT, count, seeded
from noiseproof import data, noise, recipes
from noiseproof.data import Data, Split
from noiseproof.errors import DataError, InputError, MachineError
from noiseproof.train import checkpoint, fit

EPOCHS = 4


class Stop(Exception):
    """Ends a run between two epochs."""


def digits(method: str = "jal-ce", **options):
    found = data.load("digits")
    noisy = noise.corrupt(found.train.clean, "symmetric(0.4)", num_classes=10, seed=1)
    recipe = recipes.load("digits", {"train.epochs": EPOCHS, "train.batch_size": 256})
    return fit(found, noisy, method, recipe, seed=1, device="cpu", checkpoint_every=0.0, **options)


def pictures(method: str = "jal-ce", **options):
    labels = torch.randint(10, (40,), generator=seeded(1))
    pixels = torch.randint(0, 256, (40, 3, 16, 16), generator=seeded(2)).byte()
    split = Split(pixels, labels, labels, tuple("abcdefghij"))
    recipe = recipes.load("cifar10", {"train.epochs": EPOCHS, "train.batch_size": 16})
    found = Data("pictures", split, split.take(range(8)), "0" * 64)
    return fit(found, None, method, recipe, seed=1, device="cpu", checkpoint_every=0.0, **options)


def stop_after(epoch: int):
    def stop(done: int, row: object) -> None:
        if done + 1 == epoch:
            raise Stop

    return stop


def result(outcome):
    curves = {name: values for name, values in outcome.curves.items() if name != "seconds"}
    return curves, outcome.health, {name: value.tolist() for name, value in outcome.model.state_dict().items()}


KILLED = {  # a loss alone; then state by sample, parameters of the method's own, averages, two networks
    ("jal-ce",): count(15, 200),
    (
        "sop + ema(decay=0.9, every=2) + early-stop",
        "elr-plus",
        "dividemix(warmup=2, lambda_u=1)",
        "selc(start=2)",
    ): count(3, 40),
}


@pytest.mark.parametrize("methods", KILLED, ids=["loss", "methods"])
def test_a_killed_run_goes_on_bit_for_bit_wherever_the_kill_falls(methods, tmp_path, tally):
    kills = KILLED[methods]
    command = [sys.executable, ROOT / "tests" / "support" / "checkpoint_kills.py", tmp_path, str(kills), "1", *methods]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")},
    )
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)
    assert tuple(reports) == methods
    for report in reports.values():
        check_kills(report, kills, tally)


def check_kills(report, kills, tally):
    assert set(report["ends"]) == {report["whole"]}
    assert report["forgotten"] == 0, "more than the epoch under way was trained again"
    # The kills landed: inside saves, and after saves that the next attempt went on from.
    assert report["kills"] >= kills
    if kills < 10:
        return  # too few to say where they fell
    assert report["inside"] >= kills / 4
    assert sum(epoch > 0 for epoch in report["resumed"]) >= 0.5 * (len(report["resumed"]) - report["folders"])
    tally("training processes killed", report["kills"])
    tally("of these, inside a save", report["inside"])


@pytest.mark.parametrize(
    ("train", "method", "precision"),
    [(digits, "jal-fl", "fp32"), (digits, "lt-apl", "fp32"), (pictures, "jal-ce", "bf16"), (pictures, "ce", "fp32")],
)
def test_a_stopped_run_goes_on_with_any_optimiser_head_and_precision(train, method, precision, tmp_path):
    whole = train(method, precision=precision)
    for epoch in (1, 3):
        with pytest.raises(Stop):
            train(method, precision=precision, checkpoint_dir=tmp_path, on_epoch=stop_after(epoch))
    rest = train(method, precision=precision, checkpoint_dir=tmp_path)
    assert "went on from epoch 3 of 4" in rest.notes
    assert result(rest) == result(whole)


def test_a_finished_run_is_not_trained_again(tmp_path):
    whole, rows = digits(checkpoint_dir=tmp_path), []
    again = digits(checkpoint_dir=tmp_path, on_epoch=lambda *row: rows.append(row))
    assert rows == []
    assert result(again) == result(whole)


def test_two_checkpoints_are_kept_and_any_reader_of_safetensors_can_open_them(tmp_path):
    outcome = digits(checkpoint_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"checkpoint-00000{n}.safetensors" for n in (3, 4)]
    with safe_open(tmp_path / "checkpoint-000004.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("model.fc.weight"), outcome.model.state_dict()["fc.weight"])
        told = json.loads(file.metadata()["state"])
    assert (told["epoch"], told["run"]["seed"], told["run"]["method"]["l1"]) == (4, 1, 5e-5)


def damaged(content: bytes, how: str) -> bytes:
    if how == "cut":
        return content[: len(content) // 2]
    if how == "empty":
        return b""
    position = {"length": 1, "header": 200, "weights": len(content) - 100}[how]
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize("how", ["cut", "empty", "length", "header", "weights"])
def test_a_damaged_checkpoint_is_moved_aside_and_the_one_before_it_used(how, tmp_path):
    whole = digits()
    with pytest.raises(Stop):
        digits(checkpoint_dir=tmp_path, on_epoch=stop_after(3))
    last = tmp_path / "checkpoint-000003.safetensors"
    last.write_bytes(damaged(last.read_bytes(), how))
    rest = digits(checkpoint_dir=tmp_path)
    assert "checkpoint checkpoint-000003.safetensors is damaged and was moved aside" in rest.notes[0]
    assert rest.notes[1] == "went on from epoch 2 of 4"
    assert (tmp_path / "damaged" / "checkpoint-000003.safetensors").is_file()
    assert result(rest) == result(whole)


def test_every_flipped_bit_is_noticed(tmp_path, tally):
    digits(checkpoint_dir=tmp_path)
    path = tmp_path / "checkpoint-000004.safetensors"
    content = path.read_bytes()
    generator = seeded(7)
    flips = count(60, 5000)
    for _ in range(flips):
        # Half of them in the header, where a flip is most likely to be read as something else.
        end = len(content) if torch.rand((), generator=generator) < 0.5 else 4000
        position = int(torch.randint(end, (), generator=generator))
        bit = 1 << int(torch.randint(8, (), generator=generator))
        path.write_bytes(content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :])
        with pytest.raises(DataError):
            checkpoint.load(path)
    tally("random bits flipped in a network's checkpoint, all noticed", flips)


def test_a_checkpoint_without_a_tensor_of_the_network_is_not_believed(tmp_path):
    digits(checkpoint_dir=tmp_path)
    path = tmp_path / "checkpoint-000004.safetensors"
    state = checkpoint.load(path)
    tensors = {name: tensor for name, tensor in state.tensors.items() if name != "model.fc.bias"}
    path.unlink()
    checkpoint.save(tmp_path, replace(state, tensors=tensors))
    rest = digits(checkpoint_dir=tmp_path)
    assert "does not hold model.fc.bias of shape (10,)" in rest.notes[0]
    assert rest.notes[1] == "went on from epoch 3 of 4"


def test_the_checkpoints_of_another_run_are_refused_and_the_difference_named(tmp_path):
    digits(checkpoint_dir=tmp_path)
    with pytest.raises(InputError, match=r"another run \(its method.l1 is 5e-05, this one's 0.0\); choose another"):
        digits("ce", checkpoint_dir=tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_ends_the_run_with_what_was_saved_intact(number, tmp_path, monkeypatch):
    whole = digits()
    folder = tmp_path / "run"
    flush, calls = os.fsync, []

    def fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 6:
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(MachineError, match=f"checkpoint-.*{os.strerror(number)}|{os.strerror(number)}.*checkpoint-"):
        digits(checkpoint_dir=folder)
    monkeypatch.undo()
    rest = digits(checkpoint_dir=folder)
    assert any("went on from epoch" in note for note in rest.notes)
    assert result(rest) == result(whole)


def test_a_disk_without_room_is_refused_before_the_first_step(tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1 << 20))
    rows = []
    with pytest.raises(MachineError, match="no space in"):
        digits(checkpoint_dir=tmp_path, on_epoch=lambda *row: rows.append(row))
    assert rows == []
