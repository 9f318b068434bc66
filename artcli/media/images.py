"""Pictures in and out: any common file to sRGB floats, and tensors or arrays back to files that carry their recipe."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from PIL import Image, ImageCms, ImageOps

from artcli.errors import ArtgenError, UsageError
from artcli.media import decode, exif, files, recipe_text, record

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]
Pixels = TypeVar("Pixels", Array, "torch.Tensor")

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
}
WRITABLE = tuple(FORMATS)

_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
_log = logging.getLogger(__name__)  # a console shows what it says
_TIFF_PHOTOMETRIC, _TIFF_BITS, _TIFF_WHITE = 262, 258, 281
_DIM = 16_383  # of 65535: with nothing brighter, words of 16 bits may hold 14, 12 or 10
_RUN_LENGTHS = 3  # zlib's Z_RLE: no search for repetitions, which painted pixels have none of: a fifth of the time
_LARGEST_SIDE = {"JPEG": 65_535, "AVIF": 65_535, "WEBP": 16_383}


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright.

    rgb: (H, W, 3) float32 in 0..1, sRGB; where nothing shows, the mean of what does: no hidden colour ever weighs.
    alpha: (H, W) float32 in 0..1, None when everything is opaque.
    icc_converted: the pixels were changed from the profile in the file to sRGB.  bits: the precision of `rgb`.
    name: the file name without suffix, "stdin" or "image"; the stem for default outputs.
    exif: what it says of its making, for `save`, or None.
    """

    rgb: Array
    alpha: Array | None
    icc_converted: bool
    bits: Literal[8, 16]
    name: str
    exif: bytes | None = None


# --- reading -------------------------------------------------------------------------------------------------------


def load(source: decode.Source, *, max_pixels: int = decode.MAX_PIXELS) -> Picture:
    """Read a file, "-" (standard input) or encoded bytes; of several frames or pages the first.

    Raises UsageError with one line: missing, folder, empty, truncated, not an image, more than `max_pixels`.
    """
    image = decode.open_image(source, max_pixels)
    if not isinstance(source, bytes) and decode.has_several(image):  # whoever has bytes knows what they are of
        what = "is an animation: its first frame" if image.format in _ANIMATED else "has several pages: the first"
        _log.info("%s %s is taken", decode.label(source), what)
    with decode.guarded(decode.label(source), max_pixels):
        words = any(";16" in str(tile) for tile in getattr(image, "tile", ()))
        white = _stated_white(image)
        image.load()
        white_is_zero = image.format == "TIFF" and image.getexif().get(_TIFF_PHOTOMETRIC) == 0
        profile = image.info.get("icc_profile")
        carried = exif.kept(image)
        image = upright(image)
        name = _stem(source)
        if image.mode.startswith(("I", "F")):
            scale = _full_scale(np.asarray(image), white, decode.label(source))
            return replace(_deep_grey(image, profile, name, scale, white_is_zero), exif=carried)
        if words and white is None:
            _check_high_bytes(image, decode.label(source))
        return replace(_eight_bit(image, profile, name), exif=carried)


def _stated_white(image: Image.Image) -> int | None:
    """The integer that a TIFF says is white, by a tag of its own or by bits that do not fill its words."""
    tags = getattr(image, "tag_v2", {})
    told, bits = tags.get(_TIFF_WHITE), tags.get(_TIFF_BITS, (16,))
    told = told[0] if isinstance(told, tuple) else told
    bits = bits[0] if isinstance(bits, tuple) else bits
    return told or (2**bits - 1 if 8 < bits < 16 else None)


def _check_high_bytes(image: Image.Image, name: str) -> None:
    """Of colours of 16 bits there is the high byte only."""
    ranges = image.getextrema()
    colours = ranges[: 1 if image.mode in ("LA", "La") else 3]
    high = max(band[1] for band in colours)  # type: ignore[index]
    if 0 < high <= _DIM // 256:
        raise _white_unknown(name, 0, 256 * high + 255)


def _white_unknown(name: str, low: float, high: float) -> UsageError:
    return UsageError(f"{name} has values from {low:g} to {high:g}, so white is unknown: convert it to 8-bit PNG.")


def _stem(source: decode.Source) -> str:
    if isinstance(source, Path):
        return source.stem
    return "stdin" if source == "-" else "image"


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF; the pixels are still good
        return image


