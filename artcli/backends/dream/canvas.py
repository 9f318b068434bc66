"""Photographs that a dream starts from, and editing one inside a mask."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from artcli.backends.dream.fft import resize
from artcli.errors import UsageError
from artcli.media import images

MARGIN = 0.25  # how much of the photograph around the mask CLIP sees, as a part of the masked box
SMALLEST_WINDOW = 64


@dataclass(frozen=True)
class Canvas:
    """What the drawing starts from.

    photo: (3, H, W) in 0..1; also what the init weight pulls to.  mask: (1, H, W) in 0..1 or None; where it is 0 the
    photograph stays exactly as it is.  before: (3, H, W), of which the part `steady`, 0..1, is in the start.  sketch:
    (3, H, W), what is drawn on and pulled to in the photograph's place: it has little detail to lose.  later: sketches
    of the scenes after the first.
    """

    photo: torch.Tensor
    mask: torch.Tensor | None = None
    before: torch.Tensor | None = None
    steady: float = 0.0
    sketch: torch.Tensor | None = None
    later: tuple[torch.Tensor, ...] = ()

    @property
    def begun(self) -> torch.Tensor:
        """What the drawing begins with, (3, H, W) in 0..1."""
        return self.photo if self.sketch is None else self.sketch

    def resized(self, width: int, height: int) -> "Canvas":
        """Photograph and mask at another size."""
        photo, mask = (None if t is None else resize(t[None], height, width)[0] for t in (self.photo, self.mask))
        assert photo is not None
        return Canvas(photo, mask)

    def compose(self, drawn: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) drawn over the photograph at the same size."""
        if self.mask is None:
            return drawn
        size = drawn.shape[-2:]
        photo, mask = (resize(t[None].to(drawn.device), *size) for t in (self.photo, self.mask))
        return photo + mask * (drawn - photo)


@dataclass(frozen=True)
class Edit:
    """A canvas that may be a window of a larger picture.

    original: uint8 (H, W, 3) of the whole, or None when the canvas is all there is.  corner: (left, top) of the window.
    alpha: (H, W) in 0..1 of the whole or None.  exif: of the photograph, see `images.Picture`.
    """

    canvas: Canvas
    original: np.ndarray | None = None
    corner: tuple[int, int] = (0, 0)
    alpha: np.ndarray | None = None
    exif: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the finished picture."""
        shape = self.canvas.photo.shape[1:] if self.original is None else self.original.shape[:2]
        return int(shape[1]), int(shape[0])

    def paste(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 of the window into the whole picture; outside the mask the original bytes."""
        if self.original is None or self.canvas.mask is None:
            return pixels
        whole = self.original.copy()
        left, top = self.corner
        window = whole[top : top + pixels.shape[0], left : left + pixels.shape[1]]
        touched = self.canvas.mask[0].numpy() > 0
        window[touched] = pixels[touched]
        return whole


def whole(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Edit:
    """Start from a picture: rgb (H, W, 3) in 0..1.

    alpha: (H, W) in 0..1 or None; it is kept, and nothing is drawn where nothing would show.
    """
    shown = None if alpha is None else torch.from_numpy((alpha > 0).astype(np.float32))[None]
    return Edit(Canvas(torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float(), shown), alpha=alpha)


def edit(photo: images.Picture, mask: images.Picture, feather: float, size: tuple[int, int] | None = None) -> Edit:
    """Change a photograph inside the white part of a mask, seen with a margin around it.

    feather: deviation of the Gaussian that softens the edge, in pixels.  size: (width, height) of the result; None for
    the photograph's.
    Raises UsageError when the mask has another size than the photograph, or is black everywhere.
    """
    height, width = photo.rgb.shape[:2]
    if mask.rgb.shape != photo.rgb.shape:
        found = f"{mask.rgb.shape[1]}x{mask.rgb.shape[0]}"
        raise UsageError(f"the mask is {found}, the picture {width}x{height}; make them the same size")
    whole_rgb, alpha, wanted = photo.rgb, photo.alpha, images.as_mask(mask)
    if size not in (None, (width, height)):
        whole_rgb, wanted = images.resize(whole_rgb, size), images.resize(wanted, size)
        alpha = None if alpha is None else images.resize(alpha, size)
    soft = _soften(wanted, feather)
    if not soft.any():
        raise UsageError("the mask is black everywhere; paint white what is to change")
    left, top, right, bottom = _window(soft)
    rgb = np.ascontiguousarray(whole_rgb[top:bottom, left:right])
    canvas = Canvas(
        torch.from_numpy(rgb).permute(2, 0, 1).float(), torch.from_numpy(soft[top:bottom, left:right].copy())[None]
    )
    original = np.floor(whole_rgb * 255 + 0.5).astype(np.uint8)
    return Edit(canvas, original, (left, top), alpha)


def _soften(mask: np.ndarray, feather: float) -> np.ndarray:
    picture = Image.fromarray(np.floor(mask * 255 + 0.5).astype(np.uint8), "L")
    soft = picture.filter(ImageFilter.GaussianBlur(feather)) if feather > 0 else picture
    return np.asarray(soft, np.float32) / 255


def _window(mask: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the masked box with its margin, inside the picture."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, right = _span(int(columns[0]), int(columns[-1]) + 1, mask.shape[1])
    top, bottom = _span(int(rows[0]), int(rows[-1]) + 1, mask.shape[0])
    return left, top, right, bottom


def _span(first: int, last: int, extent: int) -> tuple[int, int]:
    margin = max(round((last - first) * MARGIN), (SMALLEST_WINDOW - (last - first) + 1) // 2)
    return max(0, first - margin), min(extent, last + margin)
