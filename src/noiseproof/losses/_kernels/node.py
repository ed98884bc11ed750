"""The C++ node of autograd (node.cpp): compiled on request for the torch that is installed, kept in the user's cache.

Optional: with small batches Python's share of a call is most of it, and the node takes that away. Without it
autograd.py does the same. A compiled node belongs to one torch, one Python and one version of its source, which its
file's name says; another torch does not find it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from noiseproof.errors import MachineError
from noiseproof.losses._kernels import cpu
from noiseproof.losses._kernels.autograd import gradient_of_plan
from noiseproof.losses._kernels.plan import AnyLoss, parameters, plan

__all__ = ["Answer", "build_node", "load", "place"]

Answer = Callable[[AnyLoss, Tensor, Tensor], Tensor | None]
"""The loss of the given labels; None where Python must answer."""

_HERE = Path(__file__).parent
_SOURCES = (_HERE / "node.cpp", _HERE / "call.h")


def place() -> Path | None:
    """The file of the node for this torch; None where $NOISEPROOF_CACHE is "off"."""
    chosen = os.environ.get("NOISEPROOF_CACHE")
    if chosen == "off":
        return None
    folder = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noiseproof"
    parts = [torch.__version__, torch.version.git_version, str(sys.implementation.cache_tag), platform.machine()]
    name = hashlib.sha256("\0".join(parts).encode())
    for source in _SOURCES:
        name.update(source.read_bytes())
    return folder / "node" / f"{name.hexdigest()[:24]}.so"


def load() -> Answer | None:
    """The node's `answer`, if one was compiled for this torch; NOISEPROOF_NODE=0 leaves it out."""
    try:
        path = place()
    except (OSError, RuntimeError):  # no home, or installed without the source
        return None
    if path is None or cpu.kernel is None or os.environ.get("NOISEPROOF_NODE") == "0" or not _is_own(path):
        return None
    try:
        return _connected(path)
    except (ImportError, OSError, MachineError):
        return None


def build_node(compiler: str | None = None) -> Path:
    """Compile the C++ node of autograd for the torch that is installed; takes about a minute, and is used from the
    next start of Python on.

    With small batches (128 x 10) a loss then takes about half of what it takes without, and less than
    `torch.nn.functional.cross_entropy`. Nothing else changes.

    Args:
        compiler: the C++ compiler, such as "clang++"; unless given, that of $CXX, c++ or g++.

    Returns:
        The file, in $NOISEPROOF_CACHE or ~/.cache/noiseproof.

    Raises:
        MachineError: there is no C++ compiler, or it fails; the package goes on working without the node.
    """
    path = place()
    if path is None:
        raise MachineError("NOISEPROOF_CACHE is off: name a folder in it to keep the compiled node")
    if cpu.kernel is None:
        raise MachineError("the package was installed without a C compiler: install one, then the package again")
    usual = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")
    compiler = shutil.which(compiler) if compiler else usual
    if compiler is None or sys.platform == "win32":
        raise MachineError("the node needs a C++ compiler such as g++ (or one named by $CXX), on Linux or macOS")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / "node.so"
        done = subprocess.run([compiler, *_arguments(made)], capture_output=True, text=True, check=False)  # noqa: S603 - the compiler, on the package's own source
        if done.returncode:
            raise MachineError(
                f"{compiler} cannot compile the node for torch {torch.__version__}:\n{_end(done.stderr)}"
            )
        made.chmod(0o755)
        _connected(made)  # it loads, and is for this torch
        made.replace(path)
    return path


def _arguments(output: Path) -> list[str]:
    from torch.utils.cpp_extension import include_paths, library_paths

    headers = [*include_paths(), sysconfig.get_paths()["include"]]
    libraries = [f"-l{name}" for name in ("torch_python", "torch_cpu", "torch", "c10")]
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    return [
        *("-std=c++20", "-O2", "-w", "-fPIC", "-shared", "-fvisibility=hidden", abi),
        *(f"-I{folder}" for folder in headers),
        *(str(_SOURCES[0]), "-o", str(output)),
        *(f"-L{folder}" for folder in library_paths()),
        *libraries,
        *undefined,
    ]


def _connected(path: Path) -> Answer:
    """The `answer` of a compiled node, joined to the kernel."""
    loader = ExtensionFileLoader("noiseproof.losses._kernels._node", str(path))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module: ModuleType = module_from_spec(spec)
    loader.exec_module(module)
    if torch.__version__.partition("+")[0] != module.torch:
        raise MachineError(f"the node was compiled for torch {module.torch}, and this is {torch.__version__}")
    module.connect(cpu.kernel.run_call, plan, _parameters, gradient_of_plan)
    answer: Answer = module.answer
    return answer


def _parameters(cls: type) -> tuple[str, ...] | bool | None:
    """The names of a loss's parameters; True of a sum, whose terms have them; None of what is not the package's own."""
    return (cls.__module__, cls.__qualname__) == ("noiseproof.losses.base", "WeightedSum") or parameters(cls)


def _is_own(path: Path) -> bool:
    """True if the file is there, and nobody else may write it."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _end(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "error" in line)[:2000] or text[-2000:]
