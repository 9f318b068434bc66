"""Given pictures through the model and back: the input above, what came back below."""

import math
from typing import TYPE_CHECKING

from artcli.commands.sample import given, sheet
from artcli.console import counted

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

COLUMNS = 8
BETWEEN_PAIRS = 8  # pixels, so that it shows which two rows belong together


def count(session: "Session") -> int:
    return len(session.request.pictures)


def make(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    columns = min(request.options.columns or COLUMNS, len(request.pictures))
    width, height = sheet.size(len(request.pictures), columns, sampler.size)
    sheet.check(width, 2 * height + BETWEEN_PAIRS * (len(request.pictures) // columns + 1))
    recipe = session.recipe()
    found = given.read(request.pictures, sampler.preparation, session.console)
    back = list(session.watched(sampler.reconstruct(found.pictures), len(found.names)))
    quality = [given.psnr(one / 255, other) for one, other in zip(found.pictures, back, strict=True)]
    for name, value in zip(found.names, quality, strict=True):
        session.console.info(f"sample: {name}: PSNR {value:.2f} dB")
    pairs = [(sampler.pixels(one), sampler.pixels(other)) for one, other in zip(found.pictures, back, strict=True)]
    mean = sum(quality) / len(quality)
    facts = {"pictures": found.names, "psnr": [_finite(value) for value in quality], "psnr_mean": _finite(mean)}
    session.save(request.out, _sheet(pairs, columns), recipe, **facts)
    session.done(f"{counted(len(pairs), 'picture')} reconstructed, {mean:.2f} dB on average,")
    given.report_failed(found)


def _sheet(pairs: list[tuple[sheet.Array, sheet.Array]], columns: int) -> sheet.Array:
    starts = range(0, len(pairs), columns)
    bands = []
    for start in starts:
        above, below = zip(*pairs[start : start + columns], strict=True)
        bands.append(sheet.stack([sheet.grid(above, columns), sheet.grid(below, columns)]))
    return sheet.stack(bands, BETWEEN_PAIRS)


def _finite(decibels: float) -> float | None:
    """JSON has no infinity, the PSNR of equal pictures."""
    return round(decibels, 3) if math.isfinite(decibels) else None
