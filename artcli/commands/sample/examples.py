"""The pictures a model was trained on, and those that were held out from it."""

from typing import Any

import numpy as np
import torch


def picture(data: Any, row: int) -> torch.Tensor:
    """(C, H, W) uint8."""
    return torch.from_numpy(np.array(data.images[row])).permute(2, 0, 1)


def draw(data: Any, count: int, rng: np.random.Generator) -> list[int]:
    """At most `count` rows at random: held-out ones, which the model has never seen, before those it was trained on."""
    held, trained = (rng.permutation(rows) for rows in (data.held_out, data.training))
    return [int(row) for row in np.concatenate((held, trained))[:count]]


def held_out(data: Any, rows: list[int]) -> int:
    """How many of the rows the model has never seen."""
    return len(set(rows) & {int(row) for row in data.held_out})
