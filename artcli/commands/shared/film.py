"""A film of a run: opened before it, and its frames kept so that an interrupted run can go on with it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artcli import state
from artcli.commands.shared.loop import Film
from artcli.console import Console
from artcli.errors import ArtgenError, UsageError
from artcli.media import video
from artcli.media.spool import Spool

SPOOL, OLD_SPOOL = "frames.mkv", "frames-before.mkv"


@contextmanager
def filming(film: Film, folder: Path) -> Iterator[Film]:
    """Finish the film when the block is left, however: what there is stays playable."""
    try:
        yield film
    finally:
        with suppress(ArtgenError):  # a run without a frame, or without space: the film's own error says more
            film.spool.close()
        if not (folder / state.NAME).is_file():  # without the state the frames are of no use
            shutil.rmtree(folder, ignore_errors=True)
        if film.writer.frames:
            film.writer.close()
        else:
            film.writer.abort()


def open_film(
    path: Path,
    size: tuple[int, int],
    fps: float,
    total: int,
    length: int,
    recipe: dict[str, Any] | None,
    folder: Path,
    hidden: int = 0,
    sound: Path | None = None,
) -> Film:
    """Open and check the encoders.

    total: steps, of which the first `hidden` are not shown; length: frames; folder: where frames wait for a resume;
    sound: a film whose sound is kept.
    """
    writer = video.VideoWriter(path, size, fps, recipe, sound=sound)
    try:
        folder.mkdir(exist_ok=True)
        _set_aside(folder)
        spool = Spool(folder / SPOOL, size)
    except BaseException:
        writer.abort()
        raise
    return Film(writer, total, length, spool, hidden)


def _set_aside(folder: Path) -> None:
    """Keep the interrupted run's frames until they are replayed; one killed during its replay still has them all."""
    if (folder / SPOOL).is_file() and not (folder / OLD_SPOOL).is_file():
        (folder / SPOOL).rename(folder / OLD_SPOOL)


def replay(film: Film, folder: Path, step: int, console: Console) -> None:
    """Write the frames of the first `step` steps again, from the spool of the interrupted run."""
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
