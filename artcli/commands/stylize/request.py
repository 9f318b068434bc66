"""What a call of `artgen stylize` asks for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import typer

from artcli.backends.stylize import schedule
from artcli.backends.stylize.settings import KEEP_COLOR, LOSS, MASKS, OPTIMIZERS, PRESETS, Basics, Settings
from artcli.commands.shared import naming, options, request
from artcli.commands.shared.common import Common, Enlarging, Inputs
from artcli.commands.shared.jobs import InputJob
from artcli.commands.shared.outputs import FILMS, MOVING, PICTURES, film_suffix, is_film
from artcli.console import counted
from artcli.errors import UsageError
from artcli.media import files
from artcli.setting import FILM, RUN, Setting

ONE_PASS, PRESET = "With --fast", "preset's"
# What belongs to the optimisation, and means nothing in one pass.
_OF_STEPS = (
    "preset", "net", "steps", "init", "content_weight", "style_weights", "tv", "histogram", "pooling", "optimizer",
    "lr", "fps", "duration", "save_every", "time_limit",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(Enlarging, Common, Inputs):
    """The command line.  What differs between presets is None here unless it is given."""

    inputs: Annotated[
        tuple[str, ...],
        typer.Argument(
            metavar="PHOTO... STYLE",
            help="Photos (with --fast also films) or folders, - for stdin; the last is the style, without --style.",
        ),
    ] = ()
    style: Annotated[
        tuple[str, ...], Setting("A picture or folder, and a weight (repeatable).", metavar="FILE[:W]")
    ] = ()
    preset: Annotated[str, Setting("Sets net, losses, size and steps.", choices=tuple(PRESETS))] = "slim"
    size: Annotated[
        int | None, Setting("Longer side of the result.", min=32, max=8192, metavar="S", default=PRESET)
    ] = None
    steps: Annotated[int | None, Setting("For each scale, twice for the first.", min=1, default=PRESET)] = None
    seed: Annotated[str | None, Setting("For --init gray, noise and style.", metavar="INT", default="drawn")] = None
    keep_color: Annotated[str | None, Setting("Keep the photo's colours.", choices=KEEP_COLOR)] = None
    fast: Annotated[bool, Setting("Paint in one pass, also films.")] = False
    mask: Annotated[
        tuple[Path, ...],
        Setting("Paint the photo where this is white; one for all styles, or one each.", metavar="FILE", panel=MASKS),
    ] = ()
    style_mask: Annotated[
        tuple[Path, ...], Setting("What of a style counts, one for each style.", metavar="FILE", panel=MASKS)
    ] = ()
    net: Annotated[
        str | None, Setting("vgg-slim, vgg19, squeezenet1_1, file or folder.", panel=LOSS, default=PRESET)
    ] = None
    content_weight: Annotated[
        float | None, Setting("Weight of the photo's content.", min=0, metavar="W", panel=LOSS, default=PRESET)
    ] = None
    style_weights: Annotated[
        str | None,
        Setting("Weights of the layers; slim, modern: ratios.", metavar="W,W,...", panel=LOSS, default=PRESET),
    ] = None
    tv: Annotated[float | None, Setting("Weight of smoothness.", min=0, metavar="W", panel=LOSS, default=PRESET)] = None
    optimizer: Annotated[str | None, Setting("Optimizer.", choices=OPTIMIZERS, panel=LOSS, default=PRESET)] = None
    lr: Annotated[float | None, Setting("Learning rate.", min=1e-6, max=1e3, panel=LOSS, default=PRESET)] = None
    model: Annotated[str, Setting("Its decoder: a name, a file or a run's folder.", panel=ONE_PASS)] = "adain"
    steady: Annotated[float, Setting("How much less films flicker.", min=0, max=0.98, panel=ONE_PASS)] = 0.8
    fps: options.Fps = 30.0
    duration: Annotated[
        float | None,
        Setting("Length of the film.", min=0.1, max=86_400, metavar="SECONDS", panel=FILM, default="every step"),
    ] = None
    time_limit: Annotated[
        float | None,
        Setting("Plan scales and steps to fit: 90, 90s, 5m, 1h30m.", metavar="TIME", panel=RUN, parse=options.seconds),
    ] = None
    save_every: options.SaveEvery = 0
    preview: options.Preview = True
    show: options.Show = False
    resume: options.Resume = False
    recursive: options.Recursive = False
    basics: Basics = field(default_factory=Basics)

    @property
    def way(self) -> str:
        """The module that carries it out."""
        return "fast" if self.fast else "run"


class StyleFile(NamedTuple):
    """A style's file and weight."""

    path: Path
    weight: float


