"""The latents of a picture, found by optimisation ("Analyzing and Improving the Image Quality of StyleGAN", Karras et
al., 2020, appendix D)."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

RATE = 0.1  # of Adam
_RISE, _FALL = 0.05, 0.25  # parts of the steps in which the rate rises and falls
_NOISE, _NOISY = 0.05, 0.75  # its size, in deviations of the latents, and the part of the steps that has any


class Projected(NamedTuple):
    """latents: (1, D), the best so far.  distance: of their picture."""

    latents: torch.Tensor
    distance: float


def project(
    draw: Callable[[torch.Tensor], torch.Tensor],
    distance: Callable[[torch.Tensor], torch.Tensor],
    candidates: torch.Tensor,
    deviation: float,
    steps: int,
) -> Iterator[Projected]:
    """Latents (1, D) whose picture is nearest to the one that `distance` measures from, better after every step.

    draw: latents (1, D) to a picture, with a gradient.  distance: of a picture, ().  candidates: (N, D), of which the
    best is the start.  deviation: of random latents from their mean, as a length.

    Unlike in the paper, the start is not the mean alone, the noise of the generator's layers stays as it is, so that
    the latents say all, and the best latents count, not the last.
    """
    with torch.no_grad():
        found = [float(distance(draw(row[None]))) for row in candidates]
    best = Projected(candidates[found.index(min(found))][None].clone(), min(found))
    latents = best.latents.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latents], RATE)
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate(done)
        noise = torch.randn(latents.shape, generator=rng).to(latents) * deviation * amount(done)
        optimizer.zero_grad(set_to_none=True)
        apart = distance(draw(latents + noise))
        apart.backward()
        # Judged as it was drawn, with its noise: to draw it once more without would take half as long again.
        if float(apart.detach()) < best.distance:
            best = Projected((latents + noise).detach().clone(), float(apart.detach()))
        optimizer.step()
        yield best


def rate(done: float) -> float:
    """Of Adam, as a factor: up, constant, and down along a cosine.  done: part of the steps, 0..1."""
    down = min(1.0, (1 - done) / _FALL)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, done / _RISE)


def amount(done: float) -> float:
    """Of noise, in deviations: less and less, then none."""
    return _NOISE * max(0.0, 1 - done / _NOISY) ** 2
