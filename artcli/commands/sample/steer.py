"""What pictures are to be by the columns of a table and by their colours: `--where style=cubism`, `--color blue`.

One of the columns, or the colour, may have several values: a row of pictures for each.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from artcli.errors import UsageError, did_you_mean
from artcli.training import columns
from artcli.training.columns import Column

COLOR = "color"  # stands for a column of its own


class Steering(NamedTuple):
    """inputs: of all columns, NaN for what nothing was said of, by the value that differs: "" where none does.
    warnings: a line each."""

    inputs: dict[str, list[float]]
    warnings: list[str]


def read(where: Sequence[str], colors: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The wanted values of each column, and of COLOR, each once.

    Raises UsageError: one is no NAME=VALUE, or several columns have several values.
    """
    found: dict[str, list[str]] = {}
    for text in where:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UsageError(f"--where '{text}' has to be COLUMN=VALUE, such as style=cubism")
        found.setdefault(name, []).append(value)
    if colors:
        found[COLOR] = list(colors)
    wanted = {name: tuple(dict.fromkeys(values)) for name, values in found.items()}
    if len(several := [name for name, values in wanted.items() if len(values) > 1]) > 1:
        raise UsageError(f"{' and '.join(several)} have several values each: only one may, a row for each of them")
    return wanted


def varied(wanted: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The values of the one that has several, else ()."""
    return next((tuple(values) for values in wanted.values() if len(values) > 1), ())


def alone(wanted: Mapping[str, Sequence[str]], value: str) -> dict[str, list[str]]:
    """The options of a call that wants only this one of several values."""
    chosen = {name: value if len(values) > 1 else values[0] for name, values in wanted.items()}
    color = chosen.pop(COLOR, None)
    where = [f"{name}={cell}" for name, cell in chosen.items()]
    return {"where": where} | ({} if color is None else {COLOR: [color]})


def steering(known: Sequence[Column], wanted: Mapping[str, Sequence[str]]) -> Steering:
    """Inputs of a model that was told these columns.

    Raises UsageError, with what there is: an unknown column, word or colour; a model that knows no colours.
    """
    _check_color(known, wanted)
    names = varied(wanted)
    found = {name: _one(known, alone(wanted, name)) for name in names or ("",)}
    return Steering(
        {name: one.inputs for name, one in found.items()},
        list(dict.fromkeys(line for one in found.values() for line in one.warnings)),
    )


def _check_color(known: Sequence[Column], wanted: Mapping[str, Sequence[str]]) -> None:
    there = [column.name for column in known]
    if COLOR in wanted and not set(columns.COLOR) <= set(there):
        raise UsageError(
            f"--color needs a model that was trained with --by-color; this one knows: {', '.join(there)}, by --where"
        )


def _one(known: Sequence[Column], asked: Mapping[str, Sequence[str]]) -> columns.Wish:
    wish = columns.wish(known, dict(text.split("=", 1) for text in asked["where"]))
    return _coloured(known, wish, asked[COLOR][0]) if asked.get(COLOR) else wish


def _coloured(known: Sequence[Column], wish: columns.Wish, word: str) -> columns.Wish:
    """With the inputs that make a picture of this colour, where nothing else was said of them: as near to it as many
    training pictures are."""
    from artcli.training import colors

    if word not in colors.COLORS:
        raise UsageError(
            f"--color '{word}' is not known; there are: {', '.join(colors.COLORS)}.{did_you_mean(word, colors.COLORS)}"
        )
    inputs, place = list(wish.inputs), 0
    said, near = colors.wanted(word), {}
    for column in known:
        if column.name in said and math.isnan(inputs[place]):
            near[column.name] = column.within(said[column.name])
            inputs[place] = column.at(near[column.name])[1]
        place += column.width
    return columns.Wish(inputs, [*wish.warnings, *_far(word, said, near)])


def _far(word: str, said: Mapping[str, float], near: Mapping[str, float]) -> list[str]:
    """A warning where no training picture has such a hue: where what is nearest points elsewhere."""
    sine, cosine = (columns.COLOR[place] for place in (0, 1))
    if not {sine, cosine} <= said.keys() & near.keys():
        return []
    along = said[sine] * near[sine] + said[cosine] * near[cosine]
    if along > math.hypot(near[sine], near[cosine]) / 2:  # within 60 degrees
        return []
    return [f"--color {word}: hardly any training picture is; samples come as near to it as these do"]
