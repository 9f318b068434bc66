"""A painting as SVG: the brush once, as shapes, and every stroke a turned and coloured copy of it.

Neither pictures nor masks are embedded, so that it scales and every program draws it fast.  Paint that covers only
partly is built from nested shapes with opacities, its lighter and darker streaks from nested shapes of black.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from artcli.media import files, inline
from artcli.media.brushes import SIDE, Brush
from artcli.media.strokes import Painting

Array = np.ndarray[Any, Any]

_CELLS = 64  # rows and columns of the brush in shapes
_ALPHAS = (0.15, 0.4, 0.65, 0.9)  # what the nested shapes show; each begins half-way from the one before
_SHADES = (0.04, 0.08, 0.12, 0.2)  # of black, likewise


def save(path: Path, painting: Painting) -> None:
    """Write the painting.  Raises ArtgenError when the disk refuses."""
    with files.atomic(path) as temporary:
        temporary.write_text(render(painting), encoding="utf-8")


def render(painting: Painting) -> str:
    """The text of the SVG file."""
    width, height = painting.size
    lightest, symbol = _symbol(painting.brush)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<defs>{symbol}{_mask(painting)}</defs>",
        '<g mask="url(#m)">' if painting.alpha is not None else "<g>",
    ]
    if painting.background is not None:
        fill = _color(np.array(painting.background) * 255)
        parts.append(f'<rect width="{width}" height="{height}" fill="{fill}"/>')
    colors = np.minimum(painting.strokes.rgb * lightest, 1) * 255
    rows = zip(painting.strokes.shapes.tolist(), colors, painting.strokes.alphas.tolist(), strict=True)
    parts += [_stroke(shape, color, alpha) for shape, color, alpha in rows]
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _stroke(shape: list[float], color: Array, alpha: float) -> str:
    x, y, w, h, theta = shape
    if h > w:  # brushes lie along x
        w, h, theta = h, w, theta + 0.5
    opacity = "" if alpha == 1 else f' opacity="{alpha:g}"'
    turned = f"translate({x:g} {y:g}) rotate({theta * 180:.3f}) scale({w / _CELLS:.5g} {h / _CELLS:.5g})"
    return f'<use href="#b" fill="{_color(color)}" transform="{turned}"{opacity}/>'


def _color(rgb: Array) -> str:
    return "#" + "".join(f"{int(value + 0.5):02x}" for value in rgb)


def _mask(painting: Painting) -> str:
    """Where the photo itself was see-through."""
    if painting.alpha is None:
        return ""
    width, height = painting.size
    picture = f'<image width="{width}" height="{height}" href="{inline.to_text(painting.alpha)}"/>'
    return f'<mask id="m" maskUnits="userSpaceOnUse" x="0" y="0" width="{width}" height="{height}">{picture}</mask>'


def _symbol(brush: Brush) -> tuple[float, str]:
    """The brush about (0, 0), _CELLS units a side, in the colour of who uses it times its lightest tone."""
    alpha, tone = _shrunk(brush.alpha), _shrunk(brush.alpha * brush.tone)
    tone = np.where(alpha > 0.02, tone / np.maximum(alpha, 0.02), 1)
    lightest = float(np.percentile(tone[alpha > 0.5], 99)) if (alpha > 0.5).any() else 1.0
    shapes = _nested(alpha, _ALPHAS, "") + _nested((1 - tone / lightest) * (alpha > 0.5), _SHADES, ' fill="#000"')
    return lightest, f'<g id="b">{shapes}</g>'


def _shrunk(plane: Array) -> Array:
    step = SIDE // _CELLS
    return plane.reshape(_CELLS, step, _CELLS, step).mean((1, 3))


def _nested(values: Array, levels: tuple[float, ...], fill: str) -> str:
    """Shapes one upon the other that show the next of the levels for each value."""
    found, shown, before = "", 0.0, 0.0
    for level in levels:
        inside = values > (before + level) / 2
        full = min(1.0, float(values[inside].mean())) if level == levels[-1] and inside.any() else level
        opacity = (full - shown) / (1 - shown) if shown < 1 else 0.0
        if inside.any() and opacity > 0:
            found += f'<path{fill} fill-opacity="{opacity:.3f}" d="{_outline(inside)}"/>'
        before, shown = level, full
    return found


def _outline(inside: Array) -> str:
    """Bars of the runs in each row; rows that are the same are one bar."""
    bars, top = [], 0
    for row in range(1, _CELLS + 1):
        if row < _CELLS and (inside[row] == inside[top]).all():
            continue
        edges = np.flatnonzero(np.diff(np.concatenate(([0], inside[top].astype(int), [0]))))
        for start, end in edges.reshape(-1, 2).tolist():
            bars.append(f"M{start - _CELLS // 2} {top - _CELLS // 2}h{end - start}v{row - top}h{start - end}z")
        top = row
    return "".join(bars)
