"""Pictures with a part of the styles of others, as a table: each row's picture with styles of each column's."""

from typing import TYPE_CHECKING

import torch

from artcli.commands.sample import sheet

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session


def count(session: "Session") -> int:
    rows, columns = _halves(session)
    return (len(rows) + 1) * (len(columns) + 1) - 1


def make(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    rows, columns = _halves(session)
    across = len(columns) + 1
    sheet.check(*sheet.size(across * (len(rows) + 1), across, sampler.size))
    recipe = session.recipe()
    kept, given = (sampler.latents(seeds, request.options.truncation) for seeds in (rows, columns))
    pairs = [(w, w) for w in given]
    for w in kept:
        pairs += [(w, w), *((w, other) for other in given)]

    def styles(cell: int) -> torch.Tensor:
        w, other = pairs[cell]
        return sampler.model.mix(w[None], other[None], request.options.mix)[0]

    drawn = session.watched(sampler.decode(len(pairs), styles), len(pairs))
    cells = [None, *(sampler.pixels(picture) for picture in drawn)]
    facts = {"rows": list(rows), "columns": list(columns), "styles": request.options.mix}
    session.save(request.out, sheet.grid(cells, across), recipe, **facts)
    session.done(f"{request.options.mix} styles of {len(columns)} pictures in {len(rows)} others")


def _halves(session: "Session") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seeds of the rows, and of the columns."""
    seeds = session.request.seeds
    return seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]
