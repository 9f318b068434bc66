"""`artgen weights`: what there is, download it, check it, where it lies."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli import weights
from artcli.commands.shared import complete
from artcli.console import Console, columns
from artcli.errors import UsageError, WeightsError
from artcli.weights import Weight, human

_MB = 1_000_000

app = typer.Typer(
    help="List, download and check model weights.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)

Folders = Annotated[
    list[Path] | None,
    typer.Option("--weights", metavar="DIR", help="Search this folder first (repeatable; also $ARTGEN_WEIGHTS)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


def _names(incomplete: str) -> list[str]:
    return complete.weights(incomplete)


@app.command("list")
def list_(folders: Folders = None, as_json: AsJson = False) -> None:
    """Show every known weight and where it is on this machine."""
    rows = [_facts(weight, folders or []) for weight in weights.table().values()]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    cells = [("NAME", "KIND", "WHERE", "SIZE", "LICENCE"), *map(_cells, rows)]
    for line in columns(cells):
        typer.echo(line)


def _facts(weight: Weight, folders: list[Path]) -> dict[str, Any]:
    place = weights.locate(weight, folders)
    return {
        "name": weight.name,
        "kind": weight.kind,
        "where": place.label if place else "missing",
        "path": str(place.path_of(weight)) if place else None,
        "damaged": _is_damaged(weight, place) if place else None,
        "bytes": weight.bytes,
        "licence": weight.licence,
        "note": weight.note,
    }


def _is_damaged(weight: Weight, place: weights.Place) -> bool:
    try:
        weights.check(weight, place)
    except WeightsError:
        return True
    return False


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    where = f"{row['where']} (damaged)" if row["damaged"] else row["where"]
    return row["name"], row["kind"], where, human(row["bytes"]), row["licence"]


@app.command("get")
def get(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Names from `artgen weights list`.", autocompletion=_names)
    ],
    force: Annotated[bool, typer.Option("--force", "-f", help="Download again what is there already.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the paths and errors.")] = False,
) -> None:
    """Download weights to the cache, so that they are there offline; print their paths."""
    chosen = [weights.look_up(name) for name in names]
    if force and (fixed := [weight.name for weight in chosen if not weight.has_url]):
        raise UsageError(f"{', '.join(fixed)}: bundled with artgen, so there is nothing to download; drop --force.")
    for weight in chosen:
        place = None if force else weights.locate(weight)
        sound = place is not None and not _is_damaged(weight, place)
        if weight.has_url and not sound:
            typer.echo(_download(weight, force, Console(quiet=quiet)))
        else:
            typer.echo(weights.find(weight.name, fetch=False))


def _download(weight: Weight, force: bool, console: Console) -> Path:
    console.info(f"{weight.name}: {human(weight.bytes)}, licence {weight.licence}")
    with console.progress(f"{weight.name}, MB", -(-(weight.bytes or 0) // _MB)) as bar:
        return weights.get(weight, force=force, progress=lambda done, total: bar.update(done // _MB))


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Default: all on this machine.", autocompletion=_names),
    ] = None,
    folders: Folders = None,
    as_json: AsJson = False,
) -> None:
    """Compare weights with their SHA-256; exit 3 if any are missing or damaged."""
    chosen = [weights.look_up(name) for name in names] if names else _expected(folders or [])
    bad = []
    for weight in chosen:
        path, problem = _verdict(weight, folders or [])
        if problem:
            bad.append(weight.name)
            typer.echo(f"{weight.name}: {problem}", err=True)
        if as_json:
            typer.echo(json.dumps({"name": weight.name, "ok": not problem, "path": path, "problem": problem}))
        elif path:
            typer.echo(f"{weight.name}: ok  {path}")
    if bad:
        raise WeightsError(f"{len(bad)} of {len(chosen)} weights are missing or damaged: {', '.join(bad)}.")


def _expected(folders: list[Path]) -> list[Weight]:
    return [weight for weight in weights.table().values() if weight.bundled or weights.locate(weight, folders)]


def _verdict(weight: Weight, folders: list[Path]) -> tuple[str | None, str | None]:
    try:
        return str(weights.verify(weight, folders)), None
    except WeightsError as error:
        return None, str(error)


@app.command("path")
def path(name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=_names)], folders: Folders = None) -> None:
    """Print where weights are; exit 3 if they are not on this machine."""
    typer.echo(weights.find(name, weights_dirs=folders or [], fetch=False))
