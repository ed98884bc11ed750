"""Processors and memory that this process may use, by the machine and by its control groups.

Control groups (version 1 or 2, possibly nested) limit what a container may use: the tightest of them counts.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cores", "free_memory", "processor_name"]

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def cores() -> int:
    """Processors, at least 1: those that the scheduler allows, and no more than the quota of processor time."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(int(quota) for quota in _quotas())]))


def processor_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def free_memory() -> int:
    """Bytes that are free, or would be if cached files were dropped."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable"):
            free = int(line.split()[1]) << 10
    return max(0, min([free, *_rooms()]))


def _quotas() -> Iterator[float]:
    """Processors' worth of time that each control group grants."""
    for folder in _folders(""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)
    for folder in _folders("cpu"):
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _rooms() -> Iterator[int]:
    """Bytes that each control group leaves free."""
    kinds = [("", "memory.max", "memory.current", "inactive_file")]
    kinds += [("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")]
    for controller, limit, usage, cached in kinds:
        for folder in _folders(controller):
            most, used = _text(folder / limit), _text(folder / usage)
            if most.isdecimal() and used.isdecimal():
                words = dict(line.split()[:2] for line in _text(folder / "memory.stat").splitlines() if " " in line)
                yield int(most) - int(used) + int(words.get(cached, 0))


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those around it; a controller's name is of version 1."""
    for line in _text(_OWN).splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller in names.split(","):
            root = _GROUPS / names if controller else _GROUPS
            root = root if root.is_dir() or not controller else _GROUPS / controller
            # In a container the path may be the host's, of which only the end, or nothing, can be seen.
            inner = root / path.strip("/")
            yield from (folder for folder in [inner, *inner.parents] if folder.is_relative_to(root) and folder.is_dir())


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
