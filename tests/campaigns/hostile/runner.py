"""Starts the child of probe.py, gives it cases, and starts it anew where one of them ended it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from campaigns.hostile.corpus import Case, good_cifar, torch_file

PROBE = Path(__file__).with_name("probe.py")

_AHEAD = 50  # cases that the child is given at once: few enough for a pipe, enough not to wait for each


def sound_files(root: Path) -> Path:
    """A small sound data set for each reader, in a folder of the reader's name; read before anything is watched."""
    good_cifar(root / "cifar10", 2)
    for name in (
        "human",
        "pickle",
        "dependent",
        "own.csv",
        "own.npz",
        "folder",
        "webvision",
        "clothing1m",
        "fashion-mnist",
    ):
        (root / name).mkdir()
    torch_file(root / "human" / "CIFAR-10_human.pt", pickle.dumps({"clean_label": np.zeros(3, np.int64)}, 2))
    held = {"clean": np.arange(30) % 10, "worse": list(range(10)), "coarse": np.zeros(20, np.uint8)}
    (root / "pickle" / "labels.pkl").write_bytes(pickle.dumps(held, 2))
    (root / "dependent" / "cifar10_dependent_0.2.json").write_text(json.dumps([i % 10 for i in range(50_000)]))
    rows = "".join(f"{i},{i / 7},{i % 2}\n" for i in range(30))
    (root / "own.csv" / "own.csv").write_text("a,b,label\n" + rows)
    np.savez_compressed(root / "own.npz" / "own.npz", x=np.arange(60.0).reshape(30, 2), y=np.arange(30) % 3)
    for name in "ab":
        (root / "folder" / name).mkdir()
        for i, ending in enumerate(("jpg", "png", "webp", "bmp", "gif", "ppm")):
            _picture(i).save(root / "folder" / name / f"{i}.{ending}")
    for part in ("train", "t10k"):
        (root / "fashion-mnist" / f"{part}-images-idx3-ubyte").write_bytes(_idx(np.zeros((20, 28, 28), np.uint8)))
        (root / "fashion-mnist" / f"{part}-labels-idx1-ubyte").write_bytes(_idx(np.arange(20, dtype=np.uint8) % 10))
    (root / "webvision" / "google").mkdir()
    (root / "clothing1m" / "images").mkdir()
    for i in range(8):
        _picture(i).save(root / "webvision" / "google" / f"{i}.jpg")
        _picture(i).save(root / "clothing1m" / "images" / f"{i}.jpg")
    lines = "".join(f"google/{i}.jpg {i % 4}\n" for i in range(8))
    (root / "webvision" / "webvision_mini_train.txt").write_text(lines)
    (root / "webvision" / "webvision_mini_val.txt").write_text(lines)
    for kind, part in (("noisy", "noisy_train"), ("clean", "clean_test")):
        (root / "clothing1m" / f"{part}_key_list.txt").write_text("".join(f"images/{i}.jpg\n" for i in range(8)))
        (root / "clothing1m" / f"{kind}_label_kv.txt").write_text("".join(f"images/{i}.jpg {i}\n" for i in range(8)))
    return root


def sound_archive(root: Path) -> Path:
    """The small CIFAR-10 as an archive."""
    good_cifar(root / "unpacked", 3)
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.add(root / "unpacked" / "cifar-10-batches-py", "cifar-10-batches-py")
    return root


def _picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 20, 3), dtype=np.uint8))


def _idx(values: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


class Prober:
    """The child of probe.py: started when needed, started anew when a case ended it."""

    def __init__(self, sound: Path, folder: Path) -> None:
        self.sound, self.folder = sound, folder
        self.child: subprocess.Popen[str] | None = None

    def results(self, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
        """What became of each case, in order; a child that died is an outcome too."""
        done = 0
        while done < len(cases):
            ahead = cases[done : done + _AHEAD]
            child = self.child or self._start()
            assert child.stdin is not None
            assert child.stdout is not None
            with suppress(BrokenPipeError):
                child.stdin.write("".join(json.dumps(asdict(case)) + "\n" for case in ahead))
                child.stdin.flush()
            for case in ahead:
                line = child.stdout.readline()
                done += 1
                if line:
                    yield json.loads(line)
                    continue
                code = child.wait()
                self.close()
                dead = f"the child ended with {code}"
                yield {"name": case.name, "outcome": dead, "events": [], "told": "", "grown": 0}
                break

    def close(self) -> None:
        if self.child is not None:
            with suppress(BrokenPipeError):
                self.child.communicate()
            self.child = None

    def _start(self) -> subprocess.Popen[str]:
        self.child = subprocess.Popen(
            [sys.executable, str(PROBE), str(self.sound)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
        assert self.child.stdout is not None
        assert self.child.stdout.readline() == "ready\n"
        return self.child
