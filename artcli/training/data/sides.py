"""Two kinds of pictures, A and B, for models that carry one over to the other: unpaired, or picture by picture."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from artcli.errors import UsageError
from artcli.media import decode
from artcli.training.contract import Batch, Pair
from artcli.training.data.dataset import Dataset, open_dataset
from artcli.training.data.items import Array, Skipped
from artcli.training.data.layout import read_layout
from artcli.training.data.prepare import Preparation

PAIRED, UNPAIRED = "paired", "unpaired"
_OTHER_SEED = 2**32  # added for B, else equally large sets would meet in the same pairs for ever
_LEAST_WIDE = 1.5  # times the height, of two pictures side by side
_SHOWN = 8  # names in an error line

Opener = Callable[..., Dataset]  # (path, **changes of the preparation)


@dataclass(frozen=True, eq=False)
class Sides:
    """What a Dataset is, of two sets, which may be parts of one.  paired: row by row of the same thing."""

    a: Dataset
    b: Dataset
    paired: bool
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()
    first_of_several: int = 0

    @property
    def preparation(self) -> Preparation:
        return self.a.preparation

    @property
    def divided(self) -> bool:
        return self.a.divided or self.b.divided

    def batch(self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None) -> Pair:
        """Rows `first` to `first + count` of a step's `size` pictures of each kind; see Dataset.batch."""
        a, b = (side.batch(step, size, device=device, first=first, count=count) for side in (self.a, self.b))
        return _pair(a, b)

    def validation(self, size: int, *, device: torch.device, limit: int | None = None) -> Iterator[Pair]:
        """The held-out pictures, as many of one kind as of the other; see Dataset.validation."""
        most = min(len(self.a.held_out), len(self.b.held_out))
        limit = most if limit is None else min(limit, most)
        both = (side.validation(size, limit, device=device) for side in (self.a, self.b))
        return (_pair(a, b) for a, b in zip(*both, strict=True))

    def steps_per_epoch(self, size: int) -> int:
        """Batches of `size` until every training picture of the larger set was seen."""
        return max(self.a.steps_per_epoch(size), self.b.steps_per_epoch(size))

    def describe(self) -> dict[str, Any]:
        """As Dataset.describe, of both together."""
        a, b = self.a.describe(), self.b.describe()
        counted = {name: a[name] if self.paired else a[name] + b[name] for name in ("training", "validation")}
        both = f"{a['fingerprint']} {b['fingerprint']}".encode()
        return a | counted | {
            "layout": f"A: {a['layout']}; B: {b['layout']}",
            "pictures": sum(counted.values()),
            "classes": [],
            "counts": [],
            "skipped": [entry._asdict() for entry in self.skipped],
            "notes": list(self.notes),
            "fingerprint": hashlib.blake2b(both, digest_size=8).hexdigest(),
        }  # fmt: skip


def _pair(a: Batch, b: Batch) -> Pair:
    return Pair(a.images, a.labels, a.first, a.whole, a.rng, b.images, texts=a.texts)


def open_sides(path: Path, other: Path | None, preparation: Preparation, kind: str, *, seed: int, **how: Any) -> Sides:
    """Pictures of both kinds, prepared, cached and divided.

    path: A, with B in `other`; or both: trainA and trainB or any two folders, or, for pairs, pictures side by side.
    kind: PAIRED or UNPAIRED.  how: what open_dataset takes besides.
    Raises UsageError: as open_dataset; a folder that holds one kind only; no picture that has a partner.
    """
    if how.get("balanced"):
        raise UsageError("--balanced is for classes; A and B are drawn equally often anyway")

    def opened(folder: Path, **changes: Any) -> Dataset:
        return open_dataset(folder, replace(preparation, **changes), seed=seed, **how)

    if kind == UNPAIRED:
        return _unpaired(path, other, opened)
    return _paired(path, other, opened)


# --- unpaired --------------------------------------------------------------------------------------------------------


def _unpaired(path: Path, other: Path | None, opened: Opener) -> Sides:
    a, b = (opened(path), opened(other)) if other is not None else _halves(opened(path), path)
    skipped, notes = (*a.skipped, *b.skipped), (*a.notes, *b.notes)
    b = replace(b, seed=b.seed + _OTHER_SEED)
    if other is None:
        return Sides(a, b, False, a.skipped, first_of_several=a.first_of_several)
    return Sides(a, b, False, skipped, notes, a.first_of_several + b.first_of_several)


def _halves(data: Dataset, path: Path) -> tuple[Dataset, Dataset]:
    """The two classes of a data set as data sets of their own."""
    if len(data.classes) != 2:
        raise UsageError(
            f"two kinds of pictures are needed: name two folders, or one with trainA and trainB; {path} is "
            f"{data.layout}"
        )
    a, b = (_rows_of(data, label) for label in (0, 1))
    return a, b


def _rows_of(data: Dataset, label: int) -> Dataset:
    training, held_out = (rows[data.labels[rows] == label] for rows in (data.training, data.held_out))
    name = data.classes[label]
    if not len(training):
        raise UsageError(f"{name} has no pictures to train on")
    layout = f"{len(training) + len(held_out)} pictures in {name}"
    worded = data.worded and bool(data.texts)  # the names of the two kinds are no words for what they show
    return replace(data, training=training, held_out=held_out, layout=layout, worded=worded)


