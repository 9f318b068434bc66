"""Selects the strokes that help: by how much each brings the painting closer to the photo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from artcli.media import raster
from artcli.media.brushes import Brush
from artcli.media.strokes import Strokes

Array = np.ndarray[Any, Any]
Color = tuple[float, float, float]

_SIDE = 512  # longer side of the canvas that strokes are judged on
_ROUNDS = 8
_CLOSE = 1.05  # times the wanted number of strokes
_KEPT = 6_000_000  # pixels of strokes' paint that are kept from round to round, 10 bytes each


def errors(strokes: Strokes, target: Array, brush: Brush, scale: float) -> Array:
    """How far each stroke's colour is from what it covers of the target (H, W, 3) uint8: mean squares, (N,)."""
    planes = _planes(target)
    found = np.full(len(strokes), np.inf)
    colors = strokes.rgb.astype(np.float32)[:, :, None, None]
    for cover in raster.covers(strokes, brush, scale, raster.Window(0, 0, *planes.shape[:0:-1])):
        off = (planes[:, cover.rows, cover.columns] - colors[cover.number]) ** 2
        found[cover.number] = (off * cover.paint).sum() / max(float(cover.paint.sum()), 1e-6)
    return found


def helpful(
    strokes: Strokes, target: Array, canvas: raster.Canvas, brush: Brush, scale: float, least: float = 0.0
) -> Array:
    """Which strokes make the canvas more like the target, each laid on after those before it that do; (N,).

    least: the sum of squares, colours in 0..1, by which a stroke has to do so.
    """
    covers = raster.covers(strokes, brush, scale, raster.Window(0, 0, *canvas.planes.shape[:0:-1]))
    return gains(strokes, _planes(target), canvas.planes.copy(), covers, least) > 0


def gains(strokes: Strokes, target: Array, canvas: Array, covers: Iterable[raster.Cover], least: float) -> Array:
    """By how much each stroke lowers the squared error when it is laid on; 0 for those that lower it by too little.

    target, canvas: (3, H, W) in 0..1.  covers: of the strokes, in order.  least: a stroke has to lower it by more, else
    it is not laid on.
    """
    found = np.zeros(len(strokes))
    colors = strokes.rgb.astype(np.float32)[:, :, None, None]
    for cover in covers:
        place, wanted = canvas[:, cover.rows, cover.columns], target[:, cover.rows, cover.columns]
        after = place * (1 - cover.paint) + colors[cover.number] * cover.tone
        gain = float(np.square(place - wanted).sum() - np.square(after - wanted).sum())
        if gain > least:
            found[cover.number] = gain
            place[:] = after
    return found


def best(strokes: Strokes, count: int, photo: Array, brush: Brush, ground: Color) -> Strokes:
    """At most `count` of the strokes, in their order: those without which the error would fall least are left out.

    photo: (H, W, 3) uint8.  A stroke is kept when it lowers the error by more than a price, given the kept ones
    before it; the price is searched for at which as many are left as are wanted.
    """
    if not len(strokes):
        return strokes
    target, scale = _small(photo)
    blank = np.broadcast_to(np.array(ground, np.float32)[:, None, None], target.shape)

    window = raster.Window(0, 0, *target.shape[:0:-1])
    kept = _kept(raster.covers(strokes, brush, scale, window))

    def at(price: float) -> Array:
        covers = raster.covers(strokes, brush, scale, window) if kept is None else kept
        return gains(strokes, target, blank.copy(), covers, price)

    chosen = at(0.0)
    if np.count_nonzero(chosen) <= count:
        return strokes[chosen > 0]
    low, high = 0.0, float(chosen.max())
    price = float(np.sort(chosen)[-count])
    for _ in range(_ROUNDS):
        found = at(price)
        left = np.count_nonzero(found)
        if left < count:
            high = price
        else:
            low, chosen = price, found
            if left <= _CLOSE * count:
                break
        price = np.sqrt(max(low, high / 1000) * high)
    return strokes[np.sort(np.argsort(-chosen, kind="stable")[:count])]


def _kept(covers: Iterable[raster.Cover]) -> list[raster.Cover] | None:
    """All of them, or None for more than there is room for: computing them takes most of a round."""
    found, pixels = [], 0
    for cover in covers:
        found.append(cover)
        pixels += cover.paint.size
        if pixels > _KEPT:
            return None
    return found


def changes(strokes: Strokes, size: tuple[int, int], brush: Brush, ground: Color) -> Array:
    """How much each stroke changes the visible picture, in painting order; (N,)."""
    scale = min(1.0, _SIDE / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    canvas = raster.Canvas((width, height), ground).planes
    colors = strokes.rgb.astype(np.float32)[:, :, None, None]
    found = np.zeros(len(strokes))
    for cover in raster.covers(strokes, brush, scale, raster.Window(0, 0, width, height)):
        place = canvas[:, cover.rows, cover.columns]
        change = colors[cover.number] * cover.tone - place * cover.paint
        found[cover.number] = np.abs(change).sum()
        place += change
    return found


def _small(photo: Array) -> tuple[Array, float]:
    """The photo as (3, H, W) in 0..1, its longer side at most _SIDE, and the factor to there."""
    height, width = photo.shape[:2]
    scale = min(1.0, _SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return _planes(np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))), scale


def _planes(picture: Array) -> Array:
    """(H, W, 3) uint8 to (3, H, W) float32 in 0..1."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / 255
