"""The settings of the model to train: a preset with changes of single ones."""

import dataclasses
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from artcli.commands.train.options import Options
from artcli.errors import UsageError, did_you_mean
from artcli.training import renamed
from artcli.training.registry import MODELS


def model_of(asked: Options) -> tuple[ModuleType, Any]:
    """The module of the model, and its settings.  Raises UsageError."""
    backend = importlib.import_module(MODELS[asked.model])
    if asked.patience is not None and asked.val_fraction == 0:
        raise UsageError(
            "--patience waits for the held-out loss, and --val-fraction 0 holds nothing out: leave one out"
        )
    config = configure(asked.model, backend, asked.preset, asked.settings)
    return backend, dataclasses.replace(config, channels=1) if asked.color == "grey" else config


def configure(model: str, backend: Any, preset: str | None, changes: Sequence[str]) -> Any:
    """The model's settings: a preset's with `name=value` changes, each read as the type that the setting has."""
    presets = getattr(backend, "PRESETS", {})
    if preset is not None and preset not in presets:
        known = ", ".join(presets) or "none"
        raise UsageError(f"{model} has no preset '{preset}'; there are: {known}.{did_you_mean(preset, list(presets))}")
    config = presets[preset] if preset is not None else backend.Config()
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **dict(_change(model, change, fields) for change in changes))


def _change(model: str, change: str, fields: dict[str, Any]) -> tuple[str, Any]:
    given, equals, text = change.partition("=")
    if not equals:
        raise UsageError(f"--set '{change}' has to be name=value")
    name = renamed.name(model, given)
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
