"""`artgen paint`: photos to brush strokes, and to films of how they are laid on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from artcli.backends.paint.settings import MODES, PACES, Settings
from artcli.commands.paint import jobs as paint_jobs
from artcli.commands.paint import run as paint_run
from artcli.commands.paint.jobs import Job, Request
from artcli.commands.shared import naming, options, recipe
from artcli.commands.shared.outputs import FILMS, MOVING, PICTURES, film_suffix, is_film
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import files
from artcli.pretrained import find

DEFAULT = Settings()
# What decides which strokes there are; it has no meaning for strokes that are there already.
_OF_PREDICTION = ("model", "mode", "strokes", "detail", "min_stroke", "layers", "opacity", "detail_mask")
# What a painted film has no use for.
_OF_PICTURES = ("strokes", "mode", "palette", "gif", "mp4", "webm", "duration", "fps", "pace", "strokes_out",
                "svg", "each_layer")  # fmt: skip
PAINT, FILM = "Painting", "Film"


def paint(
    ctx: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="PHOTO", help="Photos, folders of them, films, strokes.json files; - for stdin."),
    ] = None,
    out: options.Out = None,
    recursive: options.Recursive = False,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", metavar="S", min=1, max=32_768, help="Longer side of the painting.  [default: the photo's]"
        ),
    ] = None,
    strokes: Annotated[
        int | None,
        typer.Option(
            "--strokes",
            metavar="N",
            min=1,
            max=500_000,
            help="At most N, spent where they help most.",
            rich_help_panel=PAINT,
        ),
    ] = None,
    detail: Annotated[
        float, typer.Option("--detail", min=0.1, max=8, help="Above 1: smaller strokes.", rich_help_panel=PAINT)
    ] = DEFAULT.detail,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Only the N coarsest layers.", rich_help_panel=PAINT)
    ] = DEFAULT.layers,
    min_stroke: Annotated[
        float, typer.Option("--min-stroke", metavar="PX", min=0, help="Shortest stroke.", rich_help_panel=PAINT)
    ] = DEFAULT.min_stroke,
    detail_mask: Annotated[
        Path | None,
        typer.Option(
            "--detail-mask", metavar="FILE", help="Fine strokes only where it is white.", rich_help_panel=PAINT
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option("--mode", help=f"One of {', '.join(MODES)}.", rich_help_panel=PAINT)
    ] = DEFAULT.mode,
    brush: Annotated[
        str | None,
        typer.Option(
            "--brush",
            metavar="NAME|FILE",
            help="flat, round, bristle, dry, classic or a picture.  [default: flat; model.pth classic]",
            rich_help_panel=PAINT,
        ),
    ] = None,
    opacity: Annotated[
        float, typer.Option("--opacity", min=0.05, max=1, help="Of every stroke.", rich_help_panel=PAINT)
    ] = DEFAULT.opacity,
    palette: Annotated[
        str | None,
        typer.Option("--palette", metavar="N|FILE", help="N colours, or those of a file.", rich_help_panel=PAINT),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            "--background",
            metavar="COLOR",
            rich_help_panel=PAINT,
            help="average, transparent, or a colour.  [default: average]",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="Bundled name, run folder, weights file or model.pth.")
    ] = find.PAINTER,
    gif: Annotated[
        bool, typer.Option("--gif", help="Also a GIF of the painting growing.", rich_help_panel=FILM)
    ] = False,
    mp4: Annotated[bool, typer.Option("--mp4", help="The same as MP4.", rich_help_panel=FILM)] = False,
    webm: Annotated[bool, typer.Option("--webm", help="The same as WebM.", rich_help_panel=FILM)] = False,
    duration: Annotated[
        float,
        typer.Option(
            "--duration",
            metavar="SECONDS",
            min=0.1,
            max=3600,
            help="Of films, plus 1 s at the end.",
            rich_help_panel=FILM,
        ),
    ] = 6.0,
    fps: Annotated[
        float, typer.Option("--fps", min=1, max=120, help="Frames per second.", rich_help_panel=FILM)
    ] = 20.0,
    pace: Annotated[
        str, typer.Option("--pace", help="Every frame the same: change, strokes.", rich_help_panel=FILM)
    ] = PACES[0],
    strokes_out: Annotated[
        Path | None,
        typer.Option(
            "--strokes-out",
            metavar="FILE",
            parser=files.output,
            help="Also the strokes, to paint again at any size.",
        ),
    ] = None,
    svg: Annotated[bool, typer.Option("--svg", help="Also an SVG.")] = False,
    each_layer: Annotated[bool, typer.Option("--each-layer", help="Also a transparent PNG of each layer.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted film.")] = False,
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
    """Paint photos and films with brush strokes, coarse to fine (Paint Transformer).

    artgen paint photo.jpg --gif
    """
    console = Console(quiet=quiet, json_lines=as_json)
    sources = files.expand_inputs(inputs or [], recursive, out)
    if not sources:
        raise UsageError("name a photo to paint, a folder of them, or a strokes.json")
    settings = Settings(
        mode=options.one_of("--mode", mode, MODES),
        strokes=strokes,
        detail=detail,
        min_stroke=min_stroke,
        layers=layers,
        opacity=opacity,
    )
    films = [kind for kind, wanted in ((".gif", gif), (".mp4", mp4), (".webm", webm)) if wanted]
    jobs = _jobs(sources, out, films, strokes_out, svg, each_layer, (inputs or []) if recursive else [])
    batch = len(jobs) > 1
    _check_options(ctx, jobs, background)
    request = Request(
        settings=settings,
        size=size,
        brush=brush,
        palette=palette,
        background=background,
        detail_mask=detail_mask,
        model=model,
        device=device,
        weights_dirs=tuple(weights_dirs or ()),
        offline=offline,
        duration=duration,
        fps=fps,
        pace=options.one_of("--pace", pace, PACES),
        recipe=None if no_metadata else recipe.make("paint", options.given(ctx)),
        metadata=not no_metadata,
        resume=resume,
        recorded_weights={} if from_file is None else recipe.weights_of(from_file),
    )
    if not dry_run:
        jobs = paint_jobs.check(jobs, force=force, skip_existing=skip_existing, resume=resume, console=console)
    paint_run.run(jobs, request, console, dry_run=dry_run, batch=batch)


def _check_options(ctx: Any, jobs: list[Job], background: str | None) -> None:
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


def _jobs(
    sources: list[Path | files.Stdio],
    out: Path | None,
    films: list[str],
    strokes_out: Path | None,
    svg: bool,
    each_layer: bool,
    mirrored: list[str],
) -> list[Job]:
    """Every input and what is written for it."""
    streamed = out is not None and str(out) == "-"
    if streamed and (films or svg or each_layer):
        raise UsageError("--out - gives the picture alone; name a file for the rest to be beside")
    targets = naming.places(sources, out, _name, mirrored=mirrored)
    stroke_files = _stroke_files(strokes_out, sources, mirrored)
    jobs = []
    for source, target, stroke_file in zip(sources, targets, stroke_files, strict=True):
        moves = is_film(source, target)
        if not streamed:
            files.check_extension(target, MOVING if moves else PICTURES + FILMS)
        kinds = [*films, *([target.suffix.lower()] if moves or target.suffix.lower() in FILMS else [])]
        picture = target.with_suffix(".png") if target.suffix.lower() in FILMS else target
        jobs.append(
            Job(
                source,
                picture,
                films=tuple(target.with_suffix(kind) for kind in dict.fromkeys(kinds)),
                strokes=stroke_file,
                svg=target.with_suffix(".svg") if svg else None,
                each_layer=each_layer,
                moves=moves,
            )
        )
    return jobs


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
