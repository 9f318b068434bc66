"""Pictures and masks from files to what the optimisation takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from artcli.backends.stylize import colour, looking
from artcli.backends.stylize.styles import Style
from artcli.media import files, images


@dataclass(frozen=True)
class Photo:
    """What is painted, at the size of the result: rgb (3, H, W), alpha (H, W) or None, masks (1, H, W), all in 0..1.

    exif: see `images.Picture`.
    """

    rgb: torch.Tensor
    alpha: np.ndarray | None
    masks: tuple[torch.Tensor, ...] = ()
    exif: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.rgb.shape[2], self.rgb.shape[1]

    def finish(self, image: torch.Tensor, keep_color: str | None) -> torch.Tensor:
        """A painted picture (3, h, w) of any scale at the photo's size, with its colours, and only where masks say."""
        shown = image.cpu()
        if shown.shape != self.rgb.shape:
            shown = images.resize(shown, self.size)
        if keep_color == "luminance":
            shown = colour.with_colours_of(shown, self.rgb)
        if self.masks:
            where = torch.stack(self.masks).amax(0)
            shown = self.rgb + where * (shown - self.rgb)
        return shown


def photo(source: Path | files.Stdio, side: int, masks: Sequence[Path] = ()) -> Photo:
    """Scaled to a longer side of `side` pixels; the masks are as large as the file.

    Raises UsageError: not readable, transparent everywhere, or a mask of another size or black everywhere.
    """
    found = looking.visible(source)
    height, width = found.rgb.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    where = [images.resize(looking.mask(path, (width, height)), size) for path in masks]
    soft = tuple(torch.from_numpy(each.copy())[None] for each in where)
    alpha = None if found.alpha is None else images.resize(found.alpha, size)
    return Photo(_tensor(images.resize(found.rgb, size)), alpha, soft, found.exif)


def style(path: Path, weight: float, side: int, where: Path | None = None) -> Style:
    """At most `side` pixels wide and high; transparent pixels do not count.

    where: a mask of the file's size, white where its style is taken.  Raises UsageError as `photo` does.
    """
    return scaled(*looking.style(path, where), weight, side)


def scaled(found: images.Picture, counts: np.ndarray | None, weight: float, side: int) -> Style:
    """What `looking.style` finds, at most `side` pixels wide and high."""
    height, width = found.rgb.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    rgb = _tensor(images.resize(found.rgb, size))
    return Style(rgb, weight, None if counts is None else torch.from_numpy(images.resize(counts, size).copy())[None])


def recolour(rgb: torch.Tensor, styles: Sequence[Style], how: str) -> tuple[torch.Tensor, list[Style]]:
    """What is painted of a photo (3, H, W) whose colours are kept, and the styles for it; how: luminance or coral."""
    change = colour.coral if how == "coral" else colour.grey_like
    seen = rgb if how == "coral" else colour.luma(rgb).expand(3, -1, -1)
    return seen, [replace(style, picture=change(style.picture, rgb, style.mask)) for style in styles]


def _tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))).float()
