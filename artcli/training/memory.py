"""How much memory a computation takes."""

from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")  # on Linux
_SLACK = 2**24  # the kernel counts a thread's pages in lots


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
    """Let the kernel forget the highest mark so far; whether it did: some sandboxes only take the order."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return 0 < _highest() <= _status("VmRSS") + _SLACK


def _highest() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)
