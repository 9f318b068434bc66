"""What a call of `artgen train` asks for, as far as it can be told without the model."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import typer

from artcli import __version__
from artcli.commands.shared import options, verb
from artcli.commands.train import second
from artcli.commands.train.options import Options
from artcli.errors import UsageError
from artcli.media import files
from artcli.training.registry import MODELS, SECOND_STAGES
from artcli.training.source import NO_DATA
from artcli.training.spec import DataSpec, RunSpec


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
        if made.table is not None and not made.table.is_file():
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

    @property
    def table(self) -> Path | None:
        """The file, or the one of this name among the data."""
        asked = self.options
        return asked.table if asked.table is None or asked.table.is_file() else asked.data / asked.table

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
                table=None if self.table is None else str(self.table.resolve()),
                by_color=asked.by_color or None,
                preparation=dict(self.preparation),
                augmentation={"flip": asked.flip, "zoom": asked.zoom, "rotation": asked.rotate},
            ),
            trainer=asked.trainer,
        )


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
