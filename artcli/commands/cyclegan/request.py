"""What a call of `artgen cyclegan` asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import typer

from artcli.commands.shared import naming, options, request
from artcli.commands.shared.common import Common, Enlarging, Inputs
from artcli.commands.shared.jobs import InputJob
from artcli.commands.shared.outputs import MOVING, PICTURES, film_suffix, is_film
from artcli.errors import UsageError
from artcli.media import files
from artcli.pretrained import find
from artcli.setting import Setting

LARGEST = 8192  # pixels of a side of what is enlarged for the net


@dataclass(frozen=True, kw_only=True)
class Options(Enlarging, Common, Inputs):
    """The command line."""

    inputs: Annotated[
        tuple[str, ...], typer.Argument(metavar="PICTURE", help="Pictures, folders of them, films; - for stdin.")
    ] = ()
    show: options.Show = False
    recursive: options.Recursive = False
    model: Annotated[str, Setting("Bundled name, run folder, weights file or upstream net_G.pth.")] = find.TRANSLATOR
    direction: Annotated[
        str | None,
        Setting(
            "AtoB or BtoA.",
            offered=find.DIRECTIONS,
            metavar="WAY",
            default="the model's own",
            parse=lambda text: _way(text),
        ),
    ] = None
    strength: Annotated[float, Setting("Below 1 a part of the photo stays.", min=0, max=1)] = 1.0
    size: Annotated[
        int | None,
        Setting(
            "Shorter side at which the net works: small gives large strokes. The result keeps the picture's size.",
            min=32,
            max=LARGEST,
            metavar="S",
            default="that of the pictures it was trained on",
        ),
    ] = None
    detail: Annotated[
        float, Setting("How much of the photo's finer edges comes back over strokes drawn smaller.", min=0, max=1)
    ] = 0.3
    keep_color: Annotated[bool, Setting("Only brightness changes, colours stay the photo's.")] = False
    tile: Annotated[
        int, Setting("Large pictures in parts; smaller need less memory.", min=128, max=8192, metavar="PX")
    ] = 512
    evaluated: Annotated[
        bool,
        Setting("Batch normalisation as learned, no dropout. Default: by the picture, and dropout.", name="--eval"),
    ] = False
    no_dropout: Annotated[bool, Setting("Leave only dropout out.")] = False
    # Not called seed, which a recipe has to have: records that were made before it have none.
    dropout_seed: Annotated[int, Setting("Of dropout.", min=0, max=options.MAX_SEED, metavar="INT", name="--seed")] = 0


def _way(text: str) -> str:
    known = {way.lower(): way for way in find.DIRECTIONS}
    return options.one_of("--direction", known.get(text.lower(), text), find.DIRECTIONS)


class CycleganJob(InputJob):
    @property
    def resumable(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Request(request.Request[Options]):
    """All jobs of a call, and what they share."""

    command, kind = "cyclegan", Options

    jobs: tuple[CycleganJob, ...]

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options) -> Self:
        """Raises UsageError for what cannot work."""
        sources = asked.sources("a picture to carry over, a folder of them, or a film")
        targets = naming.places(sources, asked.out, _name, mirrored=asked.mirrored)
        jobs = [CycleganJob(each, out, _moves(each, out)) for each, out in zip(sources, targets, strict=True)]
        film = next((job.source for job in jobs if job.moving), None)
        enlargement = options.enlargement(ctx, asked.upscale, asked.upscaler, film)
        return cls.made(ctx, asked, jobs=tuple(jobs), enlargement=enlargement)


def _name(source: Path | files.Stdio) -> str:
    stem = files.stem(source)
    return f"{stem}-cyclegan{film_suffix(source) if is_film(source) else '.png'}"


def _moves(source: Path | files.Stdio, out: Path) -> bool:
    """Whether a film is made: films become films, pictures pictures, and an animation what is asked for."""
    moving = is_film(source, out)
    if str(out) == "-":
        if moving:
            raise UsageError("--out - takes a picture; a film needs a file")
        return False
    files.check_extension(out, MOVING if moving else PICTURES)
    return moving
