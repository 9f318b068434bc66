"""`artgen cyclegan`: pictures and films carried over to another look by a trained translator."""

import typer

from artcli.commands.cyclegan import run
from artcli.commands.cyclegan.request import Options, Request
from artcli.commands.shared.verb import verb


@verb(Options)
def cyclegan(ctx: typer.Context, options: Options) -> None:
    """Turn photos into paintings, and back.

    By a network of CycleGAN or pix2pix, trained on pictures of both kinds.

    artgen cyclegan photo.jpg -o monet.png
    """
    run.run(Request.of(ctx, options), options.console())
