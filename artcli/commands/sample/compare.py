"""Several models on one sheet, in one size: what has each of them learned?"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from artcli.commands.sample import examples, given, neighbours, paths, sheet
from artcli.commands.sample.generator import Sampler
from artcli.errors import UsageError
from artcli.media import images
from artcli.training.data.augment import to_rgb
from artcli.training.data.prepare import in_color

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

COLUMNS = 8
BETWEEN_SECTIONS = 12  # pixels
TITLES = {
    "reconstructions": "Reconstructions of the pictures in the first row",
    "interpolations": "From the first picture to the second",
    "samples": "Samples, and below each the nearest training picture",
}
Row = list[sheet.Array]


def count(session: "Session") -> int:
    return 3 * _columns(session) * len(session.samplers)


def make(session: "Session") -> None:
    _check_size(session)
    recipe = session.recipe()
    found = _pictures(session)
    ends = _ends(session, found.pictures)
    sections: list[sheet.Array] = []
    facts: dict[str, Any] = {}
    for key, section in (
        ("reconstructions", lambda: _reconstructions(session, found.pictures)),
        ("interpolations", lambda: _interpolations(session, ends)),
        ("samples", lambda: _samples(session)),
    ):
        bands, facts[key] = section()
        sections.append(sheet.stack([sheet.text(TITLES[key], _width(session)), *bands]))
    names = [str(run) for run in session.request.runs]
    facts["pictures"] = found.names
    session.save(session.request.out, sheet.stack(sections, BETWEEN_SECTIONS), recipe, runs=names, **facts)
    session.done(f"{len(names)} models compared")
    given.report_failed(found)


# --- the pictures that every model gets ----------------------------------------------------------------------------


def _pictures(session: "Session") -> given.Given:
    """RGB at the largest size: those of --reconstruct, or of the first run's data, held-out ones first."""
    request, largest = session.request, max(sampler.side for sampler in session.samplers)
    if not request.pictures:
        return _of_data(session, largest)
    found = given.read(request.pictures, given.in_one_size(session.sampler.preparation, largest), session.console)
    columns = _columns(session)
    if len(found.names) > columns:
        session.console.info(f"sample: the first {columns} of {len(found.names)} pictures (--columns)")
    return found._replace(pictures=found.pictures[:columns])


def _of_data(session: "Session", side: int) -> given.Given:
    from artcli.training import runs

    try:
        data = runs.dataset_of(session.sampler.loaded)
    except UsageError as error:
        raise UsageError(f"{error} Name pictures to compare with: --reconstruct PICTURES") from error
    rng = np.random.default_rng(session.request.seeds[0])
    rows = sorted(examples.draw(data, _columns(session), rng))
    color = session.sampler.preparation.color
    pictures = [_sized(to_rgb(examples.picture(data, row) / 255, color), side) for row in rows]
    return given.Given([str(data.names[row]) for row in rows], torch.stack(pictures), 0)


def _ends(session: "Session", shown: torch.Tensor) -> torch.Tensor:
    """Two pictures, those of --between or the first two of the others."""
    if session.request.between:
        form = given.in_one_size(session.sampler.preparation, shown.shape[2])
        return given.read_stops(session.request.between, form, session.console).pictures
    return (shown if len(shown) > 1 else shown.repeat(2, 1, 1, 1))[:2]


def _sized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """(3, H, W) in 0..1 to (3, side, side) uint8."""
    return torch.from_numpy(images.from_tensor(images.resize(picture.clamp(0, 1), (side, side)))).permute(2, 0, 1)


def _for(sampler: Sampler, pictures: torch.Tensor) -> torch.Tensor:
    """(N, 3, S, S) uint8 RGB in the size and the colours of a model, uint8."""
    sized = [_sized(picture / 255, sampler.side) for picture in pictures]
    return torch.stack([_in_color(picture, sampler.preparation.color) for picture in sized])


def _in_color(picture: torch.Tensor, color: str) -> torch.Tensor:
    """(3, H, W) uint8 RGB to (C, H, W) uint8 in the colours that a model was trained in."""
    return torch.from_numpy(in_color(picture.permute(1, 2, 0).numpy(), color).copy()).permute(2, 0, 1)


# --- the three sections --------------------------------------------------------------------------------------------


def _reconstructions(session: "Session", shown: torch.Tensor) -> tuple[list[sheet.Array], dict[str, Any]]:
    def rows(sampler: Sampler) -> tuple[list[Row], Any]:
        mine = _for(sampler, shown)
        back = list(sampler.reconstruct(mine))
        quality = [given.psnr(one / 255, other) for one, other in zip(mine, back, strict=True)]
        return [[sampler.pixels(picture) for picture in back]], round(float(np.mean(quality)), 3)

    bands, found = _per_model(session, "reconstruct", rows)
    sized = [images.from_tensor(images.resize(picture / 255, session.sampler.drawn)) for picture in shown]
    originals = [session.finish(pixels) for pixels in sized]
    return [sheet.grid(originals, len(originals)), *bands], found


def _interpolations(session: "Session", ends: torch.Tensor) -> tuple[list[sheet.Array], dict[str, Any]]:
    positions = paths.along(_columns(session), closed=False)

    def rows(sampler: Sampler) -> tuple[list[Row], Any]:
        stops = sampler.encode(_for(sampler, ends)).to(session.device)
        at = paths.through(stops, sampler.model.blend, loop=False)
        return [[sampler.pixels(picture) for (picture,) in paths.render(sampler, at, positions)]], True

    return _per_model(session, "--between", rows)


def _samples(session: "Session") -> tuple[list[sheet.Array], dict[str, Any]]:
    from artcli.training import runs

    def rows(sampler: Sampler) -> tuple[list[Row], Any]:
        seeds = session.request.seeds[: _columns(session)]
        drawn = torch.stack(list(sampler.generate(seeds, (), session.request.options.truncation)))
        shown = [[sampler.pixels(picture) for picture in drawn]]
        try:
            data = runs.dataset_of(sampler.loaded)
        except UsageError as error:  # the samples are worth showing without
            session.console.warn(f"no training pictures beside the samples of {sampler.title}: {error}")
            return shown, None
        near = neighbours.nearest(sampler, drawn, data, ["pixels"], session)["pixels"]
        shown.append([sampler.pixels(examples.picture(data, n.row)) for n in near])
        return shown, [n._asdict() for n in near]

    return _per_model(session, "samples", rows)


def _per_model(
    session: "Session", ability: str, rows: Callable[[Sampler], tuple[list[Row], Any]]
) -> tuple[list[sheet.Array], dict[str, Any]]:
    """A line of text and the rows of every model, or that it cannot do this."""
    bands, facts = [], {}
    for run, sampler in zip(session.request.runs, session.samplers, strict=True):
        if not sampler.can(ability):
            bands.append(sheet.text(f"{sampler.title}: cannot", _width(session)))
            continue
        found, facts[str(run)] = rows(sampler)
        bands.append(sheet.text(sampler.title, _width(session)))
        bands += [sheet.grid(row, len(row)) for row in found]
    return bands, facts


# --- its size ------------------------------------------------------------------------------------------------------


def _columns(session: "Session") -> int:
    return session.request.options.columns or COLUMNS


def _width(session: "Session") -> int:
    return max(240, sheet.size(_columns(session), _columns(session), session.sampler.size)[0])


def _check_size(session: "Session") -> None:
    row = session.sampler.size[1] + 3 * sheet.TEXT
    sheet.check(_width(session), (4 * len(session.samplers) + 1) * row + 200)
