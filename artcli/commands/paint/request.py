"""What a call of `artgen paint` asks for: its inputs, and what is written for each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import typer

from artcli.backends.paint.settings import PACES, PAINT, Settings
from artcli.commands.shared import naming, options, request
from artcli.commands.shared.common import Common, Inputs
from artcli.commands.shared.jobs import InputJob
from artcli.commands.shared.outputs import FILMS, GROWING, GROWING_FPS, MOVING, PICTURES, film_suffix, is_film
from artcli.errors import UsageError
from artcli.media import files
from artcli.pretrained import find
from artcli.setting import FILM, Setting

# What decides which strokes there are; it has no meaning for strokes that are there already.
_OF_PREDICTION = ("model", "mode", "strokes", "detail", "lines", "min_stroke", "layers", "opacity",
                  "detail_mask")  # fmt: skip
# What a painted film has no use for.
_OF_PICTURES = ("strokes", "mode", "palette", "gif", "mp4", "webm", "duration", "fps", "pace", "strokes_out",
                "svg", "each_layer")  # fmt: skip
BESIDE = "More files"  # a panel of the help
_MOST_LAYERS = 20  # that names are kept free for


@dataclass(frozen=True, kw_only=True)
class Options(Common, Inputs):
    """The command line."""

    inputs: Annotated[
        tuple[str, ...],
        typer.Argument(metavar="PHOTO", help="Photos, folders of them, films, strokes.json files; - for stdin."),
    ] = ()
    size: Annotated[
        int | None, Setting("Longer side of the painting.", min=1, max=32_768, metavar="S", default="the photo's")
    ] = None
    settings: Settings = field(default_factory=Settings)
    brush: Annotated[
        str | None,
        Setting(
            "flat, round, bristle, dry, classic or a picture.",
            offered=("flat", "round", "bristle", "dry", "classic"),
            metavar="NAME|FILE",
            default="flat; model.pth classic",
        ),
    ] = None
    palette: Annotated[str | None, Setting("N colours, or those of a file.", metavar="N|FILE")] = None
    background: Annotated[
        str | None, Setting("average, transparent, or a colour.", metavar="COLOR", default="average")
    ] = None
    gif: Annotated[bool, Setting("Also a GIF of the painting growing.")] = False
    mp4: Annotated[bool, Setting("The same as MP4.")] = False
    webm: Annotated[bool, Setting("The same as WebM.")] = False
    detail_mask: Annotated[
        Path | None, Setting("Fine strokes only where it is white.", metavar="FILE", panel=PAINT)
    ] = None
    model: Annotated[str, Setting("Bundled name, run folder, weights file or model.pth.", panel=PAINT)] = find.PAINTER
    duration: Annotated[
        float, Setting("Of films, plus 1 s at the end.", min=0.1, max=3600, metavar="SECONDS", panel=FILM)
    ] = GROWING
    fps: Annotated[float, Setting("Frames per second.", min=1, max=120, panel=FILM)] = GROWING_FPS
    pace: Annotated[str, Setting("What each frame adds the same amount of.", choices=PACES, panel=FILM)] = PACES[0]
    resume: Annotated[bool, Setting("Go on with an interrupted film.", panel=FILM)] = False
    strokes_out: Annotated[
        Path | None,
        Setting("Also the strokes, to paint again at any size.", metavar="FILE", panel=BESIDE, parse=files.output),
    ] = None
    svg: Annotated[bool, Setting("Also an SVG.", panel=BESIDE)] = False
    each_layer: Annotated[bool, Setting("Also a transparent PNG of each layer.", panel=BESIDE)] = False
    show: options.Show = False
    recursive: options.Recursive = False

    @property
    def films(self) -> list[str]:
        """The kinds of films of the painting growing."""
        wanted = {".gif": self.gif, ".mp4": self.mp4, ".webm": self.webm}
        return [kind for kind in wanted if wanted[kind]]


@dataclass(frozen=True)
class PaintJob(InputJob):
    """films: those of the painting growing.  strokes, svg: what else is written."""

    films: tuple[Path, ...] = ()
    strokes: Path | None = None
    svg: Path | None = None
    each_layer: bool = False

    @property
    def replays(self) -> bool:
        """Whether the strokes are there already."""
        return str(self.source).lower().endswith(".json")

    @property
    def resumable(self) -> bool:
        return self.moving

    def layer(self, number: int) -> Path:
        return self.picture.with_name(f"{self.picture.stem}-layer-{number}.png")

    @property
    def outputs(self) -> list[Path]:
        """All but the layers, whose number the photo decides."""
        if self.moving:
            return super().outputs
        return [*self.films, self.picture, *(path for path in (self.strokes, self.svg) if path is not None)]


@dataclass(frozen=True, kw_only=True)
class Request(request.Request[Options]):
    """All jobs of a call, and what they share."""

    command, kind = "paint", Options

    jobs: tuple[PaintJob, ...]

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options) -> Self:
        """Raises UsageError for what cannot work."""
        jobs = _jobs(asked.sources("a photo to paint, a folder of them, or a strokes.json"), asked)
        _check_options(ctx, jobs, asked.background)
        return cls.made(ctx, asked, jobs=tuple(jobs))

    def beside(self, job: PaintJob) -> list[Path]:
        return [job.layer(n) for n in range(1, _MOST_LAYERS + 1)] if job.each_layer else []


def _check_options(ctx: typer.Context, jobs: list[PaintJob], background: str | None) -> None:
    """Options that would do nothing are a mistake.  Raises UsageError."""
    if all(job.replays for job in jobs) and (asked := options.on_the_line(ctx, *_OF_PREDICTION)):
        raise UsageError(f"{asked} decides which strokes a photo gets; {jobs[0].source} has its strokes already")
    film = next((job.source for job in jobs if job.moving), None)
    if film is not None and (asked := options.on_the_line(ctx, *_OF_PICTURES)):
        raise UsageError(f"{asked} is for pictures, and {film} is a film: paint it by itself, without")
    if film is not None and background == "transparent":
        raise UsageError(f"a film has no transparency: name a colour for the background of {film}")
    options.check_films(ctx, film is not None or any(job.films for job in jobs), "fps", "duration", "pace")
    if film is None and options.on_the_line(ctx, "resume"):
        raise UsageError("--resume goes on with an interrupted film; photos are painted in one go")


def _jobs(sources: list[Path | files.Stdio], asked: Options) -> list[PaintJob]:
    """Every input and what is written for it."""
    if str(asked.out) == "-" and (asked.films or asked.svg or asked.each_layer):
        raise UsageError("--out - writes the picture alone: for films, SVG and layers name a file, --out NAME.png")
    targets = naming.places(sources, asked.out, _name, mirrored=asked.mirrored)
    stroke_files = _stroke_files(asked.strokes_out, sources, asked.mirrored)
    return [_job(*each, asked) for each in zip(sources, targets, stroke_files, strict=True)]


def _job(source: Path | files.Stdio, target: Path, strokes: Path | None, asked: Options) -> PaintJob:
    suffix, moves = target.suffix.lower(), is_film(source, target)
    if str(asked.out) != "-":
        files.check_extension(target, MOVING if moves else PICTURES + FILMS)
    kinds = [*asked.films, *([suffix] if suffix in FILMS else [])]
    return PaintJob(
        source,
        target,
        moves,
        films=() if moves else tuple(target.with_suffix(kind) for kind in dict.fromkeys(kinds)),
        strokes=strokes,
        svg=target.with_suffix(".svg") if asked.svg else None,
        each_layer=asked.each_layer,
    )


def _name(source: Path | files.Stdio) -> str:
    return f"{files.stem(source)}-painted{film_suffix(source) if is_film(source) else '.png'}"


def _stroke_files(out: Path | None, sources: list[Path | files.Stdio], mirrored: list[str]) -> list[Path] | list[None]:
    if out is None:
        return [None] * len(sources)
    found = naming.places(
        sources,
        out,
        lambda source: f"{files.stem(source)}-strokes.json",
        option="--strokes-out",
        mirrored=mirrored,
    )
    for path in found:
        files.check_extension(path, (".json",))
    return found
