"""The child: reads files under an audit hook, a memory limit and a time limit, and tells its parent what happened.

    python probe.py SOUND

reads lines of JSON {"name", "reader", "folder"} and answers each with a line {"name", "outcome", "told", "events",
"grown"}.

With "file" and "seed" that file is damaged first, in the way the seed says; how much memory was taken ("grown", KiB)
is measured for the others only, since asking for it takes longer than reading a small file.
`outcome` is "read", "refused" or the name of an exception that is not ours. A crash or a hang ends the child; the
parent sees which file came last.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from campaigns.hostile.mutate import mutated

SECONDS = 10  # of CPU, so that a busy machine makes no hang
WAIT = 300  # seconds, for what waits for ever
MEMORY = 1 << 30  # on top of what the interpreter and the libraries take

# What reading may do; anything else counts as an event.
_READING = {"array.__new__", "os.listdir", "os.scandir", "glob.glob", "pathlib.Path.glob", "_thread.start_new_thread"}
_SETS: dict = {}
_watching = False
_events: list[str] = []


def _hook(event: str, args: tuple) -> None:
    if not _watching or event in _READING:
        return
    if event == "open" and isinstance(args[1], str) and args[1] in ("r", "rb"):
        return
    if event == "open" and args[1] is None and not args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        return
    _events.append(f"{event} {str(args)[:200]}")


def read(reader: str, folder: Path) -> str:
    """Read what the folder holds; returns a hash of what came out."""
    from noiseproof import data
    from noiseproof.data.check import check
    from noiseproof.data.dataset import fingerprint
    from noiseproof.data.readers.base import ReadingOptions
    from noiseproof.errors import DataError

    if reader in ("human", "dependent"):
        found = data.published_labels("cifar10", root=folder)
        digest = hashlib.sha256()
        for key in sorted(found):
            digest.update(key.encode() + found[key].tobytes())
        return digest.hexdigest()
    if reader == "image":
        from noiseproof.data.pipeline.decoding import opened

        return hashlib.sha256(opened(folder).tobytes()).hexdigest()
    if reader == "pickle":
        from noiseproof.data.io import safe_pickle
        from noiseproof.data.io.label_files import checked

        found = safe_pickle.read((folder / "labels.pkl").read_bytes(), str(folder))
        if not isinstance(found, dict):
            raise DataError(f"{folder}: no dict")
        return str({key: checked(value, 10, f"{folder}: {key!r}").tolist() for key, value in found.items()})
    if reader in ("own.csv", "own.npz"):
        loaded = data.load(folder / reader)
    elif reader == "folder":
        report = check(str(folder), options=ReadingOptions(strict=True))  # without it they are left out
        if not report.usable:
            raise DataError(str(report.wrong + report.unreadable))
        loaded = data.load(folder)
    else:
        loaded = _SETS[reader].load(folder)
    return fingerprint(loaded.train, loaded.test)


@functools.cache
def _content(path: str) -> bytes:
    """What a file held before the first mutation."""
    return Path(path).read_bytes()


def _memory(key: str) -> int:
    """KiB that the kernel counts under this key for us."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def main() -> None:
    import pandas  # noqa: F401  only tables with words need it, and no sound file here has any

    from noiseproof.data import DATASETS
    from noiseproof.errors import DataError

    global _watching
    _SETS.update({entry.name: DATASETS.build(entry.name) for entry in DATASETS})  # texts are parsed before the watch
    sys.addaudithook(_hook)
    warm = Path(sys.argv[1])
    for reader in sorted(path.name for path in warm.iterdir()):
        with suppress(DataError):  # every library is loaded before anything is watched
            read(reader, warm / reader)
    soft = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    print("ready", flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        _events.clear()
        result = {"name": case["name"], "told": ""}
        if "seed" in case:
            Path(case["file"]).write_bytes(mutated(_content(case["file"]), case["seed"]))
        else:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before = _memory("VmRSS")
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WAIT)
        _watching = True
        try:
            result["told"] = read(case["reader"], Path(case["folder"]))
            result["outcome"] = "read"
        except DataError as error:
            result["outcome"] = "refused"
            result["told"] = str(error)[:2000]
        except BaseException as error:
            result["outcome"] = f"{type(error).__name__}: {str(error)[:500]}"
        _watching = False
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        result["grown"] = 0 if "seed" in case else _memory("VmHWM") - before
        result["events"] = list(_events)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
