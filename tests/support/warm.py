"""Commands in forks of one warm process, so that a page of ten commands imports torch once: `run(words)`.

`python -m support.warm` is that process: it takes a line of JSON for each command and answers with the exit code.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MODULES = (
    "noiseproof.artifacts", "noiseproof.doctor", "noiseproof.experiments.execution", "sklearn.ensemble",
    "torch._dynamo", "torch.export._trace", "torch.onnx._internal.exporter", "onnxscript", "onnxruntime",
)  # fmt: skip


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    """`noiseproof WORDS` in the current folder: its exit code and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        request = {"words": words, "here": os.getcwd(), "prints": folder}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = ((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(words, code, out, err)


@cache
def _server() -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    words = [sys.executable, "-m", "support.warm"]
    server = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=TESTS
    )
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    server.wait()


def _serve() -> None:
    for name in MODULES:
        with suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1, "a fork would lose a thread"
    for line in sys.stdin:
        request = json.loads(line)
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            _command(**request)


def _command(words: list[str], here: str, prints: str) -> None:
    from noiseproof.cli import main

    for number, name in ((0, os.devnull), (1, f"{prints}/stdout"), (2, f"{prints}/stderr")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    os.chdir(here)
    sys.argv, sys.path[0] = ["noiseproof", *words], ""
    main()
    sys.exit(0)


if __name__ == "__main__":
    _serve()
