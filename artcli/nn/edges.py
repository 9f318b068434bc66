"""Padding beyond a picture's edges with what lies inside them, in the format that the numbers come in.

Autocast has such padding in float32: numbers in bfloat16 are widened for it, and narrowed again for the convolution
that follows: a fifth of the time of the painter's net, and a sixth of that of a step of stylize.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def mirrored(x: torch.Tensor, around: Sequence[int]) -> torch.Tensor:
    """(B, C, H, W), wider by so many pixels: left, right, above, below."""
    if not torch.is_autocast_enabled(x.device.type):  # also what is exported: its graph has no formats to change
        return F.pad(x, around, mode="reflect")
    with torch.autocast(x.device.type, enabled=False):
        return F.pad(x, around, mode="reflect")


class Mirror(nn.ReflectionPad2d):
    """As the class it is made of."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return mirrored(input, self.padding)


class MirroredConv2d(nn.Conv2d):
    """A convolution of 3x3 beyond whose input's edges it is mirrored."""

    def __init__(self, before: int, after: int):
        super().__init__(before, after, 3, padding=1, padding_mode="reflect")

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return F.conv2d(mirrored(input, (1, 1, 1, 1)), weight, bias)
