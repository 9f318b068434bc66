"""Build, run and save what `artgen stylize` was asked for."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device, weights
from artcli.backends.stylize import schedule
from artcli.backends.stylize.schedule import Stage
from artcli.commands.shared import enlarge, outputs, target
from artcli.commands.shared.outputs import HOLD, tell_stop
from artcli.commands.shared.recipe import tell_other_weights
from artcli.commands.shared.unfinished import Unfinished, fingerprint
from artcli.commands.stylize.request import Job, Request
from artcli.console import Console, counted, duration
from artcli.media import recipe_text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

    from artcli.backends.stylize.reading import Photo
    from artcli.backends.stylize.styles import Style, Styles
    from artcli.commands.shared.loop import Film, Outcome, Stop

_SPARE = 0.9  # of a time limit that is planned with; the rest is reading, saving, and steps that take longer


TRIED = 1024  # pixels of the longer side of what a dry run tries
_TRYING = 2.0  # seconds for that


def run(request: Request, console: Console) -> None:
    """Load the net and the styles once, then paint photo after photo.

    A failing job of a batch does not stop the others: raises ArtgenError at the end.  Raises Interrupted after Ctrl-C.
    """
    work(request, console, Studio)


class Studio:
    """The loaded net and styles; paints photos one after another."""

    def __init__(self, request: Request, console: Console, stop: "Stop"):
        from artcli.backends.stylize import objective
        from artcli.pretrained import feature_nets

        self.request, self.console, self.stop = request, console, stop
        self.settings = request.settings
        asked = self.asked = request.options
        self.given = read_styles(request, console)
        self.device = device.choose(asked.device)
        where: dict[str, Any] = {"weights_dirs": asked.folders, "offline": asked.offline}
        self.enlarger = enlarge.load(request.enlargement, self.device, **where)
        look: dict[str, Any] = {"pooling": self.settings.pooling, "padding": self.settings.padding}
        self.net = feature_nets.load(self.settings.net, self.device, **look, **where)
        objective.check_taps(self.net, self.settings)
        self.weights = {self.settings.net: weights.fingerprint(self.net)}
        if self.settings.optimizer == "adam":  # L-BFGS compares gradients, which rounding would spoil
            self.net.compute_in(device.fast_dtype(self.device))
        self.recorded = {**self.weights, **self.enlarger.weights}
        tell_other_weights(self.recorded, request.recorded_weights, console.warn)
        self.shared = self._styles_of(self.given)
        started = "" if self.settings.init == "content" else f", seed {request.seed}"
        what = f"{self.net.name}, {counted(len(self.given), 'style')}{self.enlarger.note}"
        console.info(f"stylize: {what}, {device.describe(self.device)}{started}")

    def _styles_of(self, styles: "Sequence[Any]") -> "Styles":
        from artcli.backends.stylize.styles import Styles

        return Styles(styles, self.net, self.settings)

    # one photo ------------------------------------------------------------------------------------------------------

    def work(self, job: Job) -> None:
        started = time.monotonic()
        with self.stop.at_once():
            photo = self._read(job)
            self.enlarger.check(job.picture, *photo.size)
            seen, styles = self._colours(photo)
            unfinished = self._unfinished(job)
            saved = self._saved(unfinished)
            plan = self._plan(seen, styles, started) if saved is None else [Stage(*stage) for stage in saved["stages"]]
        recipe = recipe_of(job, self.request, self.recorded)
        preview = self._preview(job)
        try:
            with self._film(job, photo, plan, recipe, saved) as film:
                outcome = self._follow(job, photo, (seen, styles), plan, film, preview, saved, unfinished, started)
                self.enlarger.save(job.picture, outcome.pixels, alpha=photo.alpha, recipe=recipe, photo=photo.exif)
                if film is not None and outcome.stopped is None:
                    film.writer.hold(HOLD)
        finally:
            if preview is not None:
                preview.unlink(missing_ok=True)
        self._report(job, outcome, schedule.total(plan), time.monotonic() - started)

    def _read(self, job: Job) -> "Photo":
        from artcli.backends.stylize import reading

        return reading.photo(job.photo, self.settings.size, self.asked.mask)

    def _colours(self, photo: "Photo") -> "tuple[torch.Tensor, Styles]":
        """What is painted of the photo, and the styles in its colours where those are kept."""
        from artcli.backends.stylize import reading

        if self.asked.keep_color is None:
            return photo.rgb, self.shared
        seen, styles = reading.recolour(photo.rgb, self.given, self.asked.keep_color)
        return seen, self._styles_of(styles)

    def _plan(self, photo: "torch.Tensor", styles: "Styles", started: float) -> list[Stage]:
        from artcli.backends.stylize.optimise import seconds_per_step

        stages, limit = schedule.stages(self.settings), self.asked.time_limit
        if limit is None:
            return stages
        seconds = seconds_per_step(photo, styles, self.settings, stages, limit)
        left = max(0.0, limit - (time.monotonic() - started)) * _SPARE
        plan = schedule.within(stages, seconds, left)
        told = ", ".join(f"{stage.steps} at {stage.side}" for stage in plan)
        self.console.info(f"stylize: steps that fit into {duration(limit)}: {told} pixels")
        return plan

    def _follow(
        self,
        job: Job,
        photo: "Photo",
        what: "tuple[torch.Tensor, Styles]",
        plan: list[Stage],
        film: "Film | None",
        preview: Path | None,
        saved: Mapping[str, Any] | None,
        unfinished: Unfinished,
        started: float,
    ) -> "Outcome":
        from artcli.backends.stylize.optimise import stylize
        from artcli.commands.shared.loop import Watch, follow
        from artcli.media import images

        masks, state = photo.masks, saved and saved["state"]
        stages = [tuple(stage) for stage in plan]
        watch = Watch(
            console=self.console,
            label="stylize",
            total=schedule.total(plan),
            to_pixels=lambda image: images.from_tensor(photo.finish(image, self.asked.keep_color)),
            film=film,
            preview=None if preview is None else lambda pixels: images.save(preview, pixels, alpha=photo.alpha),
            snapshot=lambda step, pixels: images.save(job.at_step(step), pixels, alpha=photo.alpha),
            save_every=self.asked.save_every,
            save_state=None if job.streamed else lambda state: unfinished.save(stages=stages, state=state),
            time_limit=self.asked.time_limit,
            started=started,
        )
        frames = stylize(*what, self.settings, plan, masks=masks, seed=self.request.seed, state=state)
        return follow(frames, watch, self.stop)

    def _preview(self, job: Job) -> Path | None:
        """Where the preview goes; None without one, and where a file of the user has its name."""
        if not self.asked.preview or job.streamed:
            return None
        if job.preview.exists() and not (self.asked.force or self.asked.resume):
            self.console.info(f"stylize: {job.preview} exists, so there is no preview (--force replaces it)")
            return None
        self.console.info(f"stylize: preview in {job.preview}")
        return job.preview

    def _report(self, job: Job, outcome: "Outcome", total: int, seconds: float) -> None:
        if outcome.stopped is None:
            shutil.rmtree(job.unfinished, ignore_errors=True)
        facts = {
            "photo": str(job.photo), "seed": self.request.seed, "steps": outcome.step, "seconds": round(seconds, 2),
            "finished": outcome.stopped is None, **{k: float(f"{v:.4g}") for k, v in outcome.metrics.items()},
        }  # fmt: skip
        if not job.streamed:
            self.console.result(job.outputs, **facts)
        self.console.info(f"stylize: {counted(outcome.step, 'step')} in {duration(seconds)}")
        tell_stop("stylize", outcome, total, streamed=job.streamed, console=self.console)

    # films and resuming ---------------------------------------------------------------------------------------------

    def _film(
        self,
        job: Job,
        photo: "Photo",
        plan: list[Stage],
        recipe: dict[str, Any] | None,
        saved: Mapping[str, Any] | None,
    ) -> "AbstractContextManager[Film | None]":
        from artcli.commands.shared import film as films

        if job.film is None:
            return nullcontext()
        seconds, total = self.asked.duration, schedule.total(plan)
        length = total if seconds is None else max(1, round(seconds * self.asked.fps))
        if saved is None:  # frames of a run that starts over must never get into this one
            shutil.rmtree(job.unfinished, ignore_errors=True)
        film = films.open_film(job.film, photo.size, self.asked.fps, total, length, recipe, job.unfinished)
        if saved is not None:
            films.replay(film, job.unfinished, saved["state"]["step"], self.console)
        return films.filming(film, job.unfinished)

    def _unfinished(self, job: Job) -> Unfinished:
        request, asked = self.request, self.asked
        pictures = [job.photo, *(style.path for style in request.styles), *asked.mask, *asked.style_mask]
        what = {
            "seed": request.seed, "settings": asdict(self.settings), "weights": self.weights,
            "keep_color": asked.keep_color, "style weights": [style.weight for style in request.styles],
            "pictures": [fingerprint(Path(path)) for path in pictures],
            "film": job.film and (asked.fps, asked.duration),
        }  # fmt: skip
        return Unfinished(job.unfinished, what)

    def _saved(self, unfinished: Unfinished) -> Mapping[str, Any] | None:
        saved = unfinished.load() if self.asked.resume else None
        if saved is not None:
            self.console.info(f"stylize: going on from step {saved['state']['step']}")
        return saved

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: Job) -> None:
        """Time a step of the scales that are small enough, and say what the whole would cost."""
        import psutil
        import torch

        from artcli.backends.stylize.optimise import seconds_per_step
        from artcli.media import decode

        height, width = schedule.fit(decode.size_of(job.photo)[::-1], self.settings.size, least=1)
        seen = torch.rand(3, *schedule.fit((height, width), min(self.settings.size, TRIED)))
        stages, limit = schedule.stages(self.settings), self.asked.time_limit or 60.0
        seconds = seconds_per_step(seen, self.shared, self.settings, stages, limit, budget=_TRYING)
        total = sum(stage.steps * each for stage, each in zip(stages, seconds, strict=True))
        total = min(total, self.asked.time_limit or total) + self.enlarger.seconds(width, height)
        memory = psutil.Process().memory_info().rss / 1e9
        steps = counted(schedule.total(stages), "step")
        self.console.info(f"dry run: {steps}, about {duration(total)}, {memory:.1f} GB; would write")
        self.console.result(job.outputs, dry_run=True, seconds=round(total, 1), memory_gb=round(memory, 2))


# --- what the fast form does too ------------------------------------------------------------------------------------


def work(request: Request, console: Console, studio: "Callable[[Request, Console, Stop], outputs.Studio[Job]]") -> None:
    """Do every job that is this process's share; studio: the class that does it."""
    asked = request.options
    jobs = device.my_share(list(request.jobs) if asked.dry_run else _left(request, console))
    if jobs:
        outputs.load_and_work(
            jobs, lambda stop: studio(request, console, stop), lambda job: job.photo, console,
            dry_run=asked.dry_run, batch=len(request.jobs) > 1,
        )  # fmt: skip


