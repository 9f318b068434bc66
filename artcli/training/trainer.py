"""The one trainer: steps a task's optimizers, checkpoints, resumes at the same bytes.

All randomness of a step comes from a generator seeded by (seed, step), so a run continued at step k repeats exactly
what the uninterrupted run did from step k on; there is no random state or sampler position to save.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import nn

from artcli.errors import ArtgenError
from artcli.training import checkpoint


class Task(Protocol):
    modules: nn.ModuleDict
    optimizers: dict[str, torch.optim.Optimizer]

    def learning_rate(self, step: int) -> dict[str, float]: ...
    def train_step(self, step: int, rng: torch.Generator) -> Iterator[tuple[str, torch.Tensor]]: ...
    def after_step(self, step: int) -> None: ...
    def validate(self, step: int) -> dict[str, float]: ...
    def export(self, folder: Path) -> None: ...


class Progress(NamedTuple):
    """step: steps done; losses by optimizer, smoothed; seconds per step, smoothed."""

    step: int
    total: int
    losses: dict[str, float]
    seconds: float
    validation: dict[str, float] | None = None


def step_rng(seed: int, step: int) -> torch.Generator:
    """The generator of one step; also seeds torch's global one, for dropout."""
    mixed = (seed * 1_000_003 + step) % 2**63
    torch.manual_seed(mixed)
    return torch.Generator().manual_seed(mixed)


def train(task: Task, run: Path, total: int, *, seed: int, save_every: int, validate_every: int) -> Iterator[Progress]:
    """Train to step `total`, going on from the run folder's checkpoint if there is one.

    Yields after every step; whoever iterates may stop at any time and call `save` itself.
    Raises ArtgenError when a loss is not finite: the last checkpoint stays as it was.
    """
    base = {name: [g["lr"] for g in o.param_groups] for name, o in task.optimizers.items()}
    step = checkpoint.load(run, task.modules, task.optimizers)
    losses: dict[str, float] = {}
    seconds = 0.0
    while step < total:
        started = time.monotonic()
        for name, loss in run_step(task, step, seed, base):
            losses[name] = loss if name not in losses else 0.98 * losses[name] + 0.02 * loss
        step += 1
        elapsed = time.monotonic() - started
        seconds = elapsed if seconds == 0 else 0.95 * seconds + 0.05 * elapsed
        validation = None
        if step % validate_every == 0 or step == total:
            validation = task.validate(step)
            log(run, {"step": step, **losses, **validation, "seconds_per_step": seconds})
        if step % save_every == 0 or step == total:
            checkpoint.save(run, step, task.modules, task.optimizers)
        yield Progress(step, total, dict(losses), seconds, validation)
    task.export(run / "model")


def run_step(task: Task, step: int, seed: int, base: dict[str, list[float]]) -> Iterator[tuple[str, float]]:
    """One step of every optimizer that the task yields; the losses as numbers."""
    factors = task.learning_rate(step)
    for name, loss in task.train_step(step, step_rng(seed, step)):
        value = loss.item()
        if value != value or value in (float("inf"), float("-inf")):
            raise ArtgenError(f"the {name} loss is {value} at step {step}; resume with a lower learning rate")
        optimizer = task.optimizers[name]
        for group, rate in zip(optimizer.param_groups, base[name], strict=True):
            group["lr"] = rate * factors[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 5.0)
        optimizer.step()
        yield name, value
    task.after_step(step)


def log(run: Path, row: dict) -> None:
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + "\n")
