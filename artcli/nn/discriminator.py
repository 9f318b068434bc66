"""Discriminators that judge whole pictures of one size ("Generative Adversarial Nets", Goodfellow et al., 2014).

Told the class of a picture, or numbers that say what it is, they also judge whether these fit, by a projection ("cGANs
with Projection Discriminator", Miyato and Koyama, 2018).
"""

import itertools

import torch
from torch import nn

_SLOPE = 0.2  # of the leaky ReLUs


class _Discriminator(nn.Module):
    """Pictures (B, C, side, side) to one logit each (B, 1), high for real.

    layers: the last two, Flatten and Linear, make logits of features (B, F, h, w) or (B, F, 1).  features: F.
    classes: of the labels (B,), where `classes` itself stands for an unknown one; with 0 labels make no difference.
    facts: numbers F that say more of each picture, (B, F).
    """

    def __init__(self, layers: nn.Sequential, features: int, classes: int, facts: int):
        super().__init__()
        self.layers = layers
        self.named = nn.Embedding(classes + 1, features, padding_idx=classes) if classes else None
        if self.named is not None:
            nn.init.zeros_(self.named.weight)  # it begins with what all classes have in common
        self.meant = nn.Linear(facts, features, bias=False) if facts else None
        if self.meant is not None:
            nn.init.zeros_(self.meant.weight)

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor | None = None, facts: torch.Tensor | None = None
    ) -> torch.Tensor:
        told = [] if self.named is None or labels is None else [self.named(labels)]
        if self.meant is not None and facts is not None:
            told.append(self.meant(facts))
        if not told:
            return self.layers(images)
        features = self.layers[:-2](images)
        pooled = features.flatten(2).sum(2)
        return self.layers[-2:](features) + sum((each * pooled).sum(1, keepdim=True) for each in told)


class Discriminator(_Discriminator):
    """Convolutions of stride 2; sides are multiples of 2**layers.

    width: channels of the first convolution; the others double them, with batch normalisation or, norm="layer", with
    one of each picture by itself.
    """

    def __init__(
        self, channels: int, width: int, side: int, layers: int = 3, norm: str = "batch", classes: int = 0,
        facts: int = 0,
    ):  # fmt: skip
        found: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        widths = [width * 2**layer for layer in range(layers)]
        for before, after in itertools.pairwise(widths):
            found += [
                nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after) if norm == "batch" else nn.GroupNorm(1, after),
                nn.LeakyReLU(_SLOPE),
            ]
        logit = nn.Linear(widths[-1] * (side // 2**layers) ** 2, 1)
        super().__init__(nn.Sequential(*found, nn.Flatten(), logit), widths[-1], classes, facts)


class DenseDiscriminator(_Discriminator):
    """Layers that see everything; any side.  widths: numbers between them."""

    def __init__(self, channels: int, widths: tuple[int, ...], side: int, classes: int = 0, facts: int = 0):
        found: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise((channels * side * side, *widths)):
            found += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
        found += [nn.Unflatten(1, (widths[-1], 1)), nn.Flatten(), nn.Linear(widths[-1], 1)]
        super().__init__(nn.Sequential(*found), widths[-1], classes, facts)
