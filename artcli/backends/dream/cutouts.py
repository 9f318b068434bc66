"""What CLIP looks at: random crops of the picture, then random augmentations (Crowson et al., 2022, section 3)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from artcli.nn import augment
from artcli.nn.resample import crop, crop_matrix

SMALLEST = 0.4  # crop, as a part of the shorter side


@dataclass(frozen=True)
class Cutouts:
    """count crops per step, resampled to side x side; sizes u^power between the smallest useful and the whole."""

    count: int
    side: int
    power: float = 1.0
    augment: tuple[str, ...] = ()
    spill: float = 0.1  # how far a crop may reach beyond the picture, as a part of its size

    def __call__(self, image: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """(1, 3, H, W) in 0..1 to (count, 3, side, side), roughly in 0..1."""
        batch = self._crops(image, rng)
        for name in self.augment:
            batch = AUGMENTATIONS[name](batch, rng)
        return batch

    def _crops(self, image: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        height, width = image.shape[-2:]
        largest = min(height, width)
        smallest = min(largest, max(self.side, largest * SMALLEST))
        size = torch.rand(self.count, generator=rng) ** self.power * (largest - smallest) + smallest
        left, top = (self._offset(extent, size, rng) for extent in (width, height))
        mirrored = torch.rand(self.count, generator=rng) < (0.5 if "flip" in self.augment else 0.0)
        start, length = torch.where(mirrored, left + size, left), torch.where(mirrored, -size, size)
        device = image.device
        rows = crop_matrix(top.to(device), size.to(device), height, self.side)
        columns = crop_matrix(start.to(device), length.to(device), width, self.side)
        return crop(image, rows, columns)

    def _offset(self, extent: int, size: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        spill = self.spill * size
        return torch.rand(self.count, generator=rng) * (extent - size + 2 * spill) - spill


Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def _affine(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Turned by up to 15 degrees and moved by up to a tenth, seven times in ten."""
    count = len(batch)
    chosen = torch.rand(count, generator=rng) < 0.7
    angle = augment.uniform(rng, count, -math.radians(15), math.radians(15)) * chosen
    shift = augment.uniform(rng, (count, 2), -0.2, 0.2) * chosen[:, None]
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack((cos, -sin, shift[:, 0], sin, cos, shift[:, 1]), 1).view(-1, 2, 3)
    return _sample(batch, F.affine_grid(matrix, list(batch.shape), align_corners=False))


def _perspective(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Seen from one side, every second crop."""
    count, _, height, width = batch.shape
    tilt = augment.uniform(rng, (count, 2), -0.25, 0.25) * (torch.rand((count, 1), generator=rng) < 0.5)
    y, x = torch.meshgrid(_centers(height), _centers(width), indexing="ij")
    depth = 1 + tilt[:, :1, None] * x + tilt[:, 1:, None] * y
    return _sample(batch, torch.stack((x / depth, y / depth), -1))


def _centers(extent: int) -> torch.Tensor:
    """Where the middles of the pixels lie between the edges -1 and 1."""
    return (2 * torch.arange(extent) + 1) / extent - 1


def _sample(batch: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(batch, grid.to(batch.device), mode="bilinear", padding_mode="reflection", align_corners=False)


def _jitter(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return augment.jitter(batch, rng, 0.1)


def _sharpen(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Sharper or softer by up to 30 %, four times in ten."""
    amount = augment.uniform(rng, (len(batch), 1, 1, 1), -0.3, 0.3)
    amount = (amount * (torch.rand(amount.shape, generator=rng) < 0.4)).to(batch.device)
    soft = F.avg_pool2d(F.pad(batch, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return batch + amount * (batch - soft)


def _erase(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """A rectangle of up to four tenths of each side greyed out, seven times in ten."""
    count, _, height, width = batch.shape
    size = augment.uniform(rng, (count, 2), 0.1, 0.4) * (torch.rand((count, 1), generator=rng) < 0.7)
    corner = torch.rand((count, 2), generator=rng) * (1 - size)
    y, x = torch.linspace(0, 1, height)[None, :, None], torch.linspace(0, 1, width)[None, None]
    low, high = corner[..., None, None], (corner + size)[..., None, None]
    inside = (y >= low[:, 0]) & (y < high[:, 0]) & (x >= low[:, 1]) & (x < high[:, 1])
    return torch.where(inside[:, None].to(batch.device), 0.5, batch)


def _noise(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Gaussian noise of a deviation of up to 0.1, drawn per crop."""
    amount = augment.uniform(rng, (len(batch), 1, 1, 1), 0, 0.1)
    return batch + (amount * torch.randn(batch.shape, generator=rng)).to(batch.device)


def _unchanged(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return batch  # the flip is part of the crop's own matrix


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": _unchanged,
    "affine": _affine,
    "perspective": _perspective,
    "jitter": _jitter,
    "sharpen": _sharpen,
    "erase": _erase,
    "noise": _noise,
}
