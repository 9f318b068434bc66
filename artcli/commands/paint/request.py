"""What a call of `artgen paint` asks for: its inputs, and what is written for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from artcli.backends.paint.settings import PACES, PAINT, Settings
from artcli.commands.shared import naming, options, verb
from artcli.commands.shared.common import Common
from artcli.commands.shared.outputs import FILMS, MOVING, PICTURES, film_suffix, is_film
from artcli.errors import UsageError
from artcli.media import files
from artcli.pretrained import find
from artcli.setting import FILM, Setting

# What decides which strokes there are; it has no meaning for strokes that are there already.
_OF_PREDICTION = ("model", "mode", "strokes", "detail", "min_stroke", "layers", "opacity", "detail_mask")
# What a painted film has no use for.
_OF_PICTURES = ("strokes", "mode", "palette", "gif", "mp4", "webm", "duration", "fps", "pace", "strokes_out",
                "svg", "each_layer")  # fmt: skip
BESIDE = "More files"  # a panel of the help


@dataclass(frozen=True, kw_only=True)
class Options(Common):
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
    ] = 6.0
    fps: Annotated[float, Setting("Frames per second.", min=1, max=120, panel=FILM)] = 20.0
    pace: Annotated[str, Setting("What each frame adds the same amount of.", choices=PACES, panel=FILM)] = PACES[0]
    resume: Annotated[bool, Setting("Go on with an interrupted film.", panel=FILM)] = False
    strokes_out: Annotated[
        Path | None,
        Setting("Also the strokes, to paint again at any size.", metavar="FILE", panel=BESIDE, parse=files.output),
    ] = None
    svg: Annotated[bool, Setting("Also an SVG.", panel=BESIDE)] = False
    each_layer: Annotated[bool, Setting("Also a transparent PNG of each layer.", panel=BESIDE)] = False
    recursive: options.Recursive = False

    @property
    def films(self) -> list[str]:
        """The kinds of films of the painting growing."""
        wanted = {".gif": self.gif, ".mp4": self.mp4, ".webm": self.webm}
        return [kind for kind in wanted if wanted[kind]]


@dataclass(frozen=True)
class Job:
    """One input and what is written for it.  picture: "-" for standard output.  moves: whether the input is a film."""

    source: Path | files.Stdio
    picture: Path
    films: tuple[Path, ...] = ()
    strokes: Path | None = None
    svg: Path | None = None
    each_layer: bool = False
    moves: bool = False

    @property
    def replays(self) -> bool:
        """Whether the strokes are there already."""
        return str(self.source).lower().endswith(".json")

    @property
    def streamed(self) -> bool:
        return str(self.picture) == "-"

    def layer(self, number: int) -> Path:
        return self.picture.with_name(f"{self.picture.stem}-layer-{number}.png")

    @property
    def unfinished(self) -> Path:
        """The folder that an interrupted film leaves, to go on from."""
        return self.films[0].with_name(f"{self.films[0].name}.resume")

    @property
    def waits(self) -> bool:
        """Whether there is an interrupted film to go on with."""
        return self.moves and self.unfinished.is_dir()

    @property
    def outputs(self) -> list[Path]:
        """All but the layers, whose number the photo decides."""
        if self.moves:
            return list(self.films)
        return [*self.films, self.picture, *(path for path in (self.strokes, self.svg) if path is not None)]


@dataclass(frozen=True)
class Request:
    """All jobs of a call, and what they share.  recipe: None leaves it out of the files."""

    jobs: tuple[Job, ...]
    options: Options
    recipe: dict[str, Any] | None
    recorded_weights: Mapping[str, str]

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """As the command line would have it: {"inputs": ["photo.jpg"], "strokes": 500}.  Raises UsageError."""
        return cls.of(*verb.read("paint", Options, values))

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options) -> Self:
        """Raises UsageError for what cannot work."""
        sources = files.expand_inputs(list(asked.inputs), asked.recursive, asked.out)
        if not sources:
            raise UsageError("name a photo to paint, a folder of them, or a strokes.json")
        jobs = _jobs(sources, asked)
        _check_options(ctx, jobs, asked.background)
        return cls(
            jobs=tuple(jobs),
            options=asked,
            recipe=asked.record(ctx, "paint"),
            recorded_weights=asked.recorded_weights(),
        )


def _check_options(ctx: typer.Context, jobs: list[Job], background: str | None) -> None:
    """Options that would do nothing are a mistake.  Raises UsageError."""
    if all(job.replays for job in jobs) and (asked := options.on_the_line(ctx, *_OF_PREDICTION)):
        raise UsageError(f"{asked} decides which strokes a photo gets; {jobs[0].source} has its strokes already")
    film = next((job.source for job in jobs if job.moves), None)
    if film is not None and (asked := options.on_the_line(ctx, *_OF_PICTURES)):
        raise UsageError(f"{asked} is for pictures, and {film} is a film: paint it by itself, without")
    if film is not None and background == "transparent":
        raise UsageError(f"a film has no transparency: name a colour for the background of {film}")
    if film is None and options.on_the_line(ctx, "resume"):
        raise UsageError("--resume goes on with an interrupted film; photos are painted in one go")


def _jobs(sources: list[Path | files.Stdio], asked: Options) -> list[Job]:
    """Every input and what is written for it."""
    if str(asked.out) == "-" and (asked.films or asked.svg or asked.each_layer):
        raise UsageError("--out - gives the picture alone; name a file for the rest to be beside")
    mirrored = list(asked.inputs) if asked.recursive else []
    targets = naming.places(sources, asked.out, _name, mirrored=mirrored)
    stroke_files = _stroke_files(asked.strokes_out, sources, mirrored)
    return [_job(*each, asked) for each in zip(sources, targets, stroke_files, strict=True)]


def _job(source: Path | files.Stdio, target: Path, strokes: Path | None, asked: Options) -> Job:
    suffix, moves = target.suffix.lower(), is_film(source, target)
    if str(asked.out) != "-":
        files.check_extension(target, MOVING if moves else PICTURES + FILMS)
    kinds = [*asked.films, *([suffix] if moves or suffix in FILMS else [])]
    return Job(
        source,
        target.with_suffix(".png") if suffix in FILMS else target,
        films=tuple(target.with_suffix(kind) for kind in dict.fromkeys(kinds)),
        strokes=strokes,
        svg=target.with_suffix(".svg") if asked.svg else None,
        each_layer=asked.each_layer,
        moves=moves,
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
