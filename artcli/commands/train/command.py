"""`artgen train`: make a model from a folder of pictures; the same line again goes on where it stopped."""

import dataclasses
import importlib
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli import __version__
from artcli.commands.shared import options
from artcli.console import Console
from artcli.errors import UsageError, did_you_mean
from artcli.training.registry import MODELS
from artcli.training.source import NO_DATA
from artcli.training.spec import PRECISIONS, DataSpec, RunSpec, TrainerSpec

EXPORTS = ("onnx",)
DATA, RUNS = "Data", "Run"


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of pictures, flat or a folder per class; CIFAR-10, MNIST, shards. none for painter.",
        ),
    ],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="OTHER", help="For cyclegan and pix2pix: a second folder, B, where DATA is A alone."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Settings under a name; a wrong one lists all.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Length of the whole run.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="The same, in rounds through the data.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the model (repeatable)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run folder.  [default: runs/NUMBER-MODEL-DATA]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the whole run.")] = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Only look at the data and say what is in it.", rich_help_panel=DATA)
    ] = False,
    val_fraction: Annotated[
        float, typer.Option("--val-fraction", min=0, max=0.9, help="Part that is held out.", rich_help_panel=DATA)
    ] = 0.1,
    crop: Annotated[
        str,
        typer.Option("--crop", metavar="HOW", help="center, stretch, or a side: 150.", rich_help_panel=DATA),
    ] = "center",
    color: Annotated[str, typer.Option("--color", help="rgb, ycbcr or grey.", rich_help_panel=DATA)] = "rgb",
    filter: Annotated[str, typer.Option("--filter", help="lanczos or box.", rich_help_panel=DATA)] = "lanczos",
    masks: Annotated[
        Path | None,
        typer.Option("--masks", metavar="DIR", help="Masks with the pictures' names.", rich_help_panel=DATA),
    ] = None,
    cutout: Annotated[
        str | None,
        typer.Option("--cutout", metavar="HOW", help="Find the subject: box or maskrcnn=FILE.", rich_help_panel=DATA),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Mirror each picture with probability 0.5.", rich_help_panel=DATA)
    ] = False,
    zoom: Annotated[
        float, typer.Option("--zoom", min=0, max=0.5, help="Zoom in or out by up to this part.", rich_help_panel=DATA)
    ] = 0.0,
    rotate: Annotated[
        float, typer.Option("--rotate", min=0, max=180, help="Turn by up to this, in degrees.", rich_help_panel=DATA)
    ] = 0.0,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Draw every class equally often.", rich_help_panel=DATA)
    ] = False,
    precision: Annotated[str, typer.Option("--precision", help="fp32, bf16 or fp16.", rich_help_panel=RUNS)] = "fp32",
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, help="Compute a batch in N parts.", rich_help_panel=RUNS)
    ] = 1,
    save_every: Annotated[
        int, typer.Option("--save-every", metavar="N", min=1, help="Steps between checkpoints.", rich_help_panel=RUNS)
    ] = 500,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Checkpoints to keep.", rich_help_panel=RUNS)] = 2,
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience",
            metavar="N",
            min=1,
            help="Finish with the best weights when N checkpoints brought no lower held-out loss.",
            rich_help_panel=RUNS,
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option("--track", metavar="NAME", help="tensorboard or wandb, when installed.", rich_help_panel=RUNS),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option("--export", metavar="onnx", help="Files for other programs, when done.", rich_help_panel=RUNS),
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on with other settings than before.", rich_help_panel=RUNS)
    ] = False,
    time_limit: options.TimeLimit = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a model on a folder of pictures; run the same line again to go on.

    \b
    artgen train vae photos --preset abstract-64
    artgen train autoencoder cifar-10-batches-py --epochs 15 --out runs/cifar
    artgen train cyclegan photos paintings --preset light
    """
    started = time.monotonic()  # before torch is imported, which takes seconds of a --time-limit
    console = Console(quiet=quiet, json_lines=as_json, notes=False)
    options.one_of("MODEL", model, tuple(MODELS))
    data_free = str(data) == NO_DATA and not check
    if not data_free and not data.exists():
        raise UsageError(f"there is no folder {data} to train on")
    if other is not None and not other.exists():
        raise UsageError(f"there is no folder {other} to train on")
    if check:
        for folder in (data, *(() if other is None else (other,))):
            _check(folder, console)
        return
    options.one_of("--precision", precision, tuple(PRECISIONS))
    options.one_of("--color", color, ("rgb", "ycbcr", "grey"))
    options.one_of("--filter", filter, ("lanczos", "box"))
    if export is not None:
        options.one_of("--export", export, EXPORTS)
    limit = options.seconds(time_limit)
    from artcli.commands.train import run as train_run

    backend = importlib.import_module(MODELS[model])
    if patience is not None and val_fraction == 0 and not hasattr(backend, "open_data"):  # which hold out their own
        raise UsageError(
            "--patience waits for the held-out loss, and --val-fraction 0 holds nothing out: leave one out"
        )
    config = configure(model, backend, preset, settings or [])
    if color == "grey":
        config = dataclasses.replace(config, channels=1)
    preparation = {"color": color, "filter": filter, **_crop(crop), **_cutout(cutout, masks)}
    spec = RunSpec(
        model=model,
        preset=preset,
        seed=seed,
        steps=steps,
        epochs=epochs,
        version=__version__,
        command=shlex.join(["artgen", *sys.argv[1:]]),
        config=dataclasses.asdict(config),
        data=DataSpec(
            path=NO_DATA if data_free else str(data.resolve()),
            name="-".join(folder.resolve().name for folder in (data, other) if folder is not None),
            other=None if other is None else str(other.resolve()),
            val_fraction=val_fraction,
            balanced=balanced,
            preparation=preparation,
            augmentation={"flip": flip, "zoom": zoom, "rotation": rotate},
        ),
        trainer=TrainerSpec(precision, accumulate, save_every, keep),
    )
    from artcli.commands.shared.loop import interruptible

    with interruptible() as stop, stop.at_once():  # the steps wait for a signal themselves
        train_run.carry_out(
            backend, config, spec, out,
            accept_changes=accept_changes, limit=limit, patience=patience, device_name=device, track=track or [],
            onnx=export == "onnx", dry_run=dry_run, console=console, started=started,
        )  # fmt: skip


def _check(data: Path, console: Console) -> None:
    from artcli.training.data import check

    found = check.check(data)
    for line in found.lines():
        console.info(line)
    if console.json_lines:
        console.result([], **found.as_dict())


def _crop(how: str) -> dict[str, Any]:
    if how.isdigit() and int(how) > 0:
        return {"crop": "center", "crop_pixels": int(how)}
    return {"crop": options.one_of("--crop", how, ("center", "stretch")), "crop_pixels": None}


def _cutout(how: str | None, masks: Path | None) -> dict[str, Any]:
    name, _, file = (how or "").partition("=")
    if how is not None:
        options.one_of("--cutout", name, ("box", "maskrcnn"))
    return {
        "masks": str(masks.resolve()) if masks else None,
        "cutout": name or "none",
        "maskrcnn": str(Path(file).resolve()) if file else None,
    }


def configure(model: str, backend: Any, preset: str | None, changes: list[str]) -> Any:
    """The model's settings: a preset's with `name=value` changes, each read as the type that the setting has."""
    presets = getattr(backend, "PRESETS", {})
    if preset is not None and preset not in presets:
        known = ", ".join(presets) or "none"
        raise UsageError(f"{model} has no preset '{preset}'; there are: {known}.{did_you_mean(preset, list(presets))}")
    config = presets[preset] if preset is not None else backend.Config()
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **dict(_change(change, fields) for change in changes))


def _change(change: str, fields: dict[str, Any]) -> tuple[str, Any]:
    name, equals, text = change.partition("=")
    if not equals:
        raise UsageError(f"--set '{change}' has to be name=value")
    if name not in fields:
        raise UsageError(
            f"--set {name}: no such setting; there are: {', '.join(fields)}.{did_you_mean(name, list(fields))}"
        )
    try:
        return name, read_as(fields[name], text)
    except ValueError as error:
        raise UsageError(f"--set {change}: {name} is like {fields[name]!r}") from error


def read_as(example: Any, text: str) -> Any:
    """A value written on the command line, in the type of the one it replaces.  Raises ValueError."""
    if isinstance(example, bool):
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]
    if isinstance(example, tuple):
        return tuple(read_as(example[0] if example else 0, part) for part in text.split(","))
    return type(example)(text)
