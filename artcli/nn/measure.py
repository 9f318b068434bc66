"""How near drawn pictures are to real ones, and which part of them is looked at."""

import torch


def psnr(drawn: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Mean over pictures in 0..1, in dB."""
    return -10 * (drawn - real).square().flatten(1).mean(1).clamp_min(1e-10).log10().mean()


def middle(images: torch.Tensor, side: int) -> torch.Tensor:
    """(B, C, side, side) from the middle of square pictures: what training takes parts of, without chance."""
    edge = (images.shape[-1] - side) // 2
    return images[:, :, edge : edge + side, edge : edge + side]
