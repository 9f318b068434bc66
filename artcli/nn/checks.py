"""Checks of a model's settings that end in one clear line."""

import math
from collections.abc import Collection
from typing import Any

from artcli.errors import UsageError, did_you_mean


def positive(config: Any, may_be_zero: Collection[str] = ()) -> None:
    """Every number of the settings is finite and above 0, or 0 where that has a meaning.

    Raises UsageError that names the first one that is not.
    """
    for name, setting in vars(config).items():
        for value in setting if isinstance(setting, tuple) else (setting,):
            if isinstance(value, (bool, str)) or 0 < value < math.inf or (value == 0 and name in may_be_zero):
                continue
            least = "at least 0" if name in may_be_zero else "above 0"
            raise UsageError(f"{name} has to be {least}, not {value}")


def below_one(config: Any, *names: str) -> None:
    """The named settings are parts of a whole, in 0 up to but without 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise UsageError(f"{name} has to be at least 0 and below 1, not {getattr(config, name)}")


def one_of(config: Any, name: str, known: Collection[str]) -> None:
    """The named setting is one of the known words."""
    value = getattr(config, name)
    if value not in known:
        raise UsageError(f"{name} '{value}' is none of {', '.join(known)}.{did_you_mean(value, tuple(known))}")


def divisible(size: int, factor: int) -> None:
    """Pictures of this side go through the layers and come back with the same side."""
    if size % factor:
        near = max(factor, round(size / factor) * factor)
        raise UsageError(f"size has to be a multiple of {factor} for these layers, not {size}; {near} works")
