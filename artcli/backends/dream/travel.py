"""A film in which the picture moves: zoomed, shifted or turned a little, drawn on for some steps, and again."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.prior import Prior
from artcli.backends.dream.sequence import sequence
from artcli.backends.dream.settings import Camera, Settings
from artcli.backends.dream.story import Story
from artcli.backends.frame import Frame
from artcli.nn.vqgan import VQGAN
from artcli.pretrained.clip import Clip


def travel(
    story: Story,
    clip: Clip,
    settings: Settings,
    camera: Camera,
    frames: int,
    *,
    seed: int = 0,
    canvas: Canvas | None = None,
    vqgan: VQGAN | None = None,
    prior: Prior | None = None,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Frame]:
    """The first picture as `begin` draws it, then `frames` frames of the film, a step each; otherwise as `sequence`."""
    short = replace(settings, steps=camera.steps, low_res=0)

    def begin(image: torch.Tensor) -> tuple[Canvas, Settings]:
        return Canvas(moved(image, camera)), short

    how: dict[str, Any] = {"seed": seed, "canvas": canvas, "vqgan": vqgan, "prior": prior, "state": state}
    return sequence(story, clip, settings, begin, frames, **how)


def moved(image: torch.Tensor, camera: Camera) -> torch.Tensor:
    """(3, H, W) as the camera sees it a frame later; beyond the edge is the picture mirrored."""
    height, width = image.shape[1:]
    angle = math.radians(camera.rotate)
    cos, sin = math.cos(angle) / camera.zoom, math.sin(angle) / camera.zoom
    right, down = 2 * camera.pan[0] / width, 2 * camera.pan[1] / height
    # Sampling looks up where each pixel comes from, in units of half the sides.
    matrix = torch.tensor([[cos, sin * height / width, right], [-sin * width / height, cos, down]])
    grid = F.affine_grid(matrix[None], [1, 3, height, width], align_corners=False).to(image.device)
    seen = F.grid_sample(image[None], grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return seen[0].clamp(0, 1)
