"""PSNR, and the centre crop that it is measured on."""

import torch

VARIANCE = 0.06  # of the pixels of natural pictures in 0..1; the code of VQ-VAE's paper divides the error by it


def psnr(drawn: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Mean over pictures in 0..1, in dB."""
    return -10 * (drawn - real).square().flatten(1).mean(1).clamp_min(1e-10).log10().mean()


def middle(images: torch.Tensor, side: int) -> torch.Tensor:
    """The centre crops (B, C, side, side) of square pictures: the counterpart of training's random crops."""
    edge = (images.shape[-1] - side) // 2
    return images[:, :, edge : edge + side, edge : edge + side]
