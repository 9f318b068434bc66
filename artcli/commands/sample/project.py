"""Given pictures in the latent space of a generator that has no encoder: found by optimisation, drawn again beside
them, and kept as a file."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from artcli.commands.sample import given, kept, sheet
from artcli.console import counted
from artcli.nn import project
from artcli.training.data.augment import to_rgb

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

STEPS = 500
_CANDIDATES = 64  # latents that a search may start from
_NET = "clip-mini"


def count(session: "Session") -> int:
    """A step takes about as long as three pictures."""
    return 3 * steps(session) * len(session.request.pictures)


def steps(session: "Session") -> int:
    return session.request.options.steps or STEPS


def make(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    sheet.check(*sheet.size(2 * len(request.pictures), 2, sampler.size))
    recipe = session.recipe()
    found = given.read(request.pictures, sampler.preparation, session.console)
    latents, distances = latents_of(session, found.pictures)
    back = list(sampler.decode(len(latents), lambda row: latents[row]))
    cells, quality = [], []
    for name, one, other, apart in zip(found.names, found.pictures, back, distances, strict=True):
        quality.append(given.psnr(one / 255, other))
        session.console.info(f"sample: {name}: distance {apart:.4f}, PSNR {quality[-1]:.2f} dB")
        cells += [sampler.pixels(one), sampler.pixels(other)]
    facts: dict[str, Any] = {
        "pictures": found.names,
        "distance": [round(each, 6) for each in distances],
        "psnr": [round(each, 3) if math.isfinite(each) else None for each in quality],
    }
    for place in request.outputs(())[1:]:
        kept.write(place, {"latents": latents}, session.sampler.about() | {"pictures": found.names})
        session.announce(place, **facts)
    session.save(request.out, sheet.grid(cells, 2), recipe, **facts)
    session.done(f"{counted(len(cells) // 2, 'picture')} beside what is nearest to it")
    given.report_failed(found)


# --- searching -------------------------------------------------------------------------------------------------------


def latents_of(session: "Session", pictures: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
    """Of pictures (N, C, S, S) uint8: latents (N, D), each found by itself, and how far their pictures are away."""
    total = steps(session)
    session.console.info(f"sample: looking for the latents, {total} steps a picture (--steps)")
    found = [None] * len(pictures)
    for number, best in session.watched(_searches(session, pictures), total * len(pictures)):
        found[number] = best
    return torch.cat([each.latents for each in found]), [each.distance for each in found]  # type: ignore[attr-defined]


def _searches(session: "Session", pictures: torch.Tensor) -> Iterator[tuple[int, Any]]:
    from artcli.pretrained.perceptual import Perceptual

    sampler, compare = session.sampler, Perceptual(_NET)
    middle, spread = sampler.moments()
    drawn = sampler.latents(range(_CANDIDATES))
    candidates = torch.cat((middle[None], drawn)).to(session.device)
    deviation = float(spread.square().sum().sqrt())

    def draw(latents: torch.Tensor) -> torch.Tensor:
        return to_rgb(sampler.with_gradient(latents), sampler.preparation.color)

    for number, picture in enumerate(pictures):
        target = to_rgb(picture[None].to(session.device) / 255, sampler.preparation.color)

        def apart(image: torch.Tensor, target: torch.Tensor = target) -> torch.Tensor:
            return compare(image, target)[0] + (image - target).square().mean()

        for best in project.project(draw, apart, candidates, deviation, steps(session)):
            yield number, best
