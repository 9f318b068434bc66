"""Columns that say something of each picture, as inputs of a net: a number as one, standardised; words one of several.

What is not known of a picture is 0: the mean of a number, none of the words.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, NamedTuple, Self

from artcli.errors import UsageError, did_you_mean

COLOR = ("hue_sine", "hue_cosine", "saturation", "lightness")  # of `colors.content`
MOST_WORDS = 1000
_FAR = 2.0  # deviations; further off are few pictures
_SHOWN = 12  # words in a line


@dataclass(frozen=True)
class Column:
    """words: all that there are, in their order; () for a column of numbers.

    mean, deviation: of its numbers, which are standardised by them.  low, high: the smallest and the largest.
    """

    name: str
    words: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @property
    def width(self) -> int:
        """Inputs."""
        return len(self.words) or 1

    def as_dict(self) -> dict[str, Any]:
        if self.words:
            return {"name": self.name, "words": list(self.words)}
        return {name: getattr(self, name) for name in ("name", "mean", "deviation", "low", "high")}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        values: dict[str, Any] = {**told, "words": tuple(told.get("words", ()))}
        return cls(**values)

    def at(self, cell: str | float) -> tuple[int, float]:
        """Which of its inputs a cell sets, and to what; the others are 0."""
        if self.words:
            return self.words.index(str(cell)), 1.0
        return 0, (float(cell) - self.mean) / self.deviation

    def within(self, number: float) -> float:
        """The nearest number that is not far from those of training."""
        low, high = (self.mean + side * _FAR * self.deviation for side in (-1, 1))
        return min(max(number, low, self.low), high, self.high)


class Wish(NamedTuple):
    """inputs: of all columns, NaN for what nothing was said of.  warnings: a line each."""

    inputs: list[float]
    warnings: list[str]


def width(columns: Iterable[Column]) -> int:
    """Inputs of all of them."""
    return sum(column.width for column in columns)


# --- what the data say -----------------------------------------------------------------------------------------------


def learn(names: Iterable[str], cells: Sequence[Mapping[str, str]]) -> tuple[list[Column], list[str]]:
    """The columns with these names, of the cells of every picture, and notes about those that are of no use.

    A column is one of numbers where every cell is one.
    """
    columns, notes = [], []
    for name in names:
        try:
            columns.append(_column(name, [row[name] for row in cells if row.get(name, "")]))
        except ValueError as error:
            notes.append(f"Left out, the column {name}: {error}.")
    return columns, notes


def _column(name: str, known: list[str]) -> Column:
    """Raises ValueError: it tells no pictures apart, or each from all others."""
    words = Counter(known)
    if len(words) < 2:
        raise ValueError("it says the same of all pictures" if known else "it is empty")
    numbers = [_number(cell) for cell in known]
    if all(map(math.isfinite, numbers)):
        return of_numbers(name, numbers)
    if len(words) > min(MOST_WORDS, max(2, len(known) // 2)):
        raise ValueError(f"it has {len(words)} words for {len(known)} pictures, too many to learn what they mean")
    return Column(name, tuple(sorted(words)))


def of_numbers(name: str, numbers: Sequence[float]) -> Column:
    """Of the numbers of all pictures."""
    return Column(name, (), fmean(numbers), pstdev(numbers) or 1.0, min(numbers), max(numbers))


def described(column: Column, cells: Iterable[Mapping[str, str]]) -> str:
    """Its words with how many pictures each has, or its numbers: `style: cubist 12, old 12`, `year: 1880 to 1905`."""
    if not column.words:
        return f"{column.name}: {column.low:g} to {column.high:g}"
    often = Counter(row.get(column.name, "") for row in cells)
    return f"{column.name}: {_listed([f'{word} {often[word]}' for word in column.words])}"


def _listed(words: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")


def _number(cell: str) -> float:
    """NaN for what is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


# --- what a user wants -----------------------------------------------------------------------------------------------


def wish(columns: Sequence[Column], wanted: Mapping[str, str]) -> Wish:
    """Inputs for style=impressionism, year=1890, given as a mapping.

    Raises UsageError, with what there is, for a column or a word that is not known, or no number where one has to be.
    A number beyond those of training is taken as it is, with a warning.
    """
    known = [column.name for column in columns]
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"--where {name}: no such column; there are: {', '.join(known)}.{did_you_mean(name, known)}"
            )
    made: list[float] = []
    warnings: list[str] = []
    for column in columns:
        if column.name not in wanted:
            made += [math.nan] * column.width
            continue
        cell = wanted[column.name]
        warnings += _check(column, cell)
        place, value = column.at(cell)
        made += [value if each == place else 0.0 for each in range(column.width)]
    return Wish(made, warnings)


def _check(column: Column, cell: str) -> list[str]:
    """Warnings.  Raises UsageError."""
    if column.words:
        if cell not in column.words:
            there = _listed(column.words)
            raise UsageError(
                f"--where {column.name}={cell}: not known; there are: {there}.{did_you_mean(cell, column.words)}"
            )
        return []
    span = f"{column.low:g} to {column.high:g}"
    if not math.isfinite(_number(cell)):
        raise UsageError(f"--where {column.name}={cell}: {column.name} is a number, {span} in training")
    if column.low <= float(cell) <= column.high:
        return []
    return [f"--where {column.name}={cell} lies outside the training pictures, {span}: the model can only guess"]
