"""Bytes from anywhere (file, standard input, memory) to an open Pillow image, or one clear line why not."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from artcli.errors import UsageError
from artcli.media import files

Source = Path | files.Stdio | bytes

MAX_PIXELS = 178_956_970  # Pillow's own limit, half a gigabyte of RGB

# An explicit list keeps files away from Pillow's riskier readers; EPS, for one, starts Ghostscript.
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000", "ICO", "HEIF")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")  # brands of the files that phones write

_SIGNS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the picture: run git lfs pull"),
    (b"<!doctype html", "a web page, perhaps of a failed download: fetch the picture again"),
    (b"<html", "a web page, perhaps of a failed download: fetch the picture again"),
    (b"<svg", "a vector drawing (SVG): export it as PNG"),
    (b"<?xml", "an XML file, perhaps a vector drawing (SVG): export it as PNG"),
    (b"%pdf", "a PDF document: export the page as PNG"),
    (b"pk\x03\x04", "a zip archive: unpack it first"),
    (b"\x1ae\xdf\xa3", "a film: give a picture"),
    (b"\x89png", "damaged: copy or download it again"),
    (b"\xff\xd8\xff", "damaged: copy or download it again"),
    (b"gif8", "damaged: copy or download it again"),
    (b"ii*\x00", "a TIFF of a kind that cannot be read here: convert it to 8-bit PNG"),
    (b"mm\x00*", "a TIFF of a kind that cannot be read here: convert it to 8-bit PNG"),
)


def label(source: Source) -> str:
    """What an error line calls the source."""
    if isinstance(source, bytes):
        return "the image in memory"
    return "standard input" if str(source) == "-" else str(source)


def open_image(source: Source, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image with its header read and its pixels not yet decoded (`load()` does that, inside `guarded`).

    Raises UsageError: missing, folder, empty, no image, too many pixels, a terminal on standard input.
    """
    data = _read(source)
    name = label(source)
    if not data:
        raise UsageError(f"{name} is empty (0 bytes): no image to read.")
    if _is_heic(data):
        _register_heic(name)
    with guarded(name, max_pixels):
        try:
            image = _identified(data)
        except UnidentifiedImageError as error:
            raise UsageError(f"{name} is {_looks_like(data)}.") from error
    if image.width * image.height > max_pixels:
        raise _too_large(name, max_pixels)
    return image


def _identified(data: bytes) -> Image.Image:
    """By the few plugins that Pillow imports first; the others take longer than to read a small picture."""
    Image.preinit()
    try:
        return Image.open(BytesIO(data), formats=_known())
    except UnidentifiedImageError:
        Image.init()
        return Image.open(BytesIO(data), formats=_known())


def _known() -> list[str]:
    return [form for form in _FORMATS if form in Image.OPEN]


def has_several(image: Image.Image) -> bool:
    """Whether frames or pages come behind the first one of an opened image; a camera's second view is none."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # the second one is cut short, so there is one
        return True


def _is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC and b"avif" not in data[8:40]


def _register_heic(name: str) -> None:
    """Let Pillow read HEIC through pillow-heif, which is an extra."""
    try:
        import pillow_heif
    except ImportError:
        raise UsageError(
            f"{name} is an HEIC photo, which needs pillow-heif: pip install 'artgen[heic]', or convert it to JPEG."
        ) from None
    pillow_heif.register_heif_opener()


def size_of(source: Source) -> tuple[int, int]:
    """(width, height) of the picture upright, from its header alone.  Raises UsageError as `open_image` does."""
    image = open_image(source)
    try:
        turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    except Exception:  # damaged EXIF; the picture is still good
        turned = False
    return (image.height, image.width) if turned else (image.width, image.height)


_ORIENTATION = 0x0112  # the EXIF tag


@contextmanager
def guarded(name: str, max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Turn whatever Pillow raises on damaged data into UsageError, and hold its own checks to `max_pixels`."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max(1, max_pixels // 2)  # Pillow warns above the limit and refuses above twice that
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UsageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, max_pixels) from error
    except Exception as error:  # its decoders raise OSError, SyntaxError, ValueError, struct.error, IndexError, ...
        what = "cut short" if "truncated" in str(error).lower() else f"damaged ({error})"
        raise UsageError(f"{name} is {what}: copy or download it again.") from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _too_large(name: str, max_pixels: int) -> UsageError:
    return UsageError(f"{name} has more than {max_pixels / 1e6:.0f} million pixels: shrink it first.")


def _read(source: Source) -> bytes:
    if isinstance(source, bytes):
        return source
    if str(source) == "-":
        return _read_stdin()
    assert isinstance(source, Path)
    found = files.kind(source)
    if found == "missing":
        raise files.missing(source)
    if found == "folder":
        raise UsageError(f"{source} is a folder: name an image in it.")
    try:
        return source.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {files.reason(error)}.") from error


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():  # waiting for typed pixels looks like a hang
        raise UsageError("- means an image on standard input, but that is the terminal: use < FILE, or name the file.")
    return sys.stdin.buffer.read()


def _looks_like(data: bytes) -> str:
    """What a file that is no image seems to be, and what to do."""
    head = data[:512].lstrip().lower()
    for sign, meaning in _SIGNS:
        if head.startswith(sign):
            return meaning
    if data[4:8] == b"ftyp":
        still = data[8:12] in (*_HEIC, b"avif", b"avis")
        return "an HEIC or AVIF photo that cannot be read: convert it to JPEG" if still else "a film: give a picture"
    if not any(byte < 9 or 13 < byte < 32 for byte in data[:512]):
        return "a text file, not an image, whatever its name says"
    return "not an image in a known format (PNG, JPEG, WebP, TIFF, BMP, GIF, ...)"
