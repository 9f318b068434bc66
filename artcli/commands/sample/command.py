"""`artgen sample`: what a trained model can do, as pictures, films and a page to rate them."""

import typer

from artcli.commands.sample import run
from artcli.commands.sample.options import Options
from artcli.commands.sample.request import Request
from artcli.commands.shared.verb import verb


@verb(Options)
def sample(ctx: typer.Context, options: Options) -> None:
    """Look at what a trained model has learned.

    artgen sample runs/0001-vae-flowers --out samples.png
    """
    run.run(Request.of(ctx, options), options.console())
