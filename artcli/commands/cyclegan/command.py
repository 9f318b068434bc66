"""`artgen cyclegan`: pictures and films carried over to another look by a trained translator."""

import typer

from artcli.commands.cyclegan import run
from artcli.commands.cyclegan.request import Options, Request
from artcli.commands.shared.verb import verb


@verb(Options)
def cyclegan(ctx: typer.Context, options: Options) -> None:
    """Carry photos over to the world of paintings, and back (CycleGAN, pix2pix).

    artgen cyclegan photo.jpg -o monet.png
    """
    run.run(Request.of(ctx, options), options.console())
