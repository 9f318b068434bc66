"""Every file below a folder, in one order on every machine, without what no person put there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from artcli.media import files
from artcli.training.data.items import Skipped

SUFFIXES = (*files.IMAGE_SUFFIXES, ".jfif", ".ppm", ".pgm", ".jp2")

_FOREIGN = {"__macosx", "@eadir", "$recycle.bin"}  # left behind by archives and storage boxes, with pictures inside


@dataclass(frozen=True)
class Found:
    """One file: its parts below the folder, its path, (bytes, modification time in ns)."""

    parts: tuple[str, ...]
    path: Path
    stamp: tuple[int, int]

    @property
    def name(self) -> str:
        return printable(self.parts)

    @property
    def is_picture(self) -> bool:
        return self.path.suffix.lower() in SUFFIXES


def printable(parts: tuple[str, ...]) -> str:
    """The parts with forward slashes; bytes that are no Unicode become escapes."""
    return os.fsencode("/".join(parts)).decode("utf-8", "backslashreplace")


def walk(root: Path, exclude: Iterable[Path] = ()) -> tuple[list[Found], list[Skipped]]:
    """The files below `root`, sorted by their parts, and the folders that could not be read.

    Hidden files, folders of operating systems and everything in `exclude` are left out; links are followed, each
    folder once.
    """
    problems: list[Skipped] = []
    seen = {Path(folder).resolve() for folder in exclude}
    found = list(_below(root, (), seen, problems))
    return sorted(found, key=lambda file: file.parts), problems


def _below(folder: Path, parts: tuple[str, ...], seen: set[Path], problems: list[Skipped]) -> Iterator[Found]:
    real = folder.resolve()
    if real in seen:  # a link that leads back up, or a folder that is not wanted
        return
    seen.add(real)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(Skipped(printable(parts) or str(folder), f"cannot be read: {files.reason(error)}"))
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _FOREIGN:
            continue
        inner = (*parts, entry.name)
        try:
            if entry.is_dir():
                yield from _below(Path(entry.path), inner, seen, problems)
            elif entry.is_file():
                status = entry.stat()
                yield Found(inner, Path(entry.path), (status.st_size, status.st_mtime_ns))
        except OSError as error:
            problems.append(Skipped(printable(inner), f"cannot be read: {files.reason(error)}"))


def kinds(found: Iterable[Found]) -> str:
    """What there is, for an error line: `3 .txt and 1 .csv`."""
    counts = Counter(file.path.suffix.lower() or f"called {file.path.name}" for file in found)
    often = sorted(counts.items(), key=lambda entry: (-entry[1], not entry[0].startswith("."), entry[0]))
    words = [f"{count} {suffix}" for suffix, count in often[:4]]
    more = len(counts) - len(words)
    if more:
        words.append(f"{more} other kinds")
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
