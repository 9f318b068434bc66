"""Option types that verbs share, written once, and the parsing of their values."""

import re
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli import network
from artcli.commands.shared import complete
from artcli.commands.shared.enlarge import AS_IS, FACTORS, Enlargement
from artcli.errors import UsageError
from artcli.media import files
from artcli.setting import FILM, RUN

FILES = "Files and weights"  # a panel

MIN_SIDE, MAX_SIDE = 32, 8192
MAX_SEED = 2**31 - 1


def _read_recipe(ctx: typer.Context, file: Path | None) -> Path | None:
    """Make the options recorded in a file the defaults of this run; flags beside it still win."""
    if file is not None:
        from artcli.commands.shared import recipe

        known = [parameter.name or "" for parameter in ctx.command.params]
        ctx.default_map = {**(ctx.default_map or {}), **recipe.parameters_of(file, ctx.command.name or "", known)}
    return file


def _leave_network(ctx: typer.Context, wanted: bool) -> bool:
    """For all that this call does: also what libraries, and models that are only trained or sampled, would fetch."""
    ctx.with_resource(network.forbidden(wanted))
    return wanted


def _factor(value: str | int) -> int:
    return int(one_of("--upscale", str(value), tuple(map(str, FACTORS))))


Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE|DIR/",
        parser=files.output,
        help="Output; a batch's folder or 'dir/*.jpg'. - for stdout.",
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace outputs that exist.", rich_help_panel=FILES)]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave alone what exists already (batches).", rich_help_panel=FILES)
]
Recursive = Annotated[
    bool, typer.Option("--recursive", help="Subfolders, too; --out mirrors them.", rich_help_panel=FILES)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.", rich_help_panel=RUN)]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON lines.", rich_help_panel=RUN)]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", "-n", help="Say what would run and what it costs; write nothing.", rich_help_panel=RUN),
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="INT|A-B", help="Seed, or a range for several pictures.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cuda, cuda:1, mps or cpu.",
        rich_help_panel=RUN,
        autocompletion=complete.words("auto", "cuda", "mps", "cpu"),
    ),
]
WeightsDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--weights", metavar="DIR", help="Search this folder for weights first (repeatable).", rich_help_panel=FILES
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", callback=_leave_network, help="Never use the network.", rich_help_panel=FILES)
]
NoMetadata = Annotated[
    bool,
    typer.Option("--no-metadata", help="Neither recipe nor the photo's EXIF in the outputs.", rich_help_panel=FILES),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit", metavar="TIME", help="Stop and save after this long: 90, 90s, 5m, 1h30m.", rich_help_panel=RUN
    ),
]
SaveEvery = Annotated[
    int,
    typer.Option(
        "--save-every",
        metavar="N",
        min=0,
        help="Also save the picture every N steps (0: only at the end).",
        rich_help_panel=RUN,
    ),
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview/--no-preview", help="Keep NAME.preview.png up to date during the run.", rich_help_panel=RUN
    ),
]
Show = Annotated[
    bool, typer.Option("--show", help="Show the picture in the terminal during the run.", rich_help_panel=RUN)
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run of the same command.", rich_help_panel=RUN)
]
Fps = Annotated[float, typer.Option("--fps", min=1, max=120, help="Frames per second of a film.", rich_help_panel=FILM)]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration",
        metavar="SECONDS",
        min=0.1,
        max=86_400,
        help="Length of the film.  [default: every step; --init FILM all]",
        rich_help_panel=FILM,
    ),
]
Upscale = Annotated[
    int | None,
    typer.Option(
        "--upscale",
        metavar="FACTOR",
        parser=_factor,
        help="Enlarge the finished picture 2 or 4 times.",
        autocompletion=complete.words("2", "4"),
    ),
]
Upscaler = Annotated[
    str | None,
    typer.Option(
        "--upscaler",
        metavar="NAME",
        help="Net for that: a name, a file or a run's folder.  [default: upscaler]",
        rich_help_panel=FILES,
    ),
]
FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        is_eager=True,
        callback=_read_recipe,
        help="Run again what made FILE; flags change it.",
        rich_help_panel=FILES,
    ),
]


