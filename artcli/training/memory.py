"""How much memory a computation takes."""

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")  # on Linux


def peak(device: torch.device, compute: Callable[[], object]) -> int:
    """The most bytes that torch on this GPU, or else the whole process, holds while `compute` runs; 0 if unknown."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        compute()
        return torch.cuda.max_memory_allocated(device)
    known = device.type == "cpu" and _forget()
    compute()
    return _highest() if known else 0


def _forget() -> bool:
    """Let the kernel forget the highest mark so far; whether it can.

    What the process keeps of earlier computations goes back first (see `device.keep_memory`): this one would use it up
    unseen.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS, Windows, musl
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return _highest() > 0


def _highest() -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
