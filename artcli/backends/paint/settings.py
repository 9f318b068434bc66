"""Defaults of paint, written once; no torch here, so that the command can show them in its help."""

from dataclasses import dataclass

MODES = ("fast", "quality")
PACES = ("change", "strokes")


@dataclass(frozen=True)
class Settings:
    """How a photo becomes strokes.

    mode: fast, or quality (layer by layer on two grids; strokes sorted by error, those that help not left out, gaps
    filled).
    strokes: at most so many, where they help most; None for all that the painter sees.  detail: above 1 for smaller
    strokes.  min_stroke: shortest stroke, in pixels of what is painted.  layers: only the first, coarse ones; None for
    all.  opacity: of each stroke, 0..1.
    """

    mode: str = "fast"
    strokes: int | None = None
    detail: float = 1.0
    min_stroke: float = 0.0
    layers: int | None = None
    opacity: float = 1.0
