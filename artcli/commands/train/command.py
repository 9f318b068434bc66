"""`artgen train`: make a model from a folder of pictures; the same line again goes on where it stopped."""

import typer

from artcli import device
from artcli.commands.shared.verb import verb
from artcli.commands.train import check
from artcli.commands.train.options import Options
from artcli.commands.train.request import Request


@verb(Options)
def train(ctx: typer.Context, options: Options) -> None:
    """Train a model on a folder of pictures.

    Run the same line again to go on where it stopped.

    \b
    artgen train vae photos --preset abstract-64
    artgen train autoencoder cifar-10-batches-py --epochs 15 --out runs/cifar
    artgen train cyclegan photos paintings --preset light
    """
    request = Request.of(ctx, options)
    if options.check:
        return check.check(request, options.console())
    device.import_torch()
    from artcli.commands.train import run  # which takes seconds to import torch

    run.run(request, options.console())
