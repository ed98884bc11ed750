"""Coverage-guided fuzzing of the pickle reader: `python tests/campaigns/fuzz_pickle.py CORPUS -max_total_time=3600`.

CORPUS is a folder that keeps what reached something new; the options are libFuzzer's. It ends with the first input
that is answered by anything but data or a DataError, or that makes the reader import, run, open or connect.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["noiseproof.data.io.safe_pickle"]):
    from noiseproof.data.io import safe_pickle
from noiseproof.errors import DataError

_watching = False


def hook(event: str, args: tuple[object, ...]) -> None:
    if _watching and event.startswith(
        ("import", "exec", "compile", "open", "os.", "subprocess.", "socket.", "ctypes.")
    ):
        raise RuntimeError(f"reading a pickle led to {event} {str(args)[:200]}")


def arrays(thing: object, depth: int = 0) -> None:
    """Make an array of everything that might be one."""
    if isinstance(thing, safe_pickle.Made):
        safe_pickle.array(thing, "fuzz")
    elif isinstance(thing, dict | list | tuple) and depth < 3:
        for inner in [*(thing.values() if isinstance(thing, dict) else thing)][:20]:
            arrays(inner, depth + 1)


def read(blob: bytes) -> None:
    """What every input meets."""
    global _watching
    _watching = True
    try:
        arrays(safe_pickle.read(blob, "fuzz"))
    except DataError:
        pass
    finally:
        _watching = False


def sow(corpus: Path) -> None:
    """Small sound files to begin with: CIFAR's and CIFAR-N's, in the protocols that they come in."""
    corpus.mkdir(parents=True, exist_ok=True)
    batch = {b"data": np.arange(12, dtype=np.uint8).reshape(2, 6), b"labels": [1, 2], b"filenames": [b"a", b"b"]}
    human = {"clean_label": np.arange(3), "worse_label": np.zeros(3, np.int32), "coarse": [0, 1, 2]}
    for protocol in (2, 3, 4, 5):
        for name, content in (("batch", batch), ("human", human), ("names", {"label_names": ["cat", "dog"]})):
            (corpus / f"{name}-{protocol}").write_bytes(pickle.dumps(content, protocol))


if __name__ == "__main__":
    sow(Path(sys.argv[1]))
    sys.addaudithook(hook)
    atheris.Setup([sys.argv[0], *sys.argv[1:], "-rss_limit_mb=2048", "-timeout=10"], read)
    atheris.Fuzz()
