"""A painting as a list of strokes: what a painter predicts, what is drawn at any size, and what strokes.json holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from artcli.errors import UsageError
from artcli.media import files, inline, record
from artcli.media.brushes import Brush

Array = np.ndarray[Any, Any]

VERSION = 1
MAX_STROKES = 1_000_000
MAX_BYTES = 400_000_000  # such a file holds more than MAX_STROKES
MAX_SIDE = 100_000
COLUMNS = ("layer", "x", "y", "w", "h", "theta", "r", "g", "b", "alpha", "confidence")
_DECIMALS = {"x": 3, "y": 3, "w": 3, "h": 3, "theta": 5, "alpha": 3, "confidence": 3}


class Outline(NamedTuple):
    """What of the box that a painter predicts the paint takes, where a stroke does not fill it.

    x0, y0, x1, y1: along the box's own sides, 0..1.  back: how far the edge draws back from there, in pixels of the
    photo, at most of the patch that the painter sees.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    back: float


@dataclass(frozen=True)
class Strokes:
    """Strokes in the order in which they are drawn; N rows of COLUMNS in `table`, float64.

    x, y, w, h: centre and sides in pixels of the painting; theta: turn from x towards y, in units of pi; r, g, b:
    0..255, whole; alpha, confidence: 0..1; layer: 0 for the coarsest.  The numbers are rounded as the file holds
    them, so that a painting drawn from its file has the same bytes.
    """

    table: Array

    @classmethod
    def make(cls, shapes: Array, rgb: Array, layers: Array, alphas: Array, confidence: Array) -> Self:
        """shapes: (N, 5) x, y, w, h, theta.  rgb: (N, 3) in 0..1.  layers, alphas, confidence: (N,)."""
        levels = np.floor(np.clip(rgb, 0, 1) * 255 + 0.5)
        table = np.column_stack((layers, shapes, levels, alphas, confidence)).astype(np.float64)
        for name, digits in _DECIMALS.items():
            column = COLUMNS.index(name)
            table[:, column] = np.round(table[:, column], digits)
        sides = table[:, 3:5]
        np.maximum(sides, 0.001, out=sides)
        return cls(table)

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty((0, len(COLUMNS))))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, rows: Any) -> Self:
        return replace(self, table=self.table[rows])

    def __add__(self, others: Self) -> Self:
        return replace(self, table=np.concatenate((self.table, others.table)))

    @property
    def layers(self) -> Array:
        return self.table[:, 0].astype(np.int64)

    @property
    def shapes(self) -> Array:
        """(N, 5): x, y, w, h, theta."""
        return self.table[:, 1:6]

    @property
    def rgb(self) -> Array:
        """(N, 3) in 0..1."""
        return self.table[:, 6:9] / 255

    @property
    def alphas(self) -> Array:
        return self.table[:, 9]

    def scaled(self, factor: float) -> Self:
        """The same strokes for pixels of another size."""
        shapes = self.shapes * [factor, factor, factor, factor, 1]
        return self.make(shapes, self.rgb, self.layers, self.alphas, self.table[:, 10])

    def colored(self, rgb: Array) -> Self:
        """The same strokes in other colours, (N, 3) in 0..1."""
        table = self.table.copy()
        table[:, 6:9] = np.floor(np.clip(rgb, 0, 1) * 255 + 0.5)
        return replace(self, table=table)


@dataclass(frozen=True)
class Painting:
    """Strokes and what they are painted on.

    size: (width, height) that the strokes' pixels belong to.  background: (r, g, b) in 0..1, None for transparent.
    alpha: (H, W) in 0..1 of the photo, or None.  recipe: of the run that made it, or None.  exif: of the photo, see
    `images.Picture`, or None; it does not go into strokes.json.
    """

    size: tuple[int, int]
    strokes: Strokes
    brush: Brush
    background: tuple[float, float, float] | None
    alpha: Array | None = None
    recipe: record.Recipe | None = None
    exif: bytes | None = None

    def resized(self, side: int) -> Self:
        """The same painting with a longer side of `side` pixels."""
        scale = side / max(self.size)
        width, height = (max(1, round(length * scale)) for length in self.size)
        return replace(self, size=(width, height), strokes=self.strokes.scaled(scale))


