"""Settings files: `artgen.toml` of the project over the user's own; a flag or ARTGEN_* variable beats both."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artcli.errors import UsageError, did_you_mean

PROJECT_FILE = "artgen.toml"


def user_file() -> Path:
    import platformdirs

    return Path(os.environ.get("ARTGEN_CONFIG") or Path(platformdirs.user_config_dir("artgen")) / "artgen.toml")


def project_file(start: Path | None = None) -> Path | None:
    """The nearest artgen.toml from the folder upwards."""
    folder = (start or Path.cwd()).resolve()
    return next((f / PROJECT_FILE for f in (folder, *folder.parents) if (f / PROJECT_FILE).is_file()), None)


def load(known: Mapping[str, set[str]]) -> dict[str, dict[str, Any]]:
    """Defaults for every command: {command: {option: value}}.

    known: the option names of every command.  A key at the top of a file counts for every command that has it; a
    table `[dream]` for one.  Raises UsageError for unknown keys (with a suggestion) and unreadable files.
    """
    merged: dict[str, dict[str, Any]] = {command: {} for command in known}
    for path in (user_file(), project_file()):
        if path is not None and path.is_file():
            for command, values in _read(path, known).items():
                merged[command].update(values)
    return merged


def _read(path: Path, known: Mapping[str, set[str]]) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    tables = {k: v for k, v in content.items() if isinstance(v, dict)}
    shared = {k.replace("-", "_"): v for k, v in content.items() if not isinstance(v, dict)}
    every = set().union(*known.values())
    _check(path, "", shared, every)
    _check(path, "", tables, set(known))
    found = {command: {k: v for k, v in shared.items() if k in options} for command, options in known.items()}
    for command, table in tables.items():
        values = {k.replace("-", "_"): v for k, v in table.items()}
        _check(path, f"[{command}] ", values, known[command])
        found[command].update(values)
    return found


def _check(path: Path, where: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{path}: {where}has no setting '{key}'.{did_you_mean(key, sorted(known))}")
