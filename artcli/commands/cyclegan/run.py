"""Build, run and save what `artgen cyclegan` was asked for."""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from artcli.commands.cyclegan.request import LARGEST, CycleganJob, Request
from artcli.commands.shared import costs, enlarge, finish, studio
from artcli.console import Console, counted, duration
from artcli.errors import Interrupted
from artcli.pretrained import find

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.backends.translate import Step

_TRIED = 256  # pixels of the side of a part whose time tells that of all


class Studio(studio.Studio):
    """The loaded translator."""

    label = "cyclegan"

    def prepare(self) -> None:
        from artcli.pretrained import translators

        asked, note = self.asked, self.finish.note
        how: dict[str, Any] = {"as_in_training": not asked.evaluated, "dropout": not asked.no_dropout}
        self.translator = self.load(translators.load, asked.model, direction=asked.direction, **how)
        self.net, self.scale = self.translator.net, self.translator.scale
        self.weights = {self.translator.name: self.translator.fingerprint}
        self.back: enlarge.Enlarger | None = None
        if asked.size or self.scale:  # from which pictures come back by the upscaler: strokes stay sharp
            self.back = enlarge.load(enlarge.Enlargement(2, self.request.enlargement.net), self.device, **self.where)
            self.weights |= self.back.weights
        way = f" {self.translator.direction}" if self.translator.direction else ""
        what = f"{self.translator.name}{way} ({self.net.sizes.describe()}{self._mode()}){note}"
        self.tell_loaded(what)

    def expect(self) -> None:
        self.scale, self.back = find.SCALE, enlarge.Enlarger(2)
        way = self.asked.direction or find.DIRECTIONS[0]
        self.tell_loaded(f"{self.asked.model} {way}{self.finish.note}")

    @classmethod
    def needed(cls, request: Request) -> set[str]:
        return super().needed(request) | {request.options.model}

    @classmethod
    def before_loading(cls, request: Request, mine: Sequence[CycleganJob], console: Console) -> None:
        asked = request.options
        find.translator(asked.model, weights_dirs=asked.folders, offline=asked.offline)
        super().before_loading(request, mine, console)

    def _mode(self) -> str:
        """How the net is used, where it could be used in two ways."""
        from artcli.nn import translators

        if self.net.sizes.norm != "batch" and not self.net.sizes.dropout:
            return ""
        ways = ["normalised by each picture"] * (translators.by_picture(self.net) and self.net.sizes.norm == "batch")
        ways += [f"dropout of seed {self.asked.dropout_seed}"] * translators.drops(self.net)
        return ", " + ", ".join(ways or ["no dropout" if not self.asked.evaluated else "--eval"])

    def work(self, job: CycleganJob) -> None:
        if self.stop.requested:
            raise Interrupted(f"interrupted before {job.source}")
        started = time.monotonic()
        size, facts = self._film(job) if job.moving else self._picture(job)
        spent = time.monotonic() - started
        if not job.streamed:
            self.console.result(
                [job.out], source=str(job.source), size=list(size), seconds=round(spent, 2), model=self.translator.name,
                direction=self.translator.direction, **facts,
            )  # fmt: skip
        self.tell(f"{size[0]}x{size[1]} in {duration(spent)}")
        if not facts.get("finished", True):
            raise Interrupted(f"interrupted; {job.out} is what there was of {job.source}")

    # pictures -------------------------------------------------------------------------------------------------------

    def _picture(self, job: CycleganJob) -> tuple[tuple[int, int], dict[str, Any]]:
        from artcli.media import images

        record = self.record(inputs=[str(job.source)])
        picture = images.load("-" if str(job.source) == "-" else job.source)
        image, alpha, exif = images.to_tensor(picture), picture.alpha, picture.exif
        del picture  # of a large one the colours fill a good part of the memory
        self.finish.check(job.out, image.shape[2], image.shape[1])
        pixels = self._carried_over(image, str(job.source))
        made = self.finish.save(job.out, pixels, alpha=alpha, recipe=record, photo=exif)
        return (made.pixels.shape[1], made.pixels.shape[0]), {}

    def _carried_over(self, image: "torch.Tensor", name: str) -> "np.ndarray":
        """(3, H, W) in 0..1 to (H, W, 3) uint8, tile by tile with progress.  Raises Interrupted."""
        from artcli.backends.frame import Frame
        from artcli.commands.shared.loop import Hooks, follow
        from artcli.media import images

        small = self._worked_on(image)
        steps = self._steps(small)
        first = next(steps)
        frames = (Frame(step.done, step.total, step.image, {}, dict) for step in itertools.chain([first], steps))
        to_pixels = lambda drawn: images.from_tensor(self._mixed(image, drawn, small))  # noqa: E731
        outcome = follow(frames, Hooks(self.console, self.label, first.total, to_pixels), self.stop)
        if outcome.stopped is not None:
            part = f"part {outcome.step} of {first.total} of {name}"
            raise Interrupted(f"interrupted at {part}; it was not written")
        return outcome.pixels

    def _steps(self, small: "torch.Tensor") -> "Iterator[Step]":
        from artcli.backends import translate

        return translate.translate(small, self.net, self.asked.tile, self.asked.dropout_seed)

    def _working(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at which the net works on a picture of this size; not enlarged unless asked."""
        shorter, longer = sorted((width, height))
        wanted = self.asked.size or min(shorter, self.scale or shorter)
        factor = min(wanted / shorter, max(1, LARGEST / longer))
        return max(1, round(width * factor)), max(1, round(height * factor))

    def _worked_on(self, image: "torch.Tensor") -> "torch.Tensor":
        """(3, H, W) in 0..1 at the size at which the net works."""
        from artcli.media import images

        size = self._working(image.shape[2], image.shape[1])
        return image if size == (image.shape[2], image.shape[1]) else images.resize(image, size)

    def _brought_back(self, drawn: "torch.Tensor", image: "torch.Tensor", small: "torch.Tensor") -> "torch.Tensor":
        """What was drawn of `small` at the picture's size, with its edges; all (3, h, w) in 0..1."""
        from artcli.backends import translate, upscale

        if self.back is None or drawn.shape == image.shape:
            return drawn
        assert self.back.net is not None
        large = upscale.to_size(drawn, self.back.net, (image.shape[2], image.shape[1]))
        if not self.asked.detail or drawn.shape[1] > image.shape[1]:
            return large
        return translate.with_edges(large, image, drawn, small, self.asked.detail)

    def _mixed(self, image: "torch.Tensor", drawn: "torch.Tensor", small: "torch.Tensor") -> "torch.Tensor":
        """The picture (3, H, W) in 0..1, and what was drawn of it where it was `small`."""
        from artcli.backends import translate

        drawn = self._brought_back(drawn, image, small)
        if self.asked.keep_color:
            drawn = translate.keep_color(image, drawn)
        return drawn if self.asked.strength == 1 else image.lerp(drawn, self.asked.strength)

    # films ----------------------------------------------------------------------------------------------------------

    def _film(self, job: CycleganJob) -> tuple[tuple[int, int], dict[str, Any]]:
        """Every frame by itself, with the sound of the source; its size, and how much more it flickers than that."""
        from artcli.backends.flicker import Flicker
        from artcli.media import images, video

        flicker = Flicker()

        def draw(frame: "torch.Tensor") -> "np.ndarray":
            small = self._worked_on(frame)
            *_, step = self._steps(small)
            made = self._mixed(frame, step.image(), small)
            flicker.see(frame, made)
            return images.from_tensor(made)

        outcome = self.redraw(job, video.read_tensors(job.path), draw, self.record(inputs=[str(job.source)]))
        ratio, count = flicker.ratio(), outcome.step
        self.tell(f"{counted(count, 'frame')}; they change {ratio:.2f} times as much as the source from frame to frame")
        return video.probe(job.path).size, {
            "frames": count,
            "flicker": round(ratio, 3),
            "finished": outcome.stopped is None,
        }

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: CycleganJob) -> None:
        """Say what the whole would cost, by that of a pixel."""
        from artcli.backends import sizes
        from artcli.media import decode, video

        if job.moving:
            info = video.probe(job.path)
            (width, height), frames, chain = info.size, video.frame_count(job.path, info), finish.Chain()
        else:
            (width, height), frames, chain = decode.size_of(job.source), 1, self.finish
        work = self._working(width, height)
        pixels = work[0] * work[1]
        seconds = (costs.seconds(find.TRANSLATOR, pixels) if self.foreseen else self._tried() * pixels) * frames
        seconds *= 1.0 if pixels <= sizes.WHOLE * self.asked.tile**2 else 1.4  # tiles overlap
        seconds += chain.seconds(width, height)
        if self.back is not None:
            doubled = sum(4**times for times in range(sizes.doublings(work, (width, height))))
            seconds += self.back.seconds(*work) * doubled * frames
        across, down = chain.size(width, height)
        what = f"{counted(frames, 'frame') + ' of ' if job.moving else ''}{width}x{height}{chain.note}"
        what += f", drawn at {work[0]}x{work[1]}" if work != (width, height) else ""
        held = costs.memory("cyclegan") if self.foreseen else None
        studio.tell_cost(self.console, [job.out], what, seconds, across * down, held)

    def _tried(self) -> float:
        """Seconds of a pixel, by those of a part."""
        import torch

        from artcli.backends import translate

        part = torch.rand(3, _TRIED, _TRIED)
        translate.whole(part, self.net)
        started = time.monotonic()
        translate.whole(part, self.net)
        return (time.monotonic() - started) / _TRIED**2


run = Studio.run
