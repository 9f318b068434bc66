"""What a table says of pictures: CSV with a line of names on top, or a JSON object a line.

The column that names the pictures is found by its cells: `a.jpg`, `folder/a.jpg`, or `a` where only one picture is
called so.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from artcli.errors import UsageError
from artcli.training.columns import Column
from artcli.training.columns import learn as learn_columns
from artcli.training.data.items import pictures, read_file

Cells = dict[str, str]  # by column; a cell of nothing is left out
_SHOWN = 4  # names in a line
_DELIMITERS = ",;\t|"


class Told(NamedTuple):
    """columns: their names, in the order of the table, without the one that names pictures.  cells: by picture.
    notes: what has no partner, a sentence each."""

    columns: tuple[str, ...]
    cells: dict[str, Cells]
    notes: list[str]


class Learned(NamedTuple):
    """columns: those of use.  cells: of each picture.  notes: as of Told, and what is of no use."""

    columns: list[Column]
    cells: list[Cells]
    notes: list[str]


def learn(path: Path, names: Sequence[str]) -> Learned:
    """What can be learned from the table about the pictures with these names.

    Raises UsageError: as `read`, or nothing can.
    """
    told = read(path, names)
    cells = [told.cells.get(name, {}) for name in names]
    learned, useless = learn_columns(told.columns, cells)
    if not learned:
        raise UsageError(f"{path} says nothing to learn from. {' '.join(useless)}")
    return Learned(learned, cells, [*told.notes, *useless])


def read(path: Path, names: Sequence[str]) -> Told:
    """What the table says of the pictures with these names, forward slashes in them.

    Raises UsageError: there is no such table, it cannot be read, or names none of the pictures.
    """
    if not path.is_file():
        raise UsageError(f"there is no table {path}: CSV or JSON lines, a line for each picture")
    rows = _rows(path)
    if not rows:
        raise UsageError(f"{path} has no lines below the names of its columns")
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    found = _found(rows, columns, names)
    if found is None:
        raise UsageError(_strange(path, rows, names))
    key, matched = found
    told = tuple(name for name in columns if name != key)
    if not told:
        raise UsageError(f"{path} has the names of pictures and nothing about them: add columns")
    cells = {
        name: {column: cell for column, cell in row.items() if column != key and cell}
        for row, name in zip(rows, matched, strict=True)
        if name is not None
    }
    lost = [row.get(key, "") for row, name in zip(rows, matched, strict=True) if name is None]
    return Told(told, cells, _notes(path, cells, lost, names))


def _notes(path: Path, cells: dict[str, Cells], lost: list[str], names: Sequence[str]) -> list[str]:
    notes = []
    if without := len(names) - len(cells):
        notes.append(f"Without a line in {path.name}: {pictures(without)}, learned from as unknown.")
    if lost:
        notes.append(f"{path.name} has lines of {pictures(len(lost))} that are not there: {_some(lost)}.")
    return notes


def _strange(path: Path, rows: list[Cells], names: Sequence[str]) -> str:
    first = next(iter(rows[0].values()), "")
    return f"{path} names none of the pictures: its first line begins with {first!r}, they are called {_some(names)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


# --- which column names pictures -------------------------------------------------------------------------------------


def _found(rows: list[Cells], columns: Iterable[str], names: Sequence[str]) -> tuple[str, list[str | None]] | None:
    """The column that names most pictures, the first of several, with the picture of each row; None where none does."""
    known = _called(names)
    best: tuple[int, str, list[str | None]] = (0, "", [])
    for column in columns:
        matched = [known.get(_plain(row.get(column, ""))) for row in rows]
        count = len({name for name in matched if name is not None})
        if count > best[0]:
            best = count, column, matched
    return best[1:] if best[0] else None


def _called(names: Sequence[str]) -> dict[str, str]:
    """Each picture by its name and by all shorter ones that no other has."""
    whole = {_plain(name): name for name in names}
    short = [(each, name) for name in names for each in _shorter(_plain(name))]
    often = Counter(each for each, _ in short)
    return {each: name for each, name in short if often[each] == 1} | whole


def _shorter(name: str) -> set[str]:
    path = PurePosixPath(name)
    return {path.name, path.stem, str(path.with_suffix(""))} - {name}


def _plain(cell: str) -> str:
    return cell.replace("\\", "/").removeprefix("./")


# --- reading ---------------------------------------------------------------------------------------------------------


def _rows(path: Path) -> list[Cells]:
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    start = text.lstrip()
    return _of_json(path, text) if start.startswith(("{", "[")) else _of_csv(path, text)


def _of_json(path: Path, text: str) -> list[Cells]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}, is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(f'{path}, line {number}, has to be an object such as {{"file": "a.jpg", "year": 1890}}')
        for name, cell in row.items():
            if isinstance(cell, list | dict):
                raise UsageError(f"{path}, line {number}: {name} has to be a word or a number, not a list or an object")
        rows.append({str(name): _written(cell) for name, cell in row.items()})
    return rows


def _written(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _of_csv(path: Path, text: str) -> list[Cells]:
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    rows: list[Cells] = []
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(lines, [])]
        if twice := [name for name, count in Counter(header).items() if count > 1]:
            raise UsageError(f"{path} has two columns called {twice[0]!r}")
        for row in lines:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(header):
                raise UsageError(f"{path}, line {lines.line_num}, has {len(row)} cells for {len(header)} columns")
            rows.append({name: cell.strip() for name, cell in zip(header, row, strict=False) if name})
    except csv.Error as error:
        raise UsageError(f"{path}, line {lines.line_num}, cannot be read: {error}") from error
    return rows
