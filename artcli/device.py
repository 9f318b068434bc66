"""Where the work runs, and in which number format it is fastest there."""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from artcli.errors import UsageError

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cuda", "mps", "cpu")
Item = TypeVar("Item")


def choose(name: str = "auto") -> "torch.device":
    """`auto` takes the best there is; `cuda`, `cuda:1`, `mps` or `cpu` must be there.  Raises UsageError if not."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    kind, _, index = name.partition(":")
    if kind not in available or (index and not index.isdigit()):
        raise UsageError(f"there is no device '{name}'; choose one of {', '.join(CHOICES)}")
    if not available[kind]:
        there = ", ".join(k for k, ok in available.items() if ok)
        raise UsageError(f"device '{name}' is not available here; this machine has: {there}")
    if kind == "cuda" and not index and "LOCAL_RANK" in os.environ:  # under torchrun: a GPU for each process
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise UsageError(f"there is no {name}; this machine has {torch.cuda.device_count()} CUDA device(s)")
    return torch.device(name)


_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA, of AMD, of Windows below Linux


def is_processor(name: str) -> bool:
    """Whether `choose` surely takes the processor, as far as can be told without torch; False where it may not."""
    return name == "cpu" or (name == "auto" and sys.platform == "linux" and not any(Path(p).exists() for p in _GPUS))


def threads() -> int:
    """How many torch works with on the processor, as far as can be told without it."""
    import psutil

    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if told.isdigit() and int(told):
        return int(told)
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(free, psutil.cpu_count(logical=False) or free))


_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


def yield_cores() -> None:
    """Let threads that wait for others of this process sleep after some microseconds instead of milliseconds.

    While they spin they keep the core from the thread that they wait for where another program wants one, too: two
    programs took many times as long together as one after the other.  It has to come before torch, whose OpenMP reads
    this when it is loaded; what the user has set stays.
    """
    if not any(name in os.environ for name in (*_WAITING, "KMP_BLOCKTIME")):
        os.environ.update(_WAITING)


_FREED_AT, _KEPT = 32 << 20, 1 << 30  # bytes
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's <malloc.h>


def keep_memory() -> bool:
    """Let the process keep what smaller tensors leave for the next ones; whether its C library can be told.

    Otherwise glibc gives every block above 128 KiB or so back to the system, which clears it before it hands it out
    again: a twentieth of a dream's time.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Windows, macOS, musl
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _FREED_AT) and mallopt(_TRIM_THRESHOLD, _KEPT))


def import_torch() -> None:
    """Before anything else imports it, for a process that works: see `keep_memory`; and Python seeks no garbage.

    Of a million new objects nearly all stay; to go through them time and again takes a tenth of the import, and to go
    through them once, as the new ones that they are, a twentieth.
    """
    keep_memory()
    looks = gc.isenabled()
    gc.disable()
    try:
        with _without_bindings():
            import torch  # noqa: F401
    finally:
        if looks:
            _take_as_old()
            gc.enable()


@contextmanager
def _without_bindings() -> Iterator[None]:
    """Where there is no GPU, torch does without the package that speaks to CUDA's driver: a twentieth of the import."""
    left_out = is_processor("auto") and "cuda" not in sys.modules
    if left_out:
        sys.modules["cuda"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if left_out:
            del sys.modules["cuda"]


def _take_as_old() -> None:
    """Count all objects to those that Python's search for garbage goes through last."""
    if not gc.get_freeze_count():  # what others have frozen stays so
        gc.freeze()
        gc.unfreeze()


def my_share(jobs: Sequence[Item]) -> list[Item]:
    """The jobs of this process when torchrun started several (`RANK`, `WORLD_SIZE`); all of them otherwise."""
    return list(jobs)[int(os.environ.get("RANK", "0")) :: int(os.environ.get("WORLD_SIZE", "1"))]


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process does all that it is asked for itself, whatever started it beside others."""
    kept = {name: os.environ.pop(name) for name in ("RANK", "WORLD_SIZE") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def describe(device: "torch.device") -> str:
    """`cpu, 2 threads` or the GPU's name."""
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return describe_processor(torch.get_num_threads()) if device.type == "cpu" else str(device)


def describe_processor(count: int) -> str:
    """count: of threads."""
    return f"cpu, {count} thread{'s' * (count != 1)}"


def fast_dtype(device: "torch.device") -> "torch.dtype":
    """bfloat16 where the hardware multiplies it natively (elsewhere it is emulated and slow), else float32."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu":
        capable = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, check, lambda: False)() for check in capable)
        return torch.bfloat16 if native else torch.float32
    return torch.float32


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory; on the CPU it says so in a plain RuntimeError."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
