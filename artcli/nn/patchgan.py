"""The patch discriminator ("Image-to-Image Translation with Conditional Adversarial Networks", Isola et al.,
2017, appendix), with the hinge loss ("Geometric GAN", Lim and Ye, 2017)."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

_SLOPE = 0.2  # of the leaky ReLUs


class PatchGAN(nn.Module):
    """Pictures (B, C, H, W) to one judgement per patch (B, 1, h, w), high for real; with 3 layers of 70 x 70 pixels.

    width: channels of the first layer.  layers: of stride 2.  norm: "batch", or "instance" for each picture by itself;
    none after the first layer.
    """

    def __init__(self, channels: int = 3, width: int = 64, layers: int = 3, norm: str = "batch"):
        super().__init__()
        widths = [width * min(2**layer, 8) for layer in range(layers + 1)]
        found: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        for layer, (before, after) in enumerate(itertools.pairwise(widths), 1):
            stride = 2 if layer < layers else 1
            found += [
                nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after) if norm == "batch" else nn.InstanceNorm2d(after),
                nn.LeakyReLU(_SLOPE),
            ]
        self.layers = nn.Sequential(*found, nn.Conv2d(widths[-1], 1, 4, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def hinge(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The discriminator's loss: real above 1 and fake below -1 are good enough."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def least_squares(judged: torch.Tensor, wanted: float) -> torch.Tensor:
    """Mean squared distance of judgements from 1 for real, 0 for fake ("Least Squares Generative Adversarial Networks",
    Mao et al., 2017)."""
    return (judged - wanted).square().mean()


def cross_entropy(judged: torch.Tensor, wanted: float) -> torch.Tensor:
    """Binary cross-entropy of logits with 1 for real, 0 for fake (Goodfellow et al., 2014)."""
    return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, wanted))
