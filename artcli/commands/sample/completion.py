"""Pictures completed from a part of them: the part, what the model makes of it, and the original out of its codes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from artcli.commands.sample import given, sheet
from artcli.console import counted
from artcli.errors import UsageError
from artcli.training.data import prepare

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

_KEPT = 0.5  # of the mask over a code; with less it is drawn anew


def count(session: "Session") -> int:
    return len(session.request.pictures) * len(session.request.seeds)


def make(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    side = _side(session)
    sampler.work_at(side)
    preparation = replace(sampler.preparation, size=side)
    _say_what_becomes_of_them(session, side)
    keep = _codes(session, preparation, side)
    columns = len(request.seeds) + 2
    sheet.check(*sheet.size(columns * len(request.pictures), columns, sampler.size))
    recipe = session.recipe()
    found = given.read(request.pictures, preparation, session.console)
    seeds = list(request.seeds) * len(found.names)
    whole = found.pictures.repeat_interleave(len(request.seeds), 0)
    classes = session.cycled(len(request.seeds)) * len(found.names)
    drawn = list(session.watched(sampler.complete(whole, keep, seeds, classes), len(seeds)))
    coded = list(sampler.reconstruct(found.pictures))
    cells = []
    for row, picture in enumerate(found.pictures):
        mine = drawn[row * len(request.seeds) : (row + 1) * len(request.seeds)]
        shown = sampler.model.kept_part(picture[None].float() / 255, keep)[0]
        cells += [sampler.pixels(each) for each in (shown, *mine, coded[row])]
    facts = {"pictures": found.names, "seeds": list(request.seeds), "kept": round(keep.float().mean().item(), 4)}
    session.save(request.out, sheet.grid(cells, columns), recipe, **facts)
    session.done(f"{counted(len(seeds), 'completion')}, between what was kept and the original out of its codes,")
    given.report_failed(found)


def _side(session: "Session") -> int:
    """Pixels of the pictures that are completed."""
    size, factor = session.request.size, session.sampler.model.first.factor
    if size is None:
        return session.sampler.side
    if session.sampler.model.first.fixed:
        raise UsageError(f"{session.sampler.title} works at its own size only: leave --size out")
    if size[0] != size[1]:
        raise UsageError(f"--complete works on squares, not on {size[0]}x{size[1]} pixels: --size {min(size)}")
    if size[0] % factor or size[0] < session.sampler.side:
        near = max(session.sampler.side, round(size[0] / factor) * factor)
        raise UsageError(
            f"--complete works on multiples of {factor} pixels from {session.sampler.side} on, not on {size[0]}: "
            f"--size {near}"
        )
    return size[0]


def _say_what_becomes_of_them(session: "Session", side: int) -> None:
    """Pictures of another size or shape are brought to that of the training pictures, as those were."""
    for source in session.request.pictures:
        size = _size_of(source)
        if size is None or size == (side, side):
            continue
        cut = "cropped and scaled" if session.sampler.preparation.crop == "center" and size[0] != size[1] else "scaled"
        session.console.info(
            f"sample: {source} has {size[0]}x{size[1]} pixels; it is {cut} to {side}x{side}, as training pictures are"
        )


def _size_of(source: Any) -> tuple[int, int] | None:
    """(width, height) of a file; None for standard input, and for what `given.read` has to judge."""
    if str(source) == "-":
        return None
    try:
        height, width = prepare.decode(source, (255, 255, 255)).shape[:2]
    except UsageError:
        return None
    return width, height


# --- what is kept ----------------------------------------------------------------------------------------------------


def _codes(session: "Session", preparation: prepare.Preparation, side: int) -> torch.Tensor:
    """(rows, columns), true for the codes that are kept."""
    wanted, factor = session.request.keep, session.sampler.model.first.factor
    assert wanted is not None
    rows = side // factor
    if wanted.mask is not None:
        return _masked(session, wanted.mask, preparation, factor)
    keep = torch.zeros(rows, rows, dtype=torch.bool)
    keep[tuple(zip(*wanted.places(rows, rows), strict=True))] = True
    return keep


def _masked(session: "Session", mask: Path, preparation: prepare.Preparation, factor: int) -> torch.Tensor:
    """Raises UsageError for a mask of another size than the pictures, or one that keeps all or nothing."""
    pixels = prepare.decode(mask, (0, 0, 0))
    size = (pixels.shape[1], pixels.shape[0])
    for source in session.request.pictures:
        other = _size_of(source)
        if other is not None and other != size:
            raise UsageError(
                f"--keep {mask} has {size[0]}x{size[1]} pixels and {source} {other[0]}x{other[1]}: they have to be of "
                "one size"
            )
    plain = replace(preparation, color="grey", cutout="none")
    white = prepare.apply(np.ascontiguousarray(pixels), None, plain)[..., 0].astype(np.float32) / 255
    parts = white.reshape(len(white) // factor, factor, -1, factor).mean((1, 3))
    keep = torch.from_numpy(parts >= _KEPT)
    if keep.all() or not keep.any():
        what = "all, and there is nothing left" if keep.all() else "nothing, and there is nothing"
        raise UsageError(f"--keep {mask} keeps {what} to complete: white is kept, black is drawn")
    return keep
