"""`artgen stylize --fast`: pictures and films in one pass."""

import time
from typing import TYPE_CHECKING

from artcli import weights
from artcli.backends.stylize.schedule import fit
from artcli.commands.shared import costs, studio
from artcli.commands.shared.jobs import InputJob
from artcli.commands.stylize.request import Request
from artcli.commands.stylize.run import TRIED, StyleStudio
from artcli.console import counted
from artcli.errors import Interrupted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.backends.stylize.fast import Stylizer
    from artcli.backends.stylize.styles import Style


class Studio(StyleStudio):
    """The loaded decoder and styles."""

    def prepare(self) -> None:
        from artcli.pretrained import adain

        super().prepare()
        self.stylist = self.load(adain.load, self.asked.model)
        self.weights = {self.asked.model: weights.fingerprint(self.stylist)}
        self.shared = self._painter(self.given)
        self.tell_loaded(f"{self.asked.model}, {self.note}")

    def expect(self) -> None:
        super().expect()
        self.tell_loaded(f"{self.asked.model}, {self.note}")

    @classmethod
    def needed(cls, request: Request) -> set[str]:
        return super().needed(request) | {request.options.model}

    def _painter(self, styles: "list[Style]") -> "Stylizer":
        from artcli.backends.stylize.fast import Stylizer

        return Stylizer(self.stylist, styles, self.request.settings)

    def work(self, job: InputJob) -> None:
        if job.moving:
            self._paint_film(job)
        else:
            self._paint_photo(job)

    # pictures -------------------------------------------------------------------------------------------------------

    def _paint_photo(self, job: InputJob) -> None:
        from artcli.backends.stylize import reading
        from artcli.media import images

        started, how = time.monotonic(), self.asked.keep_color
        photo = reading.photo(job.source, self.request.settings.size, self.asked.mask)
        self.finish.check(job.picture, *photo.size)
        seen, painter = photo.rgb, self.shared
        if how is not None:
            seen, styles = reading.recolour(photo.rgb, self.given, how)
            painter = self._painter(styles)
        pixels = images.from_tensor(photo.finish(painter(seen, photo.masks), how))
        self.finish.save(job.picture, pixels, alpha=photo.alpha, recipe=self.record_of(job), photo=photo.exif)
        spent = time.monotonic() - started
        if not job.streamed:
            self.console.result(job.outputs, photo=str(job.source), seconds=round(spent, 2), finished=True)
        self.tell(f"painted in {spent:.1f} s")
        if self.stop.requested:
            raise Interrupted(f"interrupted; {job.source} is painted")

    # films ----------------------------------------------------------------------------------------------------------

    def _paint_film(self, job: InputJob) -> None:
        from artcli.backends.stylize import colour
        from artcli.backends.stylize.steady import Steady
        from artcli.media import images, video

        started, steady = time.monotonic(), Steady(self.shared, self.asked.steady)
        unfinished = self.unfinished(job, steady=self.asked.steady)
        if (saved := self.saved(unfinished, "frame")) is not None:
            steady.load({name: value for name, value in saved["state"].items() if name != "step"})

        def draw(frame: "torch.Tensor") -> "np.ndarray":
            painted = steady(frame)
            keeps = self.asked.keep_color is not None
            return images.from_tensor(colour.with_colours_of(painted, frame) if keeps else painted)

        size = self._size(video.probe(job.path).size)
        outcome = self.redraw(
            job, video.read_tensors(job.path, size), draw, self.record_of(job, self.weights), size=size,
            unfinished=unfinished, saved=saved, state=steady.state,
        )  # fmt: skip
        done, finished = outcome.step, outcome.stopped is None
        before, after = (round(value, 2) for value in steady.flicker)
        self.console.result(
            job.outputs, photo=str(job.source), frames=done, seconds=round(time.monotonic() - started, 2),
            finished=finished, flicker=after, flicker_undamped=before,
        )  # fmt: skip
        self.tell(f"{counted(done, 'frame')}; still places flicker by {after} levels, undamped by {before}")
        if not finished:
            raise Interrupted(f"interrupted at frame {done}; saved, --resume goes on from here")

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        factor = self.request.settings.size / max(size)
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: InputJob) -> None:
        """Say what the whole would cost, by that of a picture."""
        from artcli.media import video

        count, side, enlarging = 1, self.request.settings.size, 0.0
        if job.moving:
            info = video.probe(job.path)
            count = video.frame_count(job.path, info)
            width, height = self._size(info.size)
        else:
            height, width = fit(self.size_of(job)[::-1], side, least=1)
            enlarging = self.finish.seconds(width, height)
        each = costs.seconds("adain", width * height) if self.foreseen else self._tried(height, width)
        held = costs.memory("fast", min(height * width, self.request.settings.tile**2)) if self.foreseen else None
        studio.tell_cost(self.console, job.outputs, counted(count, "frame"), count * each + enlarging, held=held)

    def _tried(self, height: int, width: int) -> float:
        import torch

        tried = torch.rand(3, *fit((height, width), min(max(height, width), TRIED)))
        started = time.monotonic()
        self.shared(tried)
        return (time.monotonic() - started) * width * height / (tried.shape[1] * tried.shape[2])


run = Studio.run
