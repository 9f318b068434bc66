"""AdaIN's decoder ("Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", Huang and Belongie,
2017), and the features that it gets.

Beside the deepest features it gets shallower ones, adapted in the same way ("Avatar-Net: Multi-scale Zero-shot Style
Transfer by Feature Decoration", Sheng et al., 2018): things keep their outlines.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.initialise import he

# What the decoder's first blocks get.  With relu2_1 it would keep a photo's grain in the place of strokes.
GIVEN = ("relu4_1", "relu3_1")
FACTOR = 8  # pixels of a feature of relu4_1
Features = Mapping[str, torch.Tensor]  # by layer, (B, C, h, w)
CONVS = (1, 4, 2, 1)  # of the decoder's blocks, the mirrored encoder's


class Decoder(nn.Module):
    """Features of GIVEN to pictures (B, 3, 8 h, 8 w), roughly in 0..1, where the deepest are (B, C, h, w).

    given: channels of these features.  widths: of the blocks.
    """

    def __init__(self, given: Sequence[int], widths: Sequence[int]):
        super().__init__()
        self.widths = tuple(widths)
        self.blocks, width = nn.ModuleList(), 0
        for own, count, more in zip_longest(widths, CONVS, given, fillvalue=0):
            layers: list[nn.Module] = []
            for before in (width + more, *[own] * (count - 1)):
                layers += [_conv(before, own), nn.ReLU(inplace=True)]
            self.blocks.append(nn.Sequential(*layers))
            width = own
        self.last = _conv(width, 3)
        he(self)

    def forward(self, features: Features) -> torch.Tensor:
        x = self.blocks[0](features[GIVEN[0]])
        for block, tap in zip_longest(self.blocks[1:], GIVEN[1:]):
            x = _double(x)
            x = block(x if tap is None else torch.cat((x, features[tap]), 1))
        return self.last(x)


def _conv(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect")


def _double(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0)  # transposed convolutions would leave a chequered pattern


def moments(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and deviations over the places of features (B, C, h, w), each (B, C, 1, 1)."""
    mean = features.mean((2, 3), keepdim=True)
    return mean, ((features - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def adapt(content: Features, wanted: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The features that a decoder gets, with other means and deviations (equation 8)."""
    adapted = {}
    for tap in GIVEN:
        own_mean, own_deviation = moments(content[tap])
        mean, deviation = wanted[tap]
        adapted[tap] = (content[tap] - own_mean) / own_deviation * deviation + mean
    return adapted
