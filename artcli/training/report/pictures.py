"""Grids of pictures over time: which of them the page shows, and their pixels inside it."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from artcli.errors import UsageError
from artcli.media import decode

MOST = 12  # grids of one kind
BUDGET = 2_400_000  # bytes of all pictures together, a third less than what they take as text in the page
LARGEST = 300_000  # bytes of one picture
SIDE = 800  # pixels; the page is not much wider
QUALITIES = {85: 1.0, 70: 0.72, 55: 0.6, 40: 0.5}  # of WebP, and the least that such a file takes of one at 85


@dataclass(frozen=True)
class Grid:
    """One picture in the page; `uri` holds its bytes."""

    step: int
    uri: str
    width: int
    height: int


def choose(found: list[tuple[int, Path]], most: int = MOST) -> list[tuple[int, Path]]:
    """At most `most` (2 or more) of the grids, first and last among them; closer together at the start, where most
    happens."""
    if len(found) <= most:
        return found
    last = len(found) - 1
    wanted = [round((index / (most - 1)) ** 1.5 * last) for index in range(most)]
    for index in range(1, most):  # the first ones may fall together
        wanted[index] = max(wanted[index], wanted[index - 1] + 1)
    return [found[index] for index in wanted]


def embed(chosen: list[tuple[int, Path]], allowance: int, problems: list[str]) -> list[Grid]:
    """The pictures that can be read, each in at most `allowance` bytes; the others are added to the problems."""
    grids = []
    for step, path in chosen:
        try:
            grids.append(_embed(step, path, allowance))
        except (UsageError, OSError) as error:
            problems.append(str(error))
    return grids


def allowance(count: int) -> int:
    """Bytes that each of `count` pictures may take."""
    return min(LARGEST, BUDGET // max(count, 1))


def _embed(step: int, path: Path, limit: int) -> Grid:
    image = decode.open_image(path)
    with decode.guarded(decode.label(path)):
        image.load()
        image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = _encode(image, limit)
    return Grid(step, f"data:image/webp;base64,{b64encode(data).decode()}", image.width, image.height)


def _encode(image: Image.Image, limit: int) -> bytes:
    """WebP: exact where that fits, as in grids of tiny pictures; otherwise the best quality that does."""
    if image.width * image.height <= 300 * 300 and len(exact := _webp(image, lossless=True)) <= limit:
        return exact
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


def _webp(image: Image.Image, **options: int | bool) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "WEBP", method=2, **options)  # twice as fast as the usual 4, and hardly larger
    return buffer.getvalue()
