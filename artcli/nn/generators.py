"""Generators of GANs: latents to pictures."""

import itertools

from torch import nn

from artcli.errors import UsageError


def dense(latent: int, widths: tuple[int, ...], channels: int, side: int) -> nn.Sequential:
    """Latents (B, latent) to pictures (B, channels, side, side) in 0..1 through layers that see everything."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((latent, *widths)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    shape = (channels, side, side)
    return nn.Sequential(*layers, nn.Linear(widths[-1], channels * side * side), nn.Sigmoid(), nn.Unflatten(1, shape))


def transposed(latent: int, width: int, channels: int, side: int) -> nn.Sequential:
    """Latents (B, latent) to pictures (B, channels, side, side) in -1..1 by transposed convolutions ("Unsupervised
    Representation Learning with Deep Convolutional Generative Adversarial Networks", Radford et al., 2015).

    width: channels at half the side; half the side has twice the channels, down to 4 x 4.
    """
    widths = [width * 2**step for step in reversed(range(doublings(side)))]
    layers: list[nn.Module] = [
        nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, widths[0], 4, bias=False), *_after(widths[0]),
    ]  # fmt: skip
    for before, after in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False), *_after(after)]
    last = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(*layers, last, nn.Tanh())


def _after(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU()]


def doublings(side: int) -> int:
    """How often 4 pixels are doubled to this side.  Raises UsageError where they do not become it."""
    times = max(1, (side // 4).bit_length() - 1)
    if 4 * 2**times != side:
        raise UsageError(f"size has to be 4 doubled several times for these layers, not {side}; {4 * 2**times} works")
    return times
