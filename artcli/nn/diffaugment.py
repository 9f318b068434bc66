"""DiffAugment ("Differentiable Augmentation for Data-Efficient GAN Training", Zhao et al., 2020).

The discriminator sees real and drawn pictures changed in the same ways, so it cannot learn a small set by heart.  The
changes are differentiable: the generator learns through them, and does not learn to draw them.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F

from artcli.errors import UsageError, did_you_mean

Uniform = Callable[..., torch.Tensor]  # (*shape) -> numbers in 0..1, (B, *shape): `Batch.uniform` is one
_SHIFT = 1 / 8  # largest translation, part of the side
_HOLE = 1 / 2  # side of what is cut out, part of the picture's


def names(setting: str) -> tuple[str, ...]:
    """The changes that a setting such as "color,translation,cutout" asks for, none for "".  Raises UsageError."""
    asked = tuple(name.strip() for name in setting.split(",")) if setting.strip() else ()
    for name in asked:
        if name not in CHANGES:
            known = ", ".join(CHANGES)
            raise UsageError(f"diffaugment '{name}' is none of {known}.{did_you_mean(name, tuple(CHANGES))}")
    return asked


def diffaugment(images: torch.Tensor, changes: Iterable[str], uniform: Uniform) -> torch.Tensor:
    """Pictures (B, C, H, W) in -1..1, each changed by random numbers of its own.  changes: names of CHANGES, in turn.

    A picture depends on no other and on no label.  Colours may leave -1..1; what comes in from outside is grey, 0.
    """
    for name in changes:
        images = CHANGES[name](images, uniform)
    return images


def _color(images: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    """Brightness moved by up to half of white, saturation times 0..2, contrast times 0.5..1.5."""
    images = images + uniform(1, 1, 1) - 0.5
    grey = images.mean(1, keepdim=True)
    images = grey.lerp(images, 2 * uniform(1, 1, 1))
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean.lerp(images, uniform(1, 1, 1) + 0.5)


def _translation(images: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    """Moved by up to an eighth of the sides, in whole pixels."""
    height, width = images.shape[2:]
    most = images.new_tensor([round(side * _SHIFT) for side in (height, width)])
    down, right = (uniform(2) * (2 * most + 1)).floor().sub(most).long().unbind(1)
    rows = torch.arange(height, device=images.device) + down[:, None]
    columns = torch.arange(width, device=images.device) + right[:, None]
    framed = F.pad(images, (1, 1, 1, 1))  # pixels from outside are read off the frame
    rows, columns = (rows + 1).clamp(0, height + 1), (columns + 1).clamp(0, width + 1)
    picked = framed.permute(0, 2, 3, 1)[
        torch.arange(len(images), device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return picked.permute(0, 3, 1, 2)


def _cutout(images: torch.Tensor, uniform: Uniform) -> torch.Tensor:
    """A square of half the sides is grey; it may stand over the edge."""
    holes = []
    for side, chance in zip(images.shape[2:], uniform(2).unbind(1), strict=True):
        hole = round(side * _HOLE)
        first = (chance * (side + 1)).floor().clamp(max=side)[:, None] - hole // 2
        place = torch.arange(side, device=images.device)
        holes.append((place >= first) & (place < first + hole))
    return images.masked_fill((holes[0][:, :, None] & holes[1][:, None, :])[:, None], 0.0)


CHANGES = {"color": _color, "translation": _translation, "cutout": _cutout}
