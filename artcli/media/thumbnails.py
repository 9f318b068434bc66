"""Small WebP pictures that stand inside pages."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

from PIL import Image

QUALITIES = {85: 1.0, 70: 0.72, 55: 0.6, 40: 0.5}  # of WebP, and the least that such a file takes of one at 85


def encode(image: Image.Image, limit: int, exact: int = 300 * 300) -> bytes:
    """WebP in at most `limit` bytes: exact where that fits and the picture has at most `exact` pixels, as in grids of
    tiny pictures; otherwise the best quality that does."""
    if image.width * image.height <= exact and len(data := _webp(image, lossless=True)) <= limit:
        return data
    while True:
        largest = None
        for quality, part in QUALITIES.items():
            if largest and largest * part > limit:
                continue  # encoding is what takes the time
            data = _webp(image, quality=quality)
            if len(data) <= limit:
                return data
            largest = largest or len(data)
        if max(image.size) < 32:
            return data
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX)


def uri(data: bytes) -> str:
    """The address of a WebP inside a page."""
    return f"data:image/webp;base64,{b64encode(data).decode()}"


def _webp(image: Image.Image, **options: int | bool) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "WEBP", method=2, **options)  # twice as fast as the usual 4, and hardly larger
    return buffer.getvalue()
