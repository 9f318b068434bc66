"""`artgen stylize --fast`: pictures and films in one pass."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device, weights
from artcli import state as state_file
from artcli.backends.stylize.schedule import fit
from artcli.commands.shared import enlarge
from artcli.commands.shared.recipe import tell_other_weights
from artcli.commands.stylize.request import Clip, Job, Request
from artcli.commands.stylize.run import TRIED, read_styles, recipe_of, work
from artcli.console import Console, counted, duration
from artcli.errors import Interrupted, UsageError
from artcli.fetch import sha256_of

if TYPE_CHECKING:
    from artcli.backends.stylize.fast import Stylizer
    from artcli.backends.stylize.steady import Steady
    from artcli.backends.stylize.styles import Style
    from artcli.commands.shared.loop import Film, Stop

_STATE_EVERY = 30.0  # seconds


def run(request: Request, console: Console) -> None:
    """Load the decoder and the styles once, then paint input after input.

    A failing job of a batch does not stop the others: raises ArtgenError at the end.  Raises Interrupted after Ctrl-C.
    """
    work(request, console, Studio)


class Studio:
    """The loaded decoder and styles."""

    def __init__(self, request: Request, console: Console, stop: "Stop"):
        from artcli.pretrained import adain as adain_files

        self.request, self.console, self.stop = request, console, stop
        asked = self.asked = request.options
        self.given = read_styles(request, console)
        self.device = device.choose(asked.device)
        where: dict[str, Any] = {"weights_dirs": asked.folders, "offline": asked.offline}
        self.enlarger = enlarge.load(request.enlargement, self.device, **where)
        self.stylist = adain_files.load(asked.model, self.device, **where)
        self.weights = {asked.model: weights.fingerprint(self.stylist)}
        self.recorded = {**self.weights, **self.enlarger.weights}
        tell_other_weights(self.recorded, request.recorded_weights, console.warn)
        self.shared = self._painter(self.given)
        what = f"{asked.model}, {counted(len(self.given), 'style')}{self.enlarger.note}"
        console.info(f"stylize: {what}, {device.describe(self.device)}")

    def _painter(self, styles: "list[Style]") -> "Stylizer":
        from artcli.backends.stylize.fast import Stylizer

        return Stylizer(self.stylist, styles, self.request.settings)

    def work(self, job: Job) -> None:
        if isinstance(job, Clip):
            self._paint_clip(job)
        else:
            self._paint_photo(job)

    # pictures -------------------------------------------------------------------------------------------------------

    def _paint_photo(self, job: Job) -> None:
        from artcli.backends.stylize import reading
        from artcli.media import images

        started, how = time.monotonic(), self.asked.keep_color
        photo = reading.photo(job.photo, self.request.settings.size, self.asked.mask)
        self.enlarger.check(job.picture, *photo.size)
        seen, painter = photo.rgb, self.shared
        if how is not None:
            seen, styles = reading.recolour(photo.rgb, self.given, how)
            painter = self._painter(styles)
        pixels = images.from_tensor(photo.finish(painter(seen, photo.masks), how))
        recipe = recipe_of(job, self.request, self.recorded)
        self.enlarger.save(job.picture, pixels, alpha=photo.alpha, recipe=recipe, photo=photo.exif)
        spent = time.monotonic() - started
        if not job.streamed:
            self.console.result(job.outputs, photo=str(job.photo), seconds=round(spent, 2), finished=True)
        self.console.info(f"stylize: painted in {spent:.1f} s")
        if self.stop.requested:
            raise Interrupted(f"interrupted; {job.photo} is painted")

    # films ----------------------------------------------------------------------------------------------------------

    def _paint_clip(self, job: Clip) -> None:
        from artcli.backends.stylize.steady import Steady
        from artcli.commands.shared import film as films

        started = time.monotonic()
        steady = Steady(self.shared, self.asked.steady)
        saved = self._saved_state(job)
        if saved is None:
            shutil.rmtree(job.unfinished, ignore_errors=True)
        else:
            steady.load(saved["state"])
        first = 0 if saved is None else saved["frame"]
        film = self._open(job)
        if first:
            films.replay(film, job.unfinished, first, self.console)
        with films.filming(film, job.unfinished):
            done, finished = self._frames(job, steady, film, first)
        if finished:
            shutil.rmtree(job.unfinished, ignore_errors=True)
        before, after = (round(value, 2) for value in steady.flicker)
        self.console.result(
            job.outputs, photo=str(job.photo), frames=done, seconds=round(time.monotonic() - started, 2),
            finished=finished, flicker=after, flicker_undamped=before,
        )  # fmt: skip
        flickers = f"still places flicker by {after} levels, undamped by {before}"
        self.console.info(f"stylize: {counted(done, 'frame')}; {flickers}")
        if not finished:
            raise Interrupted(f"interrupted at frame {done}; saved, --resume goes on from here")

    def _open(self, job: Clip) -> "Film":
        from artcli.commands.shared import film as films
        from artcli.media import video

        assert isinstance(job.photo, Path)
        recipe = recipe_of(job, self.request, self.weights)
        info = video.probe(job.photo)
        size = self._size(info.size)
        return films.open_film(job.out, size, info.fps, 1, 1, recipe, job.unfinished, sound=job.photo)

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        factor = self.request.settings.size / max(size)
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    def _frames(self, job: Clip, steady: "Steady", film: "Film", first: int) -> tuple[int, bool]:
        """Paint from frame `first` on; the number of frames there are now, and whether these are all."""
        from artcli.backends.stylize import colour
        from artcli.media import images, video

        assert isinstance(job.photo, Path)
        total = max(1, round(video.seconds(job.photo) * film.writer.fps))
        done, saved = first, time.monotonic()
        with self.console.progress("stylize", total) as progress:
            before = None
            for number, frame in enumerate(video.read_tensors(job.photo, film.writer.size), 1):
                again, before = before is not None and frame.equal(before), frame
                if number <= first:
                    continue
                if again:
                    film.again()
                else:
                    painted = steady(frame)
                    if self.asked.keep_color is not None:
                        painted = colour.with_colours_of(painted, frame)
                    film.push(images.from_tensor(painted))
                done += 1
                progress.update(min(done, total))
                late = time.monotonic() - saved > _STATE_EVERY
                if late or self.stop.requested:
                    self._save_state(job, done, steady)
                    saved = time.monotonic()
                if self.stop.requested:
                    return done, False
        return done, True

    def _key(self, job: Clip) -> str:
        request = self.request
        pictures = [job.photo, *(style.path for style in request.styles), *self.asked.style_mask]
        what = {
            "size": request.settings.size, "strength": request.settings.strength, "steady": self.asked.steady,
            "style_scale": request.settings.style_scale, "keep_color": self.asked.keep_color, "weights": self.weights,
            "style weights": [style.weight for style in request.styles],
            "pictures": [sha256_of(Path(path)) for path in pictures],
        }  # fmt: skip
        return json.dumps(what, sort_keys=True)

    def _save_state(self, job: Clip, frame: int, steady: "Steady") -> None:
        content = {"key": self._key(job), "frame": frame, "state": steady.state()}
        state_file.save(job.unfinished / state_file.NAME, content)

    def _saved_state(self, job: Clip) -> Mapping[str, Any] | None:
        path = job.unfinished / state_file.NAME
        if not self.asked.resume or not path.is_file():
            return None
        saved = state_file.load(path)
        if saved["key"] != self._key(job):
            raise UsageError(f"{job.unfinished} is of another command; run that one again, or --force to start over")
        self.console.info(f"stylize: going on from frame {saved['frame']}")
        return saved

    # dry run --------------------------------------------------------------------------------------------------------

    def estimate(self, job: Job) -> None:
        """Time one picture and say what the whole would cost."""
        import psutil
        import torch

        from artcli.media import decode, video

        count, side, enlarging = 1, self.request.settings.size, 0.0
        if isinstance(job, Clip):
            assert isinstance(job.photo, Path)
            info = video.probe(job.photo)
            count = max(1, round(video.seconds(job.photo) * info.fps))
            width, height = self._size(info.size)
        else:
            height, width = fit(decode.size_of(job.photo)[::-1], side, least=1)
            enlarging = self.enlarger.seconds(width, height)
        tried = torch.rand(3, *fit((height, width), min(max(height, width), TRIED)))
        started = time.monotonic()
        self.shared(tried)
        pixels = width * height / (tried.shape[1] * tried.shape[2])
        seconds = count * pixels * (time.monotonic() - started) + enlarging
        memory = psutil.Process().memory_info().rss / 1e9
        what = counted(count, "frame")
        self.console.info(f"dry run: {what}, about {duration(seconds)}, {memory:.1f} GB; would write")
        self.console.result(job.outputs, dry_run=True, seconds=round(seconds, 2), memory_gb=round(memory, 2))
