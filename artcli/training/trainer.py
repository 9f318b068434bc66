"""The one trainer: steps a model's optimizers in turn, and resumes from checkpoints to the same bytes.

All randomness of a step, the choice of its pictures included, comes from a generator seeded by (seed, step).  So a run
resumed at step k repeats exactly what the uninterrupted run did from step k on, without any saved random state or
sampler position, and the number of processes may change in between.
"""

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError
from artcli.training import finished, memory, parallel, watch
from artcli.training.contract import Batch
from artcli.training.spec import PRECISIONS


class BatchSource(Protocol):
    """Where batches come from; `artcli.training.data.Dataset` is one."""

    def batch(self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None) -> Any: ...
    def validation(self, size: int, *, device: torch.device, limit: int | None = None) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Plan:
    """How a run is carried out.

    steps: of the whole run.  batch: pictures a step, of all processes together.  micro: parts that a process computes
    one after the other.  precision: one of PRECISIONS.  clip: largest norm of the gradients of an optimizer, 0 for any.
    memory: GB that a step may take, 0 for any; what takes more is computed in more parts.
    """

    steps: int
    batch: int
    seed: int = 0
    micro: int = 1
    precision: str = "fp32"
    clip: float = 0.0
    memory: float = 0.0


class StepDone(NamedTuple):
    """step: steps done.  losses: of the last step, by optimizer, and the model's own metrics."""

    step: int
    total: int
    losses: dict[str, float]


def step_rng(seed: int, step: int) -> torch.Generator:
    """The generator of one step; also seeds torch's global one, for dropout."""
    mixed = (seed * 1_000_003 + step) % 2**63
    torch.manual_seed(mixed)
    return torch.Generator().manual_seed(mixed)