@dataclass(frozen=True, kw_only=True)
class Request(request.Request[Options]):
    """All jobs of a call, and what they share."""

    command, kind = "stylize", Options

    jobs: tuple[InputJob, ...]
    settings: Settings
    styles: tuple[StyleFile, ...]
    seed: int

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options) -> Self:
        """Raises UsageError for what cannot work."""
        _check_fast(ctx, asked.fast)
        settings = _settings(asked)
        photos, styles = _inputs(asked)
        _check_masks(asked, len(styles))
        jobs = _jobs(photos, asked)
        options.check_films(ctx, any(job.film for job in jobs), "fps", "duration")
        film = next((job.source for job in jobs if job.moving), None)
        _check_together(asked, settings, len(jobs), film)
        return cls.made(
            ctx,
            asked,
            jobs=tuple(jobs),
            settings=settings,
            styles=tuple(styles),
            seed=_seed(asked.seed, settings.init),
            enlargement=options.enlargement(ctx, asked.upscale, asked.upscaler, film),
        )

    @classmethod
    def draws_a_seed(cls, values: Mapping[str, Any]) -> bool:
        return values.get("init", "content") != "content"

    def beside(self, job: InputJob) -> list[Path]:
        return job.snapshots(self.options.save_every, schedule.total(schedule.stages(self.settings)))


def _check_fast(ctx: typer.Context, fast: bool) -> None:
    """Options that would do nothing are a mistake."""
    idle = _OF_STEPS if fast else ("model", "steady")
    if asked := options.on_the_line(ctx, *idle):
        raise UsageError(f"{asked} {'goes without' if fast else 'needs'} --fast")


def _settings(asked: Options) -> Settings:
    """The preset, and what differs from it."""
    chosen = PRESETS[asked.preset]
    found: dict[str, Any] = {
        "net": asked.net, "size": asked.size, "steps": asked.steps, "content": asked.content_weight, "tv": asked.tv,
    }  # fmt: skip
    if asked.style_weights is not None:
        found["style"] = _weights(asked.style_weights, len(chosen.style_layers))
    if asked.optimizer not in (None, chosen.optimizer):
        usual = 1.0 if asked.optimizer == "lbfgs" else Settings.lr
        found |= {"optimizer": asked.optimizer, "lr": usual, "late_lr": usual}
    if asked.lr is not None:
        found |= {"lr": asked.lr, "late_lr": asked.lr * chosen.late_lr / chosen.lr}
    given = {name: value for name, value in found.items() if value is not None}
    return replace(chosen, **asdict(asked.basics), **given)


def _weights(text: str, layers: int) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--style-weights '{text}' has to be numbers such as 256,64,16,4,1") from None
    if len(found) not in (1, layers):
        raise UsageError(f"--style-weights '{text}' has {len(found)} numbers; the preset has {layers} layers")
    if not (0 < sum(found) < float("inf") and min(found) >= 0):
        raise UsageError(f"--style-weights '{text}' has to be at least 0, and one of them above")
    return found


