"""Films of `artgen sample`: frames go through the one loop into an encoder that was opened before any compute."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artcli.backends.frame import Frame
from artcli.commands.sample.sheet import GAP
from artcli.commands.shared.loop import Film, Outcome, Stop, Watch, follow
from artcli.console import Console
from artcli.media import images, video
from artcli.media.spool import Spool


class _Kept(Spool):
    """Keeps nothing: a film of a sample is made again faster than its frames are read back."""

    def __init__(self) -> None:
        pass

    def write(self, frame: np.ndarray) -> None:
        pass

    def close(self) -> None:
        pass


def write(
    path: Path,
    size: tuple[int, int],
    fps: float,
    total: int,
    frames: Callable[[], Iterator[torch.Tensor]],
    *,
    recipe: dict[str, Any] | None,
    console: Console,
    stop: Stop,
) -> Outcome:
    """A film of `total` frames, (3, H, W) in 0..1, of the given (width, height).

    frames: called when the encoder has shown that it works.  A stop leaves a playable film of the frames so far.
    """
    with video.VideoWriter(path, size, fps, recipe) as writer:
        film = Film(writer, total, total, _Kept())
        watch = Watch(console, "sample", total, images.from_tensor, film)
        return follow(_numbered(frames(), total), watch, stop)


def _numbered(pictures: Iterator[torch.Tensor], total: int) -> Iterator[Frame]:
    for step, picture in enumerate(pictures, 1):
        yield Frame(step, total, lambda picture=picture: picture, {}, dict)  # type: ignore[misc]


def abreast(pictures: list[torch.Tensor], columns: int) -> torch.Tensor:
    """Pictures (3, H, W) of one size as one frame, row by row on white."""
    height, width = pictures[0].shape[1:]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    paper = torch.ones(3, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + GAP), place % columns * (width + GAP)
        paper[:, top : top + height, left : left + width] = picture
    return paper
