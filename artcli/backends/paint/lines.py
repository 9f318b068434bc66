"""Thin strokes for thin lines, which patches of strokes lose: ropes, joints of a wall, bars of a window.

A line is what is brighter, or darker, than both its sides; an edge is none.  Each pixel is compared with its sides in
all directions, averaged along a short bar so that grain and dots do not count.  From the clearest pixels on, lines are
followed to both ends, the most visible ones first; a bent or long one becomes several strokes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from artcli.media.strokes import Strokes

Array = np.ndarray[Any, Any]

# Lengths are in pixels, brightness and contrast in 255ths.
_TURNS = 12  # directions that are looked at, over half a turn
_BAR = 4  # pixels before and behind along a line that are averaged
_BESIDE = 3  # from the middle of a line to what it is compared with
_CLEAR, _FAINT = 10, 5  # contrast that a line begins with, and down to which it is followed
_SHORTEST, _REST = 9, 6  # length of a line, and of what others leave free of it
_LEAST = 240  # length times contrast
_GLARING = 60  # contrast above which a line is no more visible than others as long
_REACH = 24  # from where a line begins to either end
_CELL = 3  # side of the squares in which one line begins at most
_SHARED = 0.4  # part of a line that may lie on others
_ROUNDS = 4
_POINTS = 25  # at which a line is looked at, from end to end
_ACROSS = np.arange(-4, 4.5, 0.5)  # distances beside a line at which it is measured
_THICK = (1.2, 4.0)
_BAND = 512  # rows that are searched at once
_AT_ONCE = 1 << 15  # pixels that are compared at once, so that they stay in the cache
_LIGHT = np.array((0.299, 0.587, 0.114), np.float32)
_FINE = 8  # brightness is counted in eighths, as whole numbers
_UNIT = _FINE * (2 * _BAR + 1)  # of contrast, likewise, summed over a bar


class _Lines(NamedTuple):
    """Straight pieces of lines.  ends: (N, 4) x0, y0, x1, y1.  contrast: (N,)."""

    ends: Array
    contrast: Array

    @property
    def length(self) -> Array:
        return np.hypot(self.ends[:, 2] - self.ends[:, 0], self.ends[:, 3] - self.ends[:, 1])

    @property
    def visible(self) -> Array:
        return self.length * np.minimum(self.contrast, _GLARING)

    def only(self, which: Array) -> _Lines:
        return _Lines(self.ends[which], self.contrast[which])

    def sorted(self) -> _Lines:
        """The most visible ones first."""
        return self.only(np.argsort(-self.visible, kind="stable"))


def _joined(parts: list[_Lines]) -> _Lines:
    return _Lines(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def strokes(target: Array, canvas: Array, scale: float, layer: int, opacity: float) -> Strokes:
    """A stroke for each thin line of the target where the canvas differs, the most visible ones first.

    target, canvas: (H, W, 3) uint8.  scale: of their pixels for one of the photo, in which the strokes are.
    """
    found = [_in_band(target, canvas, top) for top in range(0, len(target), _BAND)]
    lines = _joined(found).sorted()
    width, rgb = _measured(target, lines.ends)
    x0, y0, x1, y1 = lines.ends.T
    boxes = np.column_stack(((x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2, lines.length + 2, width)) / scale
    many = np.ones(len(width))
    turns = np.arctan2(y1 - y0, x1 - x0) / np.pi
    return Strokes.make(np.column_stack((boxes, turns)), rgb, layer * many, opacity * many, many)


def _in_band(target: Array, canvas: Array, top: int) -> _Lines:
    """The lines that begin in rows `top` to `top` + _BAND."""
    first, last = max(0, top - _REACH), top + _BAND + _REACH
    part, painted = target[first:last], canvas[first:last]
    contrast, turn = _contrast(_light(part))
    off = np.abs(part.astype(np.int16) - painted).max(2)
    x, y = _beginnings(contrast, turn, off)
    own = (y >= top - first) & (y < top - first + _BAND)
    lines = _apart(_followed(contrast, turn, x[own], y[own]), contrast.shape)
    lines.ends[:, 1::2] += first
    return lines


# --- contrast -------------------------------------------------------------------------------------------------------


def _light(picture: Array) -> Array:
    """The brightness of (H, W, 3) uint8, blurred by a pixel; (H, W) int16, in parts of _FINE."""
    light: Array = np.pad(picture @ (_LIGHT * _FINE), 1, mode="edge")
    light = (light[:-2] + 2 * light[1:-1] + light[2:]) / 4
    return ((light[:, :-2] + 2 * light[:, 1:-1] + light[:, 2:]) / 4).astype(np.int16)


def _contrast(light: Array) -> tuple[Array, Array]:
    """By how much each pixel is brighter than both its sides, in _UNITs, below 0: darker; and in which of _TURNS."""
    margin = _BAR + _BESIDE
    padded = np.pad(light, margin, mode="edge")
    best, turn = np.zeros(light.shape, np.int16), np.zeros(light.shape, np.int16)
    rows = max(1, _AT_ONCE // light.shape[1])
    for top in range(0, len(light), rows):
        part, here = padded[top : top + rows + 2 * margin], slice(top, top + rows)
        for number in range(_TURNS):
            found = _standing_out(part, np.pi * number / _TURNS)
            better = np.abs(found) > np.abs(best[here])
            np.copyto(best[here], found, where=better)
            np.copyto(turn[here], number, where=better)
    return best, turn


def _standing_out(padded: Array, angle: float) -> Array:
    """By how much a bar at this angle is brighter (below 0: darker) than those on both its sides."""
    cos, sin = np.cos(angle), np.sin(angle)
    bar = _shifted(padded, 0, 0, _BAR).copy()
    for step in range(1, _BAR + 1):
        bar += _shifted(padded, step * cos, step * sin, _BAR)
        bar += _shifted(padded, -step * cos, -step * sin, _BAR)
    middle = _shifted(bar, 0, 0, _BESIDE)
    one, other = (_shifted(bar, -side * sin, side * cos, _BESIDE) for side in (-_BESIDE, _BESIDE))
    return middle - np.clip(middle, np.minimum(one, other), np.maximum(one, other))


def _shifted(plane: Array, x: float, y: float, margin: int) -> Array:
    down, right = margin + round(y), margin + round(x)
    return plane[down : len(plane) - 2 * margin + down, right : plane.shape[1] - 2 * margin + right]


# --- lines ----------------------------------------------------------------------------------------------------------


def _beginnings(contrast: Array, turn: Array, off: Array) -> tuple[Array, Array]:
    """Columns and rows of the clearest pixels, in which the canvas is off; the clearest first."""
    y, x = np.nonzero((np.abs(contrast) > _CLEAR * _UNIT) & (off > _CLEAR))
    own, angle = contrast[y, x], turn[y, x] * np.pi / _TURNS
    beside = [np.sign(own) * _at(contrast, x - way * np.sin(angle), y + way * np.cos(angle)) for way in (-1, 1)]
    highest = np.flatnonzero(np.abs(own) >= np.maximum(*beside))
    order = highest[np.argsort(-np.abs(own[highest]), kind="stable")]
    x, y = x[order], y[order]
    first = np.sort(np.unique(y // _CELL * contrast.shape[1] + x // _CELL, return_index=True)[1])
    return x[first], y[first]


def _at(plane: Array, x: Array, y: Array) -> Array:
    return plane[_whole(y, plane.shape[0]), _whole(x, plane.shape[1])]


def _whole(values: Array, count: int) -> Array:
    return np.clip(np.rint(values).astype(np.intp), 0, count - 1)


def _followed(contrast: Array, turn: Array, x: Array, y: Array) -> _Lines:
    """The lines through these pixels that are long and clear enough."""
    (back, left, before), (ahead, right, behind) = (_end(contrast, turn, x, y, way) for way in (-1, 1))
    angle = turn[y, x] * np.pi / _TURNS
    cos, sin = np.cos(angle), np.sin(angle)
    # A straight stroke for a bent line: between the chord and its parallel through the beginning.
    bent = (left * ahead + right * back) / np.maximum(back + ahead, 1) / 3
    ends = [(x + far * cos - (beside - bent) * sin, y + far * sin + (beside - bent) * cos)
            for far, beside in ((-back, left), (ahead, right))]  # fmt: skip
    mean = (before + np.abs(contrast[y, x]) + behind) / (back + ahead + 1) / _UNIT
    lines = _Lines(np.stack((*ends[0], *ends[1]), 1), mean)
    return lines.only((back + ahead >= _SHORTEST) & (lines.length * mean >= _LEAST))


def _end(contrast: Array, turn: Array, x: Array, y: Array, way: int) -> tuple[Array, Array, Array]:
    """How far lines go on from these pixels, 1 or -1 `way`, how far beside, and their summed contrast; (N,) each."""
    number = turn[y, x]
    sign = np.sign(contrast[y, x]).astype(np.int32)
    cos, sin = np.cos(number * np.pi / _TURNS), np.sin(number * np.pi / _TURNS)
    far, beside, total = (np.zeros(len(x)) for _ in range(3))
    going = np.arange(len(x))
    for step in range(1, _REACH + 1):
        ahead_x, ahead_y = x[going] + way * step * cos[going], y[going] + way * step * sin[going]
        inside = (ahead_x >= 0) & (ahead_y >= 0) & (ahead_x < contrast.shape[1]) & (ahead_y < contrast.shape[0])
        clearest, chosen = np.full(len(going), _FAINT * _UNIT), np.full(len(going), np.nan)
        for aside in (0, -0.5, 0.5):
            there = beside[going] + aside
            column, row = ahead_x - there * sin[going], ahead_y + there * cos[going]
            value = sign[going] * _at(contrast, column, row)
            turned = np.abs(_at(turn, column, row) - number[going])
            good = inside & (value > clearest) & (np.minimum(turned, _TURNS - turned) <= 2)
            good &= np.abs(there) <= 0.2 * step + 0.6
            clearest[good], chosen[good] = value[good], there[good]
        on = ~np.isnan(chosen)
        going = going[on]
        far[going], beside[going] = step, chosen[on]
        total[going] += clearest[on]
        if not len(going):
            break
    return far, beside, total


# --- no two strokes for one line ------------------------------------------------------------------------------------


def _apart(lines: _Lines, shape: tuple[int, int]) -> _Lines:
    """Without what lies on more visible ones, of which the longest free part stays."""
    taken, kept = np.zeros(shape, bool), []
    for _ in range(_ROUNDS):
        lines = _free(lines, taken).sorted()
        rank = np.arange(len(lines.ends))[:, None]
        owner = np.full(shape, len(rank), np.int32)
        for place in _bands(lines.ends[::-1], shape):
            owner[place] = np.minimum(owner[place], rank[::-1])
        won = (owner[_places(lines.ends, shape)] >= rank).mean(1) >= 1 - _SHARED
        kept.append(lines.only(won))
        for place in _bands(kept[-1].ends, shape):
            taken[place] = True
        lines = lines.only(~won)
    return _joined(kept)


def _places(ends: Array, shape: tuple[int, int], aside: int = 0) -> tuple[Array, Array]:
    """Rows and columns (N, _POINTS) along lines, or `aside` pixels beside them."""
    x0, y0, x1, y1 = ends.T[..., None]
    part = np.linspace(0, 1, _POINTS)
    length = np.maximum(np.hypot(x1 - x0, y1 - y0), 1e-6)
    x = x0 + part * (x1 - x0) - aside * (y1 - y0) / length
    y = y0 + part * (y1 - y0) + aside * (x1 - x0) / length
    return _whole(y, shape[0]), _whole(x, shape[1])


def _bands(ends: Array, shape: tuple[int, int]) -> list[tuple[Array, Array]]:
    """A line and its neighbours; the line itself last, so that where one is written over others it is whole."""
    return [_places(ends, shape, aside) for aside in (-1, 1, 0)]


def _free(lines: _Lines, taken: Array) -> _Lines:
    """Each line's longest free part, where it is long enough."""
    free = ~taken[_places(lines.ends, taken.shape)]
    run, longest, last = (np.zeros(len(free), np.intp) for _ in range(3))
    for number in range(_POINTS):
        run = (run + 1) * free[:, number]
        last[run > longest] = number
        longest = np.maximum(longest, run)
    x0, y0, x1, y1 = lines.ends.T
    begin, end = (last - longest + 1) / (_POINTS - 1), last / (_POINTS - 1)
    across, down = x1 - x0, y1 - y0
    ends = np.stack((x0 + begin * across, y0 + begin * down, x0 + end * across, y0 + end * down), 1)
    return _Lines(ends, lines.contrast).only((end - begin) * np.hypot(across, down) >= _REST)