class Trainer:
    """A model with its optimizers, the running mean of its weights, and the step it has reached."""

    def __init__(self, model: Any, source: BatchSource, plan: Plan, device: torch.device):
        self.model, self.source, self.plan, self.device = model, source, plan, device
        parallel.same_everywhere(model)
        self.optimizers: dict[str, torch.optim.Optimizer] = model.optimizers()
        self.rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimizers.items()}
        self.decay = float(getattr(model, "average", 0.0))
        self.average = _finished_copy(model).eval().requires_grad_(False) if self.decay else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == "fp16")
        self.step, self.micro = 0, plan.micro
        self.lately: dict[str, deque[float]] = {}  # losses of the last steps

    @property
    def shown(self) -> Any:
        """The model that pictures are drawn from."""
        return self.model if self.average is None else self.average

    # --- steps ------------------------------------------------------------------------------------------------------

    def run(self) -> Iterator[StepDone]:
        """Train to the end of the plan, yielding after every step; whoever iterates may stop and save at any time.

        Raises ArtgenError when memory runs out for single pictures, or a loss is no number any more.
        """
        while self.step < self.plan.steps:
            losses = self._in_memory(lambda: self._advance(self.model, self.step, self._step_optimizer))
            self._after(self.step)
            self.step += 1
            yield StepDone(self.step, self.plan.steps, losses)

    def try_step(self, step: int, most: int) -> float:
        """Seconds of a step, of which the model learns; most: pictures of its batch that it computes."""
        started = time.monotonic()
        self._in_memory(lambda: self._advance(self.model, step, self._step_optimizer, most))
        self._after(step)
        return time.monotonic() - started

    def rehearse(self) -> dict[str, int]:
        """Compute the most expensive step of every stage once, so that a lack of memory shows at the start.

        It uses a copy of the model: the model does not change, and the copy takes about the memory of the optimizers.
        Returns the bytes that each stage takes, 0 where they are unknown; nothing for a model without stages.
        """
        stages = getattr(self.model, "stages", None)
        if stages is not None:
            return {name: self._rehearse_within(step) for name, step in stages(self.plan.steps).items()}
        self._rehearse(getattr(self.model, "worst_step", lambda total: 0)(self.plan.steps))
        return {}

    def _rehearse(self, step: int) -> None:
        actor = copy.deepcopy(self.model)
        self._in_memory(lambda: self._advance(actor, step, lambda name: None))

    def _rehearse_within(self, step: int) -> int:
        """In so many parts that it takes no more than the plan allows; a run that goes on keeps the parts it had."""
        while True:
            taken = memory.peak(self.device, lambda: self._rehearse(step))
            fits = not self.plan.memory or taken <= self.plan.memory * 2**30
            if fits or self.step > 0 or self.micro >= self.plan.batch:
                return taken
            self.micro *= 2

    def _in_memory(self, compute: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Compute in more and smaller parts when memory runs out; together they are the same batch."""
        while True:
            try:
                return compute()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro >= self.plan.batch:
                    raise ArtgenError("out of memory with one picture at a time; try a smaller size") from error
                self.micro *= 2
                for optimizer in self.optimizers.values():
                    optimizer.zero_grad(set_to_none=True)

    def _advance(
        self, model: Any, step: int, finish: Callable[[str], None], most: int | None = None
    ) -> dict[str, float]:
        """One step: every part of the batch computes an optimizer's loss before that optimizer steps.

        most: pictures of it, None for all.
        """
        self._set_rates(step)
        if hasattr(model, "begin"):
            model.begin(step)
        model.train()
        first, count = parallel.share(self.plan.batch)
        count = min(count, most or count)
        batch = self.source.batch(step, self.plan.batch, device=self.device, first=first, count=count)
        step_rng(self.plan.seed, step)
        parts = batch.split(self.micro)
        running = [model.train_step(part) for part in parts]
        losses: dict[str, float] = {}
        while (name := self._backward(parts, running, losses)) is not None:
            lately = self.lately.setdefault(name, deque(maxlen=100))
            lately.append(losses[name])
            if not math.isfinite(losses[name]):
                raise ArtgenError(watch.diagnose_nan(step + 1, name, lately, self.plan.precision))
            finish(name)
        return losses | {k: float(v) for k, v in getattr(model, "metrics", {}).items()}

    def _backward(self, parts: list[Batch], running: list[Iterator], losses: dict[str, float]) -> str | None:
        """Gradients of the next optimizer's loss, summed over the parts; its name, None after the last one."""
        name, total = "", torch.zeros((), device=self.device)
        for part, steps in zip(parts, running, strict=True):
            with self._autocast():
                due = next(steps, None)
            if due is None:
                return None
            name, loss = due
            if part is parts[0]:
                self.optimizers[name].zero_grad(set_to_none=True)
            weighted = loss * (len(part) / part.whole)
            self.scaler.scale(weighted).backward()
            total += weighted.detach()
        losses[name] = parallel.all_sum(total).item()
        return name

    def _step_optimizer(self, name: str) -> None:
        optimizer = self.optimizers[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        parallel.sum_gradients(parameters)
        if self.plan.clip:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, self.plan.clip)
        self.scaler.step(optimizer)

    def _after(self, step: int) -> None:
        self.scaler.update()
        if hasattr(self.model, "after_step"):
            self.model.after_step(step)
        if self.average is not None:
            _move(self.average, self.model, min(self.decay, (1 + step) / (10 + step)))

    def _set_rates(self, step: int) -> None:
        schedule = getattr(self.model, "learning_rate", None)
        if schedule is None:
            return
        factors = schedule(step, self.plan.steps)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * factors.get(name, 1.0)

    def _autocast(self):
        dtype = getattr(torch, PRECISIONS[self.plan.precision])
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    # --- between steps ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, limit: int | None = None, stop: Callable[[], bool] = bool) -> dict[str, float] | None:
        """Mean losses of the held-out pictures; empty when none are held out.

        stop: asked after every batch, whether to give up, as soon as any process wants to: then there are none.
        """
        sums: dict[str, float] = {}
        seen: dict[str, int] = {}
        self.shown.eval()
        for batch in self.source.validation(self.plan.batch, device=self.device, limit=limit):
            for name, value in self.shown.validate(batch).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
                seen[name] = seen.get(name, 0) + len(batch)
            if parallel.any_of(stop(), self.device):
                return None
        return {name: value / seen[name] for name, value in sums.items()}

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on besides the plan."""
        return {
            "step": self.step,
            "micro": self.micro,
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "scaler": self.scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Raises ArtgenError when the state belongs to another model."""
        try:
            self.model.load_state_dict(state["model"])
            if self.average is not None:
                finished.load(self.average, state["average"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            self.scaler.load_state_dict(state["scaler"])
            self.step, self.micro = int(state["step"]), int(state["micro"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ArtgenError(f"the checkpoint belongs to another model ({reason}); choose another --out") from error


def _finished_copy(model: Any) -> Any:
    """A copy in which the modules that only training needs are None."""
    left_out = {name: getattr(model, name) for name in finished.left_out(model)}
    try:
        for name in left_out:
            setattr(model, name, None)
        return copy.deepcopy(model)
    finally:
        for name, module in left_out.items():
            setattr(model, name, module)


@torch.no_grad()
def _move(mean: nn.Module, now: nn.Module, decay: float) -> None:
    """Update the running mean of the weights; buffers are copied."""
    parameters, buffers = dict(now.named_parameters()), dict(now.named_buffers())
    for name, kept in mean.named_parameters():
        kept.lerp_(parameters[name].detach(), 1 - decay)
    for name, old in mean.named_buffers():
        old.copy_(buffers[name])


class Speed:
    """Pictures per second and the time left, from the median of the last 50 steps.

    The median ignores a step that was slow because a checkpoint was saved.  The first step, slow to start, counts only
    until there is a second one.
    """

    def __init__(self, batch: int, total: int):
        self.batch, self.total = batch, total
        self.first = 0.0  # seconds, as those below
        self.lately: deque[float] = deque(maxlen=50)
        self.last = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if self.first:
            self.lately.append(now - self.last)
        else:
            self.first = now - self.last
        self.last = now

    @property
    def seconds(self) -> float:
        """Of a step."""
        return median(self.lately) if self.lately else self.first

    def images_per_second(self) -> float:
        return self.batch / self.seconds if self.seconds else 0.0

    def left(self, step: int) -> float:
        """Seconds."""
        return self.seconds * (self.total - step)
