"""The films of `artgen dream`: how a picture came about, a camera on its way through it, or another film drawn anew."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from artcli.commands.shared.film import Reel
from artcli.commands.shared.naming import is_folder
from artcli.commands.shared.outputs import MOVING, is_film
from artcli.errors import UsageError

if TYPE_CHECKING:
    import torch

TRAVEL = 5.0  # seconds of a film in which the camera moves
FPS = 30.0


@dataclass(frozen=True)
class SourceFilm:
    """A film to draw anew.

    size: (width, height).  fps: at which it is read.  duration: its first seconds, or all.  exact: whether its frames
    are counted, or taken from the length that it says it has.
    """

    path: Path
    size: tuple[int, int]
    fps: float
    duration: float | None = None
    exact: bool = True

    @cached_property
    def frames(self) -> int:
        """How many; counted, as what a film says of its own length may be wrong.  ArtgenError: it breaks off."""
        from artcli.media import video

        most = None if self.duration is None else _frames(self.duration, self.fps)
        if not self.exact:
            about = video.frame_count(self.path, video.VideoInfo(self.size, self.fps))
            return about if most is None else min(about, most)
        return sum(1 for _ in islice(video.read_frames(self.path, self.fps), most))

    def read(self, size: tuple[int, int]) -> "Iterator[torch.Tensor]":
        """(3, H, W) in 0..1 of `size`, one at a time."""
        from artcli.media import video

        return islice(video.read_tensors(self.path, size, self.fps), self.frames)


def find_source(
    init: Path | None, out: Path | None, fps: float | None, duration: float | None, *, exact: bool = True
) -> SourceFilm | None:
    """The film that --init names, if it names one; an animation is one where a film is made of it.

    exact: see `SourceFilm`.
    Raises UsageError: it cannot be read, or what is made of it is no film.
    """
    from artcli.media import video

    named = out is not None and not is_folder(out, 1)
    if init is None or not is_film(init, out if named else None):
        return None
    if named and out is not None and out.suffix.lower() not in MOVING:
        raise UsageError(f"{init} is a film, and so is what is made of it: give --out NAME.mp4, or --init a picture")
    info = video.probe(init)
    return SourceFilm(init, info.size, info.fps if fps is None else fps, duration, exact)


def of_steps(steps: int, fps: float, duration: float | None) -> Reel:
    """How a picture came about: every step a frame, or as many as fill the time."""
    return Reel(steps, steps if duration is None else _frames(duration, fps), fps)


def of_camera(steps: int, fps: float, duration: float | None) -> Reel:
    """Behind the steps of the first picture, a frame each."""
    length = _frames(TRAVEL if duration is None else duration, fps)
    return Reel(steps + length, length, fps, hidden=steps)


def of_source(steps: int, source: SourceFilm) -> Reel:
    """The last of the first frame's steps shows it, and each step behind that another frame."""
    hidden = steps - 1
    return Reel(hidden + source.frames, source.frames, source.fps, hidden, sound=source.path, hold=0.0)


def _frames(seconds: float, fps: float) -> int:
    return max(1, round(seconds * fps))
