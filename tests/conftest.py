"""Shared by all tests: seeds, threads, and where the real data lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
os.environ.setdefault("NOISEPROOF_CACHE", "off")  # no test writes into the user's cache
# No test depends on the machine's speed, nor on what an earlier run found; a long campaign draws anew and says what.
fresh = bool(os.environ.get("NOISEPROOF_CAMPAIGN"))
hypothesis.settings.register_profile("all", deadline=None, database=None, derandomize=not fresh, print_blob=fresh)
hypothesis.settings.load_profile("all")
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where this process was started to ignore it

# torchvision has no build beside this torch: it imports once these two operators exist (they are never called).
TORCHVISION = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    TORCHVISION.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

ROOT = Path(__file__).resolve().parents[1]
collect_ignore = [
    "campaigns/fuzz_pickle.py"
]  # a program of test_fuzz_pickle.py's; it imports what only a campaign installs


def seeded(seed: int) -> torch.Generator:
    """A generator of its own for every draw."""
    return torch.Generator().manual_seed(seed)


def count(quick: int, ci: int) -> int:
    """How often a test repeats: `quick` by default, `ci` where CI is set, N times `ci` in `./test --campaign N`.

    NOISEPROOF_SHARE, from 0 to 1, takes that share of `ci`, `quick` at least.
    """
    campaign = os.environ.get("NOISEPROOF_CAMPAIGN")
    if campaign:
        return int(campaign) * ci
    if os.environ.get("CI"):
        return max(quick, round(ci * float(os.environ.get("NOISEPROOF_SHARE", "1"))))
    return quick


def size() -> str:
    """Which of the three sizes runs."""
    if campaign := os.environ.get("NOISEPROOF_CAMPAIGN"):
        return f"./test --campaign {campaign}"
    if not os.environ.get("CI"):
        return "./test"
    share = float(os.environ.get("NOISEPROOF_SHARE", "1"))
    return "CI=true ./test" if share == 1 else f"{share:.0%} of CI=true ./test"


# What was done, counted by the tests themselves; NOISEPROOF_COUNTS=FILE keeps it, for `scripts/trust`.

_done: dict[str, int] = defaultdict(int)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """`tally("training processes killed", 200)`: counts if the test passes; several tests may add to one count."""
    return lambda what, number: record_property(f"tally: {what}", number)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        for what, number in report.user_properties:
            if what.startswith("tally: "):
                _done[what.removeprefix("tally: ")] += int(str(number))


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = os.environ.get("NOISEPROOF_COUNTS")
    if path and _done and not hasattr(session.config, "workerinput"):  # the process that heard all the others
        kept = json.loads(Path(path).read_text()) if Path(path).is_file() else {}
        kept |= {what: {"count": n, "by": size(), "on": time.strftime("%Y-%m-%d")} for what, n in _done.items()}
        Path(path).write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data files (packed CIFAR, CIFAR-N, instance-dependent labels, WebVision lists)."""
    folder = Path(os.environ.get("NOISEPROOF_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set NOISEPROOF_DATA=DIR")
    return folder


@pytest.fixture(scope="session")
def cifar_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cifar-10-batches-py and cifar-100-python, unpacked once a session (or as they lie there)."""
    if (real_data / "cifar-10-batches-py").is_dir() and (real_data / "cifar-100-python").is_dir():
        return real_data
    if not (real_data / "unpack.py").is_file():
        pytest.skip(f"{real_data} holds neither cifar-10-batches-py nor unpack.py")
    # One copy for all test processes of this user, made whole or not at all.
    target = Path(os.environ.get("NOISEPROOF_UNPACKED") or tmp_path_factory.getbasetemp().parent / "cifar-unpacked")
    if (
        not (target / "cifar-100-python" / "meta").is_file()
        or not (target / "cifar-10-batches-py/batches.meta").is_file()
    ):
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, real_data / "unpack.py", "all", target], check=True, capture_output=True)
    return target
