"""`artgen sample`: what a trained model can do, as pictures, films and a page to rate them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from artcli.commands.sample.request import Request, check_runs
from artcli.commands.shared import naming, options, recipe
from artcli.commands.shared.enlarge import AS_IS
from artcli.commands.shared.outputs import FILMS, PICTURES
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import files


class Mode(NamedTuple):
    """What a way of sampling writes.  pictures: from a single seed on.  suffix: of its default name."""

    pictures: int
    writes: tuple[str, ...]
    suffix: str = ".png"


MODES = {
    "samples": Mode(36, PICTURES),
    "reconstruct": Mode(1, PICTURES),
    "interpolate": Mode(5, FILMS + PICTURES, ".mp4"),
    "walk": Mode(1, FILMS, ".mp4"),
    "sweep": Mode(6, PICTURES + FILMS),
    "neighbours": Mode(12, PICTURES),
    "compare": Mode(8, PICTURES),
    "rate": Mode(24, (".html",), ".html"),
}
OF_A_CLASS = 8  # pictures of each class in a grid
NOT_RANDOM = ("reconstruct", "between")  # without a seed the same line gives the same bytes
LISTS = ("--reconstruct", "--between", "--compare")


class Command(TyperCommand):
    """Lets an option take all that follows it up to the next one: `--reconstruct a.jpg b.jpg`, as shells expand it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args))


def spread(args: Sequence[str]) -> list[str]:
    """`--between a b` as `--between a --between b`, for each of LISTS."""
    found: list[str] = []
    option, fresh = "", False
    for place, arg in enumerate(args):
        if arg == "--":
            return [*found, *args[place:]]
        if arg.startswith("-") and arg != "-":
            name = arg.partition("=")[0]
            option, fresh = name if name in LISTS else "", "=" not in arg
            found.append(arg)
        elif option and not fresh:
            found += [option, arg]
        else:
            found.append(arg)
            fresh = False
    return found


