"""Strokes to pixels: each stroke inside its bounding box, in order, on a canvas of any size.

A stroke is a w x h rectangle about (x, y), turned by theta * pi (y points down).  With dX, dY from its centre,
u = cos dX + sin dY and v = -sin dX + cos dY, the brush is looked up at u / (w / 2), v / (h / 2) in -1..1, bilinearly
and with nothing around it.  Brushes lie along x: of an upright stroke (h > w) the axes change places.  So that small
strokes do not flicker, the brush is averaged down separately along both axes to the power of two (2 to SIDE) next
above the stroke's sides in pixels, and a stroke thinner than a pixel is drawn a pixel thick and as much fainter.

Everything is computed pixel by pixel by numpy, whose sums and products do not depend on how a canvas is cut: bands of
it give the bytes of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np

from artcli.media.brushes import SIDE, Brush
from artcli.media.strokes import Painting, Strokes

Array = np.ndarray[Any, Any]

_BAND_PIXELS = 1 << 20  # of a canvas that is worked on at once
_CHUNK_STROKES, _CHUNK_PIXELS = 2048, 1 << 21  # whose paint is computed before it is laid on
_GROUP_PIXELS = 1 << 17


class Window(NamedTuple):
    """A rectangle of the canvas, in pixels: rows y0 to y1, columns x0 to x1."""

    x0: int
    y0: int
    x1: int
    y1: int


class Cover(NamedTuple):
    """What one stroke leaves on the canvas.

    number: of the stroke.  rows, columns: where.  paint: (h, w) float32, share of the pixel that is covered.  tone:
    (h, w), the same times the brush's tone.
    """

    number: int
    rows: slice
    columns: slice
    paint: Array
    tone: Array


# --- where strokes lie ---------------------------------------------------------------------------------------------


class _Placed(NamedTuple):
    """Strokes in pixels of the canvas; all (N,)."""

    x: Array
    y: Array
    along_x: Array  # brush texels along u for a pixel along x
    along_y: Array
    across_x: Array  # brush texels along v
    across_y: Array
    columns: Array  # texels of the brush along u, without its empty rim
    rows: Array
    alpha: Array
    x0: Array  # bounding box, whole pixels
    y0: Array
    x1: Array
    y1: Array


def _place(strokes: Strokes, scale: float) -> _Placed:
    x, y, w, h, theta = (strokes.shapes * (scale, scale, scale, scale, 1)).T
    upright = h > w
    long, short = np.where(upright, h, w), np.where(upright, w, h)
    angle = (theta + 0.5 * upright) * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    alpha = strokes.alphas * np.minimum(long, 1) * np.minimum(short, 1)
    long, short = np.maximum(long, 1), np.maximum(short, 1)
    columns, rows = _texels(long), _texels(short)
    reach_u, reach_v = long / 2 * (1 + 1 / columns), short / 2 * (1 + 1 / rows)
    reach_x = np.abs(cos) * reach_u + np.abs(sin) * reach_v
    reach_y = np.abs(sin) * reach_u + np.abs(cos) * reach_v
    return _Placed(
        x, y, cos * columns / long, sin * columns / long, -sin * rows / short, cos * rows / short, columns, rows, alpha,
        *(np.floor(edge - 0.5).astype(np.int64) for edge in (x - reach_x, y - reach_y)),
        *(np.ceil(edge + 0.5).astype(np.int64) for edge in (x + reach_x, y + reach_y)),
    )  # fmt: skip


def _texels(length: Array) -> Array:
    """The power of two next above a length in pixels, 2..SIDE."""
    return np.exp2(np.clip(np.ceil(np.log2(length)), 1, np.log2(SIDE))).astype(np.int32)


class _Maps(NamedTuple):
    """A brush averaged down to all pairs of sizes, each with a rim of nothing, one behind the other.

    start: where the map of 2**i columns and 2**j rows begins, at [i, j].
    """

    paint: Array
    tone: Array
    start: Array


@lru_cache(maxsize=4)
def _maps(brush: Brush) -> _Maps:
    levels = int(np.log2(SIDE)) + 1
    start = np.zeros((levels, levels), np.int64)
    paints: list[Array] = []
    tones: list[Array] = []
    length = 0
    for i in range(levels):
        for j in range(levels):
            start[i, j] = length
            for kept, full in ((paints, brush.alpha), (tones, brush.alpha * brush.tone)):
                small = full.reshape(2**j, SIDE >> j, 2**i, SIDE >> i).mean((1, 3), dtype=np.float64)
                kept.append(np.pad(small, 1).astype(np.float32).ravel())
            length += len(paints[-1])
    return _Maps(np.concatenate(paints), np.concatenate(tones), start)


# --- the paint of strokes -------------------------------------------------------------------------------------------


def covers(strokes: Strokes, brush: Brush, scale: float, window: Window) -> Iterator[Cover]:
    """Each stroke's part inside the window of a canvas, in order; strokes outside are skipped.

    scale: pixels of the canvas for a pixel of the strokes.  Rows and columns count from the window's corner.
    """
    placed = _place(strokes, scale)
    x0, y0 = np.maximum(placed.x0, window.x0), np.maximum(placed.y0, window.y0)
    x1, y1 = np.minimum(placed.x1, window.x1), np.minimum(placed.y1, window.y1)
    seen = np.flatnonzero((x0 < x1) & (y0 < y1) & (placed.alpha > 0))
    boxes = np.stack((x0, y0, x1, y1), 1)
    maps = _maps(brush)
    for chunk in _chunks(seen, (x1 - x0) * (y1 - y0)):
        paints = _chunk_paint(placed, maps, chunk, boxes)
        for index in chunk.tolist():
            left, top, right, bottom = boxes[index].tolist()
            paint, tone = paints[index]
            rows = slice(top - window.y0, bottom - window.y0)
            yield Cover(index, rows, slice(left - window.x0, right - window.x0), paint, tone)


def _chunks(seen: Array, areas: Array) -> Iterator[Array]:
    """The strokes in order, in parts of bounded number and total area."""
    ends = np.cumsum(areas[seen])
    first = 0
    while first < len(seen):
        before = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, before + _CHUNK_PIXELS, side="right"))
        last = max(first + 1, min(last, first + _CHUNK_STROKES))
        yield seen[first:last]
        first = last


def _chunk_paint(placed: _Placed, maps: _Maps, chunk: Array, boxes: Array) -> dict[int, tuple[Array, Array]]:
    """Paint and tone by stroke.  Those with boxes of about one size are computed together."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    padded = np.stack((_rounded(heights[chunk]), _rounded(widths[chunk])), 1)
    order = np.lexsort(padded.T)
    borders = np.flatnonzero(np.any(np.diff(padded[order], axis=0), axis=1)) + 1
    found = {}
    for group in np.split(order, borders):
        height, width = padded[group[0]].tolist()
        step = max(1, _GROUP_PIXELS // (height * width))
        for start in range(0, len(group), step):
            indices = chunk[group[start : start + step]]
            paint, tone = _paint(placed, maps, indices, boxes[indices, :2], height, width)
            for row, index in enumerate(indices.tolist()):
                inside = slice(heights[index]), slice(widths[index])
                found[index] = paint[row][inside], tone[row][inside]
    return found


def _rounded(lengths: Array) -> Array:
    """Up to the next of a series of sizes, each about a quarter above the one before."""
    return np.ceil(np.exp2(np.ceil(np.log2(lengths) * 3) / 3)).astype(np.int64)


def _paint(placed: _Placed, maps: _Maps, which: Array, corners: Array, height: int, width: int) -> tuple[Array, Array]:
    """Paint and tone of these strokes, (N, height, width) float32, from the upper left corners of their boxes on."""
    x = (corners[:, :1] + np.arange(width) + 0.5) - placed.x[which, None]  # (N, W)
    y = (corners[:, 1:] + np.arange(height) + 0.5) - placed.y[which, None]
    columns, rows = placed.columns[which, None, None], placed.rows[which, None, None]
    u = _texel(x, y, placed.along_x[which, None], placed.along_y[which, None], columns)  # (N, H, W)
    v = _texel(x, y, placed.across_x[which, None], placed.across_y[which, None], rows)
    left, top = np.minimum(u.astype(np.int32), columns), np.minimum(v.astype(np.int32), rows)
    u -= left
    v -= top
    i, j = np.log2(columns).astype(int), np.log2(rows).astype(int)
    corner = maps.start[i, j] + (top * (columns + 2) + left)  # whole numbers as `take` wants them; others it converts
    below = corner + (columns + 2)
    alpha = placed.alpha[which, None, None].astype(np.float32)
    found = tuple(_bilinear(plane, corner, below, u, v) for plane in (maps.paint, maps.tone))
    for each in found:
        each *= alpha
    return found  # type: ignore[return-value]


def _texel(x: Array, y: Array, of_x: Array, of_y: Array, count: Array) -> Array:
    """Brush coordinates in texels, of which the rim is number 0 and `count` + 1; (N, H, W) float32."""
    found = (of_x * x + count[:, 0] / 2 + 0.5)[:, None, :] + (of_y * y)[:, :, None]
    return np.clip(found, 0, count + 1).astype(np.float32)


def _bilinear(plane: Array, corner: Array, below: Array, u: Array, v: Array) -> Array:
    upper, lower = (_between(plane, left, u) for left in (corner, below))
    lower -= upper
    lower *= v
    upper += lower
    return upper


def _between(plane: Array, left: Array, u: Array) -> Array:
    """Texels and those to their right, mixed by u."""
    found = plane.take(left, mode="wrap")  # none is out of range; to look for such takes longer, as does plane[left]
    more = plane[1:].take(left, mode="wrap")
    more -= found
    more *= u
    found += more
    return found


# --- the canvas -----------------------------------------------------------------------------------------------------


class Canvas:
    """A picture that grows stroke by stroke.

    size: (width, height).  background: (r, g, b) in 0..1, or None for a transparent one.  top, bottom: the rows of
    the picture that this canvas holds; by default all.
    """

    def __init__(
        self,
        size: tuple[int, int],
        background: tuple[float, float, float] | None,
        top: int = 0,
        bottom: int | None = None,
    ):
        self.width, self.top = size[0], top
        self.bottom = size[1] if bottom is None else bottom
        color = (0.0, 0.0, 0.0, 0.0) if background is None else background
        self.planes = np.empty((len(color), self.bottom - top, self.width), np.float32)  # premultiplied
        self.planes[:] = np.array(color, np.float32)[:, None, None]

    @classmethod
    def of(cls, pixels: Array) -> Self:
        """A canvas that is painted already: (H, W, 3) uint8."""
        canvas = cls((pixels.shape[1], pixels.shape[0]), (0.0, 0.0, 0.0))
        np.divide(pixels.transpose(2, 0, 1), np.float32(255), out=canvas.planes)
        return canvas

    def draw(self, strokes: Strokes, brush: Brush, scale: float) -> None:
        """Lay the strokes on in their order.  scale: pixels of the canvas for a pixel of the strokes."""
        rows = max(1, _BAND_PIXELS // self.width)
        for top in range(self.top, self.bottom, rows):
            window = Window(0, top, self.width, min(top + rows, self.bottom))
            self._draw(strokes, brush, scale, window)

    def _draw(self, strokes: Strokes, brush: Brush, scale: float, window: Window) -> None:
        planes = self.planes[:, window.y0 - self.top : window.y1 - self.top]
        colors = strokes.rgb.astype(np.float32)[:, :, None, None]
        for cover in covers(strokes, brush, scale, window):
            place = planes[:, cover.rows, cover.columns]
            place *= 1 - cover.paint
            place[:3] += colors[cover.number] * cover.tone
            if len(place) == 4:
                place[3] += cover.paint

    def pixels(self) -> Array:
        """(H, W, 3) uint8; of a transparent canvas (H, W, 4), not premultiplied."""
        channels, height, width = self.planes.shape
        out = np.empty((height, width, channels), np.uint8)
        rows = max(1, _BAND_PIXELS // width)
        for top in range(0, height, rows):
            planes = self.planes[:, top : top + rows]
            if channels == 4:
                planes = np.concatenate((planes[:3] / np.maximum(planes[3:], 1e-6), planes[3:]))
            out[top : top + rows] = (np.clip(planes, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        return out


def rasterise(painting: Painting, size: tuple[int, int] | None = None) -> Array:
    """The painting as (H, W, 3) uint8, or (H, W, 4) on a transparent ground, at another size if asked.

    Drawn in bands: beside the result it needs the memory of one band, whatever the size.
    """
    width, height = size or painting.size
    scale = max(width, height) / max(painting.size)
    out = np.empty((height, width, 4 if painting.background is None else 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        canvas = Canvas((width, height), painting.background, top, bottom)
        canvas.draw(painting.strokes, painting.brush, scale)
        out[top:bottom] = canvas.pixels()
    return out
