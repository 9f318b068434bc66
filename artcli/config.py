"""Settings files: `artgen.toml` of the project over the user's own; a flag or ARTGEN_* variable beats both."""

import os
import tomllib
from collections.abc import Collection, Mapping
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


Known = Mapping[str, Mapping[str, str]]  # command: {setting: parameter}; a setting is the option without its dashes


def load(known: Known, wanted: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """Defaults for every command: {command: {parameter: value}}.

    wanted: the commands whose defaults are, None for all; where there is no file, `known` is asked for these only.
    A key at the top of a file counts for every command that has it, a table `[dream]` for one; so do ARTGEN_STEPS and
    ARTGEN_DREAM_STEPS.  Raises UsageError for unknown keys (with a suggestion) and unreadable files.
    """
    wanted = [command for command in known if wanted is None or command in wanted]
    merged: dict[str, dict[str, Any]] = {command: {} for command in known}
    for path in (user_file(), project_file()):
        if path is not None and path.is_file():
            _merge(merged, _read(path, known))
    _merge(merged, {command: _environment(command, known[command]) for command in wanted})
    return merged


def _merge(into: dict[str, dict[str, Any]], more: Mapping[str, Mapping[str, Any]]) -> None:
    for command, values in more.items():
        into[command].update(values)


def _environment(command: str, settings: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for prefix in ("ARTGEN", f"ARTGEN_{command.upper()}"):  # the narrower one wins
        for setting, parameter in settings.items():
            value = os.environ.get(f"{prefix}_{setting.upper().replace('-', '_')}")
            if value:
                found[parameter] = value
    return found


def _read(path: Path, known: Known) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    shared = {k: v for k, v in content.items() if not isinstance(v, dict)}
    tables = {k: v for k, v in content.items() if isinstance(v, dict)}
    _check(path, "", shared, {setting for settings in known.values() for setting in settings})
    _check(path, "", tables, set(known))
    found = {}
    for command, settings in known.items():
        table = tables.get(command, {})
        _check(path, f"[{command}] ", table, set(settings))
        values = {k: v for k, v in shared.items() if _dashed(k) in settings} | table
        found[command] = {settings[_dashed(k)]: v for k, v in values.items()}
    return found


def _check(path: Path, where: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if _dashed(key) not in known:
            raise UsageError(f"{path}: {where}has no setting '{key}'.{did_you_mean(key, sorted(known))}")


def _dashed(key: str) -> str:
    return key.replace("_", "-")
