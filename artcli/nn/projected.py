"""Critics that look at pictures through a finished net ("Projected GANs Converge Faster", Sauer et al., 2021).

The net knows edges, textures and things already, so that a critic with a few small layers has something to say from the
first steps on, and does not forget what it has learned about a few hundred pictures.
"""

from collections.abc import Sequence

import torch
from torch import nn

from artcli.nn.features import FeatureNet
from artcli.nn.initialise import he
from artcli.nn.precision import full

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_SLOPE = 0.2  # of the leaky ReLUs


class Heads(nn.Module):
    """What a picture's features, layer by layer, say of whether it is real.

    net: whose features these will be; it is no part of the heads and is not trained.  width: channels of a head.
    """

    def __init__(self, net: FeatureNet, width: int = 32, taps: Sequence[str] = TAPS):
        super().__init__()
        self.taps = tuple(taps)
        with torch.no_grad():
            found = net(torch.zeros(1, 3, 32, 32), self.taps)
        self.heads = nn.ModuleList(_head(found[tap].shape[1], width) for tap in self.taps)

    def forward(self, net: FeatureNet, images: torch.Tensor) -> list[torch.Tensor]:
        """Pictures (B, 3, H, W) in -1..1 to a map (B, 1, h, w) of each layer, high for real."""
        found = net(images / 2 + 0.5, self.taps)
        return [head(_even(found[tap])) for tap, head in zip(self.taps, self.heads, strict=True)]


def _head(channels: int, width: int) -> nn.Sequential:
    layers = nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(width, 1, 3, padding=1),
    )
    he(layers, _SLOPE)
    return layers


def _even(features: torch.Tensor) -> torch.Tensor:
    """Of mean square 1 in each picture, whatever the net and the layer."""
    features = full(features)
    return features / (features.square().mean((1, 2, 3), keepdim=True) + 1e-8).sqrt()
