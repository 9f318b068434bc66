"""The nearest training picture beside each sample: does the model make new pictures, or does it remember?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from artcli.commands.sample import examples, sheet
from artcli.commands.sample.generator import Sampler

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

COARSE = 16  # pixels: detail that lies a pixel aside must not count as different
AT_ONCE = 512  # training pictures in memory
TRIPLES = 3  # samples in a row of the sheet
BETWEEN = 8  # pixels between samples
NAMES = {"pixels": f"pixels ({COARSE}x{COARSE} averages)", "latents": "latent space"}


class Near(NamedTuple):
    """The row of a training picture, its name, and its distance: root mean square difference per number."""

    row: int
    name: str
    distance: float


def count(session: "Session") -> int:
    return len(session.request.seeds)


def make(session: "Session") -> None:
    from artcli.training import runs

    request, sampler = session.request, session.sampler
    measures = measures_of(sampler)
    columns = request.options.columns or TRIPLES
    _check_size(len(request.seeds), columns, 1 + len(measures), sampler.size)
    recipe = session.recipe()
    data = runs.dataset_of(sampler.loaded)
    drawn_classes = session.cycled(len(request.seeds))
    samples = torch.stack(list(sampler.generate(request.seeds, drawn_classes, request.options.truncation)))
    found = nearest(sampler, samples, data, measures, session)
    _say(session, found)
    drawn = []
    for number, sample in enumerate(samples):
        row = [sampler.pixels(sample)]
        row += [sampler.pixels(examples.picture(data, near[number].row)) for near in found.values()]
        drawn.append(sheet.grid(row, len(row)))
    facts = {name: [near._asdict() for near in nears] for name, nears in found.items()}
    session.save(request.out, _sheet(drawn, columns, measures), recipe, seeds=list(request.seeds), **facts)
    session.done(f"{len(samples)} samples beside the nearest of {len(data.training)} training pictures")


def measures_of(sampler: Sampler) -> list[str]:
    """What distance can be measured in; the latent space only where the model has an encoder."""
    return ["pixels", "latents"] if callable(getattr(sampler.model, "encode", None)) else ["pixels"]


def nearest(
    sampler: Sampler, samples: torch.Tensor, data: Any, measures: Sequence[str], session: "Session"
) -> dict[str, list[Near]]:
    """For every measure the nearest training picture of each sample, (N, C, H, W) in 0..1; one pass over the data."""
    forms = {name: _form(sampler, samples, name) for name in measures}
    best = {name: torch.full((len(samples),), torch.inf) for name in measures}
    rows = {name: torch.zeros(len(samples), dtype=torch.long) for name in measures}
    for chosen, pictures in session.watched(_chunks(data), -(-len(data.training) // AT_ONCE)):
        for name in measures:
            apart = _distances(forms[name], _form(sampler, pictures, name))  # (N, chunk)
            value, index = apart.min(1)
            nearer = value < best[name]
            best[name] = torch.where(nearer, value, best[name])
            rows[name] = torch.where(nearer, chosen[index], rows[name])
    return {
        name: [
            Near(int(row), str(data.names[int(row)]), round(float(value), 5))
            for row, value in zip(rows[name], best[name], strict=True)
        ]
        for name in measures
    }


def _chunks(data: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Rows of the training pictures, (n,), and these, (n, C, H, W) in 0..1; what was held out is not among them."""
    for start in range(0, len(data.training), AT_ONCE):
        rows = data.training[start : start + AT_ONCE]
        yield torch.from_numpy(rows), torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2).float() / 255


def _form(sampler: Sampler, pictures: torch.Tensor, measure: str) -> torch.Tensor:
    """What is compared, (N, numbers) on the CPU."""
    if measure == "pixels":
        return F.adaptive_avg_pool2d(pictures, COARSE).flatten(1)
    if pictures.shape[2:] != (sampler.side, sampler.side):
        pictures = F.interpolate(pictures, (sampler.side, sampler.side), mode="area")
    return sampler.encode(pictures)


def _distances(some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    # Not by way of a matrix product, whose rounding would keep equal pictures apart.
    apart = torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist")
    return apart / some.shape[1] ** 0.5


def _say(session: "Session", found: dict[str, list[Near]]) -> None:
    for place, seed in enumerate(session.request.seeds):
        nears = [f"in {NAMES[name]} {near[place].name} ({near[place].distance:.3f})" for name, near in found.items()]
        session.console.info(f"sample: seed {seed}: nearest {', '.join(nears)}")


def _check_size(samples: int, columns: int, width: int, cell: tuple[int, int]) -> None:
    block = sheet.size(width, width, cell)
    across, down = sheet.size(samples, columns, (block[0] + BETWEEN, block[1] + BETWEEN))
    sheet.check(across, down + 100)  # the text above


def _sheet(blocks: list[sheet.Array], columns: int, measures: Sequence[str]) -> sheet.Array:
    rows = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    space = np.full((blocks[0].shape[0], BETWEEN, 3), 255, np.uint8)
    bands = [np.hstack([part for block in row for part in (block, space)][:-1]) for row in rows]
    order = ", ".join(f"nearest training picture in {NAMES[name]}" for name in measures)
    heading = sheet.text(f"From left to right: sample, {order}.", max(240, bands[0].shape[1]))
    return sheet.stack([heading, sheet.stack(bands, BETWEEN)], BETWEEN)