def _seed(text: str | None, init: str) -> int:
    """The seed; only the start of a picture needs one, so none is drawn for a picture that begins as the photo."""
    if text is None and init == "content":
        return 0
    seeds = options.seeds(text)
    if len(seeds) > 1:
        raise UsageError(f"--seed '{text}': stylize takes one; the styles decide more than the seed")
    return seeds[0]


def _inputs(asked: Options) -> tuple[list[Path | files.Stdio], list[StyleFile]]:
    """The photos, and the styles with their weights."""
    given, styles = list(asked.inputs), list(asked.style)
    if not styles:
        if len(given) < 2:
            raise UsageError("name a photo and a style: artgen stylize photo.jpg painting.jpg -o out.png")
        given, styles = given[:-1], given[-1:]
    if not given:
        raise UsageError("name a photo to paint, or a folder of them")
    photos = files.expand_inputs(given, asked.recursive, asked.out)
    return photos, [source for text in styles for source in _style(text)]


def _style(text: str) -> list[StyleFile]:
    """FILE, FILE:WEIGHT or a folder, whose pictures share the weight."""
    name, weight = text, 1.0
    head, colon, tail = text.rpartition(":")
    if colon and not Path(text).exists():
        try:
            name, weight = head, float(tail)
        except ValueError:
            name = text
    if not 0 < weight < float("inf"):
        raise UsageError(f"--style '{text}': the weight has to be above 0")
    found = files.expand_inputs([name])
    if "-" in map(str, found):
        raise UsageError("a style cannot come from standard input; name its file")
    return [StyleFile(Path(path), weight / len(found)) for path in found]


def _check_masks(asked: Options, styles: int) -> None:
    for option, given in (("--mask", asked.mask), ("--style-mask", asked.style_mask)):
        for path in given:
            files.check_input(path)
        if given and len(given) not in (1, styles):
            raise UsageError(f"{option} has to be given once, or once for each of {counted(styles, 'style')}")
    if asked.style_mask and len(asked.style_mask) != styles:
        raise UsageError(f"--style-mask has to be given once for each of {counted(styles, 'style')}")


def _jobs(photos: list[Path | files.Stdio], asked: Options) -> list[InputJob]:
    """Every photo or film, and where it goes."""
    # One behind a picture's name is a bad file of a batch, which goes on.
    called = [Path(photo) for photo in photos if Path(photo).suffix.lower() in files.FILM_SUFFIXES]
    films = [path for path in called if files.ending(path) in files.FILM_SUFFIXES]
    if films and not asked.fast:
        raise UsageError(f"{films[0]} is a film, which only --fast can paint")
    name = lambda photo: _name(photo, asked.fast)  # noqa: E731
    targets = naming.places(photos, asked.out, name, what="photos", mirrored=asked.mirrored)
    return [_job(photo, target, asked.fast) for photo, target in zip(photos, targets, strict=True)]


def _name(photo: Path | files.Stdio, fast: bool) -> str:
    return f"{files.stem(photo)}-stylized{film_suffix(photo) if fast and is_film(photo) else '.png'}"


def _job(photo: Path | files.Stdio, target: Path, fast: bool) -> InputJob:
    moving, streamed = fast and is_film(photo, target), str(target) == "-"
    if streamed and moving:
        raise UsageError("a film cannot go to standard output; name its file")
    if not streamed:
        files.check_extension(target, MOVING if moving else PICTURES if fast else PICTURES + FILMS)
    return InputJob(photo, target, moving)


def _check_together(asked: Options, settings: Settings, jobs: int, film: object) -> None:
    """film: the first that is painted, None without one."""
    if settings.histogram and (asked.mask or settings.size > settings.tile):
        raise UsageError("--histogram looks at whole pictures: it goes without --mask, and with --size up to --tile")
    if asked.mask and (jobs > 1 or film is not None):
        raise UsageError("--mask belongs to one photo; give one photo at a time")
    if asked.keep_color == "coral" and film is not None:
        raise UsageError("--keep-color coral follows one photo's colours; films take luminance")
