"""Extraction ahead of training: parts, kills and order change no bit, and nothing is computed twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noiseproof import features
from noiseproof.errors import InputError, MachineError
from noiseproof.experiments.executors.base import Finished, Lost
from noiseproof.experiments.parallel_features import all_parts
from noiseproof.features import FeatureCache, FrozenNetwork, extract
from support.commands import run_command

NETWORK = "lite0(side=32)"
pytestmark = pytest.mark.skipif(not FrozenNetwork.installed("lite0"), reason="the extra [features] is not installed")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Path, ...]:
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(45):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        pixels = generator.integers(0, 255, (30, 34, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / "ab"[number % 2] / f"{number}.png")
    return tuple(sorted(folder.glob("*/*.png")))


@pytest.fixture
def from_cache(photos):
    def read(folder: Path) -> np.ndarray:
        extractor = features.extractor_for(photos, NETWORK)
        extractor.cache = FeatureCache(folder)
        found = extractor.transform(photos)
        assert extractor.found_in_cache == len(photos)
        return found

    return read


def test_parts_join_to_the_whole_bit_for_bit(photos, tmp_path, from_cache):
    whole = extract([photos], NETWORK, tmp_path / "whole")
    assert (whole.pictures, whole.present) == (45, 0)
    for number in (2, 3, 1):
        assert extract([photos], NETWORK, tmp_path / "parts", part=(number, 3)).pictures == 15
    assert np.array_equal(from_cache(tmp_path / "parts"), from_cache(tmp_path / "whole"))
    assert extract([photos], NETWORK, tmp_path / "parts").present == 45


def test_a_killed_extraction_goes_on_to_the_same_bits(photos, tmp_path, from_cache):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom noiseproof.features import extract, pictures\n"
        "from noiseproof.features.vector_cache import FeatureCache\n"
        "pictures._BLOCK, put, puts = 16, FeatureCache.put, []\n"
        "def deadly(self, *what):\n"
        "    put(self, *what)\n    puts.append(1)\n"
        "    if len(puts) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "FeatureCache.put = deadly\n"
        f"extract([tuple(map(Path, sys.argv[2:]))], {NETWORK!r}, sys.argv[1])\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "cache"), *map(str, photos)]
    assert subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == -signal.SIGKILL
    again = extract([photos], NETWORK, tmp_path / "cache")
    assert again.present == 32
    extract([photos], NETWORK, tmp_path / "whole")
    assert np.array_equal(from_cache(tmp_path / "cache"), from_cache(tmp_path / "whole"))


def test_the_command_fills_the_cache_that_training_reads(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = str(photos[0].parents[1])
    code, said = run_command(["features", folder, "--features", NETWORK, "--shard", "1/2"])
    assert code == 0, said
    assert "0 were there, 0 unreadable" in said
    code, said = run_command(["features", folder, "--features", NETWORK])
    assert code == 0, said
    assert "45 pictures; 22 computed, 23 were there" in said or "45 pictures; 23 computed, 22 were there" in said


def test_features_that_are_fitted_to_the_data_are_refused(tmp_path):
    with pytest.raises(InputError, match="only those of a frozen network"):
        extract([("a text",)], "patches", tmp_path)


class Pool:
    """Two slots whose workers are lost so many times before each call returns."""

    slots = 2

    def __init__(self, losses: int) -> None:
        self.losses, self.waiting = losses, deque()

    def start(self, ticket, call) -> None:
        if self.losses:
            self.losses -= 1
            self.waiting.append(Lost(ticket, "killed"))
        else:
            self.waiting.append(Finished(ticket, call()))

    def events(self, timeout):
        return [self.waiting.popleft()] if self.waiting else []


def test_a_part_whose_worker_is_lost_is_begun_again():
    assert all_parts(Pool(3), lambda part: lambda: part) == [(1, 2), (2, 2)]
    with pytest.raises(MachineError, match="lost its worker 5 times"):
        all_parts(Pool(100), lambda part: lambda: part)