def save(path: Path, painting: Painting) -> None:
    """Write strokes.json.  Raises ArtgenError when the disk refuses."""
    head = {
        "artgen": "strokes",
        "version": VERSION,
        "size": list(painting.size),
        "background": None if painting.background is None else [round(v * 255) for v in painting.background],
        "brush": painting.brush.to_text(),
        "alpha": None if painting.alpha is None else inline.to_text(painting.alpha),
        "recipe": painting.recipe,
        "columns": list(COLUMNS),
    }
    rows = ",\n".join(json.dumps([_short(value) for value in row]) for row in painting.strokes.table.tolist())
    text = json.dumps(head, indent=1)[:-2] + ',\n "strokes": [\n' + rows + "\n]}\n"
    with files.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value


def load(path: Path) -> Painting:
    """Read strokes.json.  Raises UsageError with one line: no strokes, another version, values out of range."""
    found = _parse(path)
    if found.get("version") != VERSION:
        raise UsageError(f"{path} has version {found.get('version')} of the strokes; this artgen reads {VERSION}")
    if found.get("columns") != list(COLUMNS):
        raise UsageError(f"{path} has other columns than {', '.join(COLUMNS)}")
    recipe = found.get("recipe")
    if recipe is not None and not isinstance(recipe, dict):
        raise UsageError(f"{path} has a recipe that is none")
    return Painting(
        size=_size(path, found.get("size")),
        strokes=Strokes(_table(path, found.get("strokes"))),
        brush=Brush.from_text(found.get("brush"), path),
        background=_background(path, found.get("background")),
        alpha=None if found.get("alpha") is None else inline.from_text(found["alpha"], path),
        recipe=recipe,
    )


def _parse(path: Path) -> dict[str, Any]:
    if files.kind(path) == "missing":
        raise files.missing(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES // 10**6} MB; at most {MAX_STROKES} strokes are drawn")
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {files.reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no strokes file ({error})") from error
    if not isinstance(found, dict) or found.get("artgen") != "strokes":
        raise UsageError(f"{path} is no strokes file: `artgen paint PHOTO --strokes-out FILE` writes one")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no number")


def _numbers(values: Any, count: int, low: float, high: float) -> bool:
    right = isinstance(values, list) and len(values) == count and set(map(type, values)) <= {int, float}
    return right and all(low <= value <= high for value in values)


def _size(path: Path, size: Any) -> tuple[int, int]:
    if not _numbers(size, 2, 1, MAX_SIDE) or not all(isinstance(side, int) for side in size):
        raise UsageError(f"{path} has no size of two whole numbers from 1 to {MAX_SIDE}")
    return size[0], size[1]


def _background(path: Path, color: Any) -> tuple[float, float, float] | None:
    if color is None:
        return None
    if not _numbers(color, 3, 0, 255):
        raise UsageError(f"{path} has a background that is not three numbers from 0 to 255, or null")
    return color[0] / 255, color[1] / 255, color[2] / 255


def _table(path: Path, rows: Any) -> Array:
    """(N, columns) float64, every value in its range."""
    if not isinstance(rows, list):
        raise UsageError(f"{path} has no list of strokes")
    if len(rows) > MAX_STROKES:
        raise UsageError(f"{path} has {len(rows)} strokes; {MAX_STROKES} is the most")
    wrong = next((i for i, row in enumerate(rows) if not isinstance(row, list) or len(row) != len(COLUMNS)), None)
    if wrong is not None:
        raise UsageError(f"{path}: stroke {wrong} is not a row of {len(COLUMNS)} numbers")
    if not set(map(type, chain.from_iterable(rows))) <= {int, float}:
        raise UsageError(f"{path} has strokes with something else than numbers")
    try:
        table = np.array(rows, np.float64).reshape(-1, len(COLUMNS))
    except OverflowError as error:
        raise UsageError(f"{path} has numbers beyond any picture") from error
    _check_ranges(path, table)
    return table


def _check_ranges(path: Path, table: Array) -> None:
    ranges = {
        "layer": (0, 1000), "x": (-1e7, 1e7), "y": (-1e7, 1e7), "w": (0, 1e7), "h": (0, 1e7), "theta": (-1e3, 1e3),
        "r": (0, 255), "g": (0, 255), "b": (0, 255), "alpha": (0, 1), "confidence": (0, 1),
    }  # fmt: skip
    for column, (name, (low, high)) in enumerate(ranges.items()):
        values = table[:, column]
        wrong = ~((values >= low) & (values <= high))  # NaN too
        if name in ("w", "h"):
            wrong |= values == 0
        if wrong.any():
            row = int(wrong.argmax())
            raise UsageError(
                f"{path}: stroke {row} has {name} {values[row]:g}, outside {low:g}..{high:g}"
                f"{' (and not 0)' if name in ('w', 'h') else ''}"
            )
