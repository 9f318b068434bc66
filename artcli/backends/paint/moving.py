"""Films painted frame by frame; still parts keep their strokes."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from artcli.backends.paint import layers
from artcli.backends.paint.settings import Settings
from artcli.media import images, raster
from artcli.media.brushes import Brush
from artcli.media.strokes import Strokes

Array = np.ndarray[Any, Any]
Color = tuple[float, float, float]


class Moving:
    """Paints each frame over the one before: only patches that have changed since they were painted get new strokes.

    ground: the first frame's canvas; None for its mean colour.  mask: as in `layers.paint`.  size: (width, height) of
    what is painted; frames that are larger are shrunk first, and those that are smaller get larger strokes.
    """

    def __init__(
        self,
        painter: layers.Looks,
        settings: Settings,
        brush: Brush,
        ground: Color | None,
        mask: Array | None = None,
        size: tuple[int, int] | None = None,
    ):
        self.painter, self.settings, self.brush, self.ground, self.mask = painter, settings, brush, ground, mask
        self.size = size
        self.painting: Array | None = None  # (H, W, 3) uint8
        self.model: Array | None = None  # what each place was painted from, at most of that size

    def paint(self, frame: Array) -> Array:
        """The frame, (H, W, 3) uint8, painted, at `size`."""
        frame = layers.undithered(frame)
        shown = self.size or (frame.shape[1], frame.shape[0])
        if max(shown) < max(frame.shape[:2]):
            frame = images.resize(frame, shown)
        size = (frame.shape[1], frame.shape[0])
        ground = self.ground or tuple((frame.mean((0, 1)) / 255).tolist())
        base = raster.Canvas(shown, ground).pixels() if self.painting is None else self.painting
        moved = self._moved(frame)
        easel = layers.Easel(frame, self.brush, ground, base)
        passes = layers.plan(size, self.settings, self.painter.strokes)

        def add(found: Strokes) -> None:
            easel.add(found[layers.wanted(found, size, self.settings, self.mask, passes[-1].layer)])

        for now in passes:
            add(layers.seen(easel, now, self.painter, self.settings, moved))
            if layers.evens(self.painter, self.settings, now, passes):
                add(_in(moved, layers.evened(easel, now.layer, self.settings)))
        if layers.traces(self.painter, self.settings, size):
            add(_in(moved, layers.traced(easel, passes[-1], self.settings)))
        drawn = easel.whole if shown == size else None
        if drawn is None:
            canvas = raster.Canvas.of(base)
            canvas.draw(easel.strokes, self.brush, max(shown) / max(size))
            drawn = canvas.pixels()
        anew = (moved == 255)[..., None]
        anew_shown = np.asarray(Image.fromarray(moved).resize(shown, Image.Resampling.NEAREST))[..., None] == 255
        # Broad strokes that reach into what stands still would lie over its details, so they end where that begins.
        self.painting = np.where(anew_shown, drawn, base)
        self.model = np.where(anew, frame, frame if self.model is None else self.model)
        return self.painting

    def _moved(self, frame: Array) -> Array:
        """How much each pixel has changed since it was painted, (H, W) uint8."""
        if self.model is None:
            return np.full(frame.shape[:2], 255, np.uint8)
        return np.abs(frame.astype(np.int16) - self.model).mean(2).astype(np.uint8)


def _in(moved: Array, strokes: Strokes) -> Strokes:
    """Those with their middle where the film is painted again."""
    x, y = strokes.shapes[:, :2].T.astype(int)
    height, width = moved.shape
    return strokes[moved[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] == 255]
