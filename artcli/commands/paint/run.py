"""Build, run and save what `artgen paint` was asked for."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli.commands.paint.request import PaintJob, Request
from artcli.commands.shared import costs, studio
from artcli.commands.shared.unfinished import Unfinished, fingerprint
from artcli.console import Console, counted, duration
from artcli.errors import Interrupted, UsageError
from artcli.media import files
from artcli.pretrained import find

if TYPE_CHECKING:
    import numpy as np

    from artcli.backends.paint.moving import Moving
    from artcli.media.images import Picture
    from artcli.media.strokes import Painting, Strokes
    from artcli.pretrained.painter import Painter

_TRIED = 64  # patches whose time tells that of all
_SHOWN = 320  # pixels of the longer side that a terminal is given


class Studio(studio.Studio):
    """The loaded painter and the checked options."""

    label = "paint"

    def prepare(self) -> None:
        from artcli.backends.paint import palette
        from artcli.media import brushes

        asked = self.asked
        self.brush = None if asked.brush is None else brushes.Brush.find(asked.brush)
        self.palette = None if asked.palette is None else palette.read(asked.palette)
        self.background = background(asked.background)
        self.mask = None if asked.detail_mask is None else _load(asked.detail_mask)

    def expect(self) -> None:
        self.prepare()
        if not all(job.replays for job in self.request.jobs):
            self.tell_loaded(self.asked.model)

    @cached_property
    def painter(self) -> "Painter":
        """Loaded when the first photo needs it: strokes that are there already need no torch."""
        from artcli.pretrained import painter as predictor

        loaded: Painter = self.load(predictor.load, self.asked.model)
        self.weights = {loaded.name: loaded.fingerprint}
        self.tell_loaded(loaded.name)
        return loaded

    @classmethod
    def before_loading(cls, request: Request, mine: Sequence[PaintJob], console: Console) -> None:
        asked = request.options
        if not all(job.replays for job in mine):
            find.painter(asked.model, weights_dirs=asked.folders, offline=asked.offline)
        super().before_loading(request, mine, console)

    @classmethod
    def needed(cls, request: Request) -> set[str]:
        return super().needed(request) | {request.options.model}

    # one job --------------------------------------------------------------------------------------------------------

    def work(self, job: PaintJob) -> None:
        if job.moving:
            return self._paint_film(job)
        started = time.monotonic()
        painting, finished, pixels = (self._replay(job), True, None) if job.replays else self._paint_photo(job)
        if self.asked.size not in (None, max(painting.size)):
            painting, pixels = painting.resized(self.asked.size), None
        written = self._save(job, painting, pixels)
        if finished:
            films, finished = self._films(job, painting)
            written += films
        spent = time.monotonic() - started
        if not job.streamed:
            self.console.result(
                written, source=str(job.source), strokes=len(painting.strokes), size=list(painting.size),
                seconds=round(spent, 2), finished=finished,
            )  # fmt: skip
        count = len(painting.strokes)
        self.tell(f"{counted(count, 'stroke')} in {duration(spent)}")
        if not finished:
            raise Interrupted(f"interrupted; {job.picture} is what was painted of {job.source}")

    def _paint_film(self, job: PaintJob) -> None:
        from artcli.media import video

        started, moving = time.monotonic(), self._moving(job)
        unfinished = self._unfinished(job)
        if (saved := self.saved(unfinished, "frame")) is not None:
            moving.painting, moving.model = (saved["state"][name].numpy() for name in ("painting", "model"))
        outcome = self.redraw(
            job, video.read_frames(job.path), moving.paint, self._record(job), size=moving.size,
            unfinished=unfinished, saved=saved, state=lambda: _planes(moving),
        )  # fmt: skip
        spent, frames, finished = time.monotonic() - started, outcome.step, outcome.stopped is None
        facts = {"source": str(job.source), "frames": frames, "seconds": round(spent, 2), "finished": finished}
        self.console.result(job.outputs, **facts)
        self.tell(f"{counted(frames, 'frame')} in {duration(spent)}")
        if not finished:
            raise Interrupted(f"interrupted after {frames} frames of {job.source}; --resume goes on from here")

    def _moving(self, job: PaintJob) -> "Moving":
        from artcli.backends.paint.moving import Moving
        from artcli.media import video
        from artcli.media.brushes import Brush

        ground = self.background if isinstance(self.background, tuple) else None
        size = video.probe(job.path).size
        mask, brush = self._mask(self._painted(size)), self.brush or Brush.find(self.painter.brush)
        return Moving(self.painter, self.asked.settings, brush, ground, mask, self._sized(size))

    def _unfinished(self, job: PaintJob) -> Unfinished:
        asked = self.asked
        what = {
            "film": fingerprint(job.path), "settings": asdict(asked.settings), "weights": self.weights,
            "brush": asked.brush, "background": asked.background, "mask": str(asked.detail_mask), "size": asked.size,
        }  # fmt: skip
        return Unfinished(job.unfinished, what)

    def _paint_photo(self, job: PaintJob) -> "tuple[Painting, bool, np.ndarray | None]":
        """The painting, whether it is finished, and its pixels where they are drawn already."""
        from artcli.backends.paint import choose, layers, palette
        from artcli.media import images
        from artcli.media.brushes import Brush
        from artcli.media.strokes import Painting, Strokes

        picture = _load(job.source)
        alpha, average, exif = picture.alpha, _average(picture), picture.exif
        photo = layers.undithered(_opaque(picture, average))  # before its dots are shrunk to greys
        del picture  # its floats are four times as large as the bytes
        size = self._painted((photo.shape[1], photo.shape[0]))
        if size != (photo.shape[1], photo.shape[0]):
            photo = images.resize(photo, size)
            alpha = None if alpha is None else images.resize(alpha, size)
        brush = self.brush or Brush.find(self.painter.brush)
        ground = self.background if isinstance(self.background, tuple) else average
        settings, strokes, now = self.asked.settings, Strokes.none(), None
        total = len(layers.plan(size, settings, self.painter.strokes))
        with self.console.progress("paint", total, picture=True) as progress:
            for now in layers.paint(photo, self.painter, settings, brush, ground, self._mask(size)):
                strokes, moment = now.strokes, time.monotonic()
                if progress.wants_picture(moment, now.step == now.total):
                    progress.picture(_small(Painting(size, strokes, brush, ground)), moment)
                progress.update(now.step, counted(len(strokes), "stroke"))
                if self.stop.requested:
                    break
        if settings.strokes is not None:
            strokes = choose.best(strokes, settings.strokes, photo, brush, ground)
        if self.palette is not None:
            strokes = palette.apply(strokes, self.palette)
        shown = None if self.background == "transparent" else ground
        made = Painting(size, strokes, brush, shown, alpha, self._record(job), exif)
        drawn = None if now is None or shown is None or strokes is not now.strokes else now.pixels
        return made, now is None or now.step == now.total, drawn

    def _painted(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size at which a photo of this one is painted: a larger --size only enlarges the strokes."""
        return self._sized(size) if (self.asked.size or max(size)) < max(size) else size

    def _sized(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of what is made from a photo or a film of this one."""
        factor = (self.asked.size or max(size)) / max(size)
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    def _mask(self, size: tuple[int, int]) -> "np.ndarray | None":
        from artcli.media import images

        return None if self.mask is None else images.resize(images.as_mask(self.mask), size)

    def _replay(self, job: PaintJob) -> "Painting":
        """The strokes of a file, with what is asked for here in the place of what it says."""
        from artcli.backends.paint import palette
        from artcli.media import strokes as stroke_files

        painting = stroke_files.load(job.path)
        if self.palette is not None:
            painting = replace(painting, strokes=palette.apply(painting.strokes, self.palette))
        if self.brush is not None:
            painting = replace(painting, brush=self.brush)
        if self.asked.background == "average":
            raise UsageError(f"--background average is the photo's, and {job.source} has none; name a colour")
        if self.asked.background is not None:
            transparent = self.background == "transparent"
            painting = replace(painting, background=None if transparent else self.background)
        return replace(painting, recipe=self._replayed(painting.recipe))

    # the record -----------------------------------------------------------------------------------------------------

    def _record(self, job: PaintJob) -> dict[str, Any] | None:
        return self.record({self.painter.name: self.painter.fingerprint}, inputs=[str(job.source)])

    def _replayed(self, made: dict[str, Any] | None) -> dict[str, Any] | None:
        """The recipe of the strokes with the options that were given now; without any it stays the same."""
        if made is None or self.asked.no_metadata or not isinstance(made.get("parameters"), dict):
            return None
        now = {name: getattr(self.asked, name) for name in ("size", "brush", "palette", "background")}
        given = {name: value for name, value in now.items() if value is not None}
        if given and made.get("command") != self.request.command:  # a dream's painting, which dream does not change so
            return None
        return {**made, "parameters": {**made["parameters"], **given}}

    # what is written ------------------------------------------------------------------------------------------------

    def _save(self, job: PaintJob, painting: "Painting", pixels: "np.ndarray | None") -> list[Path]:
        """Write everything but films.  pixels: of the painting, None where they are still to be drawn."""
        from artcli.media import raster, svg
        from artcli.media import strokes as stroke_files

        self._write(job.picture, raster.rasterise(painting) if pixels is None else pixels, painting)
        written = [job.picture]
        if job.strokes is not None:
            stroke_files.save(job.strokes, painting)
            written.append(job.strokes)
        if job.svg is not None:
            svg.save(job.svg, painting)
            written.append(job.svg)
        if job.each_layer:
            for number, strokes in enumerate(_by_layer(painting.strokes), 1):
                layer = replace(painting, strokes=strokes, background=None)
                self._write(job.layer(number), raster.rasterise(layer), layer)
                written.append(job.layer(number))
        return written

    def _write(self, path: Path, pixels: "np.ndarray", painting: "Painting") -> None:
        from artcli.media import images

        alpha = painting.alpha
        if alpha is not None and alpha.shape != pixels.shape[:2]:
            alpha = images.resize(alpha, (pixels.shape[1], pixels.shape[0]))
        if pixels.shape[2] == 4:
            shown = pixels[..., 3] / 255
            alpha = shown if alpha is None else alpha * shown
            pixels = pixels[..., :3].copy()
        images.save(path, pixels, alpha=alpha, recipe=painting.recipe, photo=painting.exif)

    def _films(self, job: PaintJob, painting: "Painting") -> tuple[list[Path], bool]:
        """Write the films; those written, and whether the user let them be finished."""
        from artcli.commands.shared import growing

        written: list[Path] = []
        timing = growing.Timing(self.asked.duration, self.asked.fps, self.asked.pace)
        for path in job.films:
            if self.stop.requested:
                return written, False
            finished = growing.write(path, painting, timing, self.stop, self.console)
            written.append(path)
            if not finished:
                return written, False
        return written, True

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: PaintJob) -> None:
        """Say what the whole would cost, by that of a patch."""
        from artcli.backends.paint import layers

        outputs = [*job.outputs, *([job.layer(1)] if job.each_layer else [])]
        films = f" without {'its film' if len(job.films) == 1 else 'films'}" if job.films else ""
        if job.replays:
            painting = self._replay(job)
            count, seconds = len(painting.strokes), self._seconds_to_draw(painting)
            what = f"{job.source} has {counted(count, 'stroke')}{films}"
            return studio.tell_cost(self.console, outputs, what, seconds, strokes=count)
        (source, frames), settings = self._size_of(job), self.asked.settings
        size = self._painted(source)
        passes = layers.plan(size, settings, *([] if self.foreseen else [self.painter.strokes]))
        count = sum(layers.patches(size, each) for each in passes)
        seconds = costs.seconds("painter", count) if self.foreseen else self._tried() * count
        what = f"{counted(frames, 'frame')} of " if job.moving else ""
        most = " a frame at most" if job.moving else films  # what stands still is not painted again
        looks = f"{counted(passes[-1].layer + 1, 'layer')}, {count} patch{'es' * (count != 1)}"
        what += f"{size[0]}x{size[1]}, {looks}{most}"
        held = costs.memory("paint") if self.foreseen else None
        studio.tell_cost(self.console, outputs, what, seconds * frames, source[0] * source[1], held)

    def _seconds_to_draw(self, painting: "Painting") -> float:
        """Strokes that are there already, by a small picture of them."""
        from artcli.media import raster

        side = self.asked.size or max(painting.size)
        small = painting.resized(min(_SHOWN, side))
        started = time.monotonic()
        raster.rasterise(small)
        return (time.monotonic() - started) * (side / max(small.size)) ** 2

    def _tried(self) -> float:
        """Seconds of a patch, by some of them."""
        import numpy as np

        from artcli.backends.paint import layers

        blank = np.zeros((_TRIED, layers.PATCH, layers.PATCH, 3), np.uint8)
        self.painter(blank, blank)
        started = time.monotonic()
        self.painter(blank, blank)
        return (time.monotonic() - started) / _TRIED * 1.5  # the rest is drawing

    def _size_of(self, job: PaintJob) -> tuple[tuple[int, int], int]:
        """(width, height) of the source, and how many frames it has."""
        from artcli.media import decode, video

        if job.moving:
            info = video.probe(job.path)
            return info.size, video.frame_count(job.path, info)
        return decode.size_of(job.source), 1


run = Studio.run


def background(text: str | None) -> Any:
    """`--background`: (r, g, b) in 0..1, "transparent", or "average" of the photo.  Raises UsageError."""
    from PIL import ImageColor

    if text in (None, "average", "transparent"):
        return text or "average"
    try:
        return tuple(value / 255 for value in ImageColor.getrgb(str(text))[:3])
    except ValueError as error:
        raise UsageError(
            f"--background '{text}' is no colour; write average, transparent, a name such as white, or #rrggbb"
        ) from error


def _small(painting: "Painting") -> "np.ndarray":
    """(H, W, 3) uint8, as large as a terminal can show."""
    from artcli.media import raster

    return raster.rasterise(painting.resized(min(_SHOWN, max(painting.size))))


def _load(source: Path | files.Stdio) -> "Picture":
    from artcli.media import images

    return images.load("-" if str(source) == "-" else source)


def _average(picture: "Picture") -> tuple[float, float, float]:
    """The mean colour of what can be seen, in 0..1, as strokes.json can hold it."""
    import numpy as np

    seen = None if picture.alpha is None or not picture.alpha.any() else picture.alpha
    red, green, blue = (
        round(float(np.average(picture.rgb[..., c], weights=seen)) * 255) / 255 for c in range(3)
    )  # fmt: skip
    return red, green, blue


def _opaque(picture: "Picture", ground: tuple[float, float, float]) -> "np.ndarray":
    """(H, W, 3) uint8; what is see-through gets the ground's colour, so that no hidden one bleeds into its rim."""
    import numpy as np

    rgb = picture.rgb
    if picture.alpha is not None:
        rgb = rgb * picture.alpha[..., None] + np.array(ground, np.float32) * (1 - picture.alpha[..., None])
    return (rgb * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _by_layer(strokes: "Strokes") -> "list[Strokes]":
    return [strokes[strokes.layers == layer] for layer in sorted(set(strokes.layers.tolist()))]


def _planes(moving: "Moving") -> dict[str, Any]:
    """What the next frame is painted over."""
    import torch

    return {name: torch.from_numpy(getattr(moving, name)) for name in ("painting", "model")}
