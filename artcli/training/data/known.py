"""What is known of pictures besides their class, as inputs of a net: from a table, and from their colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from artcli.errors import UsageError
from artcli.training import colors, columns
from artcli.training.columns import Column
from artcli.training.data import table
from artcli.training.data.augment import to_float, to_rgb
from artcli.training.data.items import Array

_AT_ONCE = 64  # pictures


class Known(NamedTuple):
    """facts: (N, F) float32, None where nothing was asked for.  notes: a sentence each."""

    facts: Array | None = None
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()


def gather(path: Path | None, by_color: bool, names: list[str], images: Array, color: str) -> Known:
    """Of pictures with these names, (N, H, W, C) uint8 in these colours, what a table says and what colours they have.

    path: of the table.
    Raises UsageError: as `table.read`; no column of use; grey pictures, whose colours say nothing.
    """
    found: list[Column] = []
    notes: list[str] = []
    parts: list[Array] = []
    if path is not None:
        learned = table.learn(path, names)
        found += learned.columns
        notes += learned.notes
        parts += [_inputs(column, [row.get(column.name, "") for row in learned.cells]) for column in learned.columns]
    if by_color:
        if twice := {column.name for column in found} & set(columns.COLOR):
            raise UsageError(f"{path} has a column {min(twice)}, as --by-color has: call it otherwise")
        content = _colors(images, color)
        for name, numbers in zip(columns.COLOR, content, strict=True):
            found.append(columns.of_numbers(name, numbers))
            parts.append(_inputs(found[-1], numbers))
    return Known(np.concatenate(parts, 1), tuple(found), tuple(notes)) if parts else Known()


def _inputs(column: Column, cells: Sequence[str | float]) -> Array:
    """(N, width) float32; zeros for cells that are ""."""
    made = np.zeros((len(cells), column.width), np.float32)
    for row, cell in enumerate(cells):
        if cell != "":
            place, value = column.at(cell)
            made[row, place] = value
    return made


def _colors(images: Array, color: str) -> list[list[float]]:
    """Each number of `colors.content`, of all pictures."""
    if color == "grey":
        raise UsageError("--by-color needs pictures in colour; these are grey")
    parts = (torch.from_numpy(np.array(images[at : at + _AT_ONCE])) for at in range(0, len(images), _AT_ONCE))
    return torch.cat([colors.content(to_rgb(to_float(part), color).clamp(0, 1)) for part in parts]).T.tolist()
