"""One start of a training run, from its last checkpoint towards its end: steps, looks, saves, reports."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from artcli.commands.shared.loop import Stop, interruptible
from artcli.commands.train import begin, metrics
from artcli.console import Console, duration
from artcli.errors import ArtgenError, Interrupted, UsageError
from artcli.media import files
from artcli.training import (
    checkpoint,
    finished,
    parallel,
    renamed,
    report,
    runs,
    samples,
    source,
    to_onnx,
    trackers,
    watch,
)
from artcli.training.clock import Clock
from artcli.training.spec import RunSpec
from artcli.training.trainer import Plan, Speed, StepDone

REPORT_EVERY = 60  # seconds; most of its cost is encoding pictures


class Session:
    """One start of a run: from its last checkpoint, or from nothing, towards its end."""

    def __init__(
        self, backend, config, spec: RunSpec, pictures, plan: Plan, run: Path, device, console: Console,
        *, clock: Clock, patience: int | None = None, onnx: bool = False, measure: metrics.Metrics | None = None,
    ):  # fmt: skip
        self.spec, self.pictures, self.run, self.console, self.onnx = spec, pictures, run, console, onnx
        self.patience, self.measure = patience, measure
        metrics.check(measure, pictures)
        self.classes = spec.data.classes
        self.device = device
        self.trainer = begin.trainer(backend, config, spec, pictures, plan, run, device, console)
        self.clock = Clock(clock.limit, clock.started, sum(p.nbytes for p in self.trainer.model.parameters()))
        self.pace = Speed(plan.batch, plan.steps)
        shown = pictures.images if hasattr(pictures, "images") and len(pictures.images) > 1 else None
        variety = watch.variety(shown[:64]) if shown is not None else None
        self.watch = watch.Watchdogs(fresh=not getattr(config, "start", ""), variety=variety)
        self.best = float("inf")
        self.stale = 0  # checkpoints since the best
        self.grids = samples.Turn()
        self.reported = 0.0  # when the report was written last
        self.kept = -1  # the step of the last checkpoint of this start
        self.spent = 0.0  # seconds of earlier starts
        self.started = time.monotonic()
        self._go_on()

    def _go_on(self) -> None:
        found = checkpoint.load(self.run)
        if found is None:
            return
        self.trainer.load(renamed.state(self.spec.model, found["trainer"]))
        self.best, self.stale, self.spent = found["best"], found.get("stale", 0), found["seconds"]
        self.console.info(f"train: going on at step {self.trainer.step}")

    # --- the run ----------------------------------------------------------------------------------------------------

    def train(self, tracked: trackers.Trackers) -> None:
        trainer, total, self.tracked = self.trainer, self.trainer.plan.steps, tracked
        if trainer.step >= total or self._settled():
            more = "more --steps or --epochs" if trainer.step >= total else "more --patience"
            self.console.info(f"train: {self.run} is finished; {more} go on")
            self._deliver()
            return
        if self.patience and not any(True for _ in self.pictures.validation(1, device=self.device, limit=1)):
            raise UsageError("--patience waits for the held-out loss, but no pictures are held out; see --val-fraction")
        if parallel.rank() == 0:
            runs.remember(self.run, self.spec)
            runs.cut_metrics(self.run, trainer.step)
        self._rehearse()
        with interruptible() as stop, self.console.progress("train", total) as bar:
            for now in self._steps(bar, stop):
                if self.patience and now.step < total and parallel.any_of(self._settled(), self.device):
                    self._settle()
                    break
                late = self.clock.last_step(self.pace.seconds, looks=self._saves(now.step + 1, total))
                if parallel.any_of(stop.requested or late, self.device) and now.step < total:
                    return self._stop(now.step, total, stop)
        self._deliver()
        self.console.info(f"train: done in {duration(self.clock.spent)}; see {self.run / 'report.html'}")

    def _settled(self) -> bool:
        """Whether the held-out loss has not fallen for so long that it is not waited for any more."""
        return self.patience is not None and self.stale >= self.patience

    def _settle(self) -> None:
        """Finish with the best weights; the last checkpoint keeps the newest, should the run go on one day."""
        if parallel.rank() != 0:
            return
        with self._writing():
            tensors, description = checkpoint.read(self.run / runs.BEST)
            checkpoint.export(self.run / runs.WEIGHTS, tensors, self.spec.as_dict() | {"step": description["step"]})
            finished.load(self.trainer.shown, tensors)
            self._export()
            report.write(self.run)
        self.console.info(
            f"train: the held-out loss has not fallen for {self.stale} checkpoints; finished with step "
            f"{description['step']}"
        )

    def _export(self) -> None:
        """What other programs read, for models that have such a form."""
        if hasattr(self.trainer.shown, "export"):
            self.trainer.shown.export(self.run / "model")

    def _deliver(self) -> None:
        """Announce what the finished run has made, with --export for other programs too."""
        if self.onnx and parallel.rank() == 0:
            for path, apart in to_onnx.export(self.run):
                self.console.info(f"train: wrote {path.relative_to(self.run)}, within {apart:.1g} of torch")
        self.console.result(self._outputs(), steps=self.trainer.step, finished=True)

    def _outputs(self) -> list[Path]:
        """The weights, and the folder that another program reads where the model has one."""
        return [p for p in (self.run / runs.WEIGHTS, self.run / "model") if p.exists()]

    def _rehearse(self) -> None:
        before = self.trainer.micro
        taken = self.trainer.rehearse()
        if any(taken.values()):
            each = ", ".join(f"{name} {size / 2**30:.1f} GB" for name, size in taken.items())
            self.console.info(f"train: memory that the stages take: {each}")
        if self.trainer.micro != before:
            self.console.warn(f"a batch does not fit into memory: computing it in {self.trainer.micro} parts")

    def _steps(self, bar: Any, stop: Stop) -> Iterator[StepDone]:
        """Every step of the trainer, with what is due between steps done."""
        plan = self.trainer.plan
        pace = self.pace = Speed(plan.batch, plan.steps)
        log_every = min(100, max(1, plan.steps // 300))
        recent: list[dict[str, float]] = []
        for number, now in enumerate(self.trainer.run()):
            pace.tick()
            recent.append(now.losses)
            if number == 0:
                self.console.info(f"train: first step after {self.clock.spent:.1f} s")
            if number == 2:
                self.console.info(f"train: about {duration(pace.left(now.step))} to go")
            save = self._saves(now.step, now.total)
            validation, score = {}, {}
            if save:
                with self.clock.look():
                    validation, score = self._look(stop), self._measure(stop)
            if save or now.step % log_every == 0:
                self._log(now.step, recent, pace, validation, score)
                recent = []
            if save:
                self.save(validation)
            bar.update(now.step, _note(now.losses, pace))
            yield now

    def _saves(self, step: int, total: int) -> bool:
        """Whether the model is looked at and saved after this step."""
        return step % self.spec.trainer.save_every == 0 or step == total

    def _stop(self, step: int, total: int, stop: Stop) -> None:
        if self.kept != step:
            self.save()
        elif parallel.rank() == 0:  # to save it again is more than the clock has reckoned with
            with self._writing():
                report.write(self.run)
        self.console.result([], steps=step, finished=False)
        note = f"stopped at step {step} of {total} and saved; the same command goes on"
        if stop.requested:
            raise Interrupted(note)
        self.console.info(f"train: {note}")

    # --- what is written --------------------------------------------------------------------------------------------

    def _log(
        self,
        step: int,
        recent: list[dict[str, float]],
        pace: Speed,
        validation: dict[str, float],
        score: dict[str, float],
    ) -> None:
        if parallel.rank() != 0:
            return
        train = {name: fmean([r[name] for r in recent if name in r]) for name in recent[-1]}
        rates = {name: o.param_groups[0]["lr"] for name, o in self.trainer.optimizers.items()}
        row = {
            "step": step,
            "epoch": round(step / source.steps_per_epoch(self.pictures, self.trainer.plan.batch), 4),
            "time": round(self.spent + time.monotonic() - self.started, 2),
            "images_per_second": round(pace.images_per_second(), 1),
            "train": train,
            "val": validation,
            "rate": rates,
        } | ({"score": score} if score else {})
        runs.log(self.run, row)
        for line in self.tracked.log({"train": train, "val": validation, "score": score, "rate": rates}, step):
            self.console.warn(line)
        if validation:
            figures = train | _held(validation)
            self.console.info(f"step {step}: " + " ".join(f"{k} {v:.4g}" for k, v in figures.items()))
        for advice in self.watch.look(step, train, validation or None, self.drawn if validation else None):
            self.console.warn(advice)

    def _look(self, stop: Stop) -> dict[str, float]:
        """Losses of the held-out pictures; what the model draws, when that is due, goes into the run folder.

        Empty, and nothing is drawn, where the user or the clock does not wait for them.
        """
        validation = self.trainer.validate(stop=lambda: stop.requested or self.clock.overdue())
        if validation is None:
            self.console.info(f"train: no time for the held-out pictures at step {self.trainer.step}")
            return {}
        if parallel.rank() == 0:
            step, shown = self.trainer.step, self.trainer.shown
            samples.fit(shown, self.pictures, self.device)
            self.drawn = None
            if self.grids.due(last=step == self.trainer.plan.steps):
                with self._writing(), self.grids.draw():
                    self.drawn = samples.write(self.run, step, shown, self.pictures, len(self.classes), self.device)
            if self.drawn is not None:
                for line in self.tracked.image("samples", samples.path(self.run, "samples", step), step):
                    self.console.warn(line)
            advise = getattr(shown, "warnings", None)
            for advice in advise() if advise else ():
                self.console.warn(advice)
        return validation

    def _measure(self, stop: Stop) -> dict[str, float]:
        """What --metrics asks for, where it is due; empty where the user or the clock does not wait for it."""
        step, total = self.trainer.step, self.trainer.plan.steps
        if self.measure is None or not self.measure.due(step, self.spec.trainer.save_every, total):
            return {}
        found, line = self.measure.look(
            self.trainer.shown, self.pictures, len(self.classes), self.device,
            lambda: stop.requested or self.clock.overdue(),
        )  # fmt: skip
        if found:
            self.console.info(f"train: step {step}: {line}")
        return found

    def save(self, validation: dict[str, float] | None = None) -> None:
        """A checkpoint, the weights for sampling, and the report.  Raises ArtgenError when the disk is full.

        validation: None when the run was stopped between two of them.
        """
        if parallel.rank() != 0:
            return
        step, shown = self.trainer.step, self.trainer.shown
        loss = (validation or {}).get("loss", float("inf"))
        better, self.best = loss < self.best, min(loss, self.best)
        if validation:
            self.stale = 0 if better else self.stale + 1
        content = {
            "trainer": self.trainer.state(), "best": self.best, "stale": self.stale, "seconds": self._seconds(),
        }  # fmt: skip
        description = self.spec.as_dict() | {"step": step}
        last = step == self.trainer.plan.steps or validation is None
        with self._writing(), self.clock.save():
            if better:
                checkpoint.export(self.run / runs.BEST, finished.state(shown), description)
            checkpoint.export(self.run / runs.WEIGHTS, finished.state(shown), description)
            checkpoint.save(self.run, step, content, self.spec.trainer.keep)
            self.kept = step
            if step == self.trainer.plan.steps:
                self._export()
            if last or time.monotonic() - self.reported > REPORT_EVERY:
                report.write(self.run)
                self.reported = time.monotonic()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what a full disk means for the run: everything is written whole or not at all."""
        try:
            yield
        except (OSError, ArtgenError) as error:
            reason = files.reason(error) if isinstance(error, OSError) else error
            raise ArtgenError(
                f"cannot save step {self.trainer.step} to {self.run}: {reason}; the checkpoint before it is whole, and "
                "the same command goes on from there"
            ) from error

    def _seconds(self) -> float:
        return self.spent + time.monotonic() - self.started


def _held(validation: dict[str, float]) -> dict[str, float]:
    return {f"held-out {name}": value for name, value in validation.items()}


def _note(losses: dict[str, float], pace: Speed) -> str:
    return " ".join(f"{k} {v:.4f}" for k, v in losses.items()) + f" {pace.images_per_second():.0f} images/s"
