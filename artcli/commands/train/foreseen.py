"""A dry run of `artgen train`: how long the steps of a run would take, by some of them.  Nothing is written."""

import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from artcli.commands.shared.studio import tell_cost
from artcli.commands.train import begin
from artcli.console import Console, counted
from artcli.training import checkpoint, parallel, runs
from artcli.training.spec import RunSpec
from artcli.training.trainer import Plan, Trainer

_TRYING = 2.0  # seconds
_FEW = 2  # pictures of a batch that is too large to be tried whole
_PLACES = (0.9, 0.3, 0.6, 0.05)  # of the steps that are left: a discriminator may begin late, a stage be cheaper


def tell(
    backend: Any, config: Any, spec: RunSpec, pictures: Any, plan: Plan, run: Path, device: torch.device,
    console: Console, limit: float | None,
) -> None:  # fmt: skip
    """Say what the steps that are left of a run would cost.  limit: seconds, None for any.

    Raises as a start of the run does: weights are missing, the data do not fit, memory runs out.
    """
    done = checkpoint.newest(run)
    left = plan.steps - done
    if left <= 0:
        return console.info(f"dry run: {run} is finished")
    if parallel.world() > 1:
        return console.info("dry run: how long several processes take is not foreseen")
    console.info("train: trying some steps, which takes a while where one of them does")
    begun = begin.trainer(backend, config, spec, pictures, plan, run, device, console)
    seconds = left * _seconds_of_a_step(begun, done)
    what = f"{counted(left, 'step')} without looks and saving"
    tell_cost(console, [run / runs.WEIGHTS], what, min(seconds, limit or seconds), steps=left)


def _seconds_of_a_step(trainer: Trainer, done: int) -> float:
    """The mean over the run; where a batch takes long, at most so many, by a part of it.  The model is used up."""
    batch, left = trainer.plan.batch, trainer.plan.steps - done
    few = min(_FEW, batch) if getattr(trainer.source, "divides", True) else batch
    first = trainer.try_step(done, few)  # which also pays for the start
    if first > _TRYING:
        return first * batch / few
    most = few if trainer.try_step(done, few) * batch / few > _TRYING else batch
    found, began = [], time.monotonic()
    for place in _PLACES:
        found.append(trainer.try_step(done + int(place * left), most) * batch / most)
        if time.monotonic() - began > _TRYING:
            break
    return fmean(found)
