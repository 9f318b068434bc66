"""What `artgen dream --paint` leaves beside the picture: strokes, and films of how they are laid on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli.commands.dream.pictures import PromptJob
from artcli.commands.shared import growing
from artcli.console import Console
from artcli.media import strokes, svg

if TYPE_CHECKING:
    from artcli.commands.shared.loop import Film, Stop


def grow(opened: "Film", painting: strokes.Painting, rest: float, stop: "Stop") -> None:
    """Behind a rest of some seconds on the dream, the painting; what there is of it when the user stops."""
    writer = opened.writer
    writer.hold(rest)
    for frame in growing.growing(painting, writer.size, growing.Timing(fps=writer.fps)):
        writer.write(frame.image())  # type: ignore[arg-type]
        if stop.requested:
            return


def write(
    job: PromptJob, painting: strokes.Painting, record: Mapping[str, Any] | None, stop: "Stop", console: Console
) -> Iterator[Path]:
    """Write what the job names, one after another, until the user stops."""
    painting = replace(painting, recipe=None if record is None else dict(record))
    if job.strokes is not None:
        strokes.save(job.strokes, painting)
        yield job.strokes
    if job.svg is not None:
        svg.save(job.svg, painting)
        yield job.svg
    if job.gif is not None and not stop.requested:
        growing.write(job.gif, painting, growing.Timing(), stop, console)
        yield job.gif