def _left(request: Request, console: Console) -> list[Job]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do."""
    asked = request.options
    return target.check(
        request.jobs, request.snapshots, label="stylize", resume=asked.resume, force=asked.force,
        skip_existing=asked.skip_existing, console=console,
    )  # fmt: skip


def read_styles(request: Request, console: Console) -> "list[Style]":
    """Raises UsageError for a picture that cannot be read or seen, or a mask that does not fit."""
    from artcli.backends.stylize import reading

    largest = round(request.settings.size * max(1.0, request.settings.style_scale))
    where = request.options.style_mask or (None,) * len(request.styles)
    found = [reading.style(*source, largest, mask) for source, mask in zip(request.styles, where, strict=True)]
    for source, style in zip(request.styles, found, strict=True):
        if reading.is_flat(style):
            console.warn(f"{source.path} is one flat colour: it has no style beside that colour")
    return found


def recipe_of(job: Job, request: Request, fingerprints: Mapping[str, str]) -> dict[str, Any] | None:
    """The record of one job; one that is too long shows before any compute."""

    if request.recipe is None:
        return None
    parameters = dict(request.recipe["parameters"])
    style = [] if parameters.get("style") else parameters["inputs"][-1:]
    parameters["inputs"] = [str(job.photo), *style]
    made = {**request.recipe, "parameters": parameters, "seed": request.seed, "weights": dict(fingerprints)}
    recipe_text.to_text(made)
    return made
