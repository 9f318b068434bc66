"""The nets of StyleGAN2 ("Analyzing and Improving the Image Quality of StyleGAN", Karras et al., 2020).

Tensors have the names that the paper's own code gives them, so that its weights fit.  Weights are standard normal and
scaled when they are used, so that all of them learn at one rate.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn import fir
from artcli.nn.labels import together
from artcli.nn.precision import full

_SLOPE = 0.2  # of the leaky ReLUs
_KEEP = math.sqrt(2)  # makes up for what a leaky ReLU takes away
_GROUP = 4  # pictures whose deviation a discriminator sees
_FIRST = 4  # side of the smallest grid


@dataclass(frozen=True)
class Sizes:
    """size: of the pictures, a power of two.  latent: numbers of z and of w.  layers: of the mapping net.
    width: channels at side s are width / s, at most `most`.  classes: 0 for none.  facts: numbers that say more of
    each picture."""

    size: int
    channels: int
    latent: int
    layers: int
    width: int
    most: int
    classes: int = 0
    facts: int = 0

    @property
    def told(self) -> int:
        """Numbers that both nets are told of a picture."""
        return self.classes + self.facts

    @property
    def sides(self) -> list[int]:
        """From 4 to the size."""
        return [2**n for n in range(2, self.size.bit_length())]

    def at(self, side: int) -> int:
        """Channels of the grids of this side."""
        return max(1, min(self.width // side, self.most))

    @property
    def styles(self) -> int:
        """Of a picture: one for each convolution, and one for the last colours."""
        return 2 * len(self.sides)

    @property
    def noises(self) -> list[int]:
        """Sides of the grids that noise is added to."""
        return [_FIRST, *(side for side in self.sides[1:] for _ in range(2))]


def bent(x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    return F.leaky_relu(x, _SLOPE) * (_KEEP * gain)


def unit(x: torch.Tensor) -> torch.Tensor:
    """Rows (B, D) of mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Linear(nn.Module):
    """rate: how fast it learns, as a factor.  bias: what the bias begins with."""

    def __init__(self, before: int, after: int, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight * (self.rate / math.sqrt(self.weight.shape[1])), self.bias * self.rate)