def _eight_bit(image: Image.Image, profile: bytes | None, name: str) -> Picture:
    # Pillow reads 16-bit RGB and RGBA (PNG and TIFF) as 8 bits, the high byte, so they arrive here too.
    alpha = None
    if image.has_transparency_data:
        image, alpha = _split_alpha(image)
    rgb, converted = _to_srgb(image, profile)
    return Picture(_without_hidden(_unit(rgb), alpha), alpha, converted, 8, name)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Array | None]:
    """Colours and alpha apart, not blended; alpha is None where all pixels are opaque."""
    if image.mode == "La":  # premultiplied grey, which Pillow converts in one way only
        image = image.convert("LA")
    if image.mode != "LA":
        image = image.convert("RGBA")
    alpha = _unit(image.getchannel("A"))
    colours = image.getchannel("L") if image.mode == "LA" else image.convert("RGB")
    return colours, None if alpha.min() == 1 else alpha


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """An RGB image, and whether a profile changed it."""
    if image.mode in ("1", "P", "RGBX"):  # their profile, if any, speaks of the colours and not of the indices
        image = image.convert("L" if image.mode == "1" else "RGB")
    if profile and (converted := _through_profile(image, profile)):
        return converted, True
    return image.convert("RGB"), False


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """None for a profile that is broken, made for another kind of image, or sRGB already."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith("sRGB"):
            return None
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _deep_grey(image: Image.Image, profile: bytes | None, name: str, scale: float, white_is_zero: bool) -> Picture:
    """Grey of more than 8 bits: I;16 and I (16-bit PNG, TIFF) and F (float TIFF).  scale: the value of white."""
    values = np.asarray(image)
    grey = values.astype(np.float32) / scale
    grey = 1 - grey if white_is_zero else grey  # Pillow applies this TIFF flag to 8 bits only
    clear = image.info.get("transparency")  # PNG: one grey value that is see-through
    alpha = None if clear is None else (values != clear).astype(np.float32)
    rgb, converted = np.repeat(grey[..., None], 3, axis=2), False
    if profile and (ramp := _through_profile(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), profile)):
        curve = _unit(ramp)[0]  # (256, 3): littleCMS takes no 16-bit grey from Pillow, so its curve is read off
        levels = np.linspace(0, 1, 256)
        rgb = np.stack([np.interp(grey, levels, curve[:, c]) for c in range(3)], axis=2).astype(np.float32)
        converted = True
    return Picture(_without_hidden(rgb, alpha), alpha, converted, 16, name)


def _without_hidden(rgb: Array, alpha: Array | None) -> Array:
    """The colours, changed in place: two files that look alike are alike, whatever lies beneath their transparency."""
    if alpha is not None:
        shown = alpha > 0
        rgb[~shown] = np.average(rgb[shown], axis=0, weights=alpha[shown]) if shown.any() else 0.5
    return rgb


def as_mask(picture: Picture) -> Array:
    """A picture as a mask, (H, W) float32 in 0..1: 1 where white, 0 where black or transparent.

    A shape drawn in black on a transparent ground counts by its alpha.  One of 0 and 1 instead of 0 and white, as
    programs that label pixels write them, counts as if it were white.
    """
    white = picture.rgb.mean(2)
    if picture.alpha is not None:
        drawn_in_black = not (white * picture.alpha).any()
        white = picture.alpha if drawn_in_black else white * picture.alpha
    least = 1 / (255 if picture.bits == 8 else 65_535)
    return (white > 0).astype(np.float32) if 0 < white.max() < 1.5 * least else white


def _full_scale(values: Array, stated: int | None, name: str) -> float:
    """The value of white: as stated, or by the range 1 (floats), 255, or 65535 if some values come near it."""
    if stated and values.dtype.kind != "f" and values.max() <= stated:
        return stated
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind != "f" or bool(np.all(values == np.floor(values)))
    if low >= 0 and high <= 1 and values.dtype.kind == "f":
        return 1.0
    if low >= 0 and high <= 255 and whole and (high > 1 or values.dtype.kind == "f"):
        return 255.0
    if low >= 0 and high <= 65_535 and whole and not 1 < high <= _DIM:
        return 65_535.0
    raise _white_unknown(name, low, high)


def _unit(image: Image.Image) -> Array:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


# --- tensors -------------------------------------------------------------------------------------------------------


def to_tensor(picture: Picture) -> torch.Tensor:
    """The colours as (3, H, W) float32 in 0..1 on the CPU."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(picture.rgb.transpose(2, 0, 1)))


def from_tensor(image: torch.Tensor) -> Array:
    """A (3, H, W) tensor in 0..1, any float type and device, as (H, W, 3) uint8; clamped, halves rounded up.

    Raises ArtgenError when it holds NaN, which no pixel can show.
    """
    image = image.detach().float()
    if image.isnan().any():
        raise ArtgenError("the image holds NaN: the computation diverged; try a lower learning rate or full precision.")
    levels = image.clamp(0, 1).mul_(255).add_(0.5).floor_().byte()  # a large picture has no room for copies
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()


