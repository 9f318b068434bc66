"""The command line of `artgen train`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from artcli.commands.shared import complete, options
from artcli.commands.shared.common import Quiet
from artcli.setting import RUN, Setting
from artcli.training.registry import MODELS
from artcli.training.spec import TrainerSpec

_DATA = "Data"


def _presets(ctx: typer.Context, incomplete: str) -> list[str]:
    words = (ctx.params.get("model"), *ctx.args)  # args: the parser stops where the option's value is not there yet
    return complete.presets(next((word for word in words if word in MODELS), ""), incomplete)


@dataclass(frozen=True, kw_only=True)
class Options(Quiet):
    """The command line."""

    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.", autocompletion=complete.models),
    ]
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of pictures, flat or a folder per class; CIFAR-10, MNIST, shards. none for painter.",
        ),
    ]
    other: Annotated[
        Path | None,
        typer.Argument(
            metavar="OTHER",
            help="For cyclegan and pix2pix: a second folder, B, where DATA is A alone.  For prior: DATA, behind a RUN.",
        ),
    ] = None
    out: Annotated[
        Path | None, Setting("Run folder.", metavar="RUN", default="runs/NUMBER-MODEL-DATA", flags=("-o",))
    ] = None
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Settings under a name; a wrong one lists all.", autocompletion=_presets),
    ] = None
    steps: Annotated[int | None, Setting("Length of the whole run.", min=1)] = None
    epochs: Annotated[int | None, Setting("The same, in rounds through the data.", min=1)] = None
    settings: Annotated[
        tuple[str, ...], Setting("Change a setting of the model (repeatable).", metavar="NAME=VALUE", name="--set")
    ] = ()
    seed: Annotated[int, Setting("Seed of the whole run.", min=0)] = 0
    init_from: Annotated[
        Path | None,
        Setting("For GANs: begin with the layers of this run, of the same size or half of it.", metavar="RUN"),
    ] = None

    check: Annotated[bool, Setting("Only look at the data and say what is in it.", panel=_DATA)] = False
    val_fraction: Annotated[
        float | None, Setting("Part that is held out.", min=0, max=0.9, panel=_DATA, default="0.1; packed sets 0.02")
    ] = None
    crop: Annotated[
        str, Setting("center, stretch, or a side: 150.", offered=("center", "stretch"), metavar="HOW", panel=_DATA)
    ] = "center"
    color: Annotated[str, Setting("Channels of a picture.", choices=("rgb", "ycbcr", "grey"), panel=_DATA)] = "rgb"
    filter: Annotated[str, Setting("How pictures are scaled.", choices=("lanczos", "box"), panel=_DATA)] = "lanczos"
    masks: Annotated[Path | None, Setting("Masks with the pictures' names.", metavar="DIR", panel=_DATA)] = None
    cutout: Annotated[
        str | None,
        Setting("Find the subject: box or maskrcnn=FILE.", offered=("box", "maskrcnn="), metavar="HOW", panel=_DATA),
    ] = None
    flip: Annotated[bool, Setting("Mirror each picture with probability 0.5.", panel=_DATA)] = False
    zoom: Annotated[float, Setting("Zoom in or out by up to this part.", min=0, max=0.5, panel=_DATA)] = 0.0
    rotate: Annotated[float, Setting("Turn by up to this, in degrees.", min=0, max=180, panel=_DATA)] = 0.0
    balanced: Annotated[bool, Setting("Draw every class equally often.", panel=_DATA)] = False
    table: Annotated[
        Path | None,
        Setting("CSV or JSON lines about the pictures: GANs are told what it says.", metavar="FILE", panel=_DATA),
    ] = None
    by_color: Annotated[bool, Setting("GANs are told the colours of each picture.", panel=_DATA)] = False

    time_limit: options.TimeLimit = None
    device: options.Device = "auto"
    offline: options.Offline = False
    trainer: TrainerSpec = field(default_factory=TrainerSpec)
    patience: Annotated[
        int | None,
        Setting(
            "Finish with the best weights when N checkpoints brought no lower held-out loss.",
            min=1, metavar="N", panel=RUN,
        ),
    ] = None  # fmt: skip
    metrics: Annotated[
        tuple[str, ...],
        Setting("How near samples are to the data, at checkpoints.", choices=("kid", "fid"), panel=RUN),
    ] = ()
    metrics_every: Annotated[
        int, Setting("Checkpoints from one --metrics to the next.", min=1, metavar="N", panel=RUN)
    ] = 4
    metrics_pictures: Annotated[int, Setting("Samples, and pictures, of --metrics.", min=8, metavar="N", panel=RUN)] = (
        500
    )
    inception: Annotated[
        Path | None,
        Setting("The weights of Inception, for --metrics.", metavar="FILE", default="torch-fidelity's download",
                panel=RUN),
    ] = None  # fmt: skip
    track: Annotated[
        tuple[str, ...],
        typer.Option(
            "--track",
            metavar="NAME",
            help="tensorboard or wandb, when installed.",
            rich_help_panel=RUN,
            autocompletion=complete.words("tensorboard", "wandb"),
        ),
    ] = ()
    export: Annotated[str | None, Setting("Files for other programs, when done.", choices=("onnx",), panel=RUN)] = None
    accept_changes: Annotated[bool, Setting("Go on with other settings than before.", panel=RUN)] = False
