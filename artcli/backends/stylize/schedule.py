"""Which scales a picture goes through, and how long it stays in each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from artcli.backends.stylize.settings import Settings

_FEWEST = 10  # fewest steps at a scale that make a difference


class Stage(NamedTuple):
    """A scale: longer side in pixels, and optimizer steps."""

    side: int
    steps: int


def stages(settings: Settings) -> list[Stage]:
    """From the smallest scale by factors of sqrt 2 up to the full size."""
    sides = [settings.size]
    while settings.smallest and sides[0] / math.sqrt(2) >= settings.smallest * 0.99:
        sides.insert(0, round(settings.size / math.sqrt(2) ** len(sides)))
    first = settings.steps * (2 if len(sides) > 1 else 1)
    return [Stage(side, settings.steps if n else first) for n, side in enumerate(sides)]


def total(plan: Sequence[Stage]) -> int:
    """Steps of all scales."""
    return sum(stage.steps for stage in plan)


def within(plan: Sequence[Stage], seconds: Sequence[float], limit: float) -> list[Stage]:
    """The plan cut down to `limit` seconds, with the seconds that a step takes at each of its scales.

    All scales get shorter by one factor; where that leaves the largest too few steps, it is given up for the others.
    """
    plan = list(plan)
    while True:
        cost = sum(stage.steps * each for stage, each in zip(plan, seconds, strict=False))
        part = min(1.0, limit / cost) if cost else 1.0
        if part * plan[-1].steps >= min(_FEWEST, plan[-1].steps) or len(plan) == 1:
            return [Stage(stage.side, max(1, int(stage.steps * part))) for stage in plan]
        plan.pop()


def fit(size: tuple[int, int], side: int, least: int = 32) -> tuple[int, int]:
    """(height, width) scaled to a longer side of `side`; the shorter one has at least `least`, which the nets need."""
    factor = side / max(size)
    height, width = (max(least, round(length * factor)) for length in size)
    return height, width
