"""Grids of pictures over time: which of them the page shows, and their pixels inside it."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from artcli.errors import UsageError
from artcli.media import decode, thumbnails

MOST = 12  # grids of one kind
BUDGET = 2_400_000  # bytes of all pictures together, a third less than what they take as text in the page
LARGEST = 300_000  # bytes of one picture
SIDE = 800  # pixels; the page is not much wider


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
    return Grid(step, thumbnails.uri(thumbnails.encode(image, limit)), image.width, image.height)
