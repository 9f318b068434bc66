"""Convolutional encoders and decoders between pictures and grids, with residual blocks at the grid's side."""

import math

import torch
from torch import nn

from artcli.nn import initialise


class Residual(nn.Module):
    """A residual block of two convolutions that begins as the identity, so that deep nets learn from the first step.

    inside: channels between the two, half the width where it is 0.  act: the layer that bends.
    """

    def __init__(self, width: int, inside: int = 0, act: type[nn.Module] = nn.ReLU):
        super().__init__()
        inside = inside or max(1, width // 2)
        self.layers = nn.Sequential(act(), nn.Conv2d(width, inside, 3, padding=1), act(), nn.Conv2d(inside, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)

    def start_as_nothing(self) -> None:
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]


def encoder(
    before: int, width: int, factor: int, residuals: int, after: int, inside: int = 0, act: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """(B, before, H, W) to (B, after, H / factor, W / factor); the factor is a power of two."""
    layers: list[nn.Module] = []
    last = before
    for halving in range(int(math.log2(factor))):
        present = max(1, width // 2) if halving == 0 else width
        layers += [nn.Conv2d(last, present, 4, stride=2, padding=1), act()]
        last = present
    layers += [nn.Conv2d(last, width, 3, padding=1), *_residuals(width, residuals, inside, act)]
    return nn.Sequential(*layers, nn.Conv2d(width, after, 1))


def decoder(
    before: int, width: int, factor: int, residuals: int, after: int, inside: int = 0, act: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """(B, before, h, w) to (B, after, h * factor, w * factor)."""
    layers: list[nn.Module] = [nn.Conv2d(before, width, 3, padding=1), *_residuals(width, residuals, inside, act)]
    last = width
    for doubling in range(int(math.log2(factor)) - 1, 0, -1):
        present = max(1, width // 2) if doubling == 1 else width
        layers += [nn.ConvTranspose2d(last, present, 4, stride=2, padding=1), act()]
        last = present
    return nn.Sequential(*layers, nn.ConvTranspose2d(last, after, 4, stride=2, padding=1))


def _residuals(width: int, count: int, inside: int, act: type[nn.Module]) -> list[nn.Module]:
    return [*(Residual(width, inside, act) for _ in range(count)), act()]


def start(*nets: nn.Module) -> None:
    """Weights to begin with."""
    for net in nets:
        initialise.he(net)
    for net in nets:
        for block in net.modules():
            if isinstance(block, Residual):
                block.start_as_nothing()