class Conv(nn.Module):
    """A convolution of stride 1, or of stride 2 behind a blur; bent where it has a bias."""

    def __init__(self, before: int, after: int, kernel: int, *, halves: bool = False, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.halves, self.padding = halves, kernel // 2
        self.scale = 1 / math.sqrt(before * kernel**2)

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        weight = self.weight * self.scale
        if self.halves and self.padding:
            x = F.conv2d(fir.blur(x, 2), weight, stride=2)
        elif self.halves:  # a convolution of single pixels: on those that are left
            x = F.conv2d(fir.halve(x), weight)
        else:
            x = F.conv2d(x, weight, padding=self.padding)
        return x * gain if self.bias is None else bent(x + self.bias[:, None, None], gain)


# The generator --------------------------------------------------------------------------------------------------------


class Mapping(nn.Module):
    """Latents z (B, D), classes (B,) and facts (B, F) to styles w (B, D)."""

    w_avg: torch.Tensor  # (D,), the running mean of w

    def __init__(self, sizes: Sizes):
        super().__init__()
        latent, self.sizes, self.layers = sizes.latent, sizes, sizes.layers
        if sizes.told:
            self.embed = Linear(sizes.told, latent)
        for number in range(sizes.layers):
            before = 2 * latent if number == 0 and sizes.told else latent
            setattr(self, f"fc{number}", Linear(before, latent, rate=0.01))
        self.register_buffer("w_avg", torch.zeros(latent))

    def forward(
        self, z: torch.Tensor, labels: torch.Tensor | None = None, facts: torch.Tensor | None = None
    ) -> torch.Tensor:
        x = unit(full(z))
        if self.sizes.told:
            told = together(labels, self.sizes.classes, facts)
            x = torch.cat((x, unit(self.embed(told.to(x)))), 1)
        for number in range(self.layers):
            x = bent(getattr(self, f"fc{number}")(x))
        return x


def modulated(
    x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, *, demodulate: bool = True, doubles: bool = False
) -> torch.Tensor:
    """A convolution whose input channels are scaled by each picture's style (B, I), outputs then to unit variance.

    x: (B, I, H, W).  weight: (O, I, k, k), odd k.  doubles: (B, O, 2H, 2W), blurred; else (B, O, H, W).
    Not the weights are scaled, picture by picture, but what goes in and what comes out: the same numbers from one
    convolution of the whole batch.
    """
    x = x * style[:, :, None, None].to(x.dtype)
    if doubles:
        x = fir.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, gain=4.0)
    else:
        x = F.conv2d(x, weight, padding=weight.shape[2] // 2)
    if demodulate:
        energy = full(style).square() @ full(weight).square().sum((2, 3)).T  # (B, O)
        x = x * (energy + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)
    return x


class Styled(nn.Module):
    """A modulated convolution with noise, bias and leaky ReLU."""

    noise_const: torch.Tensor  # (side, side), of pictures that are not for training

    def __init__(self, before: int, after: int, latent: int, side: int, *, doubles: bool = False):
        super().__init__()
        self.affine = Linear(latent, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(after))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.doubles = doubles

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """noise: (B, 1, side, side), None for the constant one."""
        x = modulated(x, self.weight, self.affine(w), doubles=self.doubles)
        noise = self.noise_const if noise is None else noise
        return bent(x + noise.to(x.dtype) * self.noise_strength + self.bias[:, None, None])


class ToRGB(nn.Module):
    def __init__(self, before: int, channels: int, latent: int):
        super().__init__()
        self.affine = Linear(latent, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, before, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = 1 / math.sqrt(before)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        drawn = modulated(x, self.weight, self.affine(w) * self.scale, demodulate=False)
        return full(drawn) + self.bias[:, None, None]


class Block(nn.Module):
    """The layers of one side: two convolutions, of which the smallest side lacks the first, and the colours so far."""

    def __init__(self, sizes: Sizes, side: int):
        super().__init__()
        after, latent = sizes.at(side), sizes.latent
        self.first = side == _FIRST
        if self.first:
            self.const = nn.Parameter(torch.randn(after, side, side))
        else:
            self.conv0 = Styled(sizes.at(side // 2), after, latent, side, doubles=True)
        self.conv1 = Styled(after, after, latent, side)
        self.torgb = ToRGB(after, sizes.channels, latent)

    def forward(
        self,
        x: torch.Tensor | None,
        colours: torch.Tensor | None,
        styles: Sequence[torch.Tensor],
        noises: list[torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """styles: of the convolutions and, the last, of the colours.  noises: those of this block are taken off."""
        taken = iter(styles)
        if x is None:
            x = self.const.expand(styles[0].shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        else:
            x = self.conv0(x, next(taken), noises.pop(0) if noises else None)
        x = self.conv1(x, next(taken), noises.pop(0) if noises else None)
        drawn = self.torgb(x, next(taken))
        return x, drawn if colours is None else drawn + fir.double(colours)


class Synthesis(nn.Module):
    """Styles (B, styles, D) to pictures (B, C, size, size), about in -1..1."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sides, self.noises = sizes.sides, sizes.noises
        for side in sizes.sides:
            setattr(self, f"b{side}", Block(sizes, side))

    def forward(self, styles: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """noise: (B, noise_count) standard normal numbers; None for the same noise in every picture."""
        noises = None if noise is None else self._grids(noise)
        x = colours = None
        layer = 0
        rows = styles.unbind(1)
        for side in self.sides:
            count = 1 if side == _FIRST else 2  # convolutions; the style of the colours is the next one's, too
            x, colours = getattr(self, f"b{side}")(x, colours, rows[layer : layer + count + 1], noises)
            layer += count
        return cast(torch.Tensor, colours)

    @property
    def noise_count(self) -> int:
        return sum(side**2 for side in self.noises)

    def _grids(self, noise: torch.Tensor) -> list[torch.Tensor]:
        parts = noise.split([side**2 for side in self.noises], 1)
        return [part.view(-1, 1, side, side) for part, side in zip(parts, self.noises, strict=True)]


class Generator(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.mapping, self.synthesis, self.styles = Mapping(sizes), Synthesis(sizes), sizes.styles


# The discriminator ----------------------------------------------------------------------------------------------------


def minibatch_deviation(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) with one more channel: by how much the pictures of a group of four neighbours differ.

    It shows a generator that draws always the same.  Where four do not divide B, groups are of three, two or one.
    """
    group = next(size for size in (_GROUP, 3, 2, 1) if len(x) % size == 0)
    y = full(x).unflatten(0, (-1, group))
    y = y - y.mean(1, keepdim=True)
    deviation = (y.square().mean(1) + 1e-8).sqrt().mean((1, 2, 3))  # (B / group,)
    channel = deviation.repeat_interleave(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat((x, channel.to(x.dtype)), 1)


class Narrowing(nn.Module):
    """A residual block that halves the side; the largest begins with the picture's colours."""

    def __init__(self, sizes: Sizes, side: int):
        super().__init__()
        before, after = sizes.at(side), sizes.at(side // 2)
        if side == sizes.size:
            self.fromrgb = Conv(sizes.channels, before, 1)
        self.conv0 = Conv(before, before, 3)
        self.conv1 = Conv(before, after, 3, halves=True)
        self.skip = Conv(before, after, 1, halves=True, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        gain = math.sqrt(0.5)
        return self.skip(x, gain) + self.conv1(self.conv0(x), gain)


class Judging(nn.Module):
    """The last layers: (B, C, 4, 4) to logits (B,), of the class and the facts where there are such.

    What is told goes through one layer; the paper's code has a mapping net of eight more for it.
    """

    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.at(_FIRST)
        self.sizes = sizes
        self.conv = Conv(width + 1, width, 3)
        self.fc = Linear(width * _FIRST**2, width)
        self.out = Linear(width, width if sizes.told else 1)
        if sizes.told:
            self.embed = Linear(sizes.told, width)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None, facts: torch.Tensor | None) -> torch.Tensor:
        x = self.conv(minibatch_deviation(x)).contiguous()  # so that its numbers are flattened channel by channel
        x = full(self.out(bent(self.fc(x.flatten(1)))))
        if not self.sizes.told:
            return x[:, 0]
        told = unit(self.embed(together(labels, self.sizes.classes, facts).to(x)))
        return (x * told).sum(1) / math.sqrt(x.shape[1])


class Discriminator(nn.Module):
    """Pictures (B, C, size, size) in -1..1 to logits (B,), high for real."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sides = sizes.sides[:0:-1]
        for side in self.sides:
            setattr(self, f"b{side}", Narrowing(sizes, side))
        self.b4 = Judging(sizes)

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor | None = None, facts: torch.Tensor | None = None
    ) -> torch.Tensor:
        x = images.contiguous(memory_format=torch.channels_last)
        for side in self.sides:
            x = getattr(self, f"b{side}")(x)
        return self.b4(x, labels, facts)


# Regularisers ---------------------------------------------------------------------------------------------------------


def steepness(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """(B,): squared length of the gradient of each picture's logit, R1 ("Which Training Methods for GANs do actually
    Converge?", Mescheder et al., 2018); it can be differentiated again."""
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return full(slope).square().sum((1, 2, 3))


def path_lengths(images: torch.Tensor, styles: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """(B,): how far pictures move with their styles (B, L, D), along random directions, noise (B, C, H, W)."""
    area = images.shape[2] * images.shape[3]
    (slope,) = torch.autograd.grad((images * noise).sum() / math.sqrt(area), styles, create_graph=True)
    return full(slope).square().sum(2).mean(1).sqrt()


def mixed(one: torch.Tensor, other: torch.Tensor, first: torch.Tensor, count: int) -> torch.Tensor:
    """Styles (B, count, D) of w (B, D): those of `one` up to layer `first` (B,), of `other` from there on."""
    layer = torch.arange(count, device=one.device)
    return torch.where((layer < first[:, None])[..., None], one[:, None], other[:, None])


def layers_of(count: int, sides: Sequence[int]) -> dict[str, range]:
    """The styles, of `count`, that decide pose and shape (coarse: of sides up to 8), features (middle: up to 32), and
    colours and texture (fine).  Below 64 pixels the limits are lower, so that each has some."""
    ends = list(itertools.accumulate(1 if side == _FIRST else 2 for side in sides))
    coarse = max(end for end, side in zip(ends, sides, strict=True) if side <= max(_FIRST, min(8, sides[-1] // 4)))
    middle = max(end for end, side in zip(ends, sides, strict=True) if side <= max(_FIRST, min(32, sides[-1] // 2)))
    return {"coarse": range(coarse), "middle": range(coarse, middle), "fine": range(middle, count)}
