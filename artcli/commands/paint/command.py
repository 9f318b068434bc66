"""`artgen paint`: photos to brush strokes, and to films of how they are laid on."""

import typer

from artcli.commands.paint import run
from artcli.commands.paint.request import Options, Request
from artcli.commands.shared.verb import verb


@verb(Options)
def paint(ctx: typer.Context, options: Options) -> None:
    """Paint photos and films with brush strokes, coarse to fine.

    The method is Paint Transformer's.

    artgen paint photo.jpg --gif
    """
    run.run(Request.of(ctx, options), options.console())