# --- paired ----------------------------------------------------------------------------------------------------------


def _paired(path: Path, other: Path | None, opened: Opener) -> Sides:
    if other is not None:
        return _matched(opened(path), opened(other), (str(path), str(other)), _sizes(path) | _sizes(other, "B"))
    layout = read_layout(path)
    if len(layout.classes) == 2:
        both = opened(path)
        sizes = {(side, item.name): size for item, size in _measured(path) for side in "AB"}
        return _matched(both, both, layout.classes, sizes)
    wrong = [Skipped(item.name, _no_pair(size)) for item, size in _measured(path) if size and _no_pair(size)]
    a, b = opened(path, half="left"), opened(path, half="right")
    bad = {entry.name for entry in wrong}
    if bad >= set(a.names):
        raise UsageError(f"{path} holds no pairs: {wrong[0].name} {wrong[0].reason}; or name two folders, A and B")
    a, b = (_without(side, bad) for side in (a, b))
    return Sides(a, b, True, (*a.skipped, *wrong), first_of_several=a.first_of_several)


def _no_pair(size: tuple[int, int]) -> str:
    """Why a picture is not two side by side, or an empty string."""
    width, height = size
    return "" if width >= _LEAST_WIDE * height else f"is {width}x{height}: no two pictures side by side"


def _without(side: Dataset, names: set[str]) -> Dataset:
    good = np.array([name not in names for name in side.names])
    return replace(side, training=side.training[good[side.training]], held_out=side.held_out[good[side.held_out]])


def _measured(path: Path) -> Iterator[tuple[Any, tuple[int, int] | None]]:
    """The pictures of a folder with their (width, height); None where the header does not say."""
    for item in read_layout(path).items:
        try:
            yield item, decode.open_image(item.source).size if isinstance(item.source, Path) else None
        except UsageError:  # the build of the cache says what is wrong with it
            yield item, None


def _sizes(path: Path, side: str = "A") -> dict[tuple[str, str], tuple[int, int] | None]:
    return {(side, item.name): size for item, size in _measured(path)}


def _matched(a: Dataset, b: Dataset, called: tuple[str, ...], sizes: dict) -> Sides:
    """Two sets, which may be one with two classes, with only those rows that have a partner, in the same order."""
    one = a is b
    rows_a, rows_b = (_by_key(side, label if one else None) for label, side in enumerate((a, b)))
    skipped = [*a.skipped, *(() if one else b.skipped)]
    skipped += _lonely(rows_a, rows_b, a, called[1]) + _lonely(rows_b, rows_a, b, called[0])
    pairs = [(rows_a[key], rows_b[key]) for key in sorted(rows_a.keys() & rows_b.keys())]
    if not pairs:
        names = sorted(entry.name for entry in skipped)
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise UsageError(f"no picture in {called[0]} has a partner of the same name in {called[1]}: {shown}")
    odd = {row: _mismatch(sizes.get(("A", a.names[row])), sizes.get(("B", b.names[other]))) for row, other in pairs}
    skipped += [Skipped(a.names[row], why) for row, why in odd.items() if why]
    pairs = [pair for pair in pairs if not odd[pair[0]]]
    if not pairs:
        raise UsageError(f"no pair of pictures has one shape: {skipped[-1].name} {skipped[-1].reason}")
    several = a.first_of_several + (0 if one else b.first_of_several)
    training, held = set(a.training.tolist()), set(a.held_out.tolist())
    shown_pairs = [pair for pair in pairs if pair[0] in held]
    learned = [pair for pair in pairs if pair[0] in training] or shown_pairs
    a, b = (
        replace(side, training=_column(learned, column), held_out=_column(shown_pairs, column))
        for column, side in enumerate((a, b))
    )
    return Sides(a, b, True, tuple(sorted(skipped)), first_of_several=several)


def _lonely(mine: dict[str, int], theirs: dict[str, int], side: Dataset, where: str) -> list[Skipped]:
    """The pictures whose key only one side has."""
    return [Skipped(side.names[mine[key]], f"has no partner in {where}") for key in mine.keys() - theirs.keys()]


def _mismatch(first: tuple[int, int] | None, second: tuple[int, int] | None) -> str:
    """Why two pictures do not lie on each other when both become squares, or an empty string."""
    if first is None or second is None:
        return ""
    alike = abs(first[0] * second[1] - second[0] * first[1]) <= max(*first, *second)  # up to a pixel
    return "" if alike else f"is {first[0]}x{first[1]}, its partner {second[0]}x{second[1]}"


def _column(pairs: list[tuple[int, int]], column: int) -> Array:
    return np.array([pair[column] for pair in pairs], np.int64)


def _by_key(side: Dataset, label: int | None) -> dict[str, int]:
    """Row numbers by what a picture and its partner have in common: the name without suffix, train for trainA."""
    rows = range(len(side.names)) if label is None else np.flatnonzero(side.labels == label).tolist()
    return {_key(side.names[row], named=label is not None): row for row in rows}


def _key(name: str, named: bool) -> str:
    parts = PurePosixPath(name).with_suffix("").parts
    if not named:
        return "/".join(parts)
    known = [re.sub(r"(?i)^(train|test|val)[ab]$", r"\1", part) for part in parts]
    return "/".join(known if known != list(parts) else parts[1:])  # of two folders of any names the first part differs
