"""The command line that a record stands for, to read and to run again."""

import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from artcli.commands.shared import call, recipe
from artcli.errors import UsageError

Commands = Mapping[str, Any]  # the verbs by name, as Typer made them


class Unsayable(Exception):
    """A record holds what a command line cannot, or should not."""


def line(found: Mapping[str, Any], file: Path, commands: Commands) -> str | None:
    """What made a file: `artgen dream "red car" --seed 3`, without what is the default today.

    Where that cannot be said, `artgen dream --from FILE`.  None: the record is of no verb that can run it again.
    found: the record, which may come from anywhere.  Only known options come from it, none that decide where a run
    writes, every word is quoted, and nothing in it can be invisible: the line is to be pasted into a shell.
    """
    verb = commands.get(str(found.get("command")))
    if verb is None or all(parameter.name != "from_file" for parameter in verb.params):
        return None
    known = [parameter.name or "" for parameter in verb.params]
    try:
        values = recipe.parameters_in(found, file, verb.name, known)
    except UsageError:
        return None
    for words in (_words(verb, values), _again(file)):
        try:
            return " ".join(["artgen", verb.name, *words])
        except Unsayable:
            continue
    return None


def _words(verb: Any, values: Mapping[str, Any]) -> Iterator[str]:
    """Arguments, then options, in the order of the help; behind -- the arguments that look like options."""
    usual, late = _defaults(verb) | call.request_of(verb.name).usual(values), list[str]()
    for parameter in sorted(verb.params, key=lambda each: each.param_type_name != "argument"):
        value = values.get(parameter.name)
        if value is None or value == usual.get(parameter.name):
            continue
        if parameter.param_type_name != "argument":
            yield from _option(parameter, value)
        elif any(str(each).startswith("-") and str(each) != "-" for each in _several(value)):
            late += map(_quoted, _several(value))
        else:
            yield from map(_quoted, _several(value))
    if late:
        yield from ("--", *late)


def _again(file: Path) -> Iterator[str]:
    yield from ("--from", _quoted(str(file)))


@cache
def _defaults(verb: Any) -> dict[str, Any]:
    """What a record of a call without options would hold."""
    with verb.make_context(verb.name, [], resilient_parsing=True) as context:
        return dict(recipe.make(verb.name, context.params)["parameters"])


def _option(parameter: Any, value: Any) -> Iterator[str]:
    flag = max(parameter.opts, key=len)
    if parameter.is_flag:
        flags = [flag] if value is True else list(parameter.secondary_opts) if value is False else []
        if not flags:
            raise Unsayable
        yield max(flags, key=len)
        return
    for each in _several(value):
        word = _quoted(each)
        yield f"{flag}={word}" if str(each).startswith("-") else f"{flag} {word}"


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _quoted(value: Any) -> str:
    """A word for a shell.  Raises Unsayable: signs that a terminal would hide or obey."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).isprintable():
        raise Unsayable
    text = str(value)
    plain = shlex.quote(text) == text or set(text) & set('"$`\\!')  # which mean something between double quotes
    return shlex.quote(text) if plain else f'"{text}"'
