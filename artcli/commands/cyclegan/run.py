"""Build, run and save what `artgen cyclegan` was asked for."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device
from artcli.commands.shared import enlarge
from artcli.commands.shared.outputs import one_by_one
from artcli.commands.shared.recipe import tell_other_weights
from artcli.console import Console, duration
from artcli.errors import Interrupted
from artcli.media import claims, files, recipe_text
from artcli.pretrained import find

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.commands.shared.loop import Stop

_TRIED = 256  # pixels of the side of a part whose time tells that of all


@dataclass(frozen=True)
class Job:
    """One input and where it goes.  out: "-" for standard output.  film: whether every frame is carried over."""

    source: Path | files.Stdio
    out: Path
    film: bool = False

    @property
    def streamed(self) -> bool:
        return str(self.out) == "-"


@dataclass(frozen=True)
class Request:
    """Everything that all jobs of a call share."""

    model: str
    direction: str | None
    strength: float
    keep_color: bool
    tile: int
    as_in_training: bool  # see translator_files.load
    dropout: bool
    seed: int
    enlargement: enlarge.Enlargement
    device: str
    weights_dirs: tuple[Path, ...]
    offline: bool
    recipe: dict[str, Any] | None
    recorded_weights: Mapping[str, str]


def check(jobs: list[Job], *, force: bool, skip_existing: bool, console: Console) -> list[Job]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do."""
    claims.take([job.out for job in jobs], force=force, skip_existing=skip_existing)
    if not skip_existing:
        return jobs
    left = [job for job in jobs if job.streamed or not job.out.exists()]
    console.info(f"cyclegan: {len(jobs) - len(left)} of {len(jobs)} exist already") if len(left) < len(jobs) else None
    return left


def run(jobs: list[Job], request: Request, console: Console, *, dry_run: bool, batch: bool = False) -> None:
    """Load the translator once, then carry over one input after another.

    A failing job of a batch does not stop the others: raises ArtgenError at the end.  Raises Interrupted after Ctrl-C.
    """
    jobs = device.my_share(jobs)
    if not jobs:
        return
    find.translator(request.model, request.weights_dirs, request.offline)
    from artcli.commands.shared.loop import interruptible

    with interruptible() as stop:
        with stop.at_once():
            studio = Studio(request, console, stop)
            if dry_run:
                return one_by_one(jobs, studio.estimate, lambda job: job.source, console, batch=batch)
        one_by_one(jobs, studio.work, lambda job: job.source, console, batch=batch)


