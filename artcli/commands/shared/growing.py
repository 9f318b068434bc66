"""The film of a painting that grows, stroke by stroke."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from artcli.backends.frame import Frame
from artcli.backends.paint import choose
from artcli.backends.paint.settings import PACES
from artcli.commands.shared import film as films
from artcli.commands.shared.outputs import GROWING, GROWING_FPS
from artcli.console import Console
from artcli.media import raster
from artcli.media.strokes import Painting

if TYPE_CHECKING:
    from artcli.commands.shared.loop import Stop

MOST = {".gif": 640}  # longer side in pixels
MOST_ELSE = 1920


class Timing(NamedTuple):
    """How long a film is, without its end.  even: the same in every frame, "strokes" or visible "change"."""

    seconds: float = GROWING
    fps: float = GROWING_FPS
    even: str = PACES[0]

    @property
    def frames(self) -> int:
        return max(1, round(self.seconds * self.fps))


def write(path: Path, painting: Painting, timing: Timing, stop: "Stop", console: Console) -> bool:
    """Write the film, which rests on its last frame; a larger picture than films are made of is shown smaller.

    Returns whether it was finished: when the user stops, what there is stays playable.
    """
    factor = min(1.0, MOST.get(path.suffix.lower(), MOST_ELSE) / max(painting.size))
    width, height = (max(1, round(side * factor)) for side in painting.size)
    total = timing.frames
    outcome = films.write(
        path, films.Reel(total, total, timing.fps), (width, height),
        lambda film: growing(painting, (width, height), timing),
        label=path.name, recipe=painting.recipe, console=console, stop=stop, show=False,
    )  # fmt: skip
    return outcome.stopped is None


def growing(painting: Painting, size: tuple[int, int], timing: Timing) -> Iterator[Frame]:
    """The frames, whose images are (H, W, 3) uint8 of `size`, (width, height)."""
    ends = frames(painting, timing.frames, timing.even)
    canvas = raster.Canvas(size, painting.background or (1.0, 1.0, 1.0))
    done = 0
    for number, end in enumerate(ends, 1):
        canvas.draw(painting.strokes[done:end], painting.brush, max(size) / max(painting.size))
        done = end
        yield Frame(number, len(ends), canvas.pixels, {}, dict)  # type: ignore[arg-type]


def frames(painting: Painting, count: int, even: str) -> list[int]:
    """How many strokes are there in each of `count` frames; the last one has all."""
    total = len(painting.strokes)
    if even == "strokes" or not total:
        return [round(total * (number + 1) / count) for number in range(count)]
    ground = painting.background or (1.0, 1.0, 1.0)
    seen = np.cumsum(choose.changes(painting.strokes, painting.size, painting.brush, ground))
    wanted = seen[-1] * (np.arange(count) + 1) / count
    ends = np.searchsorted(seen, wanted * (1 - 1e-9)) + 1
    return [*np.minimum(ends, total)[:-1].tolist(), total]
