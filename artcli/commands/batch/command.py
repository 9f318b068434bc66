"""`artgen batch`: many calls of any verbs, from a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from artcli.commands.batch import run, watch
from artcli.commands.shared import options
from artcli.commands.shared.common import Quiet
from artcli.commands.shared.verb import verb
from artcli.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Options(Quiet):
    """The command line."""

    file: Annotated[
        str, typer.Argument(metavar="FILE", help="jobs.toml, JSON lines in a .jsonl, or - for those from stdin.")
    ]
    log: Annotated[
        Path | None,
        Setting("What is done; the same batch goes on from it.", metavar="FILE", default="FILE.done; - none"),
    ] = None
    watch: Annotated[
        Path | None,
        Setting("Do them for each picture or film that comes into this folder, as {file}.", metavar="FOLDER"),
    ] = None
    force: Annotated[bool, typer.Option("--force", "-f", help="Do all of it again, and replace what is there.")] = False
    time_limit: options.TimeLimit = None


@verb(Options)
def batch(ctx: typer.Context, options: Options) -> None:
    """Do the jobs of a file, any verbs, and load each model once.

    The same line again does only what is left.

    artgen batch jobs.toml
    """
    settings = ctx.parent.default_map if ctx.parent else None
    work = run.run if options.watch is None else watch.run
    work(options, settings or {}, options.console())
