"""AdaIN's decoder ("Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", Huang and Belongie,
2017), and the features that it gets.

Beside the deepest features it gets shallower ones, adapted in the same way ("Avatar-Net: Multi-scale Zero-shot Style
Transfer by Feature Decoration", Sheng et al., 2018): things keep their outlines.

Two things differ from the paper, because they keep halos away from edges: adapting amplifies no feature by more than a
given factor, and features are enlarged smoothly.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.initialise import he

# What the decoder's first blocks get, or the first few of these.  The last one knows where within four pixels an edge
# is; without it, edges are drawn as rows of beads.
GIVEN = ("relu4_1", "relu3_1", "relu2_1")
FACTOR = 8  # pixels of a feature of relu4_1
Features = Mapping[str, torch.Tensor]  # by layer, (B, C, h, w)
Moments = tuple[torch.Tensor, torch.Tensor]  # means and deviations, each (B, C, 1, 1)
_ENLARGE = {False: "nearest", True: "bilinear"}  # transposed convolutions would leave a chequered pattern
CONVS = (1, 4, 2, 1)  # of the decoder's blocks, the mirrored encoder's


class Decoder(nn.Module):
    """Features of `taps`, the first of GIVEN, to pictures (B, 3, 8 h, 8 w), about in 0..1; the deepest: (B, C, h, w).

    given: channels of these features.  widths: of the blocks.  smooth: enlarge by bilinear interpolation, not by
    repeating.
    """

    def __init__(self, given: Sequence[int], widths: Sequence[int], smooth: bool = True):
        super().__init__()
        self.widths, self.smooth, self.taps = tuple(widths), smooth, GIVEN[: len(given)]
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
        for block, tap in zip_longest(self.blocks[1:], self.taps[1:]):
            x = F.interpolate(x, scale_factor=2.0, mode=_ENLARGE[self.smooth])
            x = block(x if tap is None else torch.cat((x, features[tap]), 1))
        return self.last(x)


def _conv(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect")


def moments(features: torch.Tensor) -> Moments:
    """Means and deviations over the places of features (B, C, h, w), each (B, C, 1, 1)."""
    mean = features.mean((2, 3), keepdim=True)
    return mean, ((features - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def adapt(
    content: Features, wanted: Mapping[str, Moments], gain: float = math.inf, own: Mapping[str, Moments] | None = None
) -> dict[str, torch.Tensor]:
    """The features that a decoder gets, with other means and deviations (equation 8).

    gain: see `factor`.  own: the moments of the whole picture that the features are a part of.
    """
    adapted = {}
    for tap, features in content.items():
        own_mean, own_deviation = own[tap] if own else moments(features)
        mean, deviation = wanted[tap]
        adapted[tap] = (features - own_mean) * factor(own_deviation, deviation, gain) + mean
    return adapted


def factor(own: torch.Tensor, wanted: torch.Tensor, gain: float) -> torch.Tensor:
    """What features are multiplied with to get another deviation; 1 where they have it, and at most `gain`.

    Without a limit, the few edges of a calm picture become many times as strong as any edge that a decoder has seen.
    """
    part = gain**-2  # of the wanted variance, which stands in for the missing own one
    return wanted / (own.square() + part * (wanted.square() - own.square())).sqrt()
