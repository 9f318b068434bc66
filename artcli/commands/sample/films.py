"""The frames of films of `artgen sample`."""

from collections.abc import Iterator
from typing import Any

import torch

from artcli.backends.frame import Frame
from artcli.commands.sample.sheet import GAP
from artcli.media import images


def numbered(pictures: Iterator[torch.Tensor], total: int) -> Iterator[Frame]:
    """Of pictures (3, H, W) in 0..1, for `film.write`."""
    for step, picture in enumerate(pictures, 1):
        pixels: Any = images.from_tensor(picture)
        yield Frame(step, total, lambda pixels=pixels: pixels, {}, dict)  # type: ignore[misc]


def abreast(pictures: list[torch.Tensor], columns: int) -> torch.Tensor:
    """Pictures (3, H, W) of one size as one frame, row by row on white."""
    height, width = pictures[0].shape[1:]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    paper = torch.ones(3, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + GAP), place % columns * (width + GAP)
        paper[:, top : top + height, left : left + width] = picture
    return paper
