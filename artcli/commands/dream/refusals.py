"""What `artgen dream` cannot do, said before torch is imported."""

import typer

from artcli.backends.dream.settings import Settings
from artcli.commands.dream.film import SourceFilm
from artcli.commands.dream.options import Options
from artcli.commands.dream.pictures import PromptJob
from artcli.commands.shared import options
from artcli.errors import UsageError
from artcli.media import files


def check_init(asked: Options) -> None:
    for path in (asked.init, asked.mask):
        if path is not None and str(path) != "-":
            files.check_input(path)
    if asked.init is None and (asked.mask is not None or asked.settings.init_weight):
        option = "--mask" if asked.mask else "--init-weight"
        raise UsageError(f"{option} needs --init, the picture that it is about")


def check_afterwards(ctx: typer.Context, asked: Options) -> None:
    if asked.stylize is not None:
        files.check_input(asked.stylize)
    if not asked.paint and (given := options.on_the_line(ctx, "gif", "svg", "strokes_out")):
        raise UsageError(f"{given} is of a painting: add --paint")
    if str(asked.out) == "-" and (given := options.on_the_line(ctx, "gif", "svg")):
        raise UsageError(f"--out - writes the picture alone, without {given}: name a file instead, --out NAME.png")


def check_drawing(ctx: typer.Context, asked: Options, settings: Settings) -> None:
    """What belongs to one drawer, or to none of a photograph."""
    if settings.start not in ("prior", "sketch") and settings.drawer != "vqgan":
        raise UsageError(f"--start {settings.start} goes with --drawer vqgan")
    if settings.tileable and asked.mask is not None:
        raise UsageError("--tileable and --mask do not go together: a photograph's edges stay as they are")
    if (given := options.on_the_line(ctx, "vqgan", "shifts")) and settings.drawer != "vqgan":
        raise UsageError(f"{given} goes with --drawer vqgan")
    if asked.moving and options.on_the_line(ctx, "shifts"):
        raise UsageError("--shifts is for the last picture of a drawing, not for films that move")


def check_film(ctx: typer.Context, asked: Options, source: SourceFilm | None, jobs: list[PromptJob]) -> None:
    """What belongs to a picture, and means nothing for a film; and what makes one."""
    if source is not None and asked.drawer == "diffusers":
        raise UsageError(f"--drawer diffusers draws pictures, and {source.path} is a film; leave out one of them")
    if source is not None and (given := options.on_the_line(ctx, *_of_one_picture(asked))):
        raise UsageError(f"{given} goes with a picture, and {source.path} is a film; leave it out")
    if source is not None and asked.mask is not None:
        raise UsageError(f"--mask belongs to one picture, and {source.path} is a film; leave it out")
    if source is not None and (asked.paint or asked.stylize is not None):
        verb = "paint" if asked.paint else "stylize"
        raise UsageError(f"--{verb} is for a picture, and {source.path} is a film: leave it out, and artgen {verb} OUT")
    if source is not None and asked.moving:
        raise UsageError(f"--zoom, --pan and --rotate move a picture, and {source.path} is a film; leave them out")
    if asked.moving and (asked.mask is not None or any(job.film is None for job in jobs)):
        raise UsageError("--zoom, --pan and --rotate make a film (--out NAME.mp4, .webm or .gif), without --mask")


def check_idle(ctx: typer.Context, asked: Options, sketched: bool, filmed: bool) -> None:
    """What was typed to no effect, as what it is about is not there."""
    anew = sketched and asked.init is not None
    sketch = "a sketch to begin with" if asked.init is None else "--start prior beside --init"
    missing = {
        sketch: () if sketched else ("candidates", "guidance", "clip_guidance"),
        "--init PICTURE --start prior": () if anew else ("prior_strength",),
        "--init and --mask": () if asked.mask is not None else ("feather",),
    }
    for needed, names in missing.items():
        if given := options.on_the_line(ctx, *names):
            raise UsageError(f"{given} needs {needed}")
    options.check_films(ctx, filmed, "fps", "duration")


def _of_one_picture(asked: Options) -> list[str]:
    """Options with which a film's frames have nothing to do: they are not sketched, and drawn at full size only."""
    sketches = ("prior", "start", "candidates", "guidance", "clip_guidance", "prior_strength")
    of_small = ("low_part", *(("low_res",) if asked.settings.low_res else ()))
    return ["shifts", *of_small, *(sketches if asked.prior != "none" else sketches[2:])]
