"""Ways through the latent space as films and sheets: between seeds or pictures, on a walk, along one dimension."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from artcli.commands.sample import films, given, kept, paths, project, sheet
from artcli.commands.sample.options import LATENTS
from artcli.console import counted
from artcli.errors import UsageError

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

STRIP_COLUMNS, SWEEP_COLUMNS = 8, 7
LEG_SECONDS, WALK_SECONDS, SWEEP_SECONDS = 2.0, 12.0, 4.0
Facts = dict[str, Any]


def count(session: "Session") -> int:
    """How many pictures are decoded."""
    request = session.request
    if request.mode == "interpolate":
        return _frames(session, _legs(session) * LEG_SECONDS) if request.film else _legs(session) * _columns(session)
    across = _frames(session, WALK_SECONDS if request.mode == "walk" else SWEEP_SECONDS)
    return len(request.seeds) * (across if request.film else _columns(session))


def _legs(session: "Session") -> int:
    stops = len(session.request.between or session.request.seeds)
    return stops if session.request.options.loop else stops - 1


def _columns(session: "Session") -> int:
    return session.request.options.columns or (SWEEP_COLUMNS if session.request.mode == "sweep" else STRIP_COLUMNS)


def _frames(session: "Session", seconds: float) -> int:
    request = session.request
    return max(2, round((request.options.duration or seconds) * request.options.fps))


# --- between seeds or pictures -------------------------------------------------------------------------------------


def interpolate(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    recipe = session.recipe()
    stops = _stops(session)
    at = paths.through(stops, sampler.model.blend, loop=request.options.loop)
    facts: Facts = (
        {"between": [str(path) for path in request.between]} if request.between else {"seeds": list(request.seeds)}
    )
    if request.film:
        total = _frames(session, _legs(session) * LEG_SECONDS)
        _film(session, at, paths.along(total, closed=request.options.loop), recipe, facts)
        return
    legs, columns = _legs(session), _columns(session)
    sheet.check(*sheet.size(legs * columns, columns, sampler.size))
    # A row is a leg with both its ends, so that the last picture of a row is the first of the next.
    positions = [(leg + step / max(1, columns - 1)) / legs for leg in range(legs) for step in range(columns)]
    _sheet(session, at, positions, columns, recipe, facts)


def _stops(session: "Session") -> torch.Tensor:
    request, sampler = session.request, session.sampler
    if not request.between:
        return sampler.latents(request.seeds, request.options.truncation)
    if not sampler.can("--between"):
        return torch.cat([_searched(session, path) for path in request.between]) + sampler.offset
    found = given.read_stops(request.between, sampler.preparation, session.console)
    return sampler.encode(found.pictures).to(session.device) + sampler.offset


def _searched(session: "Session", path: Path) -> torch.Tensor:
    """The latents of a picture, by a search, or those of a file that --project wrote."""
    if path.suffix == LATENTS:
        numbers = session.sampler.latents([0]).shape[1]
        return kept.read(path, numbers, "latents", 2, "--project").tensors["latents"].to(session.device)
    found = given.read_stops([path], session.sampler.preparation, session.console)
    return project.latents_of(session, found.pictures)[0]


# --- walks and sweeps ----------------------------------------------------------------------------------------------


def walk(session: "Session") -> None:
    request = session.request
    recipe = session.recipe()
    at = paths.walk(
        session.sampler, request.seeds, request.options.duration or WALK_SECONDS, request.options.truncation
    )
    total = _frames(session, WALK_SECONDS)
    _film(session, at, paths.along(total, closed=True), recipe, {"seeds": list(request.seeds)})


def sweep(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    dimension, numbers = request.options.sweep or 0, sampler.latents([0]).shape[1]
    if dimension >= numbers:
        raise UsageError(
            f"--sweep {dimension}: the latents of {sampler.title} have {numbers} dimensions, 0 to {numbers - 1}"
        )
    recipe = session.recipe()
    at = paths.sweep(sampler, request.seeds, dimension, request.options.truncation)
    _keep_direction(session, dimension)
    facts: Facts = {"seeds": list(request.seeds), "dimension": dimension}
    if request.film:
        _film(session, at, paths.to_and_fro(_frames(session, SWEEP_SECONDS)), recipe, facts)
        return
    columns, rows = _columns(session), len(request.seeds)
    sheet.check(*sheet.size(rows * columns, columns, sampler.size))
    _sheet(session, at, paths.along(columns, closed=False), columns, recipe, facts)


def _keep_direction(session: "Session", number: int) -> None:
    """As a file, where one is asked for."""
    path, sampler = session.request.options.direction_out, session.sampler
    if path is not None:
        direction, deviation = paths.direction(sampler, number)
        kept.write(path, {"direction": direction, "deviation": deviation}, sampler.about() | {"number": number})
        session.announce(path, dimension=number)


# --- writing -------------------------------------------------------------------------------------------------------


def _film(session: "Session", at: paths.At, positions: list[float], recipe: Facts | None, facts: Facts) -> None:
    sampler = session.sampler
    abreast = 1 if session.request.mode == "interpolate" else len(session.request.seeds)
    columns = session.request.options.columns or sheet.near_square(abreast)
    size = sheet.size(abreast, columns, sampler.size)
    sheet.check(*size)

    def frames():
        for pictures in paths.render(sampler, at, positions):
            yield films.abreast([sampler.shown(picture) for picture in pictures], columns)

    session.save_film(size, len(positions), frames, recipe, **facts)


def _sheet(
    session: "Session", at: paths.At, positions: list[float], columns: int, recipe: Facts | None, facts: Facts
) -> None:
    """Positions from left to right; pictures abreast are rows below each other."""
    sampler = session.sampler
    places = session.watched(paths.render(sampler, at, positions), len(positions))
    drawn = [[sampler.pixels(picture) for picture in pictures] for pictures in places]
    pictures = [place[row] for row in range(len(drawn[0])) for place in drawn]
    session.save(session.request.out, sheet.grid(pictures, columns), recipe, **facts, columns=columns)
    session.done(counted(len(pictures), "picture"))
