"""PSNR, the centre crop that it is measured on, and how far apart two sets of pictures are."""

import torch
import torch.nn.functional as F

VARIANCE = 0.06  # of the pixels of natural pictures in 0..1; the code of VQ-VAE's paper divides the error by it


def psnr(drawn: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Mean over pictures in 0..1, in dB."""
    return -10 * (drawn - real).square().flatten(1).mean(1).clamp_min(1e-10).log10().mean()


def middle(images: torch.Tensor, side: int) -> torch.Tensor:
    """The centre crops (B, C, side, side) of square pictures: the counterpart of training's random crops."""
    edge = (images.shape[-1] - side) // 2
    return images[:, :, edge : edge + side, edge : edge + side]


def patch_distance(drawn: torch.Tensor, real: torch.Tensor, side: int = 7, directions: int = 64) -> torch.Tensor:
    """How differently the patches of two sets of as many pictures (B, C, H, W) in 0..1 are distributed; 0 for alike.

    The sliced Wasserstein distance of small patches, at the pictures' size and at its halves down to 16 pixels
    ("Progressive Growing of GANs", Karras et al., 2018, section 5): random projections of the patches, sorted.  The
    paper compares bands of a Laplacian pyramid and evens out their colours; here these count, too.
    """
    rng = torch.Generator().manual_seed(0)
    filters = F.normalize(torch.randn(directions, real.shape[1] * side**2, generator=rng), dim=1)
    filters = filters.view(directions, -1, side, side).to(real)
    levels = []
    while True:
        one, other = (_projected(images, filters) for images in (drawn, real))
        levels.append((one - other).abs().mean())
        if real.shape[-1] < 32:
            return torch.stack(levels).mean()
        drawn, real = F.avg_pool2d(drawn, 2), F.avg_pool2d(real, 2)


def _projected(images: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """(directions, patches), sorted."""
    return F.conv2d(images, filters, stride=2).transpose(0, 1).flatten(1).sort(1).values
