"""What a call of `artgen train` asks for, as far as it can be told without the model."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from artcli import __version__
from artcli.commands.shared import complete, options, verb
from artcli.commands.shared.common import Quiet
from artcli.commands.train import second
from artcli.errors import UsageError
from artcli.media import files
from artcli.setting import RUN, Setting
from artcli.training.registry import MODELS, SECOND_STAGES
from artcli.training.source import NO_DATA
from artcli.training.spec import DataSpec, RunSpec, TrainerSpec

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
        tuple[str, ...],
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the model (repeatable)."),
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


@dataclass(frozen=True)
class Request:
    """A run, and how long it may take.

    preparation: what training.data.Preparation is given.  limit: seconds for all of it since `started`, as
    time.monotonic() has it: before torch is imported, which takes seconds.  line: what the run's record says of the
    call, without it the command line.
    """

    command, kind = "train", Options
    known_outputs, waits = (), False  # a run goes on by itself

    options: Options
    preparation: Mapping[str, Any]
    limit: float | None
    started: float = field(default_factory=time.monotonic, compare=False)
    line: str = field(default="", compare=False)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Self:
        """As the command line would have it: {"model": "vae", "data": "photos", "steps": 500}.  Raises UsageError.

        defaults: as `verb.read` has them.
        """
        said = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return cls.of(*verb.read(cls.command, cls.kind, values, defaults), line=f"artcli.train({said})")

    @classmethod
    def draws_a_seed(cls, values: Mapping[str, Any]) -> bool:
        """Whether a call with these values, without one, draws a seed."""
        return False

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options, line: str = "") -> Self:
        """Raises UsageError for what cannot work."""
        started = time.monotonic()
        options.one_of("MODEL", asked.model, tuple(MODELS))
        kept: Mapping[str, Any] | None = None
        if asked.model in SECOND_STAGES:
            asked, kept = second.with_data(ctx, asked)
        look = {"color": asked.color, "filter": asked.filter}
        preparation = {**look, **_crop(asked.crop), **_cutout(asked.cutout, asked.masks)}
        preparation |= kept or {}
        made = cls(asked, preparation, options.seconds(asked.time_limit), started, line)
        for folder in made.folders:
            if not folder.exists():
                raise UsageError(f"there is no folder {folder} to train on")
        if asked.table is not None and not _table(asked.table, asked.data).is_file():
            raise UsageError(f"there is no table {asked.table}, nor in {asked.data}: CSV or JSON lines")
        if asked.inception is not None and not asked.inception.is_file():
            raise files.missing(asked.inception)
        return made

    @property
    def data_free(self) -> bool:
        """Whether the model is to make its own data."""
        return str(self.options.data) == NO_DATA and not self.options.check

    @property
    def folders(self) -> list[Path]:
        """Where the data are."""
        first = [] if self.data_free else [self.options.data]
        return first if self.options.other is None else [*first, self.options.other]

    def spec(self, config: Any) -> RunSpec:
        """The run, with the settings of its model, a dataclass."""
        asked = self.options
        named = [folder for folder in (asked.data, asked.other) if folder is not None]
        return RunSpec(
            model=asked.model,
            preset=asked.preset,
            seed=asked.seed,
            steps=asked.steps,
            epochs=asked.epochs,
            init_from=None if asked.init_from is None else str(asked.init_from.resolve()),
            version=__version__,
            command=self.line or shlex.join(["artgen", *sys.argv[1:]]),
            config=dataclasses.asdict(config),
            data=DataSpec(
                path=NO_DATA if self.data_free else str(asked.data.resolve()),
                name="-".join(folder.resolve().name for folder in named),
                other=None if asked.other is None else str(asked.other.resolve()),
                val_fraction=DataSpec.val_fraction if asked.val_fraction is None else asked.val_fraction,
                held_out=asked.val_fraction,
                balanced=asked.balanced,
                table=None if asked.table is None else str(_table(asked.table, asked.data).resolve()),
                by_color=asked.by_color or None,
                preparation=dict(self.preparation),
                augmentation={"flip": asked.flip, "zoom": asked.zoom, "rotation": asked.rotate},
            ),
            trainer=asked.trainer,
        )


def _table(path: Path, data: Path) -> Path:
    """The file, or the one of this name among the data."""
    return path if path.is_file() else data / path


def _crop(how: str) -> dict[str, Any]:
    if how.isdigit() and int(how) > 0:
        return {"crop": "center", "crop_pixels": int(how)}
    return {"crop": options.one_of("--crop", how, ("center", "stretch")), "crop_pixels": None}


def _cutout(how: str | None, masks: Path | None) -> dict[str, Any]:
    name, _, file = (how or "").partition("=")
    if how is not None:
        options.one_of("--cutout", name, ("box", "maskrcnn"))
    return {
        "masks": str(masks.resolve()) if masks else None,
        "cutout": name or "none",
        "maskrcnn": str(Path(file).resolve()) if file else None,
    }
