"""Where the results of a call go: into one file, or under names of their own into a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from artcli.errors import UsageError
from artcli.media import files

Input = TypeVar("Input")

STEM = "*"  # in the name of --out: what an input is called, without its ending


def is_folder(out: Path | None, count: int) -> bool:
    """Whether --out, for `count` results, names a folder: one that exists, `name/`, or for several a plain `name`."""
    if out is None or str(out) == "-":
        return False
    return isinstance(out, files.Folder) or out.is_dir() or (count > 1 and not out.suffix and STEM not in out.name)


def places(
    sources: Sequence[Input],
    out: Path | None,
    default: Callable[[Input], str],
    *,
    count: int | None = None,
    what: str = "inputs",
    option: str = "--out",
    mirrored: Sequence[str] = (),
) -> list[Path]:
    """The output of every source.

    default: its name where --out names none; the folder of a name is made if it is not there, by the check of outputs.
    count: of results, if not of the sources; what: the sources are.  mirrored: folders whose tree is kept below --out.
    Where two would have one name, the later ones are numbered.  Raises UsageError: one file for several.
    """
    count = count or len(sources)
    if out is None or is_folder(out, count):
        root = files.Folder() if out is None else files.Folder(out)
        return _distinct([root / files.subfolder(str(each), mirrored) / default(each) for each in sources])
    if STEM in out.name:
        root = files.Folder(out.parent)
        names = [(files.subfolder(str(each), mirrored), out.name.replace(STEM, files.stem(each))) for each in sources]
        return _distinct([root / below / name for below, name in names])
    if str(out) == "-" and count > 1:
        raise UsageError(f"{option} - takes one picture; a batch needs a folder")
    if len(sources) > 1:
        raise UsageError(
            f"{option} {out} is one file, but there are {len(sources)} {what}; give a folder, such as out/"
        )
    return [out]


def _distinct(paths: Sequence[Path]) -> list[Path]:
    """The paths, but those that are there before with a number behind their stem: a.png, a-2.png."""
    known, given = set(paths), dict[Path, None]()
    for path in paths:
        free, number = path, 1
        while free in given or (number > 1 and free in known):
            number += 1
            free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        given[free] = None
    return list(given)
