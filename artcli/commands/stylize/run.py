"""Build, run and save what `artgen stylize` was asked for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device, weights
from artcli.backends.stylize import schedule
from artcli.backends.stylize.schedule import Stage
from artcli.commands.shared import costs, studio
from artcli.commands.shared.film import Reel
from artcli.commands.shared.jobs import InputJob
from artcli.commands.shared.unfinished import Unfinished, fingerprint
from artcli.commands.stylize.request import Request
from artcli.console import Console, counted, duration

if TYPE_CHECKING:
    import torch

    from artcli.backends.frame import Frame
    from artcli.backends.stylize.reading import Photo
    from artcli.backends.stylize.styles import Style, Styles
    from artcli.commands.shared.loop import Outcome
    from artcli.media.images import Array, Picture
    from artcli.nn.features import FeatureNet

_SPARE = 0.9  # of a time limit that is planned with; the rest is reading, saving, and steps that take longer
TRIED = 1024  # pixels of the longer side of what a dry run tries
_TRYING = 2.0  # seconds for that


class StyleStudio(studio.Studio):
    """With the styles, which pictures are painted in one pass or step by step."""

    label = "stylize"

    def prepare(self) -> None:
        self.given = read_styles(self.request, self.console)
        self.note = self._noted()  # what is missing of small nets shows before a large one is loaded

    def expect(self) -> None:
        for _ in look_at(self.request, self.console):
            pass
        self.note = self._noted()

    def _noted(self) -> str:
        return f"{counted(len(self.request.styles), 'style')}{self.finish.note}"

    def size_of(self, job: InputJob) -> tuple[int, int]:
        """For a dry run: (width, height) of the photo.  Raises UsageError: it or a mask of it cannot be read."""
        from artcli.media import decode

        for mask in self.asked.mask:
            decode.size_of(mask)
        return decode.size_of(job.source)

    def record_of(self, job: InputJob, weights: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        parameters = self.request.recipe["parameters"] if self.request.recipe else {"inputs": []}
        style = [] if parameters.get("style") else parameters["inputs"][-1:]
        return self.record(weights, seed=self.request.seed, inputs=[str(job.source), *style])

    def unfinished(self, job: InputJob, **what: Any) -> Unfinished:
        """what: beside the pictures and the weights has to be the same for a run to go on."""
        request, asked = self.request, self.asked
        pictures = [job.source, *(style.path for style in request.styles), *asked.mask, *asked.style_mask]
        shared = {
            "settings": asdict(request.settings), "weights": self.weights, "keep_color": asked.keep_color,
            "style weights": [style.weight for style in request.styles],
            "pictures": [fingerprint(Path(path)) for path in pictures],
        }  # fmt: skip
        return Unfinished(job.unfinished, shared | what)


class Studio(StyleStudio):
    """The loaded net and styles."""

    def prepare(self) -> None:
        from artcli.backends.stylize import objective

        super().prepare()
        self.settings = self.request.settings
        look: dict[str, Any] = {"pooling": self.settings.pooling, "padding": self.settings.padding}
        loaded = self.load(_load_net, self.settings.net, fast=self.settings.optimizer == "adam", **look)
        self.net, self.weights = loaded[0], {self.settings.net: loaded[1]}
        objective.check_taps(self.net, self.settings)
        self.shared = self._styles_of(self.given)
        self._tell_loaded(self.net.name)

    def expect(self) -> None:
        super().expect()
        self.settings = self.request.settings
        self._tell_loaded(self.settings.net)

    def _tell_loaded(self, net: str) -> None:
        started = "" if self.settings.init == "content" else f", seed {self.request.seed}"
        self.tell_loaded(f"{net}, {self.note}", started)

    @classmethod
    def can_foresee(cls, request: Request) -> bool:
        """Other optimizers, terms and regions cost other times."""
        settings, masks = request.settings, request.options.mask
        usual = settings.optimizer == "adam" and not settings.histogram and len(masks) < 2
        return usual and super().can_foresee(request)

    @classmethod
    def needed(cls, request: Request) -> set[str]:
        return super().needed(request) | {request.settings.net}

    def _styles_of(self, styles: "Sequence[Any]") -> "Styles":
        from artcli.backends.stylize.styles import Styles

        return Styles(styles, self.net, self.settings)

    # one photo ------------------------------------------------------------------------------------------------------

    def work(self, job: InputJob) -> None:
        from artcli.media import images

        started, asked = time.monotonic(), self.asked
        with self.stop.at_once():
            photo = self._read(job)
            self.finish.check(job.picture, *photo.size)
            seen, styles = self._colours(photo)
            unfinished = self.unfinished(job, seed=self.request.seed, film=job.film and (asked.fps, asked.duration))
            saved = self.saved(unfinished)
            plan = self._plan(seen, styles, started) if saved is None else [Stage(*stage) for stage in saved["stages"]]
        record, total = self.record_of(job), schedule.total(plan)
        length = total if asked.duration is None else max(1, round(asked.duration * asked.fps))
        to_pixels = lambda image: images.from_tensor(photo.finish(image, asked.keep_color))  # noqa: E731
        look = studio.Look(photo.size, to_pixels, photo.alpha, photo.exif)
        frames, reel = self._frames(photo, seen, styles, plan, saved), Reel(total, length, asked.fps)
        outcome, *_ = self.make(
            job, frames, look, reel, record, unfinished, saved, keep={"stages": [tuple(stage) for stage in plan]},
            time_limit=asked.time_limit, started=started,
        )  # fmt: skip
        self._report(job, outcome, total, time.monotonic() - started)

    def _frames(
        self, photo: "Photo", seen: "torch.Tensor", styles: "Styles", plan: list[Stage], saved: Mapping[str, Any] | None
    ) -> "Iterator[Frame]":
        from artcli.backends.stylize.optimise import stylize

        how: dict[str, Any] = {"masks": photo.masks, "seed": self.request.seed, "state": saved and saved["state"]}
        return stylize(seen, styles, self.settings, plan, **how)

    def _read(self, job: InputJob) -> "Photo":
        from artcli.backends.stylize import reading

        return reading.photo(job.source, self.settings.size, self.asked.mask)

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
        self.tell(f"steps that fit into {duration(limit)}: {told} pixels")
        return plan

    def _report(self, job: InputJob, outcome: "Outcome", total: int, seconds: float) -> None:
        facts = {
            "photo": str(job.source), "seed": self.request.seed, "steps": outcome.step, "seconds": round(seconds, 2),
            "finished": outcome.stopped is None, **{k: float(f"{v:.4g}") for k, v in outcome.metrics.items()},
        }  # fmt: skip
        if not job.streamed:
            self.console.result(job.outputs, **facts)
        self.tell(f"{counted(outcome.step, 'step')} in {duration(seconds)}")
        self.tell_stop(job, outcome, total)

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: InputJob) -> None:
        """Say what the whole would cost, by the steps of each scale."""
        height, width = schedule.fit(self.size_of(job)[::-1], self.settings.size, least=1)
        stages = schedule.stages(self.settings)
        seconds = (self._known_steps if self.foreseen else self._tried_steps)(height, width, stages)
        total = sum(stage.steps * each for stage, each in zip(stages, seconds, strict=True))
        total = min(total, self.asked.time_limit or total) + self.finish.seconds(width, height)
        held = costs.memory("stylize", min(height * width, self.settings.tile**2)) if self.foreseen else None
        studio.tell_cost(self.console, job.outputs, counted(schedule.total(stages), "step"), total, held=held)

    def _known_steps(self, height: int, width: int, stages: Sequence[Stage]) -> list[float]:
        sizes = [schedule.fit((height, width), stage.side) for stage in stages]
        return [costs.seconds("vgg-slim", rows * columns) for rows, columns in sizes]

    def _tried_steps(self, height: int, width: int, stages: Sequence[Stage]) -> list[float]:
        """Those of the scales that are small enough are timed."""
        import torch

        from artcli.backends.stylize.optimise import seconds_per_step

        seen = torch.rand(3, *schedule.fit((height, width), min(self.settings.size, TRIED)))
        limit = self.asked.time_limit or 60.0
        return seconds_per_step(seen, self.shared, self.settings, stages, limit, budget=_TRYING)


run = Studio.run


def _load_net(spec: str, place: "torch.device", *, fast: bool, **how: Any) -> "tuple[FeatureNet, str]":
    """The net and the fingerprint of its weights.

    fast: compute in the fastest number format; L-BFGS compares gradients, which rounding would spoil.
    """
    from artcli.pretrained import feature_nets

    net = feature_nets.load(spec, place, **how)
    mark = weights.fingerprint(net)
    if fast:
        net.compute_in(device.fast_dtype(place))
    return net, mark


def read_styles(request: Request, console: Console) -> "list[Style]":
    """Raises UsageError for a picture that cannot be read or seen, or a mask that does not fit."""
    from artcli.backends.stylize import reading

    largest = round(request.settings.size * max(1.0, request.settings.style_scale))
    return [reading.scaled(*look, weight, largest) for look, weight in look_at(request, console)]


def look_at(request: Request, console: Console) -> "Iterator[tuple[tuple[Picture, Array | None], float]]":
    """Every style as `looking.style` finds it, and its weight.  Raises UsageError as `read_styles` does."""
    from artcli.backends.stylize import looking

    where = request.options.style_mask or (None,) * len(request.styles)
    for source, mask in zip(request.styles, where, strict=True):
        found, counts = looking.style(source.path, mask)
        if looking.is_flat(found.rgb, counts):
            console.warn(f"{source.path} is one flat colour: it has no style beside that colour")
        yield (found, counts), source.weight
