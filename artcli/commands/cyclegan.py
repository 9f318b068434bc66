"""`artgen cyclegan`: pictures and films carried over to another look by a trained translator."""

from pathlib import Path
from typing import Annotated

import typer

from artcli import options, recipe
from artcli.backends import translator_place
from artcli.commands import cyclegan_run, naming
from artcli.commands.cyclegan_run import Job, Request
from artcli.commands.outputs import MOVING, PICTURES, film_suffix, is_film
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import files


def cyclegan(
    ctx: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURE", help="Pictures, folders of them, films; - for stdin."),
    ] = None,
    out: options.Out = None,
    recursive: options.Recursive = False,
    model: Annotated[
        str, typer.Option("--model", help="Bundled name, run folder, weights file or upstream net_G.pth.")
    ] = translator_place.BUNDLED,
    direction: Annotated[
        str | None, typer.Option("--direction", metavar="WAY", help="AtoB or BtoA.  [default: the model's own]")
    ] = None,
    strength: Annotated[
        float, typer.Option("--strength", min=0, max=1, help="Below 1 a part of the photo stays.")
    ] = 1.0,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            metavar="S",
            min=32,
            max=8192,
            help="Longer side at which the net works: small gives large strokes. The result keeps the picture's size.",
        ),
    ] = None,
    keep_color: Annotated[
        bool, typer.Option("--keep-color", help="Only brightness changes, colours stay the photo's.")
    ] = False,
    tile: Annotated[
        int,
        typer.Option(
            "--tile", metavar="PX", min=128, max=8192, help="Large pictures in parts; smaller need less memory."
        ),
    ] = 512,
    evaluated: Annotated[
        bool,
        typer.Option(
            "--eval", help="Batch normalisation as learned, no dropout. Default: by the picture, and dropout."
        ),
    ] = False,
    no_dropout: Annotated[bool, typer.Option("--no-dropout", help="Leave only dropout out.")] = False,
    dropout_seed: Annotated[  # a parameter like any other: records made before it had none
        int, typer.Option("--seed", metavar="INT", min=0, max=options.MAX_SEED, help="Of dropout.")
    ] = 0,
    upscale: options.Upscale = None,
    upscaler: options.Upscaler = None,
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
    """Carry photos over to the world of paintings, and back (CycleGAN, pix2pix).

    artgen cyclegan photo.jpg -o monet.png
    """
    console = Console(quiet=quiet, json_lines=as_json)
    sources = files.expand_inputs(inputs or [], recursive, out)
    if not sources:
        raise UsageError("name a picture to carry over, a folder of them, or a film")
    jobs = _jobs(sources, out, (inputs or []) if recursive else [])
    batch = len(jobs) > 1
    request = Request(
        model=model,
        direction=None if direction is None else _direction(direction),
        strength=strength,
        size=size,
        keep_color=keep_color,
        tile=tile,
        as_in_training=not evaluated,
        dropout=not no_dropout,
        seed=dropout_seed,
        enlargement=options.enlargement(ctx, upscale, upscaler, next((job.source for job in jobs if job.film), None)),
        device=device,
        weights_dirs=tuple(weights_dirs or ()),
        offline=offline,
        recipe=None if no_metadata else recipe.make("cyclegan", options.given(ctx)),
        recorded_weights={} if from_file is None else recipe.weights_of(from_file),
    )
    if not dry_run:
        jobs = cyclegan_run.check(jobs, force=force, skip_existing=skip_existing, console=console)
    cyclegan_run.run(jobs, request, console, dry_run=dry_run, batch=batch)


def _direction(text: str) -> str:
    known = {way.lower(): way for way in translator_place.DIRECTIONS}
    return options.one_of("--direction", known.get(text.lower(), text), translator_place.DIRECTIONS)


def _jobs(sources: list[Path | files.Stdio], out: Path | None, mirrored: list[str]) -> list[Job]:
    """Every input and where it goes."""
    targets = naming.places(sources, out, _name, mirrored=mirrored)
    return [Job(source, target, _check_kind(source, target)) for source, target in zip(sources, targets, strict=True)]


def _name(source: Path | files.Stdio) -> str:
    stem = files.stem(source)
    return f"{stem}-cyclegan{film_suffix(source) if is_film(source) else '.png'}"


def _check_kind(source: Path | files.Stdio, out: Path) -> bool:
    """Whether a film is made: films become films, pictures pictures, and an animation what is asked for."""
    moving = is_film(source, out)
    if str(out) == "-":
        if moving:
            raise UsageError("--out - takes a picture; a film needs a file")
        return False
    files.check_extension(out, MOVING if moving else PICTURES)
    return moving
