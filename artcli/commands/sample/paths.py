"""Ways through a model's latent space: a position 0..1 on the way to the latents there."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch

from artcli.commands.sample.generator import Sampler

At = Callable[[float], torch.Tensor]  # a position 0..1 to the latents (n, D) of n pictures side by side

SECONDS_PER_HARMONIC = 4.0  # of a walk: the longer it takes the more places it sees, at the same pace
DEVIATIONS = 3.0  # how far a sweep goes to both sides


def through(stops: torch.Tensor, blend: Callable[[Any, Any, float], torch.Tensor], *, loop: bool) -> At:
    """From stop to stop, (N, D), in equal times; with `loop` back to the first."""
    ends = torch.cat((stops, stops[:1])) if loop else stops
    legs = len(ends) - 1

    def at(position: float) -> torch.Tensor:
        leg = min(int(position * legs), legs - 1)
        return blend(ends[leg : leg + 1], ends[leg + 1 : leg + 2], position * legs - leg)

    return at


def walk(sampler: Sampler, seeds: Sequence[int], seconds: float, truncation: float | None = None) -> At:
    """A smooth closed way for every seed, on which no place is more usual than another.

    A random sum of sines and cosines of whole periods is a periodic Gaussian process: at every moment it is
    distributed as the random latents are (their mean and covariance), and its pace is the same all the way round.
    """
    harmonics = max(1, round(seconds / SECONDS_PER_HARMONIC))
    middle, _ = sampler.moments(truncation)
    drawn = [sampler.latents(_of_walk(seed, 2 * harmonics), truncation) - middle for seed in seeds]
    waves = torch.stack(drawn).unflatten(1, (harmonics, 2)) / math.sqrt(harmonics)  # (n, harmonics, 2, D)

    def at(position: float) -> torch.Tensor:
        angles = 2 * math.pi * position * torch.arange(1, harmonics + 1, dtype=waves.dtype, device=waves.device)
        turned = waves[:, :, 0] * angles.cos()[:, None] + waves[:, :, 1] * angles.sin()[:, None]
        return middle + turned.sum(1)

    return at


def _of_walk(seed: int, count: int) -> list[int]:
    """Seeds of the parts of a walk, apart from those of the walks of neighbouring seeds."""
    return [(seed * 1_000_003 + part) % 2**31 for part in range(count)]


def sweep(sampler: Sampler, seeds: Sequence[int], dimension: int, truncation: float | None = None) -> At:
    """One latent number from -3 to 3 standard deviations, all others as the seed has them.

    Of a model that knows in which directions its latents vary most, the place along one of these.
    """
    middle, deviation = sampler.moments(truncation)
    start = sampler.latents(seeds, truncation)
    if (found := sampler.axis(dimension)) is not None:
        axis, spread = found
        apart = DEVIATIONS * spread * (1.0 if truncation is None else truncation)
        return lambda position: start + (middle @ axis + apart * (2 * position - 1) - start @ axis)[:, None] * axis

    def at(position: float) -> torch.Tensor:
        moved = start.clone()
        moved[:, dimension] = middle[dimension] + DEVIATIONS * (2 * position - 1) * deviation[dimension]
        return moved

    return at


def direction(sampler: Sampler, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What a sweep goes along: (D,), of length 1, and the deviation of latents along it, ()."""
    found = sampler.axis(number)
    if found is not None:
        return found
    _, deviation = sampler.moments()
    along = torch.zeros_like(deviation)
    along[number] = 1
    return along, deviation[number]


def render(sampler: Sampler, at: At, positions: Sequence[float]) -> Iterator[list[torch.Tensor]]:
    """The n pictures of every position."""
    with torch.inference_mode():
        abreast = len(at(positions[0]))
        here = lru_cache(maxsize=2)(lambda index: at(positions[index]))
    pictures = sampler.decode(abreast * len(positions), lambda row: here(row // abreast)[row % abreast])
    for _ in positions:
        yield [next(pictures) for _ in range(abreast)]


def along(count: int, *, closed: bool) -> list[float]:
    """Positions of `count` frames: both ends of an open way, and of a closed one its start only once."""
    return [step / (count if closed else max(1, count - 1)) for step in range(count)]


def to_and_fro(count: int) -> list[float]:
    """Positions of a film that swings from one end to the other and back without a jolt."""
    return [(1 - math.cos(2 * math.pi * step / count)) / 2 for step in range(count)]
