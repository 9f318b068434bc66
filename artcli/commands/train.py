"""`artgen train`: make a model from data; the same line again goes on where it stopped."""

import dataclasses
import importlib
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli import options
from artcli.console import Console, duration
from artcli.errors import Interrupted, UsageError, did_you_mean
from artcli.media import files

MODELS = {"clip": "artcli.backends.clip_mini"}


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of training data.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run folder.  [default: runs/MODEL]")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the model (repeatable)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the whole run.")] = 0,
    save_every: Annotated[
        int, typer.Option("--save-every", metavar="N", min=1, help="Steps between checkpoints.")
    ] = 500,
    time_limit: options.TimeLimit = None,
    device: options.Device = "auto",
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a model on a folder; run the same line again to go on.

    artgen train clip clip-data --out runs/clip
    """
    options.one_of("MODEL", model, tuple(MODELS))
    if not data.is_dir():
        raise UsageError(f"there is no folder {data} to train on")
    run = out or Path("runs") / model
    limit = options.seconds(time_limit)
    backend = importlib.import_module(MODELS[model])
    config = _configure(backend.Config(), settings or [])
    console = Console(quiet=quiet, json_lines=as_json)
    console.info(f"train: {model} on {data}, {config.steps} steps, seed {seed}, to {run}")
    if dry_run:
        return
    what = {"model": model, "seed": seed, "config": dataclasses.asdict(config)}
    _refuse_another(run, what)
    _train(backend.Task, config, what, data, run, seed, save_every, limit, device, console)


def _configure(config: Any, changes: list[str]) -> Any:
    """The model's settings with `name=value` changes, each read as the type that the setting has."""
    fields = {field.name: type(getattr(config, field.name)) for field in dataclasses.fields(config)}
    changed = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set '{change}' has to be name=value")
        if name not in fields:
            raise UsageError(
                f"--set {name}: no such setting; there are: {', '.join(fields)}.{did_you_mean(name, list(fields))}"
            )
        try:
            changed[name] = fields[name](value)
        except ValueError as error:
            raise UsageError(f"--set {change}: {name} is a {fields[name].__name__}") from error
    return dataclasses.replace(config, **changed)


def _refuse_another(run: Path, what: dict[str, Any]) -> None:
    """Refuse to go on with a run that is something else."""
    path = run / "config.json"
    if run.exists() and not run.is_dir():
        raise UsageError(f"{run} is a file; --out takes a folder for the run")
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        flat_before, flat_now = ({**w, **w["config"], "config": None} for w in (before, what))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read ({error!r}); choose another --out") from error
    changed = [f"{k} {flat_before.get(k)} -> {flat_now[k]}" for k in flat_now if flat_before.get(k) != flat_now[k]]
    if changed:
        raise UsageError(f"{run} holds a run with other settings ({', '.join(changed)}); choose another --out")


def _remember(run: Path, what: dict[str, Any]) -> None:
    """Write down what the run is, once it is known to be able to start."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {run}: {files.reason(error)}") from error
    with files.atomic(run / "config.json") as temporary:
        temporary.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")


def _train(
    task_type: Any,
    config: Any,
    what: dict[str, Any],
    data: Path,
    run: Path,
    seed: int,
    save_every: int,
    limit: float | None,
    device_name: str,
    console: Console,
) -> None:
    import torch

    from artcli import device
    from artcli.run import interruptible
    from artcli.training import checkpoint, trainer

    chosen = device.choose(device_name)
    console.info(f"train: {device.describe(chosen)}; reading {data}")
    started = time.monotonic()
    torch.manual_seed(seed)
    task = task_type(config, data, chosen)
    _remember(run, what)
    with interruptible() as stop, console.progress("train", config.steps) as bar:
        for now in trainer.train(task, run, config.steps, seed=seed, save_every=save_every, validate_every=save_every):
            bar.update(now.step, " ".join(f"{k} {v:.4f}" for k, v in now.losses.items()))
            if now.validation:
                console.info(f"step {now.step}: " + " ".join(f"{k} {v:.3f}" for k, v in now.validation.items()))
            late = limit is not None and time.monotonic() - started > limit
            if (stop.requested or late) and now.step < now.total:
                checkpoint.save(run, now.step, task.modules, task.optimizers)
                note = f"stopped at step {now.step} of {now.total} and saved; the same command goes on"
                if stop.requested:
                    raise Interrupted(note)
                console.info(f"train: {note}")
                return
    console.result([run / "model"], steps=config.steps)
    console.info(f"train: done in {duration(time.monotonic() - started)}")
