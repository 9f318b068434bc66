"""`artgen train`: make a model from data."""

from pathlib import Path

import typer


def train(model: str, data: Path, out: Path) -> None:
    raise typer.Exit(1)
