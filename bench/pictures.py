"""What the benches that go over a folder of pictures share."""

from pathlib import Path

import torch
from torchvision.transforms.v2.functional import center_crop

from artcli.media import images

_SHOWN = 192  # pixels of each picture on a sheet


def read(folder: Path, side: int) -> list[torch.Tensor]:
    """Every picture, (3, H, W) in 0..1, the shorter side at most about `side`, both sides multiples of 16."""
    return [_read(path, side) for path in sorted(folder.iterdir()) if path.suffix.lower() in images.WRITABLE]


def _read(path: Path, side: int) -> torch.Tensor:
    image = images.to_tensor(images.load(path))
    height, width = image.shape[1:]
    part = min(1.0, side / min(height, width))
    image = images.resize(image, (round(width * part), round(height * part)))
    return center_crop(image, [length // 16 * 16 for length in image.shape[1:]])


def write_sheet(path: Path, rows: list[list[torch.Tensor]]) -> None:
    """The middle of each picture (3, H, W)."""
    images.save(path, torch.cat([torch.cat([center_crop(image, [_SHOWN]) for image in row], 2) for row in rows], 1))
