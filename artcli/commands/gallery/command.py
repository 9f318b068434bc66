"""`artgen gallery`: a page of the pictures and films in a folder, each with what made it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from artcli.commands.shared import options
from artcli.commands.shared.common import Quiet
from artcli.commands.shared.options import FILES
from artcli.commands.shared.verb import verb
from artcli.media import files
from artcli.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Options(Quiet):
    """The command line."""

    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the pictures and films are.")]
    out: Annotated[
        Path | None,
        Setting("The page.", metavar="FILE", default="FOLDER/gallery.html", flags=("-o",), parse=files.output),
    ] = None
    recursive: Annotated[bool, Setting("Subfolders, too.", panel=FILES)] = False
    force: options.Force = False


@verb(Options)
def gallery(ctx: typer.Context, options: Options) -> None:
    """Make a page of the pictures and films in a folder.

    It has recipes, commands, search and comparison, needs no network and opens from a file. Pictures on it are small
    and lead to the files.

    artgen gallery pictures
    """
    from artcli.commands.gallery import run

    commands = ctx.find_root().command.commands  # type: ignore[attr-defined]
    run.run(options, commands, options.console())
