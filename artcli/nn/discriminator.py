"""A discriminator that judges whole pictures of one size ("Generative Adversarial Nets", Goodfellow et al., 2014)."""

import torch
from torch import nn

_SLOPE = 0.2  # of the leaky ReLUs


class Discriminator(nn.Module):
    """Pictures (B, C, side, side) to one logit each (B, 1), high for real; sides are multiples of 8.

    width: channels of the first of three convolutions of stride 2; the others double them, with batch normalisation.
    """

    def __init__(self, channels: int, width: int, side: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        for before in (width, 2 * width):
            layers += [
                nn.Conv2d(before, 2 * before, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(2 * before),
                nn.LeakyReLU(_SLOPE),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * (side // 8) ** 2, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)
