"""Losses through a net that look from another distance in every step: seen in one size alone, dots on a lattice or
fringes of colour can pass for what is wanted."""

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
