"""Few colours for all strokes: found in the painting, or from a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from artcli.errors import UsageError
from artcli.media import files
from artcli.media.strokes import Strokes

Array = np.ndarray[Any, Any]

MOST = 256
_ROUNDS = 20
_HEX = re.compile(r"#?([0-9a-fA-F]{6})\b")
_GIMP = re.compile(r"\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\b")


def read(text: str) -> int | Array:
    """`--palette`: a number of colours, or a file of them, (N, 3) in 0..1.

    A file has a colour in each line: #rrggbb, or three numbers as in GIMP's palettes.  Raises UsageError.
    """
    if text.isdigit():
        if not 1 <= int(text) <= MOST:
            raise UsageError(f"--palette {text}: 1 to {MOST} colours")
        return int(text)
    path = Path(text)
    if files.kind(path) != "file":
        raise UsageError(f"--palette '{text}' is neither a number of colours nor a file of them")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--palette {path} cannot be read as text; write a #rrggbb in each line") from error
    colors = [color for color in map(_color, lines) if color is not None]
    if not colors:
        raise UsageError(f"--palette {path} has no colours; write a #rrggbb in each line")
    return np.array(colors[:MOST]) / 255


def _color(line: str) -> tuple[int, ...] | None:
    if found := _HEX.match(line.strip()):
        return tuple(bytes.fromhex(found[1]))
    if found := _GIMP.match(line):
        color = tuple(int(value) for value in found.groups())
        return color if max(color) <= 255 else None
    return None


def apply(strokes: Strokes, palette: int | Array) -> Strokes:
    """Every stroke in the nearest colour of the palette."""
    if not len(strokes):
        return strokes
    colors = _clusters(strokes, palette) if isinstance(palette, int) else palette
    return strokes.colored(colors[_nearest(strokes.rgb, colors)])


def _clusters(strokes: Strokes, count: int) -> Array:
    """The means that k-means finds of the strokes' colours, each stroke as heavy as it is large; (count, 3)."""
    rgb, areas = strokes.rgb, strokes.shapes[:, 2] * strokes.shapes[:, 3]
    colors = rgb[[areas.argmax()]]
    far = np.full(len(rgb), np.inf)
    while len(colors) < count:  # begin with colours far from each other
        far = np.minimum(far, ((rgb - colors[-1]) ** 2).sum(-1))
        if far.max() == 0:
            break
        colors = np.concatenate((colors, rgb[[far.argmax()]]))
    for _ in range(_ROUNDS):
        nearest = _nearest(rgb, colors)
        weights = np.bincount(nearest, areas, len(colors))
        sums = np.stack([np.bincount(nearest, areas * rgb[:, c], len(colors)) for c in range(3)], 1)
        colors = np.where(weights[:, None] > 0, sums / np.maximum(weights, 1e-12)[:, None], colors)
    return colors


def _nearest(rgb: Array, colors: Array) -> Array:
    """Index of the nearest colour, (N,), in parts that fit into memory."""
    parts = np.array_split(rgb, 1 + len(rgb) // 20_000)
    return np.concatenate([((part[:, None] - colors) ** 2).sum(-1).argmin(1) for part in parts])
