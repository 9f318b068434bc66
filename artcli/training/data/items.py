"""One picture of a data set before it is decoded: what it is called, and where its bytes or pixels are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artcli.errors import UsageError
from artcli.media import files

Array = np.ndarray[Any, Any]


class Skipped(NamedTuple):
    """A picture that is left out: its name in the data set, and why in one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Slice:
    """A file inside an uncompressed tar: `length` bytes from `offset` on."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, eq=False)  # arrays do not compare to one bool
class Item:
    """name: relative to the data set, with forward slashes, valid Unicode whatever the disk says.  label: into classes.

    source: a picture file, one inside a tar, or decoded uint8 pixels, (H, W) or (H, W, 3).
    stamp: (bytes, modification time in ns) of the file on disk.  held_out: the data set itself keeps it from training.
    texts: its captions.
    """

    name: str
    source: Path | Slice | Array
    stamp: tuple[int, int]
    label: int = 0
    held_out: bool = False
    texts: tuple[str, ...] = ()


def pictures(count: int) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count} picture{'' if count == 1 else 's'}"


def read(item: Item) -> bytes | Array:
    """The encoded bytes of a file, or the pixels where they are decoded already.  Raises UsageError: unreadable."""
    source = item.source
    if isinstance(source, np.ndarray):
        return source
    try:
        if isinstance(source, Path):
            return source.read_bytes()
        with source.path.open("rb") as file:
            file.seek(source.offset)
            return file.read(source.length)
    except OSError as error:
        raise UsageError(f"cannot be read: {files.reason(error)}") from error


def read_file(path: Path) -> bytes:
    """All bytes of a file.  Raises UsageError: it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {files.reason(error)}.") from error


def stamp(path: Path) -> tuple[int, int]:
    """Bytes and modification time in ns: what says, without reading it, that a file is still the same."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