class Studio:
    """The loaded translator and the checked options; works on one job after another."""

    def __init__(self, request: Request, console: Console, stop: "Stop"):
        from artcli.pretrained import translators as translator_files

        self.request, self.console, self.stop = request, console, stop
        place = device.choose(request.device)
        where: dict[str, Any] = {"weights_dirs": request.weights_dirs, "offline": request.offline}
        self.enlarger = enlarge.load(request.enlargement, place, **where)
        how: dict[str, Any] = {"as_in_training": request.as_in_training, "dropout": request.dropout}
        self.translator = translator_files.load(request.model, place, direction=request.direction, **how, **where)
        self.net = self.translator.net
        self.weights = {self.translator.name: self.translator.fingerprint, **self.enlarger.weights}
        tell_other_weights(self.weights, request.recorded_weights, console.warn)
        way = f" {self.translator.direction}" if self.translator.direction else ""
        what = f"{self.translator.name}{way} ({self.net.sizes.describe()}{self._mode()}){self.enlarger.note}"
        console.info(f"cyclegan: {what}, {device.describe(place)}")

    def _mode(self) -> str:
        """How the net is used, where it could be used in two ways."""
        from artcli.nn import translators

        if self.net.sizes.norm != "batch" and not self.net.sizes.dropout:
            return ""
        ways = ["normalised by each picture"] * (translators.by_picture(self.net) and self.net.sizes.norm == "batch")
        ways += [f"dropout of seed {self.request.seed}"] * translators.drops(self.net)
        return ", " + ", ".join(ways or ["no dropout" if self.request.as_in_training else "--eval"])

    def work(self, job: Job) -> None:
        if self.stop.requested:
            raise Interrupted(f"interrupted before {job.source}")
        started = time.monotonic()
        size, facts = self._film(job) if job.film else self._picture(job)
        spent = time.monotonic() - started
        if not job.streamed:
            self.console.result(
                [job.out], source=str(job.source), size=list(size), seconds=round(spent, 2), model=self.translator.name,
                direction=self.translator.direction, **facts,
            )  # fmt: skip
        self.console.info(f"cyclegan: {size[0]}x{size[1]} in {duration(spent)}")
        if job.film and self.stop.requested:
            raise Interrupted(f"interrupted; {job.out} is what there was of {job.source}")

    # pictures -------------------------------------------------------------------------------------------------------

    def _picture(self, job: Job) -> tuple[tuple[int, int], dict[str, Any]]:
        from artcli.media import images

        recipe = self._recipe(job)
        picture = images.load("-" if str(job.source) == "-" else job.source)
        image, alpha, exif = images.to_tensor(picture), picture.alpha, picture.exif
        del picture  # of a large one the colours fill a good part of the memory
        self.enlarger.check(job.out, image.shape[2], image.shape[1])
        pixels = self._carried_over(image, str(job.source))
        return self.enlarger.save(job.out, pixels, alpha=alpha, recipe=recipe, photo=exif), {}

    def _carried_over(self, image: "torch.Tensor", name: str) -> "np.ndarray":
        """(3, H, W) in 0..1 to (H, W, 3) uint8, tile by tile with progress.  Raises Interrupted."""
        from artcli.backends import translate
        from artcli.media import images

        steps = translate.translate(image, self.net, self.request.tile, self.request.seed)
        first = next(steps)
        with self.console.progress("cyclegan", first.total) as progress:
            for step in chain([first], steps):
                progress.update(step.done)
                if self.stop.requested and step.done < step.total:
                    raise Interrupted(f"interrupted at part {step.done} of {step.total} of {name}; it was not written")
        return images.from_tensor(self._mixed(image, step.image()))

    def _mixed(self, image: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        from artcli.backends import translate

        if self.request.keep_color:
            drawn = translate.keep_color(image, drawn)
        return drawn if self.request.strength == 1 else image.lerp(drawn, self.request.strength)

    def _recipe(self, job: Job) -> dict[str, Any] | None:

        if self.request.recipe is None:
            return None
        parameters = {**self.request.recipe["parameters"], "inputs": [str(job.source)]}
        made = {**self.request.recipe, "parameters": parameters, "weights": self.weights}
        recipe_text.to_text(made)  # one that is too long shows before any compute
        return made

    # films ----------------------------------------------------------------------------------------------------------

    def _film(self, job: Job) -> tuple[tuple[int, int], dict[str, Any]]:
        """Every frame by itself, with the sound of the source; how much more it flickers than that."""
        from artcli.backends.flicker import Flicker
        from artcli.media import images, video

        assert isinstance(job.source, Path)
        info = video.probe(job.source)
        flicker = Flicker()
        with video.VideoWriter(job.out, info.size, info.fps, self._recipe(job), sound=job.source) as writer:
            for frame, made in self._frames(job.source, video.frame_count(job.source, info)):
                writer.write(images.from_tensor(made))
                flicker.see(frame, made)
        ratio = flicker.ratio()
        self.console.info(
            f"cyclegan: {writer.frames} frames; they change {ratio:.2f} times as much as the source from frame to frame"
        )
        return info.size, {"frames": writer.frames, "flicker": round(ratio, 3), "finished": not self.stop.requested}

    def _frames(self, source: Path, total: int) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """Frames before and after, (3, H, W) in 0..1, until the film or the user's patience ends."""
        from artcli.backends import translate
        from artcli.media import video

        with self.console.progress("cyclegan", total) as progress:
            before, made = None, None
            for number, image in enumerate(video.read_tensors(source), 1):
                if made is None or before is None or not image.equal(before):
                    for step in translate.translate(image, self.net, self.request.tile, self.request.seed):
                        drawn = step.image
                    made = self._mixed(image, drawn())
                before = image
                yield image, made
                progress.update(number)
                if self.stop.requested:
                    return

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: Job) -> None:
        """Time a part and say what the whole would cost."""
        import psutil
        import torch

        from artcli.backends import translate
        from artcli.media import decode, video

        if job.film:
            assert isinstance(job.source, Path)
            info = video.probe(job.source)
            (width, height), frames, enlarger = info.size, video.frame_count(job.source, info), enlarge.Enlarger()
        else:
            (width, height) = decode.size_of(job.source)
            frames, enlarger = 1, self.enlarger
        part = torch.rand(3, _TRIED, _TRIED)
        translate.whole(part, self.net)
        started = time.monotonic()
        translate.whole(part, self.net)
        seconds = (time.monotonic() - started) * width * height * frames / _TRIED**2
        whole = width * height <= translate.WHOLE * self.request.tile**2
        seconds *= 1.0 if whole else 1.4  # tiles overlap
        seconds += enlarger.seconds(width, height)
        across, down = enlarger.size(width, height)
        memory = (psutil.Process().memory_info().rss + 60 * across * down) / 1e9
        what = f"{f'{frames} frames of ' if job.film else ''}{width}x{height}{enlarger.note}"
        self.console.info(f"dry run: {what}, about {duration(seconds)}, {memory:.1f} GB; would write")
        self.console.result([job.out], dry_run=True, seconds=round(seconds, 1), memory_gb=round(memory, 2))
