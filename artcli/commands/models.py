"""`artgen models`: every model on this machine that a verb takes, the ones that ship and the ones trained here."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli import weights
from artcli.commands.shared import options
from artcli.console import columns
from artcli.errors import UsageError, did_you_mean

# What takes a model, by the kind of weights or of run.
_USES = {
    "adain": "stylize --fast --model",
    "clip": "dream --clip",
    "cyclegan": "cyclegan --model",
    "discriminator": "train cyclegan --set discriminator=",
    "diffusion": "dream --prior",
    "net": "stylize --net",
    "painter": "paint --model",
    "pix2pix": "cyclegan --model",
    "upscaler": "--upscaler",
    "vgg-slim": "stylize --net",
    "vqgan": "dream --vqgan",
}
_NEEDS_END = (
    "adain",
    "clip",
    "diffusion",
    "upscaler",
    "vgg-slim",
    "vqgan",
)  # what is taken is exported when a run is finished


def models(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS", help="Folders with runs.  [default: runs]")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only such: cyclegan, clip, vae.")] = None,
    weights_dirs: options.WeightsDirs = None,
    as_json: options.Json = False,
) -> None:
    """List the models that are here, and what takes them.

    artgen models --kind cyclegan
    """
    rows = [*_known(weights_dirs or []), *_trained(folders)]
    if kind is not None:
        kinds = sorted({row["kind"] for row in rows})
        rows = [row for row in rows if row["kind"] == kind]
        if not rows:
            known = f"there are: {', '.join(kinds)}.{did_you_mean(kind, kinds)}"
            raise UsageError(f"there is no model of the kind '{kind}' here; {known}")
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    cells = [("MODEL", "KIND", "FOR", "STATE"), *((r["model"], r["kind"], r["use"], r["state"]) for r in rows)]
    for line in columns(cells):
        typer.echo(line)


def _known(folders: list[Path]) -> list[dict[str, Any]]:
    """The weights of the table that are on this machine."""
    found = []
    for weight in weights.table().values():
        place = weights.locate(weight, folders)
        if place is not None:
            use = _USES.get(weight.kind, "")
            found.append({"model": weight.name, "kind": weight.kind, "use": use, "state": place.label})
    return found


def _trained(folders: list[Path] | None) -> list[dict[str, Any]]:
    """The runs in these folders that have weights.  Raises UsageError: a folder that was named is not there."""
    for folder in folders or []:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder} with runs")
    found = []
    for path in (path for folder in folders or [Path("runs")] for path in sorted(folder.glob("*/run.toml"))):
        run = path.parent
        try:
            what = tomllib.loads(path.read_text(encoding="utf-8"))
            name, data = str(what["model"]), str(what["data"]["name"])
        except (OSError, ValueError, KeyError, TypeError):  # damaged, or of another program
            continue
        if not (run / "weights.safetensors").is_file():
            continue
        finished = (run / "model").is_dir()
        usable = name in _USES and (finished or name not in _NEEDS_END)
        use = _USES[name] if usable else "sample"
        found.append({"model": str(run), "kind": name, "use": use, "state": _state(data, finished, name)})
    return found


def _state(data: str, finished: bool, name: str) -> str:
    return f"trained on {data}" if finished or name not in _USES else f"in training on {data}"
