"""What a painter is trained on: random strokes on a canvas, and the strokes that are missing on it.

No data are needed: canvases are black with random strokes.  With a folder of pictures they are crops of those, and
strokes have their colours.  All is drawn from the seed and the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from artcli.models.painter import render
from artcli.training.contract import Batch
from artcli.training.data import Dataset, Preparation, open_dataset

QUARTERS = 4  # patches of a canvas
_HIDDEN = 0.75  # of an earlier stroke: one that covers as much is left out
_CROPPED = 128  # side of the pictures that crops are taken from
_VALIDATION = 2**31  # steps from here on are for validation


@dataclass(frozen=True)
class StrokeBatch(Batch):
    """images: the targets (B, 3, P, P).  canvases: (B, 3, P, P) before the missing strokes.

    strokes: (B, S, 5), those that are missing.  valid: (B, S), False for those left out.
    """

    canvases: torch.Tensor
    strokes: torch.Tensor
    valid: torch.Tensor


class Synthetic:
    """A source of batches for the trainer.

    folder: of pictures that crops are taken from.  held_out: the part of them that only validation takes crops from,
    0..0.9, a tenth where it is None; with 0 it takes other crops of the same pictures.
    """

    def __init__(self, config: Any, seed: int, folder: Path | None = None, held_out: float | None = None):
        self.config, self.seed = config, seed
        self.brush = render.prototype(config.brush)
        self.photos: tuple[torch.Tensor, torch.Tensor] | None = None
        self.opened: Dataset | None = None
        if folder is not None:
            part = 0.1 if held_out is None else held_out
            preparation = Preparation(size=max(_CROPPED, 2 * config.size))
            self.opened = data = open_dataset(folder, preparation, seed=seed, val_fraction=part)
            held = data.held_out if len(data.held_out) else data.training
            self.photos = torch.from_numpy(data.images[data.training]), torch.from_numpy(data.images[held])

    def batch(
        self, step: int, size: int, *, device: torch.device | str = "cpu", first: int = 0, count: int | None = None
    ) -> StrokeBatch:
        """Rows `first` to `first + count` of the `size` patches of a step."""
        count = size - first if count is None else count
        rng = torch.Generator().manual_seed((self.seed * 1_000_003 + step * 2 + 1) % 2**63)
        photos = None if self.photos is None else self.photos[step >= _VALIDATION]
        mine = slice(first, first + count)
        targets, canvases, strokes, valid = (drawn[mine].to(device) for drawn in self._draw(size, rng, photos))
        labels = torch.zeros(count, dtype=torch.long, device=device)
        return StrokeBatch(targets, labels, first, size, rng, canvases, strokes, valid)

    def validation(
        self, size: int, *, device: torch.device | str = "cpu", limit: int | None = None
    ) -> Iterator[StrokeBatch]:
        """Always the same patches, none of which is trained on."""
        total = self.config.held_out if limit is None else min(limit, self.config.held_out)
        for number, start in enumerate(range(0, total, size)):
            yield self.batch(_VALIDATION + number, min(size, total - start), device=device)

    def steps_per_epoch(self, size: int) -> int:
        return -(-self.config.samples // size)

    # --- drawing ----------------------------------------------------------------------------------------------------

    def _draw(self, size: int, rng: torch.Generator, photos: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """Targets, canvases, strokes and which of them are valid."""
        config = self.config
        wholes = -(-size // QUARTERS)
        shapes, colors = self._strokes(wholes, rng)
        if photos is None:
            tint = torch.rand((wholes, 3, 1, 1), generator=rng) if config.tinted else torch.zeros(wholes, 3, 1, 1)
            ground = tint.expand(-1, -1, 2 * config.size, 2 * config.size)
        else:
            ground = _crops(photos, wholes, 2 * config.size, rng)
            colors = render.colors_at(_crops(photos, wholes, 2 * config.size, rng), shapes)
        everything = torch.ones(shapes.shape[:2])
        canvases = _quartered(render.render(ground, shapes, colors, everything, self.brush))[:size]
        strokes, colors = self._strokes(size, rng)
        if photos is not None:
            colors = render.colors_at(_crops(photos, size, config.size, rng), strokes)
        valid = not_hidden(render.paint(strokes, self.brush, config.size)[:, :, 0])
        if config.fewest:
            missing = torch.randint(config.fewest, config.strokes + 1, (size, 1), generator=rng)
            valid &= torch.arange(config.strokes) < missing
        targets = render.render(canvases, strokes, colors, valid.float(), self.brush)
        return targets, canvases, strokes, valid

    def _strokes(self, count: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Random ones: shapes (count, S, 5) and colours (count, S, 3)."""
        drawn = torch.rand((count, self.config.strokes, 8), generator=rng)
        (first, last), (thin, wide) = self.config.places, self.config.sides
        places, sides = first + (last - first) * drawn[..., :2], thin + (wide - thin) * drawn[..., 2:4]
        return torch.cat((places, sides, drawn[..., 4:5]), -1), drawn[..., 5:]


def _quartered(pictures: torch.Tensor) -> torch.Tensor:
    """(N, 3, 2P, 2P) to the quarters of each in turn, (4N, 3, P, P)."""
    count, channels, side, _ = pictures.shape
    half = side // 2
    parts = pictures.view(count, channels, 2, half, 2, half)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(QUARTERS * count, channels, half, half)


def _crops(photos: torch.Tensor, count: int, side: int, rng: torch.Generator) -> torch.Tensor:
    """Random parts (count, 3, side, side) in 0..1 of pictures (N, H, H, 3)."""
    which = torch.randint(len(photos), (count,), generator=rng).tolist()
    corners = torch.randint(photos.shape[1] - side + 1, (count, 2), generator=rng).tolist()
    parts = [photos[n, y : y + side, x : x + side] for n, (y, x) in zip(which, corners, strict=True)]
    return torch.stack(parts).permute(0, 3, 1, 2).float() / 255


def not_hidden(paint: torch.Tensor) -> torch.Tensor:
    """Which strokes, by their paint (B, S, P, P) in order, leave enough of every kept one before them: (B, S)."""
    flat = paint.flatten(2)
    areas = flat.sum(-1)
    covered = flat @ flat.transpose(1, 2) / areas[:, None].clamp_min(1e-6)  # (B, i, j): how much of j lies under i
    valid = torch.ones_like(areas, dtype=torch.bool)
    for i in range(1, paint.shape[1]):
        valid[:, i] = ~((covered[:, i, :i] >= _HIDDEN) & valid[:, :i]).any(1)
    return valid
