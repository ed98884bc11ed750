"""Texts, settings and small files that nobody vouches for end in one kind of error, whatever is in them."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import count
from made_records import made
from noiseproof import data, models, noise, recipes
from noiseproof.bench import grid, lock, records
from noiseproof.errors import DataError, InputError, MachineError, NoiseproofError
from noiseproof.train import checkpoint

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


def outcomes(read, path: Path, sound: bytes, times: int) -> dict[str, int]:
    """How often each thing came of reading damaged copies; anything but an answer or our own error fails the test."""
    found = {"read": 0, "refused": 0}
    for seed in range(times):
        path.write_bytes(damaged(sound, seed))
        try:
            read(path)
            found["read"] += 1
        except InputError:
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}") from error
    return found


def test_a_damaged_recipe_is_read_or_refused(tmp_path):
    found = outcomes(recipes.load, tmp_path / "mine.toml", RECIPE.encode(), count(300, 10_000))
    assert min(found.values()) > 0


def test_a_damaged_grid_is_read_or_refused(tmp_path):
    found = outcomes(grid.load, tmp_path / "grid.toml", GRID.encode(), count(300, 10_000))
    assert min(found.values()) > 0


def test_a_damaged_record_is_always_listed_as_such(tmp_path):
    """The hash leaves nothing to luck: whatever differs is found."""
    records.write(tmp_path, made())
    path = records.location(tmp_path, made()["run_id"])
    sound = path.read_bytes()

    def read(path: Path) -> None:
        same = path.read_bytes() == sound
        reading = records.read_folder(tmp_path)
        assert (len(reading.records), len(reading.damaged)) == ((1, 0) if same else (0, 1))

    assert outcomes(read, path, sound, count(300, 10_000))["refused"] == 0


def test_a_resealed_record_of_any_content_is_read_or_listed(tmp_path):
    """Somebody who can compute a hash can still not hand over anything but a record."""
    path = records.location(tmp_path, made()["run_id"])
    path.parent.mkdir(parents=True)
    chance = random.Random(1)
    kinds = [None, True, 0, -1, 1e308, "", "x" * 1000, [], [[]], {}, {"a": {}}, "\ud800", 10**400, [None] * 100]
    listed = 0
    for _ in range(count(300, 5000)):
        content = json.loads(json.dumps(made()))
        spoil(content, chance, kinds)
        with suppress(UnicodeEncodeError):  # no file holds a lone surrogate
            path.write_bytes(records.seal(content))
        reading = records.read_folder(tmp_path)
        assert len(reading.records) + len(reading.damaged) == 1
        listed += len(reading.damaged)
    assert listed > 100


def test_a_resealed_checkpoint_of_any_content_is_read_or_refused(tmp_path):
    path = checkpoint.save(tmp_path, STATE)
    sound, body = checkpoint._split(path.read_bytes(), path)
    chance = random.Random(3)
    kinds = [None, True, 0, -1, 1e308, "", "x", [], {}, {"a": {}}, "\ud800", [None] * 3, 2**70, [0, 10**9]]
    found = {"read": 0, "refused": 0}
    for _ in range(count(400, 5000)):
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


STATE = checkpoint.State({"seed": 1}, 2, {"curves": {"seconds": [0.1, 0.1]}}, {"model.w": torch.arange(4.0)})


def spoil(content: dict, chance: random.Random, kinds: list) -> None:
    """Replace or remove one entry, somewhere in nested dicts."""
    place, key = content, chance.choice(list(content))
    while isinstance(place[key], dict) and place[key] and chance.random() < 0.7:
        place, key = place[key], chance.choice(list(place[key]))
    if chance.random() < 0.3:
        del place[key]
    else:
        place[key] = chance.choice(kinds)


def test_a_damaged_lock_is_a_clear_refusal_or_a_takeover(tmp_path):
    chance = random.Random(2)
    sound = json.dumps({"host": "h", "pid": 1, "start": "1", "boot": "b", "since": "noon"}).encode()
    refused: list[bool] = []
    for seed in range(count(200, 3000)):
        folder = tmp_path / str(seed)
        (folder / "locks").mkdir(parents=True)
        text = damaged(sound, seed) if seed else b""
        (folder / "locks" / f"shard-1-of-1.{chance.randint(1, 5):09d}").write_bytes(text)
        try:
            assert lock.take(folder).held()
        except (MachineError, InputError) as error:
            refused.append(str(error).count(str(folder)) > 0)
    assert len(refused) > 50
    assert all(refused), "a refusal does not name the place"


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
    for read in (data.load, noise.parse, recipes.load, grid.load, lock.Shard.parse, recipes.load("digits").method):
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
