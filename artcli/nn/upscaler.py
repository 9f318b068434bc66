"""Enlarging by 2 with residual blocks at the small size (Lim et al., 2017; Shi et al., 2016)."""

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.precision import full

_SCALED = 0.1  # what the last convolution of a block starts with; larger sums of many blocks are unstable


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        with torch.no_grad():
            self.layers[-1].weight.mul_(_SCALED)  # type: ignore[operator]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class Upscaler(nn.Module):
    """Pictures (B, 3, H, W) in 0..1 to (B, 3, 2 H, 2 W), roughly in 0..1.

    reach: how many pixels away a pixel of the small picture can still change a result.
    """

    def __init__(self, width: int, blocks: int, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(Block(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1))
        self.last = nn.Conv2d(width, 4 * channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.reach = 2 * blocks + 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.first(images - 0.5)
        added = F.pixel_shuffle(self.last(features + self.body(features)), 2)
        enlarged = F.interpolate(images, scale_factor=2.0, mode="bicubic", align_corners=False)
        return enlarged + full(added)
