"""Splits a large picture into tiles whose features equal those of the whole."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from artcli.nn.features import REACH, STRIDE


class Span(NamedTuple):
    """Pixels `start` to `end` of a line of `length`; `first` to `last` is what their features can see."""

    start: int
    end: int
    first: int
    last: int
    length: int

    def own(self, stride: int) -> slice:
        """Which of the features of first..last belong to start..end; the last piece has all up to the end."""
        begin = (self.start - self.first) // stride
        return slice(begin, None if self.end == self.length else (self.end - self.first) // stride)

    def with_next(self) -> slice:
        """Which of the pixels first..last are start..end, and one more where there is one."""
        return slice(self.start - self.first, self.end - self.first + 1)


class Tile(NamedTuple):
    """A piece of a picture."""

    rows: Span
    columns: Span

    def cut(self, image: torch.Tensor) -> torch.Tensor:
        """What has to be seen: (..., H, W) to (..., h, w)."""
        return image[..., self.rows.first : self.rows.last, self.columns.first : self.columns.last]

    def own(self, features: torch.Tensor, stride: int = 1) -> torch.Tensor:
        """The part of the tile's features that no other tile has."""
        return features[..., self.rows.own(stride), self.columns.own(stride)]

    def window(self, piece: torch.Tensor) -> torch.Tensor:
        """The tile's own pixels and one more row and column: the neighbour's, or the edge repeated."""
        known = piece[..., self.rows.with_next(), self.columns.with_next()]
        beyond = [int(span.end == span.length) for span in self]
        return F.pad(known, (0, beyond[1], 0, beyond[0]), mode="replicate")


def cover(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of about side x side pixels; one for a picture that is no larger."""
    return [Tile(rows, columns) for rows in _spans(height, side) for columns in _spans(width, side)]


def _spans(length: int, side: int) -> list[Span]:
    """Equal parts that begin at multiples of the deepest stride, where pooling windows of the whole begin too."""
    count = max(1, -(-length // side))
    step = max(STRIDE, -(-length // (count * STRIDE)) * STRIDE)
    starts = [start for start in range(0, length, step) if start == 0 or length - start >= 2 * STRIDE]
    ends = [*starts[1:], length]
    return [
        Span(start, end, max(0, start - REACH), length if end == length else min(length, end + REACH), length)
        for start, end in zip(starts, ends, strict=True)
    ]
