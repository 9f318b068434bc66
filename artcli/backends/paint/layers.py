"""From a photo to strokes, layer by layer: broad ones first, then ever smaller ones (Liu et al., 2021).

In each layer the photo is cut into square patches, half as long as in the layer before, and shrunk so that each has
the painter's 32 pixels; the painter sees what the photo has there and what is painted so far.  The last layer is
painted twice, the second time with patches shifted across the borders of the first.  (The authors' program draws every
stroke of the second time, also those that the net rejects; here rejected strokes are left out.)  In quality mode, gaps
that the net leaves are filled at the end; in fast mode, even parts get their colour before each finer layer.  Thin
lines come last.  (Painters of other programs paint as these do, without the last two.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageFilter

from artcli.backends.paint import choose, lines
from artcli.backends.paint.settings import Settings
from artcli.errors import ArtgenError
from artcli.media import raster
from artcli.media.brushes import Brush
from artcli.media.strokes import Outline, Strokes

Array = np.ndarray[Any, Any]
Color = tuple[float, float, float]

PATCH = 32
_SMALLEST = 4.0  # pixels of the photo that a patch of an added layer may have
_THINNEST = 0.02  # of a patch
_MOVED = 8  # mean change of a patch, of 255, from which on it is painted again; below is noise
_DRAWN = 0.5  # part of a patch's strokes that is expected to be drawn
_CELL = 6  # side of the squares that are looked at for gaps, in pixels that the painter sees
_GAP = 12  # difference of means, of 255, between a cell and the photo where an earlier layer shows through
_OFF = 4  # the same where a cell is even: the net leaves so little, and lays small dabs there, regular as its patches
_SWAY = 0.1  # of strokes in even parts, to either side, in units of pi
_CLEARER = 0.2  # sum of squares by which a line has to bring the painting closer
_FEW_COLORS = 16  # that a dithered picture has at most
_DOTS = 0.1  # a dithered patch has at least this share of pixels that differ from both neighbours
_DOT_BLUR = 1.5  # pixels
# Patches are painted in four rounds, so that no stroke meets one of its neighbours' in the middle of a round.
_ROUNDS = np.array([[0, 3], [2, 1]])  # by row % 2 and column % 2


class Looks(Protocol):
    """A painter: patches (N, 32, 32, 3) uint8 of target and canvas to strokes (N, S, 5) and logits (N, S)."""

    strokes: int
    outline: Outline | None

    def __call__(self, targets: Array, canvases: Array) -> tuple[Array, Array]: ...


@dataclass(frozen=True)
class Pass:
    """One look at the whole photo.  side: of a patch, in pixels of the photo.  shifted: by half a patch."""

    layer: int
    side: float
    shifted: bool


class Step(NamedTuple):
    """The strokes after a pass, 1..total.

    pixels: (H, W, 3) uint8, the same bytes as `raster.rasterise` draws of them, after the last pass; None where they
    were not drawn at the photo's size, and before.
    """

    step: int
    total: int
    strokes: Strokes
    pixels: Array | None = None


def plan(size: tuple[int, int], settings: Settings, per_patch: int = 8) -> list[Pass]:
    """The passes over a photo of this (width, height)."""
    finest = PATCH / settings.detail
    last = max(0, math.ceil(math.log2(max(size) / finest)))
    sides = [finest * 2 ** (last - layer) for layer in range(last + 1)]
    if settings.strokes is not None:
        sides += _added(size, sides, settings.strokes, per_patch)
    sides = sides[: settings.layers]
    passes = []
    for layer, side in enumerate(sides):
        passes.append(Pass(layer, side, False))
        if layer == len(sides) - 1 or settings.mode == "quality":
            passes.append(Pass(layer, side, True))
    return passes


def _added(size: tuple[int, int], sides: list[float], wanted: int, per_patch: int) -> list[float]:
    """Further layers, when those there are would hardly give the strokes that are asked for."""
    expected = sum(patches(size, Pass(0, side, False)) for side in sides) * per_patch * _DRAWN
    side, added = sides[-1], []
    while expected < 1.5 * wanted and side / 2 >= _SMALLEST:
        side /= 2
        added.append(side)
        expected += patches(size, Pass(0, side, False)) * per_patch * _DRAWN
    return added


def patches(size: tuple[int, int], now: Pass) -> int:
    """How many patches a pass looks at."""
    return math.prod(math.ceil(length / now.side) + now.shifted for length in size)


def paint(
    photo: Array, painter: Looks, settings: Settings, brush: Brush, ground: Color, mask: Array | None = None
) -> Iterator[Step]:
    """Yield the strokes after every pass; whoever iterates may stop at any time.

    photo: (H, W, 3) uint8.  ground: the canvas.  mask: (H, W) in 0..1, white where all layers are wanted, black where
    only the coarsest is.
    """
    size = (photo.shape[1], photo.shape[0])
    passes = plan(size, settings, painter.strokes)
    easel = Easel(photo, brush, ground)

    def only_wanted(found: Strokes) -> Strokes:
        return found[wanted(found, size, settings, mask, passes[-1].layer)]

    def add(found: Strokes) -> None:
        found = only_wanted(found)
        if settings.mode == "quality":
            found = found[np.argsort(choose.errors(found, easel.target, brush, easel.scale), kind="stable")]
            found = found[choose.helpful(found, easel.target, easel.canvas, brush, easel.scale)]
        easel.add(found)

    for number, now in enumerate(passes, 1):
        add(seen(easel, now, painter, settings))
        if evens(painter, settings, now, passes):
            add(evened(easel, now.layer, settings))
        if settings.mode == "quality" and number == len(passes):
            for shift in (0, _CELL // 2):
                add(gaps(easel, now.layer, settings, shift))
        if number == len(passes) and traces(painter, settings, size):
            easel.add(only_wanted(traced(easel, now, settings)))
        yield Step(number, len(passes), easel.strokes, easel.whole if number == len(passes) else None)


class Easel:
    """The photo and the painting so far, at the size of the present pass.

    base: (H, W, 3) uint8 that is painted on, instead of the ground.
    """

    def __init__(self, photo: Array, brush: Brush, ground: Color, base: Array | None = None):
        self.photo, self.brush, self.ground = Image.fromarray(photo), brush, ground
        self.base = None if base is None else Image.fromarray(base)
        self.strokes = Strokes.none()
        self.scale = 0.0

    def resize(self, side: float) -> None:
        """Resize so that a patch of `side` pixels of the photo has PATCH pixels; strokes so far are redrawn."""
        if self.scale == PATCH / side:
            return
        self.scale = PATCH / side
        size = (max(1, round(self.photo.width * self.scale)), max(1, round(self.photo.height * self.scale)))
        self.target = shrunk(self.photo, size)
        self.canvas = (
            raster.Canvas(size, self.ground) if self.base is None else raster.Canvas.of(shrunk(self.base, size))
        )
        self.canvas.draw(self.strokes, self.brush, self.scale)

    @property
    def whole(self) -> Array | None:
        """The painting, (H, W, 3) uint8, where the canvas is as large as the photo."""
        return self.canvas.pixels() if self.scale == 1 else None

    def add(self, strokes: Strokes) -> None:
        self.strokes = self.strokes + strokes
        self.canvas.draw(strokes, self.brush, self.scale)


def shrunk(photo: Image.Image, size: tuple[int, int]) -> Array:
    """(H, W, 3) uint8: areas averaged; where the photo has too few pixels, between them."""
    smaller = size[0] < photo.width
    return np.asarray(photo.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR))


def undithered(photo: Array) -> Array:
    """The tones of a dithered picture, whose dots a painter would take for details; any other one as it is.

    photo: (H, W, 3) uint8.
    """
    height, width = photo.shape[:2]
    step = max(1, min(height, width) // 256)
    some = photo[::step, ::step].reshape(-1, 3)
    if min(height, width) < 3 or _count_colors(some) > _FEW_COLORS:
        return photo
    across, down = ((np.diff(photo, axis=axis) != 0).any(2) for axis in (1, 0))
    dots = (across[1:-1, 1:] & across[1:-1, :-1]) | (down[1:, 1:-1] & down[:-1, 1:-1])
    if dots.mean() < _DOTS:
        return photo
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(_DOT_BLUR)))


def _count_colors(pixels: Array) -> int:
    """How many different ones (N, 3) uint8 has: as one number each, which takes a twentieth of `np.unique` by rows."""
    numbers = (pixels.astype(np.uint32) << np.array((16, 8, 0), np.uint32)).sum(1, dtype=np.uint32)
    numbers.sort()
    return 1 + int(np.count_nonzero(np.diff(numbers)))


def seen(easel: Easel, now: Pass, painter: Looks, settings: Settings, moved: Array | None = None) -> Strokes:
    """All that the painter would draw in this pass, in pixels of the photo.

    moved: (H, W) uint8, how much each pixel has changed; then only patches that changed are painted, and marked in it.
    """
    easel.resize(now.side)
    height, width = easel.target.shape[:2]
    rows, columns = -(-height // PATCH) + now.shifted, -(-width // PATCH) + now.shifted
    top, left = (rows * PATCH - height) // 2, (columns * PATCH - width) // 2
    margins = (top, rows * PATCH - height - top), (left, columns * PATCH - width - left), (0, 0)
    target = np.pad(easel.target, margins, mode="symmetric")
    canvas = np.pad(easel.canvas.pixels(), margins, mode="symmetric")
    chosen = np.arange(rows * columns)
    if moved is not None:
        small = np.pad(shrunk(Image.fromarray(moved), (width, height))[..., None], margins, mode="symmetric")
        chosen = np.flatnonzero(_cut(small, rows, columns).mean((1, 2, 3)) > _MOVED)
    if not len(chosen):
        return Strokes.none()
    row, column = np.divmod(chosen, columns)
    if moved is not None:
        _mark(moved, column * now.side - left / easel.scale, row * now.side - top / easel.scale, now.side)
    shapes, logits = painter(_cut(target, rows, columns)[chosen], _cut(canvas, rows, columns)[chosen])  # (P, S, 5)
    corners = np.stack((column, row), 1) * PATCH
    placed = _believable(shapes) * (PATCH, PATCH, PATCH, PATCH, 1)
    placed[..., :2] += corners[:, None]
    rounds = np.broadcast_to(_ROUNDS[row % 2, column % 2][:, None], logits.shape)
    turns = np.broadcast_to(np.arange(logits.shape[1]), logits.shape)
    order = np.lexsort((turns.ravel(), rounds.ravel()))
    order = order[logits.ravel()[order] > 0]
    placed, logits = placed.reshape(-1, 5)[order], logits.ravel()[order]
    rgb = _colors(target, placed)
    if painter.outline is not None:
        placed = painted(placed, painter.outline, min(1.0, easel.scale))
        some = (placed[:, 2:4] > 0).all(1)
        placed, rgb, logits = placed[some], rgb[some], logits[some]
    placed[:, :2] -= (left, top)
    placed[:, :4] /= easel.scale
    many = np.ones(len(placed))
    return Strokes.make(placed, rgb, now.layer * many, settings.opacity * many, 1 / (1 + np.exp(-logits)))


def gaps(easel: Easel, layer: int, settings: Settings, shift: int) -> Strokes:
    """A stroke for each cell where an earlier layer or the ground shows through, in pixels of the photo.

    The painter was trained with strokes that cover well: what a dry brush leaves between its streaks is too little for
    it to see.  shift: of the cells from the upper left corner, in pixels of the easel.
    """
    return _covering(easel, layer, settings, _GAP, shift, 0.5 * (shift > 0))


def evens(painter: Looks, settings: Settings, now: Pass, passes: list[Pass]) -> bool:
    """Whether even parts get their colour after this pass; quality mode, which looks twice, finds it by itself."""
    return settings.mode == "fast" and painter.outline is None and now.layer < passes[-1].layer


def evened(easel: Easel, layer: int, settings: Settings) -> Strokes:
    """A stroke for each cell that is even in the photo, but of a slightly other colour, in pixels of the photo."""
    return _covering(easel, layer, settings, _OFF, sway=_SWAY)


def traces(painter: Looks, settings: Settings, size: tuple[int, int]) -> bool:
    """Whether thin lines are painted: by default for our own painters, and never before all layers are there."""
    if settings.layers is not None and settings.layers < plan(size, replace(settings, layers=None))[-1].layer + 1:
        return False
    return painter.outline is None if settings.lines is None else settings.lines


def traced(easel: Easel, last: Pass, settings: Settings) -> Strokes:
    """Strokes along thin lines that bring the painting closer to the photo, in pixels of the photo."""
    easel.resize(max(last.side, PATCH))  # smaller pixels than the photo's show no more
    found = lines.strokes(easel.target, easel.canvas.pixels(), easel.scale, last.layer, settings.opacity)
    return found[choose.helpful(found, easel.target, easel.canvas, easel.brush, easel.scale, _CLEARER)]


def _covering(
    easel: Easel, layer: int, settings: Settings, least: float, shift: int = 0, turn: float = 0, sway: float = 0
) -> Strokes:
    """A stroke for each cell whose mean is further off than `least`, of 255, except where that is a detail."""
    target, canvas = _cells(easel.target, shift), _cells(easel.canvas.pixels(), shift)
    wanted_tone = target.mean((2, 3))
    off = np.abs(canvas.mean((2, 3)) - wanted_tone).max(-1)
    row, column = np.nonzero(off > np.maximum(least, 2 * target.std((2, 3)).max(-1)))
    many = np.ones(len(row))
    places = (np.stack((column, row), 1) + 0.5) * _CELL - shift
    sides = many[:, None] * (2 * _CELL, 1.4 * _CELL)
    turns = turn + sway * ((5 * row + 3 * column) % 7 / 3 - 1)
    shapes = np.column_stack((places / easel.scale, sides / easel.scale, turns))
    return Strokes.make(shapes, wanted_tone[row, column] / 255, layer * many, settings.opacity * many, many)


def _cells(picture: Array, shift: int) -> Array:
    """(rows, columns, _CELL, _CELL, 3) float32, the first ones beginning `shift` pixels outside."""
    rest = [-(length + shift) % _CELL for length in picture.shape[:2]]
    padded = np.pad(picture, ((shift, rest[0]), (shift, rest[1]), (0, 0)), mode="symmetric").astype(np.float32)
    height, width = padded.shape[:2]
    return padded.reshape(height // _CELL, _CELL, width // _CELL, _CELL, 3).transpose(0, 2, 1, 3, 4)


def _mark(moved: Array, x: Array, y: Array, side: float) -> None:
    """The patches with these upper left corners as changed altogether: what a broad stroke covers needs its details."""
    for left, top in zip(x.tolist(), y.tolist(), strict=True):
        rows = slice(max(0, int(top)), max(0, math.ceil(top + side)))
        moved[rows, max(0, int(left)) : max(0, math.ceil(left + side))] = 255


def _believable(shapes: Array) -> Array:
    """Within what a painter can have learned; a stroke has some width, as in training.  Raises ArtgenError for NaN."""
    if not np.isfinite(shapes).all():
        raise ArtgenError("the painter's weights give no numbers: they are damaged or not trained to the end")
    return np.clip(shapes, (-1, -1, _THINNEST, _THINNEST, -10), (2, 2, 2, 2, 10))


def painted(boxes: Array, outline: Outline, pixel: float) -> Array:
    """Predicted boxes (N, 5) as boxes of their paint, which has none left where a side is not above 0.

    pixel: length of one of the outline's, in the boxes' unit.
    """
    x, y, w, h, theta = boxes.T
    cos, sin = np.cos(theta * np.pi), np.sin(theta * np.pi)
    right, down = ((outline.x0 + outline.x1) / 2 - 0.5) * w, ((outline.y0 + outline.y1) / 2 - 0.5) * h
    gone = 2 * outline.back * pixel
    sides = (outline.x1 - outline.x0) * w - gone, (outline.y1 - outline.y0) * h - gone
    return np.column_stack((x + cos * right - sin * down, y + sin * right + cos * down, *sides, theta))


def _cut(picture: Array, rows: int, columns: int) -> Array:
    """(rows * columns, 32, 32, C)."""
    parts = picture.reshape(rows, PATCH, columns, PATCH, picture.shape[2])
    return parts.transpose(0, 2, 1, 3, 4).reshape(-1, PATCH, PATCH, picture.shape[2])


def _colors(picture: Array, shapes: Array) -> Array:
    """The colours in 0..1 at the strokes' centres, bilinearly; (N, 3)."""
    height, width = picture.shape[:2]
    x = np.clip(shapes[:, 0] - 0.5, 0, width - 1)
    y = np.clip(shapes[:, 1] - 0.5, 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    x, y = (x - left)[:, None], (y - top)[:, None]
    upper = picture[top, left] * (1 - x) + picture[top, left + 1] * x
    lower = picture[top + 1, left] * (1 - x) + picture[top + 1, left + 1] * x
    return (upper * (1 - y) + lower * y) / 255


def wanted(found: Strokes, size: tuple[int, int], settings: Settings, mask: Array | None, last: int) -> Array:
    """Which strokes touch the picture, are long enough and lie where the mask wants their layer; (N,)."""
    x, y, w, h = found.shapes[:, :4].T
    reach = np.hypot(w, h) / 2
    kept = (x + reach > 0) & (y + reach > 0) & (x - reach < size[0]) & (y - reach < size[1])
    kept &= np.maximum(w, h) >= settings.min_stroke
    if mask is not None:
        column = np.clip(x.astype(int), 0, size[0] - 1)
        row = np.clip(y.astype(int), 0, size[1] - 1)
        kept &= found.layers <= np.round(mask[row, column] * last)
    return kept
