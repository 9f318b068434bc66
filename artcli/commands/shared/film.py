"""Films: opened before the work, and their frames kept so that an interrupted run can go on with them."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import state as state_file
from artcli.commands.shared.outputs import HOLD
from artcli.commands.shared.unfinished import Unfinished
from artcli.console import Console
from artcli.errors import ArtgenError, UsageError

if TYPE_CHECKING:
    from artcli.backends.frame import Frame
    from artcli.commands.shared.loop import Film, Outcome, Stop
    from artcli.media.spool import Spool

SPOOL, OLD_SPOOL = "frames.mkv", "frames-before.mkv"


@dataclass(frozen=True)
class Reel:
    """What a film shows of a run.

    total: steps of the run, as they are counted for the user; the first `hidden` are not shown.  length: frames, over
    which the others are spread.  sound: a film whose sound it takes.  hold: seconds that it rests on its last frame.
    """

    total: int
    length: int
    fps: float
    hidden: int = 0
    sound: Path | None = None
    hold: float = HOLD

    @contextmanager
    def filming(
        self,
        path: Path,
        size: tuple[int, int],
        recipe: Mapping[str, Any] | None,
        console: Console,
        folder: Path | None = None,
        done: int | None = None,
    ) -> "Iterator[Film]":
        """Open the film and check its encoders; finish it when the block is left, however: it stays playable.

        folder: where frames wait for a resume, None for nowhere.  done: steps of an interrupted run whose frames come
        first, None for a run that starts over.
        """
        if folder is not None and done is None:  # frames of an earlier run must never get into this one
            shutil.rmtree(folder, ignore_errors=True)
        film = self._open(path, size, recipe, folder)
        if folder is not None and done is not None:
            _replay(film, folder, done, console)
        try:
            yield film
        finally:
            with suppress(ArtgenError):  # a run without a frame, or without space: the film's own error says more
                film.close_spool()
            if folder is not None and not (folder / state_file.NAME).is_file():  # without it the frames are of no use
                shutil.rmtree(folder, ignore_errors=True)
            if film.writer.frames:
                film.writer.close()
            else:
                film.writer.abort()

    def _open(self, path: Path, size: tuple[int, int], recipe: Mapping[str, Any] | None, folder: Path | None) -> "Film":
        from artcli.commands.shared.loop import Film
        from artcli.media import video

        writer = video.VideoWriter(path, size, self.fps, None if recipe is None else dict(recipe), sound=self.sound)
        try:
            spool = None if folder is None else _spool(folder, size)
        except BaseException:
            writer.abort()
            raise
        return Film(writer, self.total, self.length, spool, self.hidden)


def _spool(folder: Path, size: tuple[int, int]) -> "Spool":
    from artcli.media.spool import Spool

    folder.mkdir(exist_ok=True)
    # An interrupted run's frames are kept until they are replayed; one killed during its replay still has them all.
    if (folder / SPOOL).is_file() and not (folder / OLD_SPOOL).is_file():
        (folder / SPOOL).rename(folder / OLD_SPOOL)
    return Spool(folder / SPOOL, size)


def _replay(film: "Film", folder: Path, step: int, console: Console) -> None:
    """Write the frames of the first `step` steps again, from the spool of the interrupted run."""
    from artcli.media import video

    wanted, found = film.frames_until(step), 0
    old = folder / OLD_SPOOL
    with suppress(UsageError):  # not even its first frame is whole; the count below says so
        for pixels in video.read_frames(old) if old.is_file() else ():
            if found == wanted:
                break
            film.push(pixels)
            found += 1
    old.unlink(missing_ok=True)
    if found < wanted:
        console.warn(f"the interrupted film kept {found} of {wanted} frames; it goes on from there")


def write(
    path: Path,
    reel: Reel,
    size: tuple[int, int],
    frames: "Callable[[Film], Iterator[Frame]]",
    *,
    label: str,
    recipe: Mapping[str, Any] | None,
    console: Console,
    stop: "Stop",
    unfinished: Unfinished | None = None,
    done: int | None = None,
    show: bool = True,
) -> "Outcome":
    """A film, of which the frames of a backend are all that is kept; a stop leaves what there is of it, playable.

    frames: called when the encoders have shown that they work; their images are (H, W, 3) uint8 already.
    unfinished: where an interrupted one waits.  done: as `Reel.filming` has it.  show: as `Hooks` has it.
    """
    from artcli.commands.shared.loop import Hooks, follow

    folder = None if unfinished is None else unfinished.folder
    with reel.filming(path, size, recipe, console, folder, done) as film:
        save = None if unfinished is None else lambda state: unfinished.save(state=state)
        hooks = Hooks(
            console, label, reel.total, to_pixels=lambda pixels: pixels, film=film, save_state=save, show=show
        )
        outcome = follow(frames(film), hooks, stop)
        if outcome.stopped is None:
            film.writer.hold(reel.hold)
    if folder is not None and outcome.stopped is None:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def redrawn(
    source: Iterator[Any],
    draw: Callable[[Any], Any],
    film: "Film",
    *,
    done: int = 0,
    state: Callable[[], Mapping[str, Any]] = dict,
) -> "Iterator[Frame]":
    """What becomes of a film's frames behind the first `done`; one that stands still in the source does so in the film.

    source: arrays or tensors.  draw: a frame to (H, W, 3) uint8.  state: what `draw` goes on from.
    """
    from artcli.backends.frame import Frame

    for number, (before, frame, after) in enumerate(_with_neighbours(source), 1):
        if number > done:
            again = before is not None and bool((frame == before).all())
            pixels = film.last if again else draw(frame)
            # How many there are is known with the last one alone: films may be wrong about it.
            total = number if after is None else max(film.total, number + 1)
            yield Frame(number, total, lambda pixels=pixels: pixels, {}, lambda n=number: {**state(), "step": n})  # type: ignore[misc]


def _with_neighbours(items: Iterator[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Each with the one before and the one behind it, None at the ends."""
    before = None
    for item, after in pairwise(chain(items, [None])):
        yield before, item, after
        before = item
