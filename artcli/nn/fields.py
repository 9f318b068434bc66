"""Synthetic pictures of even fields with sharp edges, and how even they stay when a net paints them."""

import torch
import torch.nn.functional as F


def scene(numbers: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (B, 3, side, side) in 0..1, and which field each pixel is of, 0 or 1, (B, N, side, side).

    numbers: (B, N, 6) in 0..1: of each field the place, how far it reaches and the colour.  A pixel is of the field
    that is nearest to it, measured in its reach; so edges are straight or bent.
    """
    y, x = torch.meshgrid(*[(torch.arange(side, device=numbers.device) + 0.5) / side] * 2, indexing="ij")
    place, reach, colour = numbers[..., :2, None, None], 0.7 + 0.6 * numbers[..., 2, None, None], numbers[..., 3:]
    away = ((y - place[:, :, 0]).square() + (x - place[:, :, 1]).square()) / reach  # (B, N, side, side)
    own = F.one_hot(away.argmin(1), numbers.shape[1]).movedim(3, 1).to(numbers)
    return torch.einsum("bnhw,bnc->bchw", own, colour), own


def unevenness(painted: torch.Tensor, own: torch.Tensor, rim: int) -> torch.Tensor:
    """Mean squared difference of pixels (B, 3, H, W) from the mean colour of their field, without those at edges.

    rim: pixels at each side of an edge that do not count.
    """
    inner = 1 - F.max_pool2d(1 - own, 2 * rim + 1, 1, rim)  # (B, N, H, W)
    count = inner.sum((2, 3))
    mean = torch.einsum("bnhw,bchw->bnc", inner, painted) / count.clamp_min(1)[..., None]
    apart = (painted - torch.einsum("bnhw,bnc->bchw", inner, mean)).square().mean(1)
    return (apart * inner.sum(1)).sum() / count.sum().clamp_min(1)