def sample(
    ctx: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run, a VQGAN or diffusion model: folder, file or name.")
    ] = None,
    out: options.Out = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="INT|A-B", help="First seed, or exactly these seeds.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count", metavar="N", min=1, max=10_000, help="Pictures, from a first seed on.  [default: 36 in a grid]"
        ),
    ] = None,
    columns: Annotated[int | None, typer.Option("--columns", metavar="N", min=1, help="Pictures in a row.")] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="S|WxH", help="Pixels of each picture.  [default: the model's]")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="NAME", help="Draw this class (repeatable), or all.")
    ] = None,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="TEXT", help="Draw what this says (repeatable).")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option("--negative", metavar="TEXT", help="Keep away from this (repeatable).")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option("--guidance", min=0, max=30, help="How closely words are followed.  [default: 3]"),
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option("--truncation", metavar="T", min=0, max=2, help="Below 1: more usual, less varied pictures."),
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="A file per picture, as with --out FOLDER.", show_default=False)
    ] = False,
    reconstruct: Annotated[
        list[str] | None,
        typer.Option("--reconstruct", metavar="PICTURES...", help="These above, what the model makes of them below."),
    ] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="From seed to seed, as a film; as a .png, step by step.")
    ] = False,
    between: Annotated[
        list[str] | None,
        typer.Option("--between", metavar="PICTURES...", help="Interpolate between these instead of seeds."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Interpolate back to the start.")] = False,
    walk: Annotated[bool, typer.Option("--walk", help="A film of an endless walk for each seed.")] = False,
    sweep: Annotated[
        int | None,
        typer.Option("--sweep", metavar="N", min=0, help="Latent number N from -3 to 3 deviations: sheet or film."),
    ] = None,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Beside each sample the nearest training picture.")
    ] = False,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", metavar="RUNS...", help="One sheet of what this and other runs have learned."),
    ] = None,
    rate: Annotated[
        bool, typer.Option("--rate", help="A page to score real and generated pictures on, unlabelled.")
    ] = False,
    upscale: options.Upscale = None,
    upscaler: options.Upscaler = None,
    fps: options.Fps = 30.0,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            min=0.1,
            max=3600,
            help="Length of the film.  [default: 2 a stop; walk 12; sweep 4]",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", metavar="NAME", help="best: the lowest loss.  [default: the newest]")
    ] = None,
    from_file: options.FromFile = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    no_metadata: options.NoMetadata = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Look at what a trained model has learned.

    artgen sample runs/0001-vae-flowers --out samples.png
    """
    if run is None:
        raise UsageError("name the run to sample from first: artgen sample RUN ... (artgen train makes runs)")
    asked = {
        "reconstruct": bool(reconstruct) and not compare,
        "interpolate": (interpolate or bool(between)) and not compare,
        "walk": walk,
        "sweep": sweep is not None,
        "neighbours": neighbours,
        "compare": bool(compare),
        "rate": rate,
    }
    mode = _mode(asked)
    way = "between" if mode == "interpolate" and between else mode
    meant = _meant(ctx, way)
    into_folder = naming.is_folder(out, 2 if separate else 1)
    target = _target(mode, run, files.Folder(out) if out is not None and into_folder else out)
    separate = "separate" in meant and (separate or into_folder)
    if separate and str(target) == "-":
        raise UsageError("--out - takes one picture; --separate needs a folder or a name to number")
    film = target.suffix.lower() in FILMS
    if not film and options.on_the_line(ctx, "duration"):
        raise UsageError(f"--duration is the length of a film, and {target} is none: use {', '.join(FILMS)}.")
    enlargement = options.enlargement(ctx, upscale, upscaler, target if film else None)
    request = Request(
        mode=mode,
        runs=(run, *(compare or ())),
        out=target,
        seeds=() if way in NOT_RANDOM else _seeds(mode, seed, count or _stops(mode, prompts), bool(classes or prompts)),
        separate=separate,
        columns=columns if "columns" in meant else None,
        size=None if size is None else options.size(size),
        classes=tuple(dict.fromkeys(classes or ())) if "classes" in meant else (),
        truncation=truncation if "truncation" in meant else None,
        prompts=tuple(dict.fromkeys(prompts or ())) if "prompts" in meant else (),
        negative=tuple(negative or ()) if "negative" in meant else (),
        guidance=guidance if "guidance" in meant else None,
        pictures=tuple(files.expand_inputs(reconstruct or ())),
        between=_between(mode, between),
        enlargement=enlargement if "upscale" in meant and not film else AS_IS,
        film=film,
        loop=loop,
        dimension=sweep or 0,
        fps=fps,
        duration=duration,
        checkpoint=checkpoint,
        device=device,
        force=force,
        skip_existing=skip_existing,
        recipe=None if no_metadata else _recorded(ctx),
        recorded_weights={} if from_file is None else recipe.weights_of(from_file),
    )
    check_runs(request.runs)
    console = Console(quiet=quiet, json_lines=as_json)
    if not dry_run and request.outputs_known:
        request.check_outputs(request.named)
        if _all_there(request, console):
            return
    _run(request, console, dry_run)


def _run(request: Request, console: Console, dry_run: bool) -> None:
    from artcli.commands.sample import run as session

    session.run(request, console, dry_run=dry_run)


def _mode(asked: dict[str, bool]) -> str:
    chosen = [name for name, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} do not go together: choose one.")
    return chosen[0] if chosen else "samples"


# Where an option means something; elsewhere it would be ignored, and nobody would notice.
_RANDOM = ("samples", "interpolate", "walk", "sweep", "neighbours", "compare", "rate")
_MEANT_FOR = {
    "classes": ("samples", "interpolate", "between", "walk", "sweep", "neighbours", "rate"),
    "separate": ("samples",),
    "loop": ("interpolate", "between"),
    "truncation": _RANDOM,
    "prompts": _RANDOM,
    "negative": _RANDOM,
    "guidance": _RANDOM,
    "count": _RANDOM,
    "upscale": ("samples", "reconstruct", "interpolate", "between", "sweep", "neighbours", "compare"),
    "columns": ("samples", "reconstruct", "interpolate", "between", "walk", "sweep", "neighbours", "compare"),
}


def _meant(ctx: typer.Context, way: str) -> set[str]:
    """The options that mean something here.  Raises UsageError for another one on the command line."""
    for name, ways in _MEANT_FOR.items():
        if way not in ways and options.on_the_line(ctx, name):
            option = {"classes": "class", "prompts": "prompt"}.get(name, name)
            there = ", ".join("samples" if other == "samples" else f"--{other}" for other in ways)
            raise UsageError(f"--{option} has no meaning with --{way}; it goes with {there}.")
    return {name for name, ways in _MEANT_FOR.items() if way in ways}


def _target(mode: str, run: Path, out: Path | None) -> Path:
    """The file to write; for separate pictures the one whose name is numbered."""
    of_a_run = run.is_file() and run.suffix == ".safetensors"
    name = run.resolve().parent.name if of_a_run else run.resolve().stem if run.is_file() else run.resolve().name
    default = f"{name}-{mode}{MODES[mode].suffix}"
    if out is None or isinstance(out, files.Folder):
        return (out or Path()) / default
    if str(out) == "-":
        if ".png" not in MODES[mode].writes:
            raise UsageError(f"--{mode} writes {MODES[mode].suffix}, which needs a file: --out {default}")
        return out
    if not out.suffix:
        raise UsageError(f"{out} has no ending: name a file such as {out}{MODES[mode].suffix}, or a folder: {out}/")
    files.check_extension(out, MODES[mode].writes)
    return out


def _seeds(mode: str, text: str | None, count: int | None, of_class: bool) -> tuple[int, ...]:
    """Exactly the seeds of a range; from a single or drawn one on as many as asked for, or as suit the mode."""
    found = options.seeds(text)
    if text is not None and "-" in text:
        return _enough(mode, found)
    number = count or (OF_A_CLASS if of_class and mode == "samples" else MODES[mode].pictures)
    first = min(found[0], options.MAX_SEED + 1 - number)
    if text is not None and first != found[0]:
        raise UsageError(f"--seed {text}: {number} seeds from there on would pass {options.MAX_SEED}, the largest")
    return _enough(mode, list(range(first, first + number)))


def _stops(mode: str, prompts: Sequence[str] | None) -> int | None:
    """Of a way from prompt to prompt: each of them once."""
    return len(prompts) if mode == "interpolate" and prompts and len(prompts) > 1 else None


def _enough(mode: str, seeds: list[int]) -> tuple[int, ...]:
    if mode == "interpolate" and len(seeds) < 2:
        raise UsageError("--interpolate needs two seeds or more, such as --seed 0-4, or pictures: --between A B")
    return tuple(seeds)


def _between(mode: str, between: Sequence[str] | None) -> tuple[Path, ...]:
    found = [path for name in between or () for path in files.expand_inputs([name])]  # one may be a stop twice
    if between and "-" in found:
        raise UsageError("--between takes files, not -")
    if between and len(found) < 2:
        raise UsageError(f"--between needs two pictures or more; {' '.join(between)} is one")
    if mode == "compare" and len(found) > 2:
        raise UsageError(f"--compare interpolates between two pictures; --between has {len(found)}")
    return tuple(Path(path) for path in found)


def _recorded(ctx: typer.Context) -> dict[str, Any]:
    """The record's fixed part.  A count is not in it: the seeds are, all of them."""
    given = {k: v for k, v in options.given(ctx).items() if k != "count" and v is not False and v not in ([], ())}
    return recipe.make("sample", given)


def _all_there(request: Request, console: Console) -> bool:
    """Whether --skip-existing leaves nothing to do, which saves loading the model."""
    outputs = request.outputs(request.named)
    if not request.skip_existing or not all(path.exists() for path in outputs):
        return False
    console.info(f"sample: {len(outputs)} of {len(outputs)} exist already")
    return True
