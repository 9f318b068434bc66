"""Random changes of a batch, each picture's own, drawn for the whole batch so that any part of it gets the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from artcli.errors import UsageError
from artcli.training.data import order
from artcli.training.data.items import Array

_LUMA = (0.299, 0.587, 0.114)
_DRAWS = 6  # mirror, zoom, rotation, brightness, contrast, saturation


@dataclass(frozen=True)
class Augmentation:
    """flip: mirror half of the pictures.  zoom: magnify by 1 - zoom to 1 + zoom.  rotation: turn by up to so many
    degrees either way; what comes in at the edges is the picture mirrored.  jitter: change brightness (by half as
    much), contrast and saturation by up to this part.  Raises UsageError: a value that is not possible.
    """

    flip: bool = False
    zoom: float = 0.0
    rotation: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.zoom <= 0.5 and 0 <= self.rotation <= 180 and 0 <= self.jitter <= 1):
            raise UsageError("zoom is 0 to 0.5, rotation 0 to 180 degrees, colour jitter 0 to 1.")


def draws(seed: int, step: int, first: int, count: int, whole: int) -> Array:
    """What chance says about rows `first` to `first + count` of a step's `whole` batch, (count, 6) in 0..1."""
    return order.stream(seed, order.AUGMENT, step).random((whole, _DRAWS), dtype="float32")[first : first + count]


def mirror(pixels: torch.Tensor, chance: Array, augmentation: Augmentation) -> torch.Tensor:
    """uint8 (B, H, W, C) on the CPU with half of the pictures mirrored, in place; as bytes it costs a quarter."""
    if augmentation.flip:
        for row in np.flatnonzero(chance[:, 0] < 0.5).tolist():  # large pictures one by one stay in the CPU's cache
            pixels[row] = pixels[row].flip(1)
    return pixels


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, C) to (B, C, H, W) float32 in 0..1, in memory as they were: nets are a fifth faster on that."""
    return (pixels.float() / 255).permute(0, 3, 1, 2)


def change(images: torch.Tensor, chance: Array, augmentation: Augmentation, color: str) -> torch.Tensor:
    """Zoom, turn and jitter (B, C, H, W) in 0..1, by its rows of `draws`.

    color: what the channels are, "rgb", "ycbcr" or "grey".
    """
    chances = torch.from_numpy(chance).to(images.device)
    if augmentation.zoom or augmentation.rotation:
        images = _warp(images, chances, augmentation)
    if augmentation.jitter:
        images = _jitter(images, chances, augmentation.jitter, color)
    return images


# Below, every number of a picture is computed from that picture element by element, without a matrix product or a
# mean: those may round differently in batches of another size, and the parts of a batch have to equal the whole.


def _warp(images: torch.Tensor, chances: torch.Tensor, how: Augmentation) -> torch.Tensor:
    """Zoom and turn in one resampling."""
    height, width = images.shape[2:]
    zoom = (1 + how.zoom * (2 * chances[:, 1] - 1))[:, None, None]
    angle = math.radians(how.rotation) * (2 * chances[:, 2] - 1)[:, None, None]
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    y = _centres(height, images.device)[:, None]
    x = _centres(width, images.device)
    grid = torch.stack((cos * x - sin * y, sin * x + cos * y), 3)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _centres(count: int, device: torch.device) -> torch.Tensor:
    """Where the middles of `count` pixels lie between the edges -1 and 1."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def _jitter(images: torch.Tensor, chances: torch.Tensor, amount: float, color: str) -> torch.Tensor:
    matrix, offset = _color_change(amount * (2 * chances[:, 3:6] - 1), color)
    changed = torch.empty_like(images)
    for band in range(images.shape[1]):
        one = torch.mul(images[:, 0], matrix[:, band, 0, None, None], out=changed[:, band])
        for other in range(1, images.shape[1]):
            one.addcmul_(images[:, other], matrix[:, band, other, None, None])
        one.add_(offset[:, band, None, None])
    return changed.clamp_(0, 1)


def _color_change(part: torch.Tensor, color: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Changes of brightness, contrast and saturation (B, 3), 0 for none, as a matrix (B, C, C) and an offset (B, C)."""
    brightness, contrast, saturation = part[:, 0] / 2, 1 + part[:, 1], 1 + part[:, 2]
    lift = brightness + (1 - contrast) / 2  # contrast turns about middle grey
    if color == "grey":
        return contrast[:, None, None], lift[:, None]
    if color == "ycbcr":
        chroma = contrast * saturation
        scale = torch.stack((contrast, chroma, chroma), 1)
        shift = (1 - chroma) * (128 / 255)
        return torch.diag_embed(scale), torch.stack((lift, shift, shift), 1)
    grey = torch.tensor(_LUMA, device=part.device).expand(3, 3)
    mix = saturation[:, None, None] * (torch.eye(3, device=part.device) - grey) + grey
    return contrast[:, None, None] * mix, lift[:, None].expand(-1, 3)


def to_rgb(images: torch.Tensor, color: str) -> torch.Tensor:
    """Pictures as a net sees them, (..., C, H, W) in 0..1, to RGB for people, (..., 3, H, W), about 0..1."""
    if color == "grey":
        return images.expand(*images.shape[:-3], 3, *images.shape[-2:])
    if color == "rgb":
        return images
    luma, blue, red = images.unbind(-3)
    blue, red = blue - 128 / 255, red - 128 / 255  # full range, as in JPEG
    green = luma - 0.344136 * blue - 0.714136 * red
    return torch.stack((luma + 1.402 * red, green, luma + 1.772 * blue), -3)
