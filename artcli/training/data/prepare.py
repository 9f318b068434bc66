"""One picture of any size and mode to the square of pixels that a net is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from artcli.errors import UsageError, did_you_mean
from artcli.media import files, images
from artcli.media.decode import Source
from artcli.training.data.items import Array, stamp

COLORS = ("rgb", "ycbcr", "grey")
CROPS = ("center", "stretch")
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
CUTOUTS = ("none", "box", "maskrcnn")
HALVES = ("", "left", "right")

MaskOf = Callable[[str, Array], Array]  # (name, rgb (H, W, 3) uint8) to (H, W) float in 0..1, 1 is the object


@dataclass(frozen=True)
class Preparation:
    """What is done to every picture before it is cached.

    size: side in pixels.  color: "rgb", "ycbcr" (full range, as in JPEG) or "grey".  crop: "center" cuts a square,
    "stretch" keeps everything.  crop_pixels: first cut this many pixels from the middle, so that what is around a
    centred face goes.  filter: "lanczos", or "box" (area mean).
    masks: a folder of masks, white on black; the object is cut out, scaled to fill the square up to a `margin` (part
    of its longer side), its edge softened by a Gaussian of `mask_blur` pixels of the result, and laid on `background`,
    which is also what shows through where pictures are transparent.
    half: "left" or "right" takes this half of every picture first, where two lie side by side.
    cutout: without masks, "box" finds the object inside `box` (left, top, right, bottom as parts of the picture),
    "maskrcnn" with torchvision's Mask R-CNN, whose weights are in the file `maskrcnn`.
    Raises UsageError: a value that is not possible.
    """

    size: int = 64
    color: str = "rgb"
    crop: str = "center"
    crop_pixels: int | None = None
    filter: str = "lanczos"
    background: str = "white"
    masks: Path | None = None
    cutout: str = "none"
    box: tuple[float, float, float, float] = (0.1, 0.1, 0.9, 0.9)
    maskrcnn: Path | None = None
    margin: float = 0.05
    mask_blur: float = 0.0
    half: str = ""

    def __post_init__(self) -> None:
        _one_of("color", self.color, COLORS)
        _one_of("crop", self.crop, CROPS)
        _one_of("filter", self.filter, tuple(FILTERS))
        _one_of("cutout", self.cutout, CUTOUTS)
        _one_of("half", self.half, HALVES)
        if not 4 <= self.size <= 4096:
            raise UsageError(f"pictures of {self.size} pixels cannot be trained on: choose a size of 4 to 4096.")
        if self.crop_pixels is not None and self.crop_pixels < 1:
            raise UsageError(f"a crop of {self.crop_pixels} pixels leaves nothing: choose 1 or more.")
        if self.mask_blur < 0 or not 0 <= self.margin <= 1:
            raise UsageError("the blur of masks is at least 0 pixels, their margin 0 to 1.")
        if self.masks is not None and self.cutout != "none":
            raise UsageError(f"masks are given, so there is nothing for cutout '{self.cutout}' to find: choose one.")
        if self.cutout == "maskrcnn" and self.maskrcnn is None:
            raise UsageError("cutout 'maskrcnn' needs the weights of torchvision's Mask R-CNN: name their file.")
        object.__setattr__(self, "box", tuple(self.box))  # TOML and JSON know only lists
        left, top, right, bottom = self.box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise UsageError(f"the box {self.box} is none: left < right and top < bottom, all 0 to 1.")
        self.background_rgb()

    @property
    def channels(self) -> int:
        return 1 if self.color == "grey" else 3

    @property
    def cuts_out(self) -> bool:
        return self.masks is not None or self.cutout != "none"

    def background_rgb(self) -> tuple[int, int, int]:
        """Red, green, blue in 0..255.  Raises UsageError: not a colour."""
        try:
            return ImageColor.getrgb(self.background)[:3]
        except ValueError as error:
            raise UsageError(f"'{self.background}' is no colour: say it as white or as #ffffff.") from error

    def as_dict(self) -> dict[str, Any]:
        """For a record or a TOML file: numbers, strings, and None where nothing is chosen."""
        fields = asdict(self)
        if not self.half:  # whole pictures have the fingerprints and caches that they had before there were halves
            del fields["half"]
        return {key: str(value) if isinstance(value, Path) else value for key, value in fields.items()}


def _one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{field} '{value}' is none of {', '.join(known)}.{did_you_mean(value, known)}")


# --- one picture ---------------------------------------------------------------------------------------------------


def decode(source: Source | Array, background: tuple[int, int, int]) -> Array:
    """A file, encoded bytes or pixels that are decoded already, to (H, W, 3) uint8 sRGB, upright, without alpha.

    background: red, green, blue in 0..255, what shows through.

    Raises UsageError: no picture, or a damaged one.
    """
    if isinstance(source, np.ndarray):
        return source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2)
    picture = images.load(source)
    rgb = picture.rgb
    if picture.alpha is not None:
        alpha = picture.alpha[..., None]
        rgb = rgb * alpha + (1 - alpha) * (np.array(background, np.float32) / 255)
    return (rgb * 255 + 0.5).astype(np.uint8)


def apply(rgb: Array, mask: Array | None, preparation: Preparation) -> Array:
    """(H, W, 3) uint8 to (size, size, channels) uint8; with a mask, (H, W) in 0..1, only what it shows.

    Raises UsageError: the mask is empty.
    """
    if preparation.half:
        width = rgb.shape[1] // 2
        rgb = rgb[:, :width] if preparation.half == "left" else rgb[:, rgb.shape[1] - width :]
    if preparation.crop_pixels is not None:
        rgb = _middle(rgb, preparation.crop_pixels, preparation.crop_pixels)
        mask = None if mask is None else _middle(mask, preparation.crop_pixels, preparation.crop_pixels)
    if mask is not None:
        return in_color(_cut_out(rgb, mask, preparation), preparation.color)
    if preparation.crop == "center":
        side = min(rgb.shape[:2])
        rgb = _middle(rgb, side, side)
    return in_color(_resize(rgb, (preparation.size, preparation.size), preparation.filter), preparation.color)


def _middle(array: Array, height: int, width: int) -> Array:
    """The middle of (H, W, ...), at most all of it."""
    height, width = min(height, array.shape[0]), min(width, array.shape[1])
    top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
    return array[top : top + height, left : left + width]


def _resize(array: Array, size: tuple[int, int], filter: str) -> Array:
    """uint8 (H, W, 3) or (H, W) to `size` = (width, height)."""
    if (array.shape[1], array.shape[0]) == size:
        return array
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize(size, FILTERS[filter]))


def in_color(rgb: Array, color: str) -> Array:
    """uint8 (H, W, 3) RGB to (H, W, C) in the colours that are trained on."""
    if color == "rgb":
        return np.ascontiguousarray(rgb)
    image = Image.fromarray(np.ascontiguousarray(rgb)).convert("YCbCr" if color == "ycbcr" else "L")
    return np.asarray(image).reshape(*rgb.shape[:2], -1)


def _cut_out(rgb: Array, mask: Array, preparation: Preparation) -> Array:
    """The object on the background, scaled until its longer side and the margins fill the square."""
    from scipy import ndimage

    size = preparation.size
    left, top, right, bottom = _bounds(mask, preparation.margin)
    scale = size / max(right - left, bottom - top)
    inner = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    crop = np.s_[max(0, top) : bottom, max(0, left) : right]
    levels = (mask[crop] * 255 + 0.5).astype(np.uint8)
    pixels, alpha = rgb[crop], levels
    # The margin may lie beyond the picture's edge: that part stays background, and the blurred mask fades into it.
    visible = (
        min(inner[0], max(1, round(pixels.shape[1] * scale))),
        min(inner[1], max(1, round(pixels.shape[0] * scale))),
    )
    x = (size - inner[0]) // 2 + min(inner[0] - visible[0], round(max(0, -left) * scale))
    y = (size - inner[1]) // 2 + min(inner[1] - visible[1], round(max(0, -top) * scale))
    background = np.array(preparation.background_rgb(), np.float32)
    canvas = np.broadcast_to(background, (size, size, 3)).copy()
    cover = np.zeros((size, size), np.float32)
    place = np.s_[y : y + visible[1], x : x + visible[0]]
    canvas[place] = _resize(pixels, visible, preparation.filter)
    cover[place] = _resize(alpha, visible, preparation.filter) / np.float32(255)
    if preparation.mask_blur:
        cover = ndimage.gaussian_filter(cover, preparation.mask_blur, mode="constant")
    cover = cover[..., None]
    return (canvas * cover + background * (1 - cover) + 0.5).astype(np.uint8)


def _bounds(mask: Array, margin: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the object and a margin around it, which may reach beyond the picture."""
    rows, columns = np.flatnonzero((mask >= 0.5).any(1)), np.flatnonzero((mask >= 0.5).any(0))
    if not len(rows):
        raise UsageError("its mask is empty")
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    border = round(margin * max(right - left, bottom - top))
    return int(left - border), int(top - border), int(right + border), int(bottom + border)


