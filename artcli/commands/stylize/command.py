"""`artgen stylize`: a picture painted in the style of others."""

import typer

from artcli.commands.shared.verb import verb
from artcli.commands.stylize import fast, run
from artcli.commands.stylize.request import Options, Request


@verb(Options)
def stylize(ctx: typer.Context, options: Options) -> None:
    """Paint a photo in the style of a painting.

    The method is neural style transfer.

    artgen stylize photo.jpg painting.jpg -o out.png
    """
    way = fast if options.fast else run
    way.run(Request.of(ctx, options), options.console())
