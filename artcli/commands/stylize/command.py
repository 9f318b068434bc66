"""`artgen stylize`: a picture painted in the style of others."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli.backends.stylize.settings import INITS, KEEP_COLOR, OPTIMIZERS, POOLINGS, PRESETS, Settings
from artcli.commands.shared import naming, options, recipe, target
from artcli.commands.shared.outputs import FILM_INPUTS, FILMS, MOVING, PICTURES, film_suffix, is_film
from artcli.commands.stylize import fast as stylize_fast
from artcli.commands.stylize import run as stylize_run
from artcli.commands.stylize.fast import Clip, Fast
from artcli.commands.stylize.run import Job, Request, Source
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import files

STYLE, LOSS, FILM, ONE_PASS = "Style", "Loss", "Film", "One pass"
# What belongs to the optimisation, and means nothing in one pass.
_OF_STEPS = (
    "preset", "net", "steps", "init", "content_weight", "style_weights", "tv", "histogram", "pooling", "optimizer",
    "lr", "fps", "duration", "save_every", "time_limit",
)  # fmt: skip


def stylize(
    ctx: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTO... STYLE",
            help="Photos (with --fast also films) or folders, - for stdin; the last is the style, without --style.",
        ),
    ] = None,
    out: options.Out = None,
    recursive: options.Recursive = False,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="FILE[:W]",
            help="A picture or folder, and a weight (repeatable).",
            rich_help_panel=STYLE,
        ),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")] = "slim",
    net: Annotated[
        str | None,
        typer.Option("--net", help="vgg-slim, vgg19, squeezenet1_1, file or folder.  [default: preset's]"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="S", min=32, max=8192, help="Longer side of the result.  [default: preset's]"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="For each scale, twice for the first.  [default: preset's]"),
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="INT", help="For --init gray, noise and style.  [default: drawn]")
    ] = None,
    strength: Annotated[
        float, typer.Option("--strength", min=0, max=1, help="How much of the style.", rich_help_panel=STYLE)
    ] = 1.0,
    keep_color: Annotated[
        str | None,
        typer.Option(
            "--keep-color", metavar="HOW", help=f"The photo's colours: {', '.join(KEEP_COLOR)}.", rich_help_panel=STYLE
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="Paint the photo where this is white; one for all styles, or one each.",
            rich_help_panel=STYLE,
        ),
    ] = None,
    style_mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--style-mask", metavar="FILE", help="What of a style counts, one for each style.", rich_help_panel=STYLE
        ),
    ] = None,
    style_scale: Annotated[
        float,
        typer.Option(
            "--style-scale", min=0.1, max=4, help="Size of the style's picture beside the photo.", rich_help_panel=STYLE
        ),
    ] = Settings.style_scale,
    init: Annotated[str, typer.Option("--init", help=f"Begin with: {', '.join(INITS)}.")] = Settings.init,
    content_weight: Annotated[
        float | None,
        typer.Option("--content-weight", metavar="W", min=0, help="Of the photo's content.", rich_help_panel=LOSS),
    ] = None,
    style_weights: Annotated[
        str | None,
        typer.Option(
            "--style-weights",
            metavar="W,W,...",
            help="Of the layers; slim, modern: ratios.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    tv: Annotated[
        float | None, typer.Option("--tv", metavar="W", min=0, help="Of smoothness.", rich_help_panel=LOSS)
    ] = None,
    histogram: Annotated[
        float,
        typer.Option(
            "--histogram", metavar="W", min=0, help="Of histograms, as a part of the style's.", rich_help_panel=LOSS
        ),
    ] = Settings.histogram,
    pooling: Annotated[
        str, typer.Option("--pooling", help=f"One of {', '.join(POOLINGS)}.", rich_help_panel=LOSS)
    ] = Settings.pooling,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            help=f"One of {', '.join(OPTIMIZERS)}.  [default: preset's]",
            rich_help_panel=LOSS,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option("--lr", min=1e-6, max=1e3, help="Learning rate.  [default: preset's]", rich_help_panel=LOSS),
    ] = None,
    tile: Annotated[
        int, typer.Option("--tile", metavar="S", min=128, help="Larger pictures are computed in tiles of this side.")
    ] = Settings.tile,
    fast: Annotated[
        bool, typer.Option("--fast", help="Paint in one pass, also films.", rich_help_panel=ONE_PASS)
    ] = False,
    model: Annotated[
        str, typer.Option("--model", help="Its decoder: a name, a file or a run's folder.", rich_help_panel=ONE_PASS)
    ] = "adain",
    steady: Annotated[
        float,
        typer.Option("--steady", min=0, max=0.98, help="How much less films flicker.", rich_help_panel=ONE_PASS),
    ] = 0.8,
    upscale: options.Upscale = None,
    upscaler: options.Upscaler = None,
    fps: Annotated[
        float, typer.Option("--fps", min=1, max=120, help="Frames per second.", rich_help_panel=FILM)
    ] = 30.0,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration", metavar="SECONDS", min=0.1, max=86_400, help="Default: every step.", rich_help_panel=FILM
        ),
    ] = None,
    save_every: options.SaveEvery = 0,
    time_limit: Annotated[
        str | None,
        typer.Option("--time-limit", metavar="TIME", help="Plan scales and steps to fit: 90, 90s, 5m, 1h30m."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Keep NAME.preview.png up to date while painting.")
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same command.")
    ] = False,
    from_file: options.FromFile = None,
    device: options.Device = "auto",
    weights_dirs: options.WeightsDirs = None,
    offline: options.Offline = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    no_metadata: options.NoMetadata = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Paint a photo in the style of a painting (neural style transfer).

    artgen stylize photo.jpg painting.jpg -o out.png
    """
    console = Console(quiet=quiet, json_lines=as_json)
    _check_fast(ctx, fast)
    chosen = PRESETS[options.one_of("--preset", preset, tuple(PRESETS))]
    settings = replace(
        chosen,
        init=options.one_of("--init", init, INITS),
        pooling=options.one_of("--pooling", pooling, POOLINGS),
        style_scale=style_scale,
        strength=strength,
        histogram=histogram,
        tile=tile,
        **_changed(chosen, net, size, steps, content_weight, style_weights, tv, optimizer, lr),
    )
    if keep_color is not None:
        options.one_of("--keep-color", keep_color, KEEP_COLOR)
    photos, styles = _inputs(inputs or [], style or [], recursive, out)
    masks, style_masks = _masks("--mask", mask, len(styles)), _masks("--style-mask", style_mask, len(styles))
    if style_masks and len(style_masks) != len(styles):
        raise UsageError(f"there are {len(styles)} styles; --style-mask has to be given once for each")
    if histogram and (masks or settings.size > tile):
        raise UsageError("--histogram looks at whole pictures: it goes without --mask, and with --size up to --tile")
    jobs = _jobs(photos, out, fast, (inputs or []) if recursive else [])
    batch = len(jobs) > 1
    film = next((job.photo for job in jobs if isinstance(job, Clip)), None)
    if masks and (len(jobs) > 1 or film is not None):
        raise UsageError("--mask belongs to one photo; give one photo at a time")
    if keep_color == "coral" and film is not None:
        raise UsageError("--keep-color coral follows one photo's colours; films take luminance")
    request = Request(
        settings=settings,
        styles=tuple(styles),
        masks=masks,
        style_masks=style_masks,
        keep_color=keep_color,
        enlargement=options.enlargement(ctx, upscale, upscaler, film),
        seed=_seed(seed, init),
        device=device,
        weights_dirs=tuple(weights_dirs or ()),
        offline=offline,
        fps=fps,
        duration=duration,
        save_every=save_every,
        time_limit=options.seconds(time_limit),
        preview=preview,
        resume=resume,
        force=force,
        recipe=None if no_metadata else recipe.make("stylize", options.given(ctx)),
        recorded_weights={} if from_file is None else recipe.weights_of(from_file),
    )
    if not dry_run:
        jobs = target.check(
            jobs,
            request.snapshots,
            label="stylize",
            resume=resume,
            force=force,
            skip_existing=skip_existing,
            console=console,
        )
    if fast:
        stylize_fast.run(jobs, request, Fast(model, steady), console, dry_run=dry_run, batch=batch)
    else:
        stylize_run.run(jobs, request, console, dry_run=dry_run, batch=batch)


