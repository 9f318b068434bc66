"""Brushes: small pictures of one stroke, painted by our own code from a fixed seed, or a user's own.

A brush is a square tile.  Its strips are the bristles: they begin and end raggedly, leave streaks of slightly
different tone, a few grooves, and more paint along the rim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from artcli.errors import UsageError, did_you_mean
from artcli.media import files, images, inline

Array = np.ndarray[Any, Any]

SIDE = 256  # pixels of a tile
NAMES = ("flat", "round", "bristle", "dry", "classic")


@dataclass(frozen=True, eq=False)
class Brush:
    """alpha: (SIDE, SIDE) float32 in 0..1, how much paint; the stroke runs along x.

    tone: (SIDE, SIDE) float32, factor of the stroke's colour, 1 on average.
    """

    name: str
    alpha: Array
    tone: Array

    def to_text(self) -> str:
        """What strokes.json says: the name of one of ours, or the whole tile."""
        return self.name if self.name in NAMES else inline.to_text(self.alpha)

    @classmethod
    def from_text(cls, text: Any, source: Path) -> Self:
        """Raises UsageError when a file names a brush that there is not."""
        if isinstance(text, str) and text.startswith("data:"):
            return cls("own", *_own(inline.from_text(text, source)))
        if text not in NAMES:
            raise UsageError(f"{source} asks for a brush '{text}'; there are: {', '.join(NAMES)}")
        return cls(text, *_MAKERS[text]())

    @classmethod
    def find(cls, name: str) -> Self:
        """One of NAMES, or a picture file: its alpha, or where it has none its darkness, is the paint.

        Raises UsageError when it is neither, or a picture without any paint.
        """
        if name in NAMES:
            return cls(name, *_MAKERS[name]())
        path = Path(name)
        if files.kind(path) != "file":
            hint = did_you_mean(name, NAMES)
            raise UsageError(f"--brush '{name}' is neither a picture nor one of {', '.join(NAMES)}.{hint}")
        picture = images.load(path)
        paint = picture.alpha if picture.alpha is not None else 1 - picture.rgb.mean(2)
        paint = images.resize(np.ascontiguousarray(paint, dtype=np.float32), (SIDE, SIDE))
        paint = np.floor(paint * 255 + 0.5) / 255  # as strokes.json keeps it
        if paint.max() < 0.1:
            raise UsageError(f"--brush {name} has no paint: draw it dark on white, or on a transparent ground")
        return cls("own", *_own(paint))


def _own(paint: Array) -> tuple[Array, Array]:
    if paint.shape != (SIDE, SIDE):
        paint = images.resize(paint, (SIDE, SIDE))
    return paint.astype(np.float32), np.ones((SIDE, SIDE), np.float32)


# --- ours ----------------------------------------------------------------------------------------------------------


def _flat() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    left, right = _ends(rng, 30, 0.07)
    return _inside(left, right), _tone(rng, left, right)


def _round() -> tuple[Array, Array]:
    """Ends that follow half an ellipse."""
    rng = np.random.default_rng(2)
    left, right = _ends(rng, 36, 0.03)
    across = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    cap = 0.38 * SIDE * (1 - np.sqrt(1 - across**2))
    left, right = left + cap, right - cap
    left, right = left - left.min(), right + SIDE - right.max()
    return _inside(left, right), _tone(rng, left, right)


def _bristle() -> tuple[Array, Array]:
    """Strips that stand apart, with thin paint between them."""
    rng = np.random.default_rng(3)
    left, right = _ends(rng, 22, 0.16)
    comb = 0.5 + 0.5 * np.cos(np.linspace(0, 22 * 2 * np.pi, SIDE) + _smooth(rng.normal(0, 6, SIDE), 12))
    paint = 0.45 + 0.55 * np.clip(comb * 2.2, 0, 1)
    return _inside(left, right) * paint[:, None], _tone(rng, left, right)


def _dry() -> tuple[Array, Array]:
    """Paint that runs out along the stroke and leaves streaks of bare ground."""
    rng = np.random.default_rng(4)
    left, right = _ends(rng, 34, 0.12)
    streaks = _smooth(rng.normal(0, 1, (SIDE, SIDE)), 2.0)
    streaks = _smooth(streaks.T, 40).T
    streaks = (streaks - streaks.mean()) / streaks.std()
    along = (np.arange(SIDE) + 0.5) / SIDE
    paint = np.clip((streaks + 1.9 - 2.1 * along**1.5) * 2.0, 0, 1)
    return _inside(left, right) * paint, _tone(rng, left, right)


def _classic() -> tuple[Array, Array]:
    """A short, worn stroke without corners, as those that Paint Transformer's authors drew."""
    rng = np.random.default_rng(5)
    left, right = _ends(rng, 26, 0.06)
    across = np.abs((np.arange(SIDE) + 0.5) / SIDE * 2 - 1)
    cap = SIDE / 2 * (1 - (1 - across**3) ** (1 / 3))
    left, right = left + cap, right - cap
    left, right = left - left.min(), right + SIDE - right.max()
    return _inside(left, right), _tone(rng, left, right)


