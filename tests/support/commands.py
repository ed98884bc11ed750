"""Command lines run in processes of their own that have torch loaded already."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

__all__ = ["run_command"]

_PRELOADED = ["noiseproof.cli.app", "noiseproof.train", "noiseproof.doctor", "noiseproof.artifacts.export"]
_PRELOADED += ["torch._dynamo", "torch.onnx._internal.exporter", "onnxscript", "onnxruntime"]  # seconds each


def run_command(words: list[str]) -> tuple[int | None, str]:
    """Run `noiseproof WORDS` in this folder; give its exit code and what it printed.

    A fork of a server that has imported the package saves the seconds that each start takes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        process = context.Process(target=_run, args=(words, str(output), os.getcwd(), dict(os.environ)))
        process.start()
        process.join()
        return process.exitcode, output.read_text() if output.exists() else ""


def _run(words: list[str], output: str, folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update({**environment, "OMP_NUM_THREADS": "1"})
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    import torch

    from noiseproof.cli import main

    torch.set_num_threads(1)
    sys.argv = ["noiseproof", *words]
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
