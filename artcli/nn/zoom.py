"""A random scale for every step of a loss on features: at one fixed scale a net can mistake regular dots or colour
fringes for the wanted texture."""

import torch
import torch.nn.functional as F

_SMALLEST = 0.5  # of the full size


def side(full: int, least: int, rng: torch.Generator) -> int:
    """Of a square of `full` pixels as this step sees it; `least` is what the net needs."""
    scale = _SMALLEST + (1 - _SMALLEST) * torch.rand((), generator=rng, device=rng.device).item()
    return max(least, round(scale * full))


def seen(images: torch.Tensor, side: int) -> torch.Tensor:
    """Squares (B, C, S, S) reduced or enlarged to (B, C, side, side)."""
    if images.shape[3] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)
