"""The file of a batch: jobs as they are written, what they have in common, and the names that options go by."""

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from artcli.commands.shared import call, verb
from artcli.errors import UsageError, did_you_mean
from artcli.media import files

_OF_THE_BATCH = ("quiet", "as_json", "dry_run")  # options of every verb that a job does not have
_PARTS = ("jobs", "defaults", "variables")


@dataclass
class Sheet:
    """jobs: each a table as it was written, or what is wrong with it.  defaults: by verb and parameter.

    variables: what {name} stands for in any job, a value or a list of them.
    """

    jobs: list[dict[str, Any] | str] = field(default_factory=list)
    defaults: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in call.VERBS})
    variables: dict[str, Any] = field(default_factory=dict)


def read(file: str) -> Sheet:
    """TOML, or JSON lines where the name does not end in .toml; "-" is standard input.

    Raises UsageError: it cannot be read, there is no job in it, or what jobs have in common is wrong.
    """
    made = _of_toml(file) if file.lower().endswith(".toml") else _of_lines(file)
    if not made.jobs:
        how = '[[jobs]] and below it verb = "dream"' if file.lower().endswith(".toml") else '{"verb": "dream", ...}'
        raise UsageError(f"{file} has no jobs: write {how}")
    return made


def _of_toml(file: str) -> Sheet:
    try:
        content = tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    for key in content:
        if key not in _PARTS:
            raise UsageError(f"{file} has no part '{key}'; there are: {', '.join(_PARTS)}.{did_you_mean(key, _PARTS)}")
    made, jobs = Sheet(), content.get("jobs", [])
    if not isinstance(jobs, list):
        raise UsageError(f"{file}: jobs are [[jobs]], in two brackets, each a table of its own")
    _add_common(made, content, file)
    made.jobs = [job if isinstance(job, dict) else "a job is a table: [[jobs]]" for job in jobs]
    return made


def _of_lines(file: str) -> Sheet:
    made = Sheet()
    for number, line in enumerate(_text(file).split("\n"), 1):  # other ends of lines may stand in a text
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            made.jobs.append(f"line {number} is no JSON: {error.msg} at column {error.colno}")
            continue
        if isinstance(found, dict) and found and set(found) <= {"defaults", "variables"}:
            _add_common(made, found, f"{file}, line {number}")
        else:
            made.jobs.append(found if isinstance(found, dict) else f"line {number} is no JSON object: {{...}}")
    return made


def _text(file: str) -> str:
    try:
        found = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return found.decode("utf-8-sig")  # some editors put a mark in front
    except FileNotFoundError:
        raise files.missing(Path(file)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text in UTF-8") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {files.reason(error)}") from error


def _add_common(made: Sheet, content: Mapping[str, Any], where: str) -> None:
    """Raises UsageError for what no verb knows."""
    for part in ("defaults", "variables"):
        if not isinstance(content.get(part, {}), dict):
            raise UsageError(f"{where}: {part} is a table: [{part}]")
    made.variables |= content.get("variables", {})
    for key, value in content.get("defaults", {}).items():
        if key in call.VERBS and isinstance(value, dict):
            for option, one in value.items():
                made.defaults[key][parameter(key, option)] = one
        else:
            for name, option in _having(key, where):
                made.defaults[name].setdefault(option, value)


def _having(key: str, where: str) -> Iterator[tuple[str, str]]:
    """The verbs that have an option of this name, and what it is called there."""
    found = [(name, known[_dashed(key)]) for name in call.VERBS if _dashed(key) in (known := options(name))]
    if not found:
        meant = did_you_mean(_dashed(key), sorted({option for name in call.VERBS for option in options(name)}))
        raise UsageError(f"{where}: [defaults] has '{key}', which no verb has.{meant}")
    yield from found


# --- names of options ------------------------------------------------------------------------------------------------


@cache
def parameters(name: str) -> dict[str, Any]:
    """Arguments and options of a verb that a job can have, by their names in recipes and in Python."""
    kind = call.request_of(name).kind
    return {p.name: p for p in verb.command(name, kind).params if p.name and p.name not in _OF_THE_BATCH}


@cache
def options(name: str) -> dict[str, str]:
    """The same names by those that may be written: as on the command line, or as in Python."""
    found = {_dashed(known): known for known in parameters(name)}
    for known, param in parameters(name).items():
        long = max(param.opts, key=len)
        if long.startswith("--"):
            found[long[2:]] = known
    return found


def parameter(name: str, key: str) -> str:
    """What a verb calls an option.  Raises UsageError: it has none of that name."""
    known = options(name)
    if _dashed(key) not in known:
        if _dashed(key) in ("quiet", "json", "dry-run"):
            raise UsageError(f"{key} is for the whole batch: artgen batch --{_dashed(key)}")
        raise UsageError(f"{name} has no option '{key}'.{did_you_mean(_dashed(key), list(known))}")
    return known[_dashed(key)]


def _dashed(key: str) -> str:
    return key.replace("_", "-")
