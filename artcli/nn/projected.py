"""Discriminators on the features of a pretrained net ("Projected GANs Converge Faster", Sauer et al., 2021).

The net already knows edges, textures and objects.  So a few small layers give useful gradients from the first steps on,
and do not overfit to a few hundred pictures.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.features import FeatureNet
from artcli.nn.initialise import he

# What heads look at.  On 300 batches of two photographs and two paintings, heads on these of vgg-slim learned to tell
# 63, 88 and 84 % of held-out ones; one on relu1_1 or relu5_1 stayed at chance.  Of the other nets: four depths, down to
# the last.
TAPS = ("relu2_1", "relu3_1", "relu4_1")
_OTHER_TAPS = {
    "squeezenet1_1": ("layer4", "layer7", "layer9", "layer12"),
    "mobilenet_v2": ("layer3", "layer6", "layer13", "layer18"),
}
_STRIDE = 16  # pixels between neighbouring judgements
_SLOPE = 0.2  # of the leaky ReLUs


class Heads(nn.Module):
    """One small discriminator per layer of the net.

    net: gives the features; it is not part of this module and not trained.  width: channels of a head.  taps: the
    layers; by default those that suit the net.
    """

    sizes: torch.Tensor  # (number of taps,)

    def __init__(self, net: FeatureNet, width: int = 32, taps: Sequence[str] = ()):
        super().__init__()
        self.taps = tuple(taps) or _OTHER_TAPS.get(net.name, TAPS)
        with torch.no_grad():
            found = net(_soft_noise(), self.taps)
        self.heads = nn.ModuleList(_head(found[tap].shape[1], net.stride(tap), width) for tap in self.taps)
        # Fixed scales: normalised by each picture's own features, a translator learns to paint one glaring spot that
        # makes everything else look small to its discriminator.
        self.register_buffer("sizes", torch.stack([found[tap].square().mean().sqrt() for tap in self.taps]))

    def forward(self, net: FeatureNet, images: torch.Tensor) -> list[torch.Tensor]:
        """Pictures (B, 3, H, W) in -1..1 to a map (B, 1, h, w) of each layer, high for real."""
        found = net(images / 2 + 0.5, self.taps)
        return [head(found[tap] / size) for tap, head, size in zip(self.taps, self.heads, self.sizes, strict=True)]


def _soft_noise(side: int = 128) -> torch.Tensor:
    """(1, 3, side, side) in 0..1, rough and smooth as photographs are: half as strong at twice the frequency."""
    rng = torch.Generator().manual_seed(0)
    octaves = [torch.rand(1, 3, 2**n, 2**n, generator=rng) / 2**n for n in range(1, side.bit_length())]
    noise = torch.stack([F.interpolate(each, (side, side), mode="bilinear") for each in octaves]).sum(0)
    return ((noise - noise.mean()) / noise.std() / 4 + 0.5).clamp(0, 1)


def _head(channels: int, stride: int, width: int) -> nn.Sequential:
    """Layers that judge windows as large as those of the deepest: a stroke of paint is nothing in a few pixels."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 1), nn.LeakyReLU(_SLOPE)]
    while stride < _STRIDE:
        layers += [nn.Conv2d(width, width, 4, stride=2, padding=1), _norm(width), nn.LeakyReLU(_SLOPE)]
        stride *= 2
    layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(_SLOPE), nn.Conv2d(width, 1, 3, padding=1)]
    head = nn.Sequential(*layers)
    he(head, _SLOPE)
    return head


def _norm(width: int) -> nn.Module:
    return nn.GroupNorm(4 if width % 4 == 0 else 1, width)
