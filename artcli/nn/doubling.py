"""A convolution of a picture whose pixels are repeated twice along each side, without the repeating."""

import torch
import torch.nn.functional as F
from torch import nn

# What the enlarged picture has beyond its edge, as it looks before it is enlarged; None: zeros.
_EDGES = {"zeros": None, "circular": "circular", "reflect": "replicate", "replicate": "replicate"}


def double(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    """`conv` of x (B, C, H, W) enlarged by nearest neighbours: (B, after, 2 H, 2 W).

    conv: 3x3 with padding 1.  Of its nine products for a new pixel some are with the same old one: with their weights
    added up, four are left, which a transposed convolution of 4x4 does ("Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", Shi et al., 2016, section 2.2).
    """
    if conv.groups > 1:  # there is little to multiply, and torch's transposed form is slow
        return conv._conv_forward(F.interpolate(x, scale_factor=2.0, mode="nearest"), conv.weight, conv.bias)
    kernel = _shared(_shared(conv.weight, 2), 3).transpose(0, 1)
    edge = _EDGES[conv.padding_mode]
    if edge is None:
        return F.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)
    return F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode=edge), kernel, conv.bias, stride=2, padding=3)


def _shared(weight: torch.Tensor, side: int) -> torch.Tensor:
    """Three weights along a side to the four of the old pixel's share in the new ones around it."""
    first, middle, last = weight.unbind(side)
    return torch.stack((last, middle + last, first + middle, first), side)
