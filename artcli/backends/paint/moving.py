"""Films painted frame by frame, so that what does not move keeps its very strokes."""

from __future__ import annotations

from typing import Any

import numpy as np

from artcli.backends.paint import layers
from artcli.backends.paint.settings import Settings
from artcli.media import raster
from artcli.media.brushes import Brush

Array = np.ndarray[Any, Any]
Color = tuple[float, float, float]


class Moving:
    """Paints each frame over the one before: only patches that have changed since they were painted get new strokes.

    ground: the first frame's canvas; None for its mean colour.  mask: as in `layers.paint`.
    """

    def __init__(
        self, painter: layers.Looks, settings: Settings, brush: Brush, ground: Color | None, mask: Array | None = None
    ):
        self.painter, self.settings, self.brush, self.ground, self.mask = painter, settings, brush, ground, mask
        self.painting: Array | None = None  # (H, W, 3) uint8
        self.model: Array | None = None  # likewise, what each place was painted from

    def paint(self, frame: Array) -> Array:
        """The frame, (H, W, 3) uint8, painted."""
        frame = layers.undithered(frame)
        size = (frame.shape[1], frame.shape[0])
        ground = self.ground or tuple((frame.mean((0, 1)) / 255).tolist())
        base = raster.Canvas(size, ground).pixels() if self.painting is None else self.painting
        moved = self._moved(frame)
        easel = layers.Easel(frame, self.brush, ground, base)
        passes = layers.plan(size, self.settings, self.painter.strokes)
        for now in passes:
            found = layers.seen(easel, now, self.painter, self.settings, moved)
            easel.add(found[layers.wanted(found, size, self.settings, self.mask, passes[-1].layer)])
        canvas = raster.Canvas.of(base)
        canvas.draw(easel.strokes, self.brush, 1.0)
        anew = (moved == 255)[..., None]
        # Broad strokes that reach into what stands still would lie over its details, so they end where that begins.
        self.painting = np.where(anew, canvas.pixels(), base)
        self.model = np.where(anew, frame, frame if self.model is None else self.model)
        return self.painting

    def _moved(self, frame: Array) -> Array:
        """How much each pixel has changed since it was painted, (H, W) uint8."""
        if self.model is None:
            return np.full(frame.shape[:2], 255, np.uint8)
        return np.abs(frame.astype(np.int16) - self.model).mean(2).astype(np.uint8)
