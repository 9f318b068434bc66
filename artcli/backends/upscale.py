"""Enlarging finished pictures with a trained super-resolver, in tiles that leave no seam."""

import torch
import torch.nn.functional as F

from artcli.backends.sizes import doublings
from artcli.device import fast_dtype
from artcli.media import images
from artcli.models.upscaler import Upscaler

NAME = "upscaler"
TILE = 256  # pixels of the small picture


@torch.no_grad()
def upscale(image: torch.Tensor, model: Upscaler, factor: int) -> torch.Tensor:
    """(3, H, W) in 0..1 to (3, factor H, factor W), on the CPU.

    factor: a power of two.  Memory beyond the two pictures does not grow with their size.
    """
    for _ in range(factor.bit_length() - 1):
        image = _double(image, model)
    return image


def to_size(image: torch.Tensor, model: Upscaler, size: tuple[int, int]) -> torch.Tensor:
    """(3, H, W) in 0..1 to any `size` = (width, height), on the CPU: doubled, and resized by what is left."""
    image = upscale(image, model, 2 ** doublings((image.shape[2], image.shape[1]), size))
    return image if size == (image.shape[2], image.shape[1]) else images.resize(image, size)


def _double(image: torch.Tensor, model: Upscaler) -> torch.Tensor:
    """Each tile is padded by the net's receptive field, so that the result equals that of the whole picture."""
    height, width = image.shape[1:]
    around = max(model.reach, 3)  # how far `_within` looks
    padded = F.pad(image[None], (around,) * 4, mode="replicate")
    large = torch.empty(3, 2 * height, 2 * width)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            tile = padded[..., top : bottom + 2 * around, left : right + 2 * around]
            drawn = _within(tile, _run(tile, model).cpu())[0, :, 2 * around : -2 * around, 2 * around : -2 * around]
            large[:, 2 * top : 2 * bottom, 2 * left : 2 * right] = drawn
    return large


def _within(small: torch.Tensor, large: torch.Tensor) -> torch.Tensor:
    """(B, 3, 2 H, 2 W) in 0..1 without a rim along hard edges, which a second doubling would sharpen once more.

    Beside an even area, nothing is brighter or darker than what the small picture has there and next to it; lines and
    grain, which are more than their blurred selves, may be more once again.
    """
    around = F.pad(small, (3, 3, 3, 3), mode="replicate")
    bounds = []
    for sign in (-1, 1):
        most = F.max_pool2d(sign * around[..., 2:-2, 2:-2], 3, 1)
        even = F.max_pool2d(F.avg_pool2d(sign * around, 3, 1), 5, 1)
        bounds.append(sign * F.interpolate(most + (most - even).clamp_min(0), scale_factor=2))
    return torch.minimum(torch.maximum(large, bounds[0]), bounds[1]).clamp(0, 1)


def _run(tile: torch.Tensor, model: Upscaler) -> torch.Tensor:
    device = next(model.parameters()).device
    dtype = fast_dtype(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        return model(tile.to(device).contiguous(memory_format=torch.channels_last)).float()
