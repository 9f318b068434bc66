"""One call of `artgen gallery`: look, refuse, read, write, report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from artcli.commands.gallery import page, results
from artcli.commands.shared.recall import Commands
from artcli.console import Console, counted
from artcli.errors import UsageError
from artcli.media import claims, files

if TYPE_CHECKING:
    from artcli.commands.gallery.command import Options

NAME = "gallery.html"
SUFFIXES = (".html", ".htm")


def run(asked: "Options", commands: Commands, console: Console) -> None:
    """Write the page.  Raises UsageError: no such folder, nothing in it, or a page that cannot be written."""
    found = results.look(asked.folder, asked.recursive)
    out = asked.out or asked.folder / NAME
    if out.is_dir() or isinstance(out, files.Folder):
        out = files.Folder(out) / NAME
    files.check_extension(out, SUFFIXES)
    if asked.dry_run:
        return console.info(f"gallery: {counted(len(found), 'file')} for {out}")
    claims.take([out], force=asked.force)
    read, broken = _read(found, out, commands, console)
    shown = sorted(read, key=lambda each: -each.time)  # those of one second stay in the order of their names
    with files.atomic(out) as temporary:
        temporary.write_text(page.render(_title(asked.folder), shown, broken), encoding="utf-8", newline="\n")
    if broken:
        console.warn(f"{counted(len(broken), 'file')} cannot be read; the page lists them")
    without = sum(each.recipe is None for each in shown)
    console.result([out], shown=len(shown), without_record=without, broken=[each.place.name for each in broken])
    console.info(f"gallery: {counted(len(shown), 'result')}" + (f", {without} without a record" if without else ""))


def _read(
    found: list[Path], out: Path, commands: Commands, console: Console
) -> tuple[list[results.Result], list[results.Broken]]:
    room = results.Room.for_count(len(found))
    read, broken = [], []
    with console.progress("gallery", len(found)) as bar:
        for number, path in enumerate(found, 1):
            place = results.Place.of(path, out)
            try:
                read.append(results.read(path, place, room, commands))
            except UsageError as error:
                broken.append(results.Broken(place, str(error)))
            bar.update(number)
    return read, broken


def _title(folder: Path) -> str:
    return os.path.basename(os.path.abspath(folder)) or "gallery"  # noqa: PTH100, PTH119 (a link keeps its name)
