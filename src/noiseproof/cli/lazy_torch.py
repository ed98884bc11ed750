"""torch, loaded at its first use: a bad file is refused before the seconds that loading takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["lazy_torch"]


class _Unloaded(ModuleType):
    """A module that runs its code when an attribute is missing; importlib's LazyLoader does so at every `import`."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


@contextmanager
def lazy_torch() -> Iterator[None]:
    """Let `import torch` return at once until the block ends, then load it; an error that leaves the block does not.

    Only `noiseproof.data` is imported in such a block: it imports torch and none of its submodules.
    """
    spec = None if "torch" in sys.modules else find_spec("torch")
    if spec is None:
        yield
        return
    module = module_from_spec(spec)
    module.__class__ = _Unloaded
    sys.modules["torch"] = module
    yield
    assert module.Tensor  # loads it: from here on there may be threads