_MAKERS: dict[str, Callable[[], tuple[Array, Array]]] = {
    "flat": _flat, "round": _round, "bristle": _bristle, "dry": _dry, "classic": _classic,
}  # fmt: skip


def _ends(rng: np.random.Generator, strips: int, jitter: float) -> tuple[Array, Array]:
    """Where each row begins and ends, (SIDE,) each; one strip at least reaches either edge of the tile."""
    borders = np.sort(rng.choice(np.arange(2, SIDE - 2), strips - 1, replace=False))
    strip = np.searchsorted(borders, np.arange(SIDE), side="right")
    left, right = (_smooth((rng.random(strips) ** 1.5)[strip], 1.2) * jitter * SIDE for _ in range(2))
    return left - left.min(), SIDE - (right - right.min())


def _inside(left: Array, right: Array) -> Array:
    """1 between the ends of each row, with an edge of a pixel; (SIDE, SIDE) float32."""
    x = np.arange(SIDE) + 0.5
    return (np.clip(x - left[:, None] + 0.5, 0, 1) * np.clip(right[:, None] - x + 0.5, 0, 1)).astype(np.float32)


def _tone(rng: np.random.Generator, left: Array, right: Array) -> Array:
    """Streaks, grooves and a rim of more paint, 1 on average; (SIDE, SIDE) float32."""
    rows, x = np.arange(SIDE)[:, None], np.arange(SIDE)[None] + 0.5
    tone = 0.91 + 0.04 * _unit(_smooth(rng.normal(0, 1, SIDE), 1.5))[:, None]
    tone = tone + 0.015 * _unit(_smooth(_smooth(rng.normal(0, 1, (SIDE, SIDE)), 1.5).T, 30).T)
    for _ in range(int(rng.integers(1, 4))):
        tone = tone - 0.07 * np.exp(-(((rows - rng.uniform(0.15, 0.85) * SIDE) / rng.uniform(2, 5)) ** 2))
    ends = np.minimum(x - left[:, None], right[:, None] - x)
    rim = np.minimum(ends, np.minimum(rows + 0.5, SIDE - rows - 0.5)) / SIDE
    tone = tone + 0.05 * np.exp(-((np.maximum(rim, 0) / 0.03) ** 2))
    inside = _inside(left, right)
    return (tone / ((tone * inside).sum() / inside.sum())).astype(np.float32)


def _unit(values: Array) -> Array:
    return (values - values.mean()) / values.std()


def _smooth(values: Array, sigma: float) -> Array:
    """A Gaussian blur along the first axis, its edges repeated."""
    reach = int(3 * sigma) + 1
    kernel = np.exp(-((np.arange(-reach, reach + 1) / sigma) ** 2) / 2)
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
    return windows @ (kernel / kernel.sum())
