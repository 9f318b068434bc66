"""Numbers as a reader likes them, and the axes that carry them."""

import math
from dataclasses import dataclass

LOG_STEPS = ((1,), (1, 3), (1, 2, 5))  # marks within a decade, from coarse to fine


def short(value: float) -> str:
    """Four significant digits: 0.5123, 1.2e-05, 12,340."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1000 and size < 1e7:
        return f"{value:,.0f}"
    if size and (size < 1e-3 or size >= 1e7):
        mantissa, _, power = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.4g}"


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, low < high, straight or logarithmic, with its marks (value, label)."""

    low: float
    high: float
    log: bool
    marks: list[tuple[float, str]]

    def place(self, value: float) -> float:
        """Where a value is, 0 at the low end, 1 at the high end."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)


def straight(low: float, high: float, count: int = 5) -> Axis:
    """An axis from mark to mark that holds low..high, with about `count` round marks."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, or nearly: give it some room
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    gap = _round_gap((high - low) / count)
    first, last = math.floor(low / gap + 1e-6), math.ceil(high / gap - 1e-6)
    values = [number * gap for number in range(first, last + 1)]
    return Axis(values[0], values[-1], False, [(value, label(value, gap)) for value in values])


def steps(last: float, count: int = 6) -> Axis:
    """The axis of training steps, 0 to `last`."""
    high = max(last, 1.0)
    gap = max(_round_gap(high / count), 1.0)
    values = [number * gap for number in range(math.floor(high / gap + 1e-6) + 1)]
    return Axis(0.0, high, False, [(value, label(value, gap)) for value in values])


def logarithmic(low: float, high: float) -> Axis:
    """A logarithmic axis that holds low..high (both above 0)."""
    if high < low * 1.05:
        low, high = low / 1.5, high * 1.5
    low, high = low / 1.03, high * 1.03
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, math.ceil(sum(low <= 10.0**power <= high for power in decades) / 6))
    for within in LOG_STEPS:
        values = [part * 10.0**power for power in decades if power % every == 0 for part in within]
        values = [value for value in values if low <= value <= high]
        if len(values) >= 3:
            return Axis(low, high, True, [(value, label(value, value)) for value in values])
    inner = [(value, name) for value, name in straight(low, high, 4).marks if low <= value <= high]
    return Axis(low, high, True, inner)


def _round_gap(gap: float) -> float:
    """The next of 1, 2, 2.5, 5, 10, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(gap))
    return next(part * power for part in (1, 2, 2.5, 5, 10) if part * power >= gap * 0.999)


def label(value: float, gap: float) -> str:
    """A mark's label with the digits that its neighbours at a distance of `gap` call for: 0.55, 20k, 3e-4."""
    if abs(value) < gap * 1e-6:
        return "0"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.999 and gap >= size / 100 and abs(value) < 1e13:
            return f"{_plain(value / size, gap / size)}{unit}"
    if abs(value) >= 1e5 or gap < 1e-4 or abs(value) < 1e-3:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        return f"{_plain(value / 10.0**power, gap / 10.0**power)}e{power}"
    return _plain(value, gap)


def _plain(value: float, gap: float) -> str:
    digits = max(0, -math.floor(math.log10(gap) + 1e-9))
    text = f"{value:.{min(digits + 1, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
