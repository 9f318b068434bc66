"""Build, run and save what `artgen cyclegan` was asked for."""

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device
from artcli.commands.cyclegan.request import Job, Request
from artcli.commands.shared import enlarge
from artcli.commands.shared.outputs import load_and_work, tell_existing
from artcli.commands.shared.recipe import tell_other_weights
from artcli.console import Console, counted, duration
from artcli.errors import Interrupted
from artcli.media import claims, recipe_text
from artcli.pretrained import find

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.commands.shared.loop import Stop

_TRIED = 256  # pixels of the side of a part whose time tells that of all


def run(request: Request, console: Console) -> None:
    """Load the translator once, then carry over one input after another.

    A failing job of a batch does not stop the others: raises ArtgenError at the end.  Raises Interrupted after Ctrl-C.
    """
    asked = request.options
    jobs = device.my_share(list(request.jobs) if asked.dry_run else _left(request, console))
    if not jobs:
        return
    find.translator(asked.model, asked.folders, asked.offline)
    load_and_work(
        jobs, lambda stop: Studio(request, console, stop), lambda job: job.source, console,
        dry_run=asked.dry_run, batch=len(request.jobs) > 1,
    )  # fmt: skip


def _left(request: Request, console: Console) -> list[Job]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do."""
    jobs, skip = list(request.jobs), request.options.skip_existing
    claims.take([job.out for job in jobs], force=request.options.force, skip_existing=skip)
    left = [job for job in jobs if not skip or job.streamed or not job.out.exists()]
    tell_existing("cyclegan", jobs, left, console)
    return left


class Studio:
    """The loaded translator and the checked options; works on one job after another."""

    def __init__(self, request: Request, console: Console, stop: "Stop"):
        from artcli.pretrained import translators

        asked = self.asked = request.options
        self.request, self.console, self.stop = request, console, stop
        place = device.choose(asked.device)
        where: dict[str, Any] = {"weights_dirs": asked.folders, "offline": asked.offline}
        self.enlarger = enlarge.load(request.enlargement, place, **where)
        how: dict[str, Any] = {"as_in_training": not asked.evaluated, "dropout": not asked.no_dropout}
        self.translator = translators.load(asked.model, place, direction=asked.direction, **how, **where)
        self.net = self.translator.net
        self.back = enlarge.Enlarger()
        if asked.size is not None:  # which pictures come back from by the upscaler, so that strokes stay sharp
            self.back = enlarge.load(enlarge.Enlargement(2, request.enlargement.net), place, **where)
        self.weights = {self.translator.name: self.translator.fingerprint, **self.enlarger.weights, **self.back.weights}
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
        ways += [f"dropout of seed {self.asked.dropout_seed}"] * translators.drops(self.net)
        return ", " + ", ".join(ways or ["no dropout" if not self.asked.evaluated else "--eval"])

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

        steps = translate.translate(self._worked_on(image), self.net, self.asked.tile, self.asked.dropout_seed)
        first = next(steps)
        with self.console.progress("cyclegan", first.total) as progress:
            for step in chain([first], steps):
                progress.update(step.done)
                if self.stop.requested and step.done < step.total:
                    raise Interrupted(f"interrupted at part {step.done} of {step.total} of {name}; it was not written")
        return images.from_tensor(self._mixed(image, step.image()))

    def _working(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at which the net works on a picture of this size."""
        factor = (self.asked.size or max(width, height)) / max(width, height)
        return max(1, round(width * factor)), max(1, round(height * factor))

    def _worked_on(self, image: "torch.Tensor") -> "torch.Tensor":
        """(3, H, W) in 0..1 at the size at which the net works."""
        from artcli.media import images

        size = self._working(image.shape[2], image.shape[1])
        return image if size == (image.shape[2], image.shape[1]) else images.resize(image, size)

    def _brought_back(self, drawn: "torch.Tensor", width: int, height: int) -> "torch.Tensor":
        """What was drawn, (3, h, w) in 0..1, at the picture's size."""
        from artcli.backends import upscale
        from artcli.media import images

        while self.back.net is not None and max(drawn.shape[1:]) < max(width, height):
            drawn = upscale.upscale(drawn, self.back.net, self.back.factor)
        return drawn if drawn.shape[1:] == (height, width) else images.resize(drawn, (width, height))

    def _mixed(self, image: "torch.Tensor", drawn: "torch.Tensor") -> "torch.Tensor":
        """Both (3, H, W) in 0..1, `drawn` as large as the net worked on it."""
        from artcli.backends import translate

        drawn = self._brought_back(drawn, image.shape[2], image.shape[1])
        if self.asked.keep_color:
            drawn = translate.keep_color(image, drawn)
        return drawn if self.asked.strength == 1 else image.lerp(drawn, self.asked.strength)

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
        change = f"they change {ratio:.2f} times as much as the source from frame to frame"
        self.console.info(f"cyclegan: {counted(writer.frames, 'frame')}; {change}")
        return info.size, {"frames": writer.frames, "flicker": round(ratio, 3), "finished": not self.stop.requested}

    def _frames(self, source: Path, total: int) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """Frames before and after, (3, H, W) in 0..1, until the film or the user's patience ends."""
        from artcli.backends import translate
        from artcli.media import video

        with self.console.progress("cyclegan", total) as progress:
            before, made = None, None
            for number, image in enumerate(video.read_tensors(source), 1):
                if made is None or before is None or not image.equal(before):
                    for step in translate.translate(
                        self._worked_on(image), self.net, self.asked.tile, self.asked.dropout_seed
                    ):
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
        work = self._working(width, height)
        part = torch.rand(3, _TRIED, _TRIED)
        translate.whole(part, self.net)
        started = time.monotonic()
        translate.whole(part, self.net)
        seconds = (time.monotonic() - started) * work[0] * work[1] * frames / _TRIED**2
        whole = work[0] * work[1] <= translate.WHOLE * self.asked.tile**2
        seconds *= 1.0 if whole else 1.4  # tiles overlap
        seconds += enlarger.seconds(width, height)
        seconds += self.back.seconds(width, height) * frames / 2 if max(work) < max(width, height) else 0.0
        across, down = enlarger.size(width, height)
        memory = (psutil.Process().memory_info().rss + 60 * across * down) / 1e9
        what = f"{counted(frames, 'frame') + ' of ' if job.film else ''}{width}x{height}{enlarger.note}"
        what += f", drawn at {work[0]}x{work[1]}" if work != (width, height) else ""
        self.console.info(f"dry run: {what}, about {duration(seconds)}, {memory:.1f} GB; would write")
        self.console.result([job.out], dry_run=True, seconds=round(seconds, 1), memory_gb=round(memory, 2))
