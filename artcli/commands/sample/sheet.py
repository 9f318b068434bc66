"""Pictures side by side and below each other on white, with lines of text between: the sheets of `artgen sample`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from artcli.errors import UsageError

Array = np.ndarray[Any, Any]  # (H, W, 3) uint8

GAP = 2  # pixels between pictures
TEXT = 13  # pixels, the height of letters
LARGEST_SIDE = 16_383  # pixels; the least of what the formats hold
MOST_PIXELS = 178_956_970  # what can be read again


def near_square(count: int) -> int:
    """Columns of a grid of `count` pictures."""
    return math.ceil(math.sqrt(count))


def size(count: int, columns: int, cell: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a grid; cell: those of a picture."""
    columns = min(columns, count)
    rows = -(-count // columns)
    return columns * (cell[0] + GAP) - GAP, rows * (cell[1] + GAP) - GAP


def check(width: int, height: int) -> None:
    """Raises UsageError for a sheet that no file could hold."""
    if max(width, height) > LARGEST_SIDE or width * height > MOST_PIXELS:
        raise UsageError(
            f"the sheet would have {width}x{height} pixels, more than fit: ask for fewer pictures, other --columns, "
            "a smaller --size, or --separate files."
        )


def grid(pictures: Sequence[Array | None], columns: int) -> Array:
    """Row by row, all of one size; None leaves a place white.  A single picture is the sheet itself."""
    height, width = next(picture for picture in pictures if picture is not None).shape[:2]
    across, down = size(len(pictures), columns, (width, height))
    paper = np.full((down, across, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        if picture is not None:
            row, column = divmod(place, min(columns, len(pictures)))
            top, left = row * (height + GAP), column * (width + GAP)
            paper[top : top + height, left : left + width] = picture
    return paper


def stack(bands: Sequence[Array], gap: int = GAP) -> Array:
    """Below each other, flush left."""
    width = max(band.shape[1] for band in bands)
    height = sum(band.shape[0] + gap for band in bands) - gap
    paper = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for band in bands:
        paper[top : top + band.shape[0], : band.shape[1]] = band
        top += band.shape[0] + gap
    return paper


def text(words: str, width: int) -> Array:
    """Black on white, broken into lines of at most `width` pixels where the words allow it."""
    font = ImageFont.load_default(TEXT)
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width - 4:
            lines.append(word)
        else:
            lines[-1] = longer
    step = TEXT + 4
    needed = max(width, *(math.ceil(font.getlength(line)) + 4 for line in lines))
    paper = Image.new("RGB", (needed, step * len(lines) + 2), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(paper).text((2, 1 + step * number), line, fill="black", font=font)
    return np.asarray(paper)
