"""Device configuration of a run: device, precision, deterministic or fast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from noiseproof.errors import InputError, MachineError, one_of
from noiseproof.runtime.isolation import Setting, isolated, process_wide, products

__all__ = ["DEVICES", "MODES", "PRECISIONS", "DeviceConfig", "flags", "resolve_device"]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "tf32", "bf16")
MODES = ("deterministic", "fast")


@dataclass(frozen=True)
class DeviceConfig:
    """The device of a run and the arithmetic it uses there.

    Attributes:
        device: "cpu", "mps" or a CUDA device.
        precision: "fp32"; "tf32" (CUDA: float32 with 10-bit mantissas in products); "bf16" (autocast).
        channels_last: how images lie in memory; the faster way for convolutions in bf16.
    """

    device: torch.device
    precision: str
    channels_last: bool

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of four-dimensional tensors here."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def laid_out(self, inputs: Tensor) -> Tensor:
        """A batch as it lies in memory here."""
        return inputs.contiguous(memory_format=self.memory_format) if inputs.dim() == 4 else inputs

    def __str__(self) -> str:
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return str(self.device)


def resolve_device(device: str, precision: str, network: nn.Module) -> DeviceConfig:
    """Resolve the device configuration of a run; "auto" takes the fastest device, and bf16 where it pays.

    Raises:
        UnknownNameError: no such device or precision.
        InputError: the device cannot compute in this precision.
        MachineError: the device is not here.
    """
    kind = one_of(
        "device", device.partition(":")[0], DEVICES, synonyms={"gpu": "cuda", "nvidia": "cuda", "metal": "mps"}
    )
    one_of("precision", precision, PRECISIONS)
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        kind = device = next(each for each in ("cuda", "mps", "cpu") if here[each])
    if not here[kind]:
        raise MachineError(f"this machine has no {kind} device that torch {torch.__version__} can use; try device=cpu")
    if precision == "tf32" and kind != "cuda":
        raise InputError(f"precision tf32 exists on CUDA devices only, not on {kind}; write precision=fp32")
    # bf16 pays where convolutions dominate; a perceptron spends its time between the kernels.
    convolutional = any(isinstance(module, nn.Conv2d) for module in network.modules())
    if precision == "auto":
        precision = "bf16" if convolutional and _fast_bf16(kind) else "fp32"
    return DeviceConfig(torch.device(device), precision, channels_last=convolutional)


def _fast_bf16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return kind == "cpu" and bool(found.get("avx512_bf16") or found.get("amx_bf16"))


@contextmanager
def flags(mode: str, config: DeviceConfig) -> Iterator[None]:
    """Set torch's global switches for a run and put them back afterwards, isolated from what surrounds it.

    "deterministic": the same run gives the same bits on the same machine and thread count. "fast": algorithms may be
    chosen by trial and sums may differ in order.
    """
    one_of("mode", mode, MODES)
    exact, memory = mode == "deterministic", cast(Any, torch.utils.deterministic)
    if exact and config.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    wanted: dict[Setting, Any] = {
        _DETERMINISTIC: (exact, False),
        _setting(memory, "fill_uninitialized_memory"): False,  # nothing here reads uninitialised memory
        _setting(torch.backends.cudnn, "deterministic"): exact,
        _setting(torch.backends.cudnn, "benchmark"): not exact,
    }
    if config.device.type == "cuda":
        wanted[_setting(torch.backends.cudnn, "allow_tf32")] = config.precision != "fp32"
        wanted[products(torch.backends.cuda.matmul)] = "ieee" if config.precision == "fp32" else "tf32"
    with isolated(), process_wide("determinism", wanted):
        yield


_DETERMINISTIC = Setting(
    lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
    lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
)


def _setting(owner: Any, name: str) -> Setting:
    return Setting(partial(getattr, owner, name), partial(setattr, owner, name))
