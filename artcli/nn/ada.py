"""Adaptive discriminator augmentation ("Training Generative Adversarial Networks with Limited Data", Karras et al.,
2020): what a discriminator sees, real and drawn alike, is changed at random, the more the surer it is.

As long as most pictures stay as they are, the generator does not learn the changes.  Differentiable any number of times
with respect to the pictures.
"""

import math

import torch
from torch import nn

# What each change takes of the draws: whether it happens, and its amount.
_CHANCES, _UNIFORM, _NORMAL = 13, 8, 7
UNIFORM, NORMAL = _CHANCES + _UNIFORM, _NORMAL  # numbers that `Augment.forward` takes for a picture
_SHIFT = 0.125  # of the side
_LUMA = 1 / math.sqrt(3)


class Augment(nn.Module):
    """The changes, and the probability of each of them.

    target: mean sign of the discriminator's logits of real pictures, at which p neither rises nor falls for long; 0
    leaves p as it is.  pictures: in which p goes from 0 to 1 where the discriminator is always surer than that.
    """

    p: torch.Tensor  # (), 0..1
    signs: torch.Tensor  # (2,): their sum and their number since p was changed last

    def __init__(self, target: float, pictures: int):
        super().__init__()
        self.target, self.pictures = target, pictures
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(2))

    def watch(self, total: torch.Tensor, count: torch.Tensor) -> None:
        """Take note of a step's real pictures: the sum of the signs of their logits, and their number."""
        self.signs += torch.stack((total, count)).to(self.signs)

    def adapt(self) -> None:
        """More of it where the discriminator was sure since the last time, else less."""
        total, count = self.signs.tolist()
        if self.target and count:
            sure = total / count > self.target
            self.p.add_((1 if sure else -1) * count / self.pictures).clamp_(0, 1)
        self.signs.zero_()

    def forward(self, images: torch.Tensor, uniform: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """Pictures (B, C, H, W) in -1..1, each changed by its rows of uniform (B, UNIFORM) and normal (B, NORMAL)."""
        if not float(self.p):
            return images
        chance, amount = uniform.split((_CHANCES, _UNIFORM), 1)
        places = _places(chance, amount, normal, self.p, images.shape[3])
        return recolour(move(images, places), *_colours(chance < self.p, amount, normal))


# Places ---------------------------------------------------------------------------------------------------------------


def _places(
    chance: torch.Tensor, amount: torch.Tensor, normal: torch.Tensor, p: torch.Tensor, side: int
) -> torch.Tensor:
    """(B, 2, 3): where in the picture, its sides -1..1, a place of the changed one is.  By chances 0 to 7."""
    happens = chance < p
    mirror = torch.where(happens[:, 0] & (amount[:, 0] < 0.5), -1.0, 1.0).to(normal)
    quarters = torch.where(happens[:, 1], (amount[:, 1] * 4).floor(), 0.0)
    size = torch.where(happens[:, 2], (0.2 * normal[:, 0]).exp2(), 1.0)
    stretch = torch.where(happens[:, 3], (0.2 * normal[:, 1]).exp2(), 1.0)
    # Turned before and after stretching; each so often that one of them happens with probability p.
    before, after = (
        torch.where(chance[:, n] < 1 - (1 - p).sqrt(), (2 * amount[:, n] - 1) * math.pi, 0.0) for n in (4, 5)
    )
    pixels = ((2 * amount[:, 6:8] - 1) * (_SHIFT * side)).round()
    whole_pixels = torch.where(happens[:, 6, None], pixels * (2 / side), 0.0)
    shift = torch.where(happens[:, 7, None], 2 * _SHIFT * normal[:, 2:4], 0.0)
    turned = _turn(before) @ _scale(size * stretch, size / stretch) @ _turn(after)
    matrix = _turn(quarters * (math.pi / 2)) @ _scale(mirror, torch.ones_like(mirror)) @ turned
    # Moved by whole pixels before it is scaled and turned, by any distance after that.
    moved = whole_pixels[..., None] + matrix @ shift[..., None]
    return torch.cat((matrix, moved), 2)


def _turn(angle: torch.Tensor) -> torch.Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((cos, -sin, sin, cos), 1).view(-1, 2, 2)


def _scale(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.diag_embed(torch.stack((x, y), 1))


def move(images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Pictures (B, C, H, W) looked up at places (B, 2, 3), bilinearly; beyond the edge they are mirrored.

    Four look-ups of whole pixels: the sampling of torch cannot be differentiated twice, as R1 asks for.
    """
    height, width = images.shape[2:]
    y, x = (2 * (torch.arange(n, device=images.device, dtype=places.dtype) + 0.5) / n - 1 for n in (height, width))
    grid = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width), torch.ones_like(x).expand(height, -1)))
    across, down = (places @ grid.flatten(1)).unbind(1)  # (B, H * W) each, sides -1..1
    across, down = ((across + 1) * width - 1) / 2, ((down + 1) * height - 1) / 2  # in pixels
    left, top = across.floor(), down.floor()
    flat, drawn = images.flatten(2), torch.zeros(())
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (1 - (across - left - dx).abs()) * (1 - (down - top - dy).abs())
            place = _inside(top + dy, height) * width + _inside(left + dx, width)
            found = flat.gather(2, place[:, None].expand(-1, images.shape[1], -1))
            drawn = drawn + found * weight[:, None].to(found.dtype)
    return drawn.view_as(images)


def _inside(place: torch.Tensor, length: int) -> torch.Tensor:
    """Pixels of a line that is mirrored at its edges again and again."""
    place = place.long() % (2 * length)
    return torch.where(place < length, place, 2 * length - 1 - place)


# Colours --------------------------------------------------------------------------------------------------------------


def _colours(happens: torch.Tensor, amount: torch.Tensor, normal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (B, 3, 3) and an offset (B,) for RGB in -1..1.  By chances 8 to 12."""
    lift = torch.where(happens[:, 8], 0.2 * normal[:, 4], 0.0)
    contrast = torch.where(happens[:, 9], (0.5 * normal[:, 5]).exp2(), 1.0)
    inverted = happens[:, 10] & (amount[:, 2] < 0.5)
    hue = torch.where(happens[:, 11], (2 * amount[:, 3] - 1) * math.pi, 0.0)
    saturation = torch.where(happens[:, 12], normal[:, 6].exp2(), 1.0)
    eye = torch.eye(3, dtype=normal.dtype, device=normal.device)
    grey = torch.full_like(eye, _LUMA**2)  # projects on the axis of greys
    cross = _LUMA * torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]).to(eye)
    cos, sin = hue.cos()[:, None, None], hue.sin()[:, None, None]
    chroma = saturation[:, None, None] * (cos * (eye - grey) + sin * cross)
    luma = torch.where(inverted, -1.0, 1.0).to(normal)[:, None, None] * grey
    return contrast[:, None, None] * (luma + chroma), lift * contrast


def recolour(images: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Pictures (B, C, H, W); those of one channel have luma alone."""
    if images.shape[1] == 1:
        matrix = matrix.mean(2).sum(1)[:, None, None]
    changed = matrix.to(images.dtype) @ images.flatten(2) + offset[:, None, None].to(images.dtype)
    return changed.view_as(images)
