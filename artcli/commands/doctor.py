"""`artgen doctor`: what on this machine would stop artgen, and what to do about it."""

import importlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import psutil
import typer

from artcli import __version__, weights
from artcli.errors import WeightsError
from artcli.weights import human

MEMORY_WANTED = 2_000_000_000
DISK_WANTED = 1_000_000_000


class Check(NamedTuple):
    status: Literal["ok", "warn", "fail"]  # warn: something optional will not work; fail: artgen will not
    name: str
    detail: str
    advice: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False) -> None:
    """Check versions, devices, ffmpeg, weights, memory and disk.

    The exit code is 1 if anything fails.
    """
    failed = False
    for check in checks():
        failed |= check.status == "fail"
        typer.echo(json.dumps(check._asdict()) if as_json else _line(check))
    raise typer.Exit(1 if failed else 0)


def _line(check: Check) -> str:
    return f"{check.status:<4}  {check.name}: {check.detail}" + (f" -> {check.advice}" if check.advice else "")


def checks() -> Iterator[Check]:
    """All of them; one that breaks is itself a failure, and the others still run."""
    for part in (versions, devices, memory, ffmpeg, bundled, cache, folders, environment):
        yield from _guarded(part)


def _guarded(part: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from part()
    except Exception as error:
        yield Check("fail", part.__name__, f"{type(error).__name__}: {error}".split("\n")[0])


def versions() -> Iterator[Check]:
    yield Check("ok", "artgen", __version__)
    yield Check("ok", "python", f"{platform.python_version()} on {platform.platform()}")
    for module, package in (("torch", "torch"), ("torchvision", "torchvision"), ("open_clip", "open_clip_torch")):
        yield _imports(module, package)


def _imports(module: str, package: str) -> Check:
    """A version number is not enough: torch and torchvision of different builds are both there, yet do not load."""
    try:
        importlib.import_module(module)
        return Check("ok", module, version(package))
    except (ModuleNotFoundError, PackageNotFoundError):
        return Check("fail", module, "not installed", f"pip install {package}")
    except Exception as error:
        reason = str(error).split("\n")[0]
        return Check("fail", module, f"does not load: {reason}", f"install a {package} that fits your torch")


def devices() -> Iterator[Check]:
    import torch

    yield Check("ok", "cpu", f"{torch.get_num_threads()} threads on {psutil.cpu_count()} processors")
    for index in range(torch.cuda.device_count()):
        yield _cuda(index)
    if torch.backends.mps.is_available():
        yield Check("ok", "mps", "available")


def _cuda(index: int) -> Check:
    import torch

    name = f"cuda:{index}"
    try:
        torch.ones(1, device=name).add(1).item()  # a driver or a card too old shows only when something runs
        free, total = torch.cuda.mem_get_info(index)
    except Exception as error:
        reason = str(error).split("\n")[0]
        return Check("warn", name, f"does not work: {reason}", "use --device cpu, or update the driver or torch")
    return Check("ok", name, f"{torch.cuda.get_device_name(index)}, {human(free)} of {human(total)} free")


def memory() -> Iterator[Check]:
    facts = psutil.virtual_memory()
    detail = f"{human(facts.available)} of {human(facts.total)} free"
    if facts.available < MEMORY_WANTED:
        yield Check("warn", "memory", detail, "close other programs, or use a smaller --size")
    else:
        yield Check("ok", "memory", detail)


def ffmpeg() -> Iterator[Check]:
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        banner, encoders = _output(program, "-version"), _output(program, "-hide_banner", "-encoders")
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        reason = str(error).split("\n")[0]
        yield Check("warn", "ffmpeg", f"no videos: {reason}", "install ffmpeg, or name it in $IMAGEIO_FFMPEG_EXE")
        return
    name = " ".join(banner.split()[:3]).removeprefix("ffmpeg version ")
    detail = f"{name} at {program}"
    if "libx264" in encoders.split():
        yield Check("ok", "ffmpeg", f"{detail}, with libx264")
    else:
        yield Check("warn", "ffmpeg", f"{detail}, without the encoder libx264", "use an ffmpeg that has it for MP4")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=True).stdout


def bundled() -> Iterator[Check]:
    rows = [weight for weight in weights.table().values() if weight.bundled]
    if not rows:
        yield Check("warn", "bundled weights", f"none in {weights.bundled_dir()}", "install artgen again")
    for weight in rows:
        yield _verified(weight, weights.Place("bundled", weights.bundled_dir()))


def _verified(weight: weights.Weight, place: weights.Place) -> Check:
    if not place.holds(weight):
        return Check("fail", f"weights {weight.name}", f"not in {place.folder}", "install artgen again")
    try:
        weights.check(weight, place, hashes=True)
    except WeightsError as error:
        return Check("fail", f"weights {weight.name}", str(error))
    return Check("ok", f"weights {weight.name}", f"{human(weight.bytes)}, sha256 right")


def cache() -> Iterator[Check]:
    place = weights.Place("cache", weights.cache_dir() / "weights")
    names = [weight.name for weight in weights.table().values() if place.holds(weight)]
    yield _folder("cache", weights.cache_dir(), "name another folder in $ARTGEN_CACHE_DIR")
    yield Check("ok", "downloaded weights", ", ".join(names) or "none")


def folders() -> Iterator[Check]:
    yield _folder("current folder", Path.cwd(), "work in another folder, or write elsewhere with --out")


def _folder(name: str, folder: Path, advice: str) -> Check:
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check("warn", name, f"{folder} cannot be written: {error.strerror or error}", advice)
    free = shutil.disk_usage(there).free
    if free < DISK_WANTED:
        return Check("warn", name, f"{folder} has only {human(free)} free", f"free some space, or {advice}")
    return Check("ok", name, f"{folder}, {human(free)} free")


def environment() -> Iterator[Check]:
    for name, value in sorted(os.environ.items()):
        if name.startswith("ARTGEN_"):
            yield _variable(name, value)


def _variable(name: str, value: str) -> Check:
    parts = value.split(os.pathsep) if name == "ARTGEN_WEIGHTS" else []
    gone = [part for part in parts if part and not Path(part).expanduser().is_dir()]
    if gone:
        return Check("warn", name, f"{value}: no folder {', '.join(gone)}", "create it, or correct the variable")
    return Check("ok", name, value)
