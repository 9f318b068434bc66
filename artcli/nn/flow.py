"""Rectified flow ("Flow Straight and Fast", Liu et al., 2022): straight ways from pictures to noise, and back.

At time t, 0..1, x = (1 - t) picture + t noise, and the velocity is noise - picture.  A net learns its mean for a given
x and t; following it from t = 1 to 0 turns noise into a picture.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # x (B, ...), time (B,) -> (B, ...)
SOLVERS = ("multistep", "heun", "euler")


class State(NamedTuple):
    """step, total: of the solver.  x: the noisy picture, (B, ...).  picture: the picture predicted from it."""

    step: int
    total: int
    x: torch.Tensor
    picture: torch.Tensor


def mix(pictures: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """x of each picture at its time (B,)."""
    return torch.lerp(pictures, noise, time.view(-1, *[1] * (pictures.ndim - 1)))


def times(steps: int, start: float = 1.0) -> list[float]:
    """The times of a solver from `start` to 0, steps + 1 of them, evenly spread."""
    return [start * (steps - number) / steps for number in range(steps + 1)]


def solve(
    velocity: Velocity, x: torch.Tensor, steps: int, solver: str = "multistep", start: float = 1.0
) -> Iterator[State]:
    """Follow the velocity from x at time `start` to a picture at time 0; yields after every step.

    solver: one of SOLVERS.  euler: one evaluation a step.  heun: two, of second order (Heun's method).  multistep: one,
    of second order with the help of the step before, as DPM-Solver++ 2M (Lu et al., 2022), but with a picture that is
    linear in time instead of the log signal-to-noise ratio, which is infinite at both ends.
    """
    step = {"multistep": _multistep, "heun": _heun, "euler": _euler}[solver]
    way, before = times(steps, start), None
    for number, (now, then) in enumerate(itertools.pairwise(way)):
        found = velocity(x, _filled(x, now))
        picture = x - now * found
        x = step(velocity, x, found, picture, before, (now, then))
        before = (now, picture)
        yield State(number + 1, steps, x, x if then == 0 else picture)


Span = tuple[float, float]  # times before and after a step
Earlier = tuple[float, torch.Tensor] | None  # time and picture of the step before


def _euler(velocity: Velocity, x: torch.Tensor, found: torch.Tensor, picture: torch.Tensor, _: Earlier, span: Span):
    return x + (span[1] - span[0]) * found


def _heun(velocity: Velocity, x: torch.Tensor, found: torch.Tensor, picture: torch.Tensor, _: Earlier, span: Span):
    ahead = x + (span[1] - span[0]) * found
    if span[1] == 0:  # no second evaluation: the net learned nothing at time 0, where there is no noise
        return ahead
    return x + (span[1] - span[0]) * (found + velocity(ahead, _filled(x, span[1]))) / 2


def _multistep(
    velocity: Velocity, x: torch.Tensor, found: torch.Tensor, picture: torch.Tensor, earlier: Earlier, span: Span
):
    """Exact if the predicted picture keeps changing as fast as in the step before."""
    now, then = span
    slope = 0.0 if earlier is None else (picture - earlier[1]) / (now - earlier[0])
    left = then / now
    ahead = left * x + (1 - left) * (picture - slope * now)
    return ahead if then == 0 else ahead - slope * then * math.log(left)


def _filled(x: torch.Tensor, time: float) -> torch.Tensor:
    return torch.full((len(x),), time, device=x.device)


class Wish(NamedTuple):
    """A text's embedding, (D,) for all pictures or (B, D) for each its own, and its weight; below 0: away from it."""

    text: torch.Tensor
    weight: float = 1.0


def guided(
    net: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    wishes: Sequence[Wish],
    guidance: float,
    within: tuple[float, float] = (0.0, 1.0),
) -> Velocity:
    """Classifier-free guidance (Ho and Salimans, 2022) towards several texts, each by its own weight.

    net: x (B, ...), time (B,), texts (B, D) to a velocity; texts of 0 are none.  Weights above 0 add up to `guidance`
    after scaling, so that 1 with one text is the conditional net.  within: the times between which guidance is above 1
    ("Applying Guidance in a Limited Interval", Kynkaanniemi et al., 2024).
    """
    whole = sum(wish.weight for wish in wishes if wish.weight > 0) or 1.0
    shares = [wish.weight / whole for wish in wishes]

    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        texts = [wish.text.expand(len(x), -1) for wish in wishes]
        strength = guidance if within[0] <= float(time[0]) <= within[1] else 1.0
        if strength == 1 and len(wishes) == 1:
            return net(x, time, texts[0])
        asked, count = torch.cat((torch.zeros_like(texts[0]), *texts)), 1 + len(texts)
        found = net(x.repeat(count, *[1] * (x.ndim - 1)), time.repeat(count), asked).unflatten(0, (count, len(x)))
        plain, told = found[0], found[1:]
        return plain + strength * sum(share * (one - plain) for share, one in zip(shares, told, strict=True))

    return velocity


def steered(
    velocity: Velocity, uphill: Velocity, strength: float, within: tuple[float, float] = (0.15, 0.95)
) -> Velocity:
    """Moves the predicted pictures up a score ("Universal Guidance for Diffusion Models", Bansal et al., 2023).

    uphill: pictures (B, ...) and time (B,) to the score's gradient, of any length.  strength: root mean square of the
    move.  within: the times between which it is made; before it pictures show nothing, after it they are done.
    """

    def turned(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        found, now = velocity(x, time), float(time[0])
        if not within[0] < now < within[1]:
            return found
        way = uphill(x - now * found, time)
        length = way.flatten(1).square().mean(1).sqrt().clamp_min(1e-12)
        return found - strength / now * way / length.view(-1, *[1] * (x.ndim - 1))

    return turned


def windowed(velocity: Velocity, side: int) -> Velocity:
    """The mean of the velocities of overlapping square windows, for pictures (B, C, H, W) with a longer side than the
    net knows ("MultiDiffusion", Bar-Tal et al., 2023).

    side: of a window, in pixels; neighbours overlap by half of it or more.
    """

    def whole(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        total, seen = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for top in _places(x.shape[2], side):
            for left in _places(x.shape[3], side):
                window = (..., slice(top, top + side), slice(left, left + side))
                total[window] += velocity(x[window], time)
                seen[window] += 1
        return total / seen

    return whole


def _places(extent: int, side: int) -> list[int]:
    """Where windows begin, evenly spread."""
    count = max(1, math.ceil((extent - side) / (side / 2)) + 1)
    return [round(number * (extent - side) / max(1, count - 1)) for number in range(count)]