def _check_fast(ctx: Any, fast: bool) -> None:
    """Options that would do nothing are a mistake."""
    idle = _OF_STEPS if fast else ("model", "steady")
    if asked := options.on_the_line(ctx, *idle):
        raise UsageError(f"{asked} {'goes without' if fast else 'needs'} --fast")


def _changed(
    chosen: Settings,
    net: str | None,
    size: int | None,
    steps: int | None,
    content: float | None,
    style: str | None,
    tv: float | None,
    optimizer: str | None,
    lr: float | None,
) -> dict[str, Any]:
    """What differs from the preset."""
    found: dict[str, Any] = {"net": net, "size": size, "steps": steps, "content": content, "tv": tv}
    if style is not None:
        found["style"] = _weights(style, len(chosen.style_layers))
    if optimizer is not None and options.one_of("--optimizer", optimizer, OPTIMIZERS) != chosen.optimizer:
        usual = 1.0 if optimizer == "lbfgs" else Settings.lr
        found |= {"optimizer": optimizer, "lr": usual, "late_lr": usual}
    if lr is not None:
        found |= {"lr": lr, "late_lr": lr * chosen.late_lr / chosen.lr}
    return {name: value for name, value in found.items() if value is not None}


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
    """Drawn when it is not given and chance has a say, which only the start of a picture leaves to it."""
    if text is None and init == "content":
        return 0
    seeds = options.seeds(text)
    if len(seeds) > 1:
        raise UsageError(f"--seed '{text}': stylize takes one; the styles decide more than the seed")
    return seeds[0]


