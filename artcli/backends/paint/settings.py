"""Settings of paint, written once; no torch here, so that the command can show them in its help."""

from dataclasses import dataclass
from typing import Annotated

from artcli.setting import Setting

MODES = ("fast", "quality")
PACES = ("change", "strokes")
PAINT = "Painting"


@dataclass(frozen=True)
class Settings:
    """How a photo becomes strokes.

    mode: quality goes layer by layer on two grids; strokes sorted by error, those that help not left out, gaps filled.
    strokes: None for all that the painter sees.  lines: None for only where the painter is our own.  min_stroke: in
    pixels of what is painted.  layers: None for all.
    """

    strokes: Annotated[
        int | None, Setting("At most N, spent where they help most.", min=1, max=500_000, metavar="N")
    ] = None
    detail: Annotated[float, Setting("Above 1: smaller strokes.", min=0.1, max=8)] = 1.0
    mode: Annotated[str, Setting("quality: slower, only strokes that help.", choices=MODES)] = "fast"
    lines: Annotated[
        bool | None,
        Setting("Thin strokes along thin lines.", panel=PAINT, default="on; model.pth off", name="--lines/--no-lines"),
    ] = None
    layers: Annotated[int | None, Setting("Only the N coarsest layers.", min=1, panel=PAINT)] = None
    min_stroke: Annotated[float, Setting("Shortest stroke.", min=0, metavar="PX", panel=PAINT)] = 0.0
    opacity: Annotated[float, Setting("Of every stroke.", min=0.05, max=1, panel=PAINT)] = 1.0
