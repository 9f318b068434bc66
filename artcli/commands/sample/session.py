"""One call of `artgen sample`: load, refuse what cannot be, compute, save, report."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from artcli import device
from artcli.commands.sample import (
    compare,
    completion,
    films,
    grid,
    mix,
    neighbours,
    project,
    rate,
    reconstruct,
    score,
    travel,
)
from artcli.commands.sample.generator import Sampler
from artcli.commands.sample.request import Request
from artcli.commands.shared import film, finish, recipe
from artcli.commands.shared.loop import Stop, interruptible
from artcli.commands.shared.studio import tell_cost
from artcli.console import Console, counted, duration
from artcli.errors import Interrupted, UsageError
from artcli.media import images

Item = TypeVar("Item")
_OF_LATENTS = ("interpolate", "walk", "sweep", "mix", "project")
_TRYING = 2.0  # seconds that a dry run may take for a batch


class Work(NamedTuple):
    """make: does the work.  pictures: about how many the models compute for it."""

    make: "Callable[[Session], None]"
    pictures: "Callable[[Session], int]"


WORK = {
    "samples": Work(grid.make, grid.count),
    "reconstruct": Work(reconstruct.make, reconstruct.count),
    "complete": Work(completion.make, completion.count),
    "project": Work(project.make, project.count),
    "interpolate": Work(travel.interpolate, travel.count),
    "walk": Work(travel.walk, travel.count),
    "sweep": Work(travel.sweep, travel.count),
    "mix": Work(mix.make, mix.count),
    "neighbours": Work(neighbours.make, neighbours.count),
    "compare": Work(compare.make, compare.count),
    "rate": Work(rate.make, rate.count),
    "score": Work(score.make, score.count),
}


def run(request: Request, console: Console) -> None:
    """Raises UsageError for what the model cannot do, ArtgenError for what fails, Interrupted after Ctrl-C."""
    if not request.separate and not device.my_share([request.out]):
        return  # several processes share the files of a batch; a single one is the first process's
    with interruptible() as stop:
        with stop.at_once():
            session = Session(request, console, stop)
            if request.options.dry_run:
                return session.estimate()
        WORK[request.mode].make(session)


class Session:
    """The loaded models of a call, and what every way of sampling does with its results.

    samplers: of RUN, then of the runs that it is compared with.  classes: the names that `--class` stands for.
    """

    def __init__(self, request: Request, console: Console, stop: Stop):
        self.request, self.console, self.stop = request, console, stop
        self.started = time.monotonic()
        self.device = device.choose(request.options.device)
        self.finish = finish.load(request.finishing, self.device)
        self.samplers = [self._load(run) for run in request.runs]
        largest = max(sampler.side for sampler in self.samplers)
        for sampler in self.samplers:
            sampler.drawn = request.size or (largest, largest)
            if request.size is not None and request.mode != "complete":
                sampler.draw_at(request.size)
        self.sampler = self.samplers[0]
        self.sampler.require(request.ability)
        if request.options.truncation is not None:
            for sampler in self.samplers:
                sampler.require_truncation()
        for sampler in self.samplers:
            sampler.choose_codes(
                temperature=request.options.temperature, top_k=request.options.top_k, top_p=request.options.top_p
            )
            sampler.tell(request.prompts, request.options.guidance, request.options.negative)
        unheard = list(dict.fromkeys(note for sampler in self.samplers for note in sampler.unheard()))
        for note in unheard:
            console.warn(note)
        self.words = {"unheard": unheard} if unheard else {}  # for JSON
        if request.directions:
            self.sampler.require("sweep")
        for line in [*self.sampler.steer(request.wanted), *self.sampler.move(request.directions)]:
            console.warn(line)
        self.classes = self.sampler.class_names(request.classes)
        self._tell_class()
        self.weights = {str(run): s.loaded.fingerprint for run, s in zip(request.runs, self.samplers, strict=True)}
        self.weights |= self.finish.weights
        recipe.tell_other_weights(self.weights, request.recorded_weights, console.warn)
        if request.seeds:
            alone = len(request.seeds) == 1
            console.info(f"sample: seed {request.seeds[0]}" if alone else f"sample: seeds {request.seeds_text}")
        if not request.outputs_known:
            request.check_outputs(self.classes, console)

    def _load(self, run: Path) -> Sampler:
        from artcli.commands.sample import finished

        chosen = {} if self.request.options.checkpoint is None else {"checkpoint_name": self.request.options.checkpoint}
        loaded = finished.load(run, self.device, size=self.request.size, **chosen)
        sampler = Sampler(loaded, self.device, self.stop, self.finish)
        step = "" if loaded.step is None else f", step {loaded.step}"
        size, where = f"{sampler.side}x{sampler.side}{self.finish.note}", device.describe(self.device)
        self.console.info(f"sample: {sampler.title}{step}, {size}, {where}")
        return sampler

    def _tell_class(self) -> None:
        """Where pictures come from latents of a way, all of them are of one class."""
        if self.sampler.told_in_words or not self.classes or self.request.mode not in _OF_LATENTS:
            return
        if self.request.varied:
            raise UsageError(f"--{self.request.mode} takes one value of a column or a colour, not {len(self.classes)}")
        if len(self.classes) > 1:
            raise UsageError(f"--{self.request.mode} takes one --class, not {len(self.classes)}")
        coded = self.request.between and self.sampler.can("--between")
        ways = (("decode", "encode"),) if coded else (("decode",), ("latents",))
        if not any(self.sampler.takes("labels", *used) for used in ways):
            raise UsageError(f"{self.sampler.title} draws classes at random only: leave --class out.")
        self.sampler.told = self.classes[0]

    def cycled(self, count: int) -> list[str | None]:
        """A class for each of `count` pictures, in turn; None where the model chooses."""
        return [self.classes[place % len(self.classes)] if self.classes else None for place in range(count)]

    # results ----------------------------------------------------------------------------------------------------

    def recipe(self, **changes: Any) -> dict[str, Any] | None:
        """The record of an output.  changes: `seed` and parameters that are its own.  Call it before any compute."""
        return recipe.of_job(self.request.recipe, self.weights, **{"seed": self.request.seeds_text, **changes})

    def save(self, path: Path, picture: np.ndarray, recipe: dict[str, Any] | None, **facts: Any) -> None:
        """Write a picture, (H, W, 3) uint8, and announce it."""
        images.save(path, picture, recipe=recipe)
        if str(path) != "-":
            self.announce(path, **facts)

    def announce(self, path: Path, **facts: Any) -> None:
        self.console.result([path], mode=self.request.mode, model=self.sampler.loaded.name, **self.words, **facts)

    def save_film(
        self,
        size: tuple[int, int],
        total: int,
        frames: Callable[[], Iterator[torch.Tensor]],
        record: dict[str, Any] | None,
        **facts: Any,
    ) -> None:
        """Write the film and announce it; also the part of it that there is after Ctrl-C.  Raises Interrupted then."""
        request = self.request
        reel = film.Reel(total, total, request.options.fps, hold=0.0)
        outcome = film.write(
            request.out, reel, size, lambda opened: films.numbered(frames(), total), label="sample", recipe=record,
            console=self.console, stop=self.stop,
        )  # fmt: skip
        whole = outcome.stopped is None
        self.announce(request.out, **facts, frames=outcome.step, fps=request.options.fps, finished=whole)
        if not whole:
            raise Interrupted(f"interrupted; {request.out} has {outcome.step} of {total} frames")
        self.done(counted(total, "frame"))

    def done(self, what: str) -> None:
        self.console.info(f"sample: {what} in {duration(time.monotonic() - self.started)}")

    def watched(self, items: Iterable[Item], total: int) -> Iterator[Item]:
        """The items, with a progress bar of their number.  Raises Interrupted between two of them."""
        with self.console.progress("sample", total) as bar:
            for step, item in enumerate(items, 1):
                yield item
                bar.update(step)
                if self.stop.requested and step < total:
                    raise Interrupted(f"interrupted after {step} of {total}")

    # dry run ----------------------------------------------------------------------------------------------------

    def estimate(self) -> None:
        """Time a batch of the model's and say what the whole would cost; write nothing."""
        self.request.look_at_pictures(self.console)
        total = WORK[self.request.mode].pictures(self)
        outputs = self.request.outputs(self.classes)
        seconds = total * (self._seconds_per_picture() + self.finish.seconds(*self.sampler.drawn))
        tell_cost(self.console, outputs, counted(total, "picture"), seconds, 0, None, **self.words, pictures=total)

    def _seconds_per_picture(self) -> float:
        """Of the first model that draws at random or reconstructs."""
        for sampler in self.samplers:
            count = sampler.at_once
            nothing = torch.zeros(count, sampler.preparation.channels, sampler.side, sampler.side)
            for ability, work in {"samples": sampler.generate, "reconstruct": sampler.reconstruct}.items():
                if not sampler.can(ability):
                    continue
                for tried in (1, count):  # the first batch also pays for the start
                    sampler.at_once, started = tried, time.monotonic()
                    for _ in work(range(tried) if ability == "samples" else nothing[:tried]):  # type: ignore[operator]
                        pass
                    seconds = (time.monotonic() - started) / tried
                    if seconds * count > _TRYING:
                        break
                sampler.at_once = count
                return seconds
        raise UsageError(f"{self.sampler.title} can do nothing that sample offers.")