def seeds(text: str | None) -> list[int]:
    """`3`, `0-15`, or a drawn seed when None.  Raises UsageError for anything else."""
    if text is None:
        return [secrets.randbelow(MAX_SEED)]
    match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", text)
    if not match:
        raise UsageError(f"--seed '{text}' is neither a number nor a range such as 0-15")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last > MAX_SEED:
        raise UsageError(f"--seed '{text}' has to go up, and to at most {MAX_SEED}")
    if last - first >= 10_000:
        raise UsageError(f"--seed '{text}' asks for {last - first + 1} pictures; 10000 is the most")
    return list(range(first, last + 1))


def size(text: str) -> tuple[int, int]:
    """`256` or `384x256` (width x height) in pixels.  Raises UsageError outside 32..8192."""
    match = re.fullmatch(r"\s*(\d+)(?:\s*[xX×]\s*(\d+))?\s*", text)
    if not match:
        raise UsageError(f"--size '{text}' is neither a side such as 256 nor WIDTHxHEIGHT such as 384x256")
    width, height = int(match[1]), int(match[2] or match[1])
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise UsageError(f"--size {text}: each side has to be {MIN_SIDE} to {MAX_SIDE} pixels")
    return width, height


def seconds(text: str | None) -> float | None:
    """`90`, `90s`, `5m` or `1h30m` in seconds.  Raises UsageError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?\s*", text)
    total = (
        sum(float(part) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True) if part)
        if match
        else 0
    )
    if total <= 0:
        raise UsageError(f"--time-limit '{text}' is no time; write 90s, 5m or 1h30m")
    return total


def enlargement(ctx: typer.Context, factor: int | None, net: str | None, film: object = None) -> Enlargement:
    """What --upscale and --upscaler ask for.

    film: the name of one that is among what this call makes, None without.  Raises UsageError: --upscale beside it on
    the line, or --upscaler without --upscale.
    """
    if factor is None and on_the_line(ctx, "upscaler"):
        raise UsageError("--upscaler names the net for --upscale: add --upscale 2 or 4")
    if film is not None and on_the_line(ctx, "upscale"):
        raise UsageError(f"--upscale is for pictures, and {film} is a film: leave it out")
    return AS_IS if factor is None else Enlargement(factor, net or AS_IS.net)


def one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    """The value, if it is one of the known ones; UsageError with a suggestion if not."""
    from artcli.errors import did_you_mean

    if value not in known:
        raise UsageError(f"{option} '{value}' is not known; there are: {', '.join(known)}.{did_you_mean(value, known)}")
    return value


def on_the_line(ctx: typer.Context, *parameters: str) -> str:
    """Those of the parameters that were typed on the command line, as `--these, --options`.

    Values from settings files and recipes do not count: they may be meant for other calls.
    """
    here = [name for name in parameters if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    return ", ".join(f"--{name.replace('_', '-')}" for name in here)


def check_films(ctx: typer.Context, filmed: bool, *parameters: str) -> None:
    """Raises UsageError: some of the parameters, which are about films, were typed, and none is made."""
    if not filmed and (given := on_the_line(ctx, *parameters)):
        raise UsageError(f"{given} needs a film: --out NAME.mp4, .webm or .gif")


def chosen(ctx: typer.Context, parameter: str) -> bool:
    """Whether anyone has said what a parameter is: the line, a settings file, a preset or a recipe."""
    return getattr(ctx.get_parameter_source(parameter), "name", "") != "DEFAULT"


def given(ctx: typer.Context) -> dict[str, Any]:
    """Every option and argument of this call by name, for its record."""
    return dict(ctx.params)
