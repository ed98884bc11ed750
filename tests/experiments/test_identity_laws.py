"""Over random edits, a record is reused exactly if nothing that decides the result has changed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import count
from noiseproof import losses
from noiseproof.experiments import grid, records
from noiseproof.experiments.driver import pending
from noiseproof.experiments.specification import Run
from support.made_records import made


@dataclass(frozen=True)
class World:
    """What lies on the disk and what is typed; fields above the line decide the result."""

    data: int = 0
    pictures: int | None = None  # None: a table
    matrix: int | None = None
    weights: int | None = None
    code: int | None = None
    helper: int = 0  # of a module that the code imports
    validation: int | None = None  # None: no such part of the pictures
    epochs: int = 1
    l2: float = 1e-4
    seed: int = 1
    mode: str = "deterministic"
    # decides nothing
    place: str = "here"
    names: str = "a"
    versions: str = "1"
    device: str = "cpu"

    def decisive(self) -> tuple[object, ...]:
        whole = {key: value for key, value in vars(self).items() if key not in ("place", "names", "versions", "device")}
        unread = {"data"} if self.pictures is not None else {"validation"}
        unread |= {"helper"} if self.code is None else set()
        return tuple(None if key in unread else value for key, value in whole.items())


EDITS = {
    "data": st.integers(0, 2),
    "pictures": st.none() | st.integers(0, 2),
    "matrix": st.none() | st.integers(0, 2),
    "weights": st.none() | st.integers(0, 1),
    "code": st.none() | st.integers(0, 1),
    "helper": st.integers(0, 1),
    "validation": st.none() | st.integers(0, 1),
    "epochs": st.integers(1, 2),
    "l2": st.sampled_from([1e-4, 1e-3]),
    "seed": st.integers(1, 2),
    "mode": st.sampled_from(["deterministic", "fast"]),
    "place": st.sampled_from(["here", "there"]),
    "names": st.sampled_from(["a", "b"]),
    "versions": st.sampled_from(["1", "2"]),
    "device": st.sampled_from(["cpu", "cuda:0 (a)"]),
}
edit = st.sampled_from(sorted(EDITS)).flatmap(lambda key: st.tuples(st.just(key), EDITS[key]))


def bitmap(value: int) -> bytes:
    return b"P5 4 4 255\n" + bytes([value % 251] * 16)


def written(root: Path, world: World) -> Run:
    """Put the world on the disk and describe its run."""
    folder = root / world.place
    folder.mkdir(exist_ok=True)
    if world.pictures is None:
        data = folder / f"{world.names}.csv"
        data.write_text("a,label\n" + "".join(f"{i + (world.data if i == 3 else 0)},{i % 2}\n" for i in range(20)))
    else:
        data = folder / world.names
        shutil.rmtree(data, ignore_errors=True)
        parts = {"train": world.pictures, "test": 0, "valid": world.validation}
        for part, value in parts.items():
            for i in range(12 if value is not None else 0):
                path = data / part / "xy"[i % 2] / f"{i:02}.pgm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bitmap(i + ((value or 0) if i == 3 else 0)))
                os.utime(path, ns=(10**18, 10**18))  # equal sizes and times: only the content tells
    noise = "clean"
    if world.matrix is not None:
        rate = 0.1 * (1 + world.matrix)
        file = folder / f"{world.names}T.csv"
        file.write_text(f"{1 - rate},{rate}\n{rate},{1 - rate}\n")
        noise = f"transition('{file}')"
    overrides = {"train.epochs": world.epochs, "train.l2": world.l2}
    if world.weights is not None:
        file = folder / f"{world.names}.pt"
        torch.save({"w": torch.tensor([world.weights])}, file)
        overrides["model.weights"] = str(file)
    method = "ce" if world.code is None else own_loss(root, world.code, world.helper)
    (run,) = grid.runs([str(data)], [noise], [method], [world.seed], overrides=overrides, mode=world.mode)
    return run


def own_loss(root: Path, version: int, helper: int) -> str:
    """Register a loss of the user's own, whose source says the version, and that of a module which it imports late."""
    path = root / "law_of_identity.py"
    (root / "law_of_identity_helper.py").write_text(f"FACTOR = {helper}\n")
    late = "    def factor(self):\n        from law_of_identity_helper import FACTOR\n\n        return FACTOR\n"
    path.write_text(f"from noiseproof import losses\n\n\nclass Mine(losses.CE):\n    version = {version}\n\n{late}")
    spec = importlib.util.spec_from_file_location("law_of_identity", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["law_of_identity"] = module
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), module.__dict__)
    losses.LOSSES._entries.pop("law-of-identity", None)
    losses.LOSSES.register("law-of-identity")(module.Mine)
    return "law-of-identity"


@settings(max_examples=count(12, 150))
@given(st.lists(edit, min_size=1, max_size=6))
def test_a_record_is_reused_exactly_if_nothing_that_decides_the_result_changed(edits):
    world, recorded = World(), set()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sys.path.append(name)
        try:
            for key, value in [("data", 0), *edits]:
                world = replace(world, **{key: value})
                importlib.invalidate_caches()
                run = written(root, world)
                waiting, known = pending([run], root / "out")
                assert bool(known) == (world.decisive() in recorded), (key, value)
                for new in waiting:
                    record = {**made(), "run": new.spec, "run_id": new.run_id}
                    versions = {**record["versions"], "torch": world.versions}
                    records.write(root / "out", {**record, "versions": versions, "device": world.device})
                recorded.add(world.decisive())
        finally:
            sys.path.remove(name)
            losses.LOSSES._entries.pop("law-of-identity", None)
