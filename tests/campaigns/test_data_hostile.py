"""Files that nobody vouches for: nothing in them can run, and damage ends in one clear refusal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from campaigns.hostile.corpus import Case, write_corpus
from campaigns.hostile.pickles import CANARY
from campaigns.hostile.runner import Prober, sound_archive, sound_files
from conftest import count


@pytest.fixture(scope="module")
def prober(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prober]:
    child = Prober(sound_files(tmp_path_factory.mktemp("sound")), tmp_path_factory.mktemp("here"))
    yield child
    child.close()


def test_every_malicious_file_is_refused_and_nothing_but_reading_happens(prober, tmp_path, tally):
    cases = write_corpus(tmp_path / "corpus")
    assert len(cases) >= 200
    results = list(prober.results(cases))
    assert [r["name"] for r in results] == [case.name for case in cases]
    assert {r["name"]: r["outcome"] for r in results if r["outcome"] != "refused"} == {}
    assert {r["name"]: r["events"] for r in results if r["events"]} == {}
    assert [*tmp_path.rglob(CANARY), *prober.folder.rglob(CANARY)] == []
    # a refusal names the file, and costs little memory: 64 MiB, and four times what was read
    assert {r["name"]: r["told"] for r in results if "/corpus/" not in r["told"]} == {}
    for case, result in zip(cases, results, strict=True):
        largest = max(path.stat().st_size for path in Path(case.folder).rglob("*") if path.is_file())
        assert result["grown"] <= 64 * 1024 + 4 * min(largest, 40 << 20) / 1024, case.name
    tally("malicious files refused", len(cases))


@dataclass(frozen=True)
class Damaged(Case):
    file: str
    seed: int


FILES = {
    "cifar10": "cifar-10-batches-py/data_batch_1",
    "cifar10 meta": "cifar-10-batches-py/batches.meta",
    "cifar10 archive": "cifar-10-python.tar.gz",
    "pickle": "labels.pkl",
    "human": "CIFAR-10_human.pt",
    "dependent": "cifar10_dependent_0.2.json",
    "own.csv": "own.csv",
    "own.npz": "own.npz",
    "fashion-mnist": "train-images-idx3-ubyte",
    "fashion-mnist labels": "train-labels-idx1-ubyte",
    "webvision": "webvision_mini_train.txt",
    "clothing1m": "noisy_label_kv.txt",
    "folder": "a/1.png",
    "image jpg": "a/0.jpg",
    "image png": "a/1.png",
    "image webp": "a/2.webp",
    "image bmp": "a/3.bmp",
    "image gif": "a/4.gif",
    "image ppm": "a/5.ppm",
}


@pytest.mark.campaign
@pytest.mark.parametrize("what", FILES)
def test_damaged_files_are_read_or_refused_and_nothing_else_happens(what, prober, tmp_path, tally):
    reader = what.split()[0]
    home = sound_files(tmp_path / "base") / ("folder" if reader == "image" else reader)
    if what == "cifar10 archive":
        home = sound_archive(tmp_path / "archive")
    file = str(home / FILES[what])
    read = file if reader == "image" else str(home)
    times = count(120, 10_000)
    cases = [Damaged(f"seed {seed}", reader, read, file, seed) for seed in range(times)]
    results = list(prober.results(cases))
    assert len(results) == times
    assert {r["name"]: r["outcome"] for r in results if r["outcome"] not in ("read", "refused")} == {}
    assert {r["name"]: r["events"] for r in results if r["events"]} == {}
    assert any(r["outcome"] == "refused" for r in results)
    tally("damaged data files read or refused", times)
