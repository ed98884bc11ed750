"""Texts, settings and small files that nobody vouches for end in one kind of error, whatever is in them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import count
from noiseproof import data, models, noise, recipes
from noiseproof.errors import DataError, InputError, MachineError, NoiseproofError
from noiseproof.experiments import grid, records
from noiseproof.experiments.executors.shard import Shard
from noiseproof.storage import lock
from noiseproof.train import checkpoint
from support.limits import each_within_limits
from support.made_records import made

EXAMPLES = settings(
    max_examples=count(60, 2000),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

RECIPE = (Path(recipes.__file__).parent / "digits.toml").read_text()
GRID = 'data = ["digits"]\nnoise = ["symmetric(0.2)"]\nmethods = ["ce", "jal-ce"]\nseeds = [1]\n[train]\nepochs = 2\n'

# What damage looks like in a text file: bytes of every kind, and pieces that mean something to a parser.
PIECES = [
    b"", b"\0", b"\xff", b"\xc3", b"\n", b"#", b'"', b"'''", b"=", b"[", b"]]", b"{", b"}", b"\\", b"\\u", b"1e999",
    b"nan", b"-", b"true", b"[[part]]\n", b"[a.b.c]\n", b"9" * 5000, b"2024-01-01", b"\xef\xbb\xbf", b'"\\ud800"',
    b'"\\U00110000"', b"null", b'"' + b"a" * 100_000, b"x = " + b"[" * 3000, b"x = " + b"{a=" * 500,
    b'{"a":' * 3000, b"[" * 100_000,
]  # fmt: skip


def damaged(text: bytes, seed: int) -> bytes:
    """The text with one to three places overwritten, cut or filled in."""
    chance = random.Random(seed)
    raw = bytearray(text)
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(raw) + 1)
        end = min(len(raw), start + chance.choice([0, 0, 1, 1, 4, 40, 400]))
        piece = chance.choice(PIECES) if chance.random() < 0.6 else bytes([chance.randrange(256)])
        raw[start:end] = piece
    return bytes(raw)


def outcomes(read: Callable[[Path], object], path: Path, sound: bytes, times: int) -> dict[str, int]:
    """How often each thing came of reading damaged copies, in a child with limits on memory and time.

    Anything but an answer or our own error fails the test, and so does a crash or a hang.
    """

    def work(seed: int) -> str:
        path.write_bytes(damaged(sound, seed))
        try:
            read(path)
        except InputError:
            return "refused"
        return "read"

    return {"read": 0, "refused": 0} | each_within_limits(work, range(times))


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (lambda case: os.kill(os.getpid(), signal.SIGKILL), r"case 2: the child ended with signal 9"),
        (lambda case: time.sleep(60) or "", r"case 2: the child ended with signal 14"),
        (lambda case: max(range(10**12)), r"case 2: the child ended with signal (27|14)"),
        (lambda case: str(len(bytes(2 << 30))), r"case 2: Traceback[\s\S]*MemoryError"),
        (lambda case: {}[case], r"case 2: Traceback[\s\S]*KeyError: 2"),
    ],
    ids=["crash", "wait", "endless loop", "greed", "foreign exception"],
)
def test_a_reader_that_misbehaves_is_told_with_its_case(deed, told, monkeypatch):
    """What the tests below rest on."""
    monkeypatch.setattr("support.limits.SECONDS", 1)
    monkeypatch.setattr("support.limits.WAIT", 5)
    with pytest.raises(AssertionError, match=told):
        each_within_limits(lambda case: deed(case) if case == 2 else "fine", range(5))


def test_answers_are_counted():
    assert each_within_limits(lambda case: f"{case % 2}", range(5)) == {"0": 3, "1": 2}


def test_a_damaged_recipe_is_read_or_refused(tmp_path, tally):
    times = count(300, 10_000)
    found = outcomes(recipes.load, tmp_path / "mine.toml", RECIPE.encode(), times)
    assert min(found.values()) > 0
    tally("damaged recipes read or refused", times)


def test_a_damaged_grid_is_read_or_refused(tmp_path, tally):
    times = count(300, 10_000)
    found = outcomes(grid.load, tmp_path / "grid.toml", GRID.encode(), times)
    assert min(found.values()) > 0
    tally("damaged grids read or refused", times)


def test_a_damaged_record_is_always_listed_as_such(tmp_path, tally):
    """The hash leaves nothing to luck: whatever differs is found."""
    records.write(tmp_path, made())
    path = records.location(tmp_path, made()["run_id"])
    sound, times = path.read_bytes(), count(300, 10_000)

    def read(path: Path) -> None:
        same = path.read_bytes() == sound
        reading = records.read_folder(tmp_path)
        assert (len(reading.records), len(reading.damaged)) == ((1, 0) if same else (0, 1))

    assert outcomes(read, path, sound, times)["refused"] == 0
    tally("damaged records noticed", times)


def test_a_damaged_checkpoint_is_never_believed(tmp_path, tally):
    """Not even one whose damage says the same, such as another kind of space."""
    path = checkpoint.save(tmp_path, STATE)
    sound, times = path.read_bytes(), count(300, 10_000)

    def read(path: Path) -> None:
        same = path.read_bytes() == sound
        checkpoint.load(path)
        assert same, "a damaged checkpoint was taken for a whole one"

    assert outcomes(read, path, sound, times)["refused"] > 0.9 * times
    tally("damaged checkpoints noticed", times)


@pytest.mark.parametrize("kind", ["record", "checkpoint"])
def test_every_single_flipped_bit_is_noticed(kind, tmp_path, tally):
    """Where CI is set all of them, else every eighth."""
    if kind == "record":
        records.write(tmp_path, made())
        path, read = records.location(tmp_path, made()["run_id"]), records.read
    else:
        path, read = checkpoint.save(tmp_path, STATE), checkpoint.load
    sound = path.read_bytes()
    read(path)

    def flip(bit: int) -> str:
        changed = bytearray(sound)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            read(path)
        except DataError:
            return "noticed"
        return f"missed bit {bit}"

    bits = range(0, 8 * len(sound), 1 if count(0, 1) else 8)
    assert each_within_limits(flip, bits) == {"noticed": len(bits)}
    tally(f"single bits flipped in a {kind}, all noticed", len(bits))


def test_a_resealed_record_of_any_content_is_read_or_listed(tmp_path, tally):
    """Somebody who can compute a hash can still not hand over anything but a record."""
    path = records.location(tmp_path, made()["run_id"])
    path.parent.mkdir(parents=True)
    chance = random.Random(1)
    kinds = [None, True, 0, -1, 1e308, "", "x" * 1000, [], [[]], {}, {"a": {}}, "\ud800", 10**400, [None] * 100]
    listed, times = 0, count(300, 5000)
    for _ in range(times):
        content = json.loads(json.dumps(made()))
        spoil(content, chance, kinds)
        with suppress(UnicodeEncodeError):  # no file holds a lone surrogate
            path.write_bytes(records.seal(content))
        reading = records.read_folder(tmp_path)
        assert len(reading.records) + len(reading.damaged) == 1
        listed += len(reading.damaged)
    assert listed > 100
    tally("records of any content, sealed anew", times)


def test_a_resealed_checkpoint_of_any_content_is_read_or_refused(tmp_path, tally):
    path = checkpoint.save(tmp_path, STATE)
    sound, body = checkpoint._split(path.read_bytes(), path)
    chance = random.Random(3)
    kinds = [None, True, 0, -1, 1e308, "", "x", [], {}, {"a": {}}, "\ud800", [None] * 3, 2**70, [0, 10**9]]
    found, times = {"read": 0, "refused": 0}, count(400, 5000)
    for _ in range(times):
        header = json.loads(json.dumps(sound))
        inner = json.loads(header["__metadata__"]["state"])
        spoil(inner if chance.random() < 0.5 else header, chance, kinds)
        with suppress(TypeError, KeyError):
            header["__metadata__"]["state"] = json.dumps(inner)
        with suppress(TypeError, KeyError, AttributeError):  # nothing left to seal
            header["__metadata__"]["sha256"] = checkpoint._digest(header, body)
            path.write_bytes(checkpoint._join(header, body))
        try:
            checkpoint.load(path)
            found["read"] += 1
        except DataError:
            found["refused"] += 1
    assert min(found.values()) > 20
    tally("checkpoints of any content, sealed anew", times)


STATE = checkpoint.State(
    {"seed": 1, "name": "\u00e9"}, 2, {"curves": {"seconds": [0.1, 0.1]}}, {"model.w": torch.arange(4.0)}
)


def spoil(content: dict, chance: random.Random, kinds: list) -> None:
    """Replace or remove one entry, somewhere in nested dicts."""
    place, key = content, chance.choice(list(content))
    while isinstance(place[key], dict) and place[key] and chance.random() < 0.7:
        place, key = place[key], chance.choice(list(place[key]))
    if chance.random() < 0.3:
        del place[key]
    else:
        place[key] = chance.choice(kinds)


def test_a_damaged_lock_is_a_clear_refusal_or_a_takeover(tmp_path, tally):
    sound = json.dumps({"host": "h", "pid": 1, "start": "1", "boot": "b", "since": "noon"}).encode()
    times = count(200, 10_000)

    def work(seed: int) -> str:
        folder = tmp_path / str(seed % 100)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "locks").mkdir(parents=True)
        (folder / "locks" / f"shard-1-of-1.{1 + seed % 5:09d}").write_bytes(damaged(sound, seed) if seed else b"")
        try:
            return "taken" if lock.take(folder).held() else "not held"
        except (MachineError, InputError) as error:
            return "refused" if str(folder) in str(error) else f"a refusal that does not name the place: {error}"

    found = each_within_limits(work, range(times))
    assert found.keys() <= {"taken", "refused"}
    assert found["refused"] > times / 4
    tally("damaged locks refused or taken over", times)


NAMES = [
    "", " ", ".", "..", "/", "~", "-", "\0", "a\0b", "x" * 5000, "x" * 5000 + ".toml", "digits()", "digits(1)",
    "digits\n", "ＤＩＧＩＴＳ", "../../etc/passwd", "file:///etc/passwd", "http://x", "=cmd()", "{{7*7}}", "%s%n",
    "$HOME", "`id`", "\ud800", "\u202e",
]  # fmt: skip
anything = st.text(max_size=40) | st.sampled_from(NAMES)


@EXAMPLES
@given(anything)
def test_any_name_is_found_or_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    for read in (data.load, noise.parse, recipes.load, grid.load, Shard.parse, recipes.load("digits").method):
        with suppress(InputError):
            read(text)


@EXAMPLES
@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(["train.lr", "model.hidden", "augment.flip", "source"]),
                       st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
                       | st.lists(st.integers(-3, 3), max_size=3), max_size=3))  # fmt: skip
def test_any_override_is_taken_or_refused(overrides):
    with suppress(InputError):
        recipe = recipes.load("digits", overrides)
        assert recipe.train.epochs >= 1


@EXAMPLES
@given(st.sampled_from(["mlp", "cnn8", "resnet34"]), st.lists(st.integers(-1, 40), max_size=4), st.integers(-1, 5))
def test_any_shape_gives_a_network_or_a_refusal(name, shape, classes):
    from conftest import seeded

    with suppress(NoiseproofError):
        network = models.build(name, shape=tuple(shape), classes=classes, generator=seeded(1))
        assert sum(p.numel() for p in network.parameters()) > 0