# --- what lines look like -------------------------------------------------------------------------------------------


def _measured(picture: Array, ends: Array) -> tuple[Array, Array]:
    """Widths (N,) and colours (N, 3) in 0..1: a line ends where it is half-way to the nearer side's brightness."""
    x0, y0, x1, y1 = ends.T
    length = np.maximum(np.hypot(x1 - x0, y1 - y0), 1e-6)
    part = np.linspace(0.05, 0.95, 12)[:, None]
    x, y = x0 + part * (x1 - x0), y0 + part * (y1 - y0)
    across = [_between(picture, x - far * (y1 - y0) / length, y + far * (x1 - x0) / length) for far in _ACROSS]
    profile = np.stack([colors.mean(0) for colors in across])  # (17, N, 3)
    light, middle = profile @ _LIGHT, len(_ACROSS) // 2
    deep = light[[2, -3]] - light[middle]
    deep = np.where(np.abs(deep[0]) < np.abs(deep[1]), *deep)
    whole = np.where(np.abs(deep) < 1, 1, deep)
    share = np.clip(1 - (light[2:-2] - light[middle]) / whole, 0, 1)
    return np.clip(share.sum(0) * (_ACROSS[1] - _ACROSS[0]), *_THICK), profile[middle] / 255


def _between(picture: Array, x: Array, y: Array) -> Array:
    """Colours (..., 3) at points between pixels, bilinearly."""
    height, width = picture.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.minimum(x.astype(np.intp), max(0, width - 2)), np.minimum(y.astype(np.intp), max(0, height - 2))
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - x) + picture[top, right] * x
    lower = picture[low, left] * (1 - x) + picture[low, right] * x
    return upper * (1 - y) + lower * y
