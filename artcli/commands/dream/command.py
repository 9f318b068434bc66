"""`artgen dream`: words to a picture, and to a film of how it came about."""

import typer

from artcli.commands.dream import diffused, run
from artcli.commands.dream.options import Options
from artcli.commands.dream.request import Request
from artcli.commands.shared.verb import verb


@verb(Options)
def dream(ctx: typer.Context, options: Options) -> None:
    """Draw what the words say (VQGAN+CLIP's loop).

    artgen dream "red car" --steps 300 --out car.mp4
    """
    way = diffused if options.way == "diffused" else run
    way.run(Request.of(ctx, options), options.console())
