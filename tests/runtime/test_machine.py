"""Processors and memory as control groups grant them: versions 1 and 2, nested, and as a container sees them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from noiseproof.experiments.executors.local import sensible_workers
from noiseproof.runtime import machine

GIB = 1 << 30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A machine of 64 processors whose control groups are the files that a test writes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN", tmp_path / "own")

    def write(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000"}, 64),
        ("0::/\n", {"cpu.max": "100000 100000"}, 1),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "350000 100000"}, 3),
        ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "200000 100000", "a/b/cpu.max": "800000 100000"}, 2),
        ("0::/docker/of/the/host\n", {"cpu.max": "400000 100000"}, 4),
        ("4:cpu,cpuacct:/job\n", {"cpu,cpuacct/job/cpu.cfs_quota_us": "300000",
                                  "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/job\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("not a line", {"cpu.max": "nonsense"}, 64),
    ],
)  # fmt: skip
def test_the_tightest_quota_of_processor_time_counts(groups, own, files, cores):
    groups(own, files)
    assert machine.cores() == cores


@pytest.mark.parametrize(
    ("own", "files", "free"),
    [
        ("0::/\n", {"memory.max": str(3 * GIB), "memory.current": str(GIB)}, 2 * GIB),
        ("0::/\n", {"memory.max": str(3 * GIB), "memory.current": str(2 * GIB),
                    "memory.stat": f"anon 5\ninactive_file {GIB}"}, 2 * GIB),
        ("0::/a/b\n", {"a/memory.max": str(GIB), "a/memory.current": "0",
                       "a/b/memory.max": "max", "a/b/memory.current": "0"}, GIB),
        ("9:memory:/job\n", {"memory/job/memory.limit_in_bytes": str(2 * GIB),
                             "memory/job/memory.usage_in_bytes": str(GIB)}, GIB),
        ("0::/\n", {"memory.max": "5", "memory.current": "9"}, 0),
    ],
)  # fmt: skip
def test_the_tightest_control_group_leaves_so_much_memory(groups, monkeypatch, own, files, free):
    real = machine._text
    monkeypatch.setattr(
        machine, "_text", lambda path: "MemAvailable: 99999999999 kB" if path.name == "meminfo" else real(path)
    )
    groups(own, files)
    assert machine.free_memory() == free


def test_quota_and_memory_decide_the_number_of_workers(groups):
    groups("0::/\n", {"cpu.max": "200000 100000"})
    assert sensible_workers(100) <= 2
    groups("0::/\n", {"memory.max": str(GIB), "memory.current": "0"})
    assert sensible_workers(100) == 1


def test_the_files_are_those_of_the_system():
    assert Path("/sys/fs/cgroup") == machine._GROUPS
    assert 1 <= machine.cores() <= len(os.sched_getaffinity(0))
    assert machine.free_memory() > 0
