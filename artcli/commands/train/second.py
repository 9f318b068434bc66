"""The line of a second stage: `artgen train prior RUN [DATA]` names its first stage before the data."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from artcli import weights
from artcli.commands.shared import options
from artcli.errors import UsageError, did_you_mean
from artcli.training.spec import DataSpec

if TYPE_CHECKING:
    from artcli.commands.train.options import Options

_LOOKS = ("color", "filter", "crop", "cutout", "masks", "val_fraction")  # options that say how pictures are prepared


def with_data(ctx: typer.Context, asked: "Options") -> tuple["Options", dict[str, Any] | None]:
    """The call with the data in their place and the first stage as a setting, and how its run prepared the pictures.

    Without DATA the prior learns from the pictures of the first stage's run, prepared as they were for it: None where
    the line says anything else.  Raises UsageError: there is no such first stage, or it knows no pictures.
    """
    first = asked.data
    if not first.exists() and str(first) not in weights.table():
        hint = did_you_mean(str(first), list(weights.table()))
        raise UsageError(f"there is no run {first}; its codes are what {asked.model} learns.{hint}")
    named = str(first.resolve() if first.exists() else first)
    settings = (f"first_stage={named}", *asked.settings)
    if asked.other is not None:
        return replace(asked, data=asked.other, other=None, settings=settings), None
    told = _data_of(first)
    if not told.get("path") or not Path(told["path"]).exists():
        raise UsageError(
            f"{first} does not say which pictures it learned from, or they are gone; name them: "
            f"artgen train {asked.model} {first} DATA"
        )
    asked = replace(asked, data=Path(told["path"]), settings=settings)
    if other := options.on_the_line(ctx, *_LOOKS):
        raise UsageError(f"{other} prepares other pictures than those of {first}: name them, or leave it out")
    kept = {name: value for name, value in told.get("preparation", {}).items() if name != "size"}
    fraction = told.get("val_fraction", DataSpec.val_fraction)
    return replace(asked, val_fraction=None if fraction == DataSpec.val_fraction else fraction), kept


def _data_of(run: Path) -> dict[str, Any]:
    """The table of a run's data; empty for what is no run."""
    try:
        return tomllib.loads((run / "run.toml").read_text(encoding="utf-8")).get("data", {})
    except (OSError, ValueError):
        return {}