def resize(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Lanczos, antialiased, to `size` = (width, height).

    Takes and gives back (H, W, 3) or (H, W) uint8, the same in float 0..1, or a (3, H, W) float tensor in 0..1.
    """
    if isinstance(image, np.ndarray):
        return _resize_array(image, size)
    import torch

    bands = _resize_array(image.detach().float().permute(1, 2, 0).cpu().numpy(), size)
    return torch.from_numpy(bands).permute(2, 0, 1).contiguous().to(image)


def _resize_array(image: Array, size: tuple[int, int]) -> Array:
    if image.dtype == np.uint8:
        return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    if image.ndim == 3:
        return np.stack([_resize_array(image[..., band], size) for band in range(image.shape[2])], axis=2)
    grey = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    return np.clip(np.asarray(grey.resize(size, Image.Resampling.LANCZOS)), 0, 1)  # Lanczos overshoots at edges


# --- writing -------------------------------------------------------------------------------------------------------


def save(
    path: Path,
    image: Array | torch.Tensor,
    *,
    alpha: Array | None = None,
    recipe: record.Recipe | None = None,
    photo: bytes | None = None,
    quality: int = 95,
) -> None:
    """Write PNG, JPEG, WebP, TIFF or AVIF, by the suffix of `path`; the old file stays until the new one is complete.

    path: "-" writes a PNG to standard output.
    image: (H, W, 3) uint8, or a (3, H, W) tensor in 0..1.  alpha: (H, W) in 0..1; JPEG, which has none, gets white.
    photo: EXIF of the picture that it was made of, see `Picture`; without a recipe there are no metadata, nor these.
    quality: of JPEG, WebP and AVIF, 1..100; the others are lossless.
    Raises UsageError (suffix), ArtgenError (disk, NaN).
    """
    if str(path) == "-":
        sys.stdout.buffer.write(encode(image, "PNG", recipe, alpha=alpha, photo=photo))
        sys.stdout.buffer.flush()
        return
    format = FORMATS[files.check_extension(path, WRITABLE)]
    if format == "JPEG" and alpha is not None and (alpha < 1).any():
        _log.info("JPEG has no transparency: what was see-through is white; PNG, WebP, TIFF and AVIF keep it")
    # In memory, as Pillow hides why a write failed.
    data = encode(image, format, recipe, alpha=alpha, photo=photo, quality=quality)
    with files.atomic(path) as temp:
        temp.write_bytes(data)


def encode(
    image: Array | torch.Tensor,
    format: str = "PNG",
    recipe: record.Recipe | None = None,
    *,
    alpha: Array | None = None,
    photo: bytes | None = None,
    quality: int = 95,
) -> bytes:
    """The bytes of the file that `save` would write.  format: "PNG", "JPEG", "WEBP", "TIFF" or "AVIF"."""
    pixels = image if isinstance(image, np.ndarray) else from_tensor(image)
    check_side(max(pixels.shape[:2]), format)
    picture = _with_alpha(Image.fromarray(pixels), alpha, opaque=format == "JPEG")
    out = BytesIO()
    options = {**_options(format, quality), **embedded(format, recipe, photo), "icc_profile": _srgb()}
    if format == "TIFF" and photo is not None and recipe is not None:
        options["compression"] = "raw"  # the compressing writer fails at EXIF's tables within tables
    picture.save(out, format, **options)
    return out.getvalue()


def check_side(side: int, format: str) -> None:
    """Raises ArtgenError for a picture whose longer side has more pixels than a file of this format can hold."""
    if side > _LARGEST_SIDE.get(format, side):
        raise ArtgenError(f"{format} holds at most {_LARGEST_SIDE[format]} pixels a side, not {side}: write a PNG.")


def _with_alpha(picture: Image.Image, alpha: Array | None, *, opaque: bool) -> Image.Image:
    if alpha is None:
        return picture
    mask = Image.fromarray((np.clip(alpha, 0, 1) * 255 + 0.5).astype(np.uint8))
    if opaque:
        return Image.composite(picture, Image.new("RGB", picture.size, "white"), mask)
    picture.putalpha(mask)
    return picture


def _options(format: str, quality: int) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "PNG": {"compress_type": _RUN_LENGTHS},
        "JPEG": {"quality": quality, "subsampling": 0 if quality >= 90 else 2},  # thin coloured strokes need 4:4:4
        "WEBP": {"quality": quality},
        "AVIF": {"quality": quality, "subsampling": "4:4:4", "max_threads": 1},  # bytes that no machine's cores change
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    return options[format]


@cache
def _srgb() -> bytes:
    """The profile of written files, dated the first of 2000, so that its bytes are always the same."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]) + profile[36:]


def embedded(format: str, recipe: record.Recipe | None, photo: bytes | None = None) -> dict[str, Any]:
    """Pillow's arguments that carry the recipe, in a text chunk of PNG or a field of EXIF, and a photo's own EXIF."""
    if recipe is None:
        return {}
    text = recipe_text.to_text(recipe)
    if format != "PNG":
        return {"exif": exif.with_recipe(photo, text)}
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text(recipe_text.KEY, text)
    return {"pnginfo": chunks} | ({} if photo is None else {"exif": exif.with_recipe(photo, None)})