# --- where masks come from -----------------------------------------------------------------------------------------


def mask_stamps(preparation: Preparation) -> list[Any]:
    """What has to stay the same for `mask_source` to find the same masks.

    Raises UsageError: no such folder or file.
    """
    if preparation.masks is not None:
        from artcli.training.data.masks import Masks

        return Masks(preparation.masks).stamps
    if preparation.cutout == "maskrcnn":
        assert preparation.maskrcnn is not None
        if files.kind(preparation.maskrcnn) != "file":
            raise files.missing(preparation.maskrcnn)
        return [stamp(preparation.maskrcnn)]
    return []


def mask_source(preparation: Preparation) -> MaskOf | None:
    """What finds the mask of a picture, or None where nothing is cut out; it raises UsageError where there is no mask.

    Raises UsageError: no such folder.  WeightsError: other weights than Mask R-CNN's.
    """
    if preparation.masks is not None:
        from artcli.training.data.masks import Masks

        masks = Masks(preparation.masks)
        return lambda name, rgb: masks.of(name, rgb.shape[:2])
    if preparation.cutout == "box":
        from artcli.training.data import cutout

        return lambda name, rgb: cutout.find(rgb, preparation.box)
    if preparation.cutout == "maskrcnn":
        assert preparation.maskrcnn is not None
        from artcli.training.data.maskrcnn import MaskRCNN

        finder = MaskRCNN(preparation.maskrcnn)
        return lambda name, rgb: finder.find(rgb)
    return None
