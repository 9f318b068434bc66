"""What `artgen train` does once it knows what to train: open the data, go on or begin, save, report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from artcli import device as devices
from artcli.commands.shared.loop import interruptible
from artcli.commands.train import configure, foreseen, metrics
from artcli.commands.train.request import Request
from artcli.commands.train.session import Session
from artcli.console import Console, counted, duration
from artcli.errors import UsageError
from artcli.media import claims, files
from artcli.training import (
    checkpoint,
    inherit,
    parallel,
    runs,
    source,
    to_onnx,
    trackers,
)
from artcli.training.clock import Clock
from artcli.training.spec import RunSpec
from artcli.training.trainer import Plan

ROOT = Path("runs")


def run(request: Request, console: Console) -> None:
    """Train to the end of the run, or until the clock or the user stops it.

    Raises UsageError for what the model or the data cannot do, ArtgenError for what fails, Interrupted after Ctrl-C.
    """
    backend, config = configure.model_of(request.options)
    with interruptible() as stop, stop.at_once():  # the steps wait for a signal themselves
        carry_out(backend, config, request, console)


def carry_out(backend: Any, config: Any, request: Request, console: Console) -> None:
    """Open the data, go on or begin.  backend: the model's module.  config: its settings."""
    if hasattr(backend, "settle"):
        config = backend.settle(config)
    asked, spec, clock = request.options, request.spec(config), Clock(request.limit, request.started)
    onnx = asked.export == "onnx"
    if onnx:
        to_onnx.check(spec.model)
    device = devices.choose(asked.device)
    parallel.start(device)
    console = console if parallel.rank() == 0 else Console(quiet=True)
    measure = metrics.load(asked, backend, device) if not asked.dry_run and parallel.rank() == 0 else None
    check = _tried(time.monotonic()) if asked.dry_run else clock.check_reading
    try:
        pictures, spec = source.open(backend, config, spec, console.info, console.warn, check)
    except _Tried as found:
        return console.info(f"dry run: {spec.model} on {spec.data.name}, {devices.describe(device)}; {found}")
    steps = source.steps(config, spec, pictures)
    run = runs.choose(asked.out, ROOT, spec, accept_changes=asked.accept_changes)
    if not checkpoint.exists(run):
        inherit.check(backend, config, spec)
    long = counted(steps, "step")
    console.info(f"train: {spec.model} on {spec.data.name}, {long}, seed {spec.seed}, to {run}")
    console.info(f"train: {devices.describe(device)}{_processes()}")
    plan = _plan(spec, config, steps, device, console)
    if asked.dry_run:
        return foreseen.tell(backend, config, spec, pictures, plan, run, device, console, request.limit)
    with _alone(run):
        how: dict[str, Any] = {"clock": clock, "patience": asked.patience, "onnx": onnx, "measure": measure}
        session = Session(backend, config, spec, pictures, plan, run, device, console, **how)
        tracks = list(asked.track) if parallel.rank() == 0 else []
        tracked = trackers.Trackers(tracks, run, spec.as_dict(), step=session.trainer.step)
        try:
            session.train(tracked)
        finally:
            for line in tracked.close():
                console.warn(line)
            parallel.stop()


def _plan(spec: RunSpec, config: Any, steps: int, device: torch.device, console: Console) -> Plan:
    """Raises UsageError for a precision that the device does not have."""
    precision = spec.trainer.precision
    if precision == "fp16" and device.type != "cuda":
        raise UsageError(f"--precision fp16 needs a CUDA GPU, this is {device.type}; use bf16 or fp32")
    if precision == "bf16" and devices.fast_dtype(device) != torch.bfloat16:
        console.warn(
            f"this {device.type} emulates bf16, which takes many times longer; --precision fp32 is faster here"
        )
    clip = getattr(config, "clip_gradient", 0.0)
    bound = getattr(config, "memory", 0.0)
    micro = spec.trainer.accumulate
    return Plan(steps, config.batch, spec.seed, micro=micro, precision=precision, clip=clip, memory=bound)


class _Tried(Exception):
    """A dry run has seen enough of how pictures are read."""


def _tried(began: float) -> Callable[[int, int], None]:
    """For `source.open`, which asks after some seconds for the first time."""

    def check(done: int, total: int) -> None:
        if done == 0:
            raise _Tried(f"{total} pictures have to be read, or another start is reading them")
        seconds = (time.monotonic() - began) * total / done
        raise _Tried(f"reading {total} pictures, which only the first start does, takes about {duration(seconds)}")

    return check


def _processes() -> str:
    return f", {parallel.world()} processes" if parallel.world() > 1 else ""


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Only one `artgen train` at a time writes to a run folder; of several processes of one, the first does."""
    if parallel.rank() != 0:
        yield
        return
    lock = FileLock(run / ".lock", timeout=0)
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UsageError(f"another process is training {run}; wait for it or choose another --out") from None
    except OSError as error:
        raise UsageError(f"cannot write into the run folder {run}: {files.reason(error)}") from error
    try:
        for folder in (run, *filter(Path.is_dir, run.iterdir())):
            claims.sweep(folder)
        yield
    finally:
        lock.release()