def _inputs(
    given: list[str], styles: list[str], recursive: bool, out: Path | None
) -> tuple[list[Path | files.Stdio], list[Source]]:
    """The photos, and the styles with their weights."""
    if not styles:
        if len(given) < 2:
            raise UsageError("name a photo and a style: artgen stylize photo.jpg painting.jpg -o out.png")
        given, styles = given[:-1], given[-1:]
    if not given:
        raise UsageError("name a photo to paint, or a folder of them")
    return files.expand_inputs(given, recursive, out), [source for text in styles for source in _style(text)]


def _style(text: str) -> list[Source]:
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
    return [Source(Path(path), weight / len(found)) for path in found]


def _masks(option: str, given: list[Path] | None, styles: int) -> tuple[Path, ...]:
    for path in given or ():
        if not path.is_file():
            raise files.missing(path)
    if given and len(given) not in (1, styles):
        raise UsageError(f"there are {styles} styles; {option} has to be given once, or once for each")
    return tuple(given or ())


def _jobs(photos: list[Path | files.Stdio], out: Path | None, fast: bool, mirrored: list[str]) -> list[Job]:
    """Every photo or film, and where it goes."""
    clips = [photo for photo in photos if Path(photo).suffix.lower() in FILM_INPUTS]
    if clips and not fast:
        raise UsageError(f"{clips[0]} is a film, which only --fast can paint")
    targets = naming.places(photos, out, lambda photo: _name(photo, fast), what="photos", mirrored=mirrored)
    return [_job(photo, target, fast) for photo, target in zip(photos, targets, strict=True)]


def _name(photo: Path | files.Stdio, fast: bool) -> str:
    return f"{files.stem(photo)}-stylized{film_suffix(photo) if fast and is_film(photo) else '.png'}"


def _job(photo: Path | files.Stdio, target: Path, fast: bool) -> Job:
    clip, streamed = fast and is_film(photo, target), str(target) == "-"
    if streamed and clip:
        raise UsageError("a film cannot go to standard output; name its file")
    if not streamed:
        files.check_extension(target, MOVING if clip else PICTURES if fast else PICTURES + FILMS)
    return Clip(photo, target) if clip else Job(photo, target)
