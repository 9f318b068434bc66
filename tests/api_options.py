"""Writes artcli/api_options.py, the types of the verbs' options in Python: `python tests/api_options.py`.

test_api.py checks that it was done.
"""

import importlib
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from typer.models import ArgumentInfo

from artcli.commands.shared import verb
from artcli.setting import Setting

FILE = Path(__file__).parent.parent / "artcli" / "api_options.py"
VERBS = ("cyclegan", "dream", "paint", "sample", "stylize", "train")
HEAD = '''"""Options of the verbs, as `artcli.dream(...)` takes them.

Written by `python tests/api_options.py` from the settings of artcli/commands/; change those instead.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

Text = str | float | Path  # a number or a path is as good as its text
'''


def text() -> str:
    """The whole module."""
    return "\n\n".join([HEAD, *map(_of_verb, VERBS)])


def _of_verb(name: str) -> str:
    kind = importlib.import_module(f"artcli.commands.{name}.request").Options
    found = {}
    for field, hint in verb._flat(kind):
        parameter = verb._parameter(field, hint)
        annotation, option = get_args(parameter.annotation)
        if not isinstance(option, ArgumentInfo):
            found[parameter.name] = _type(annotation, get_args(hint)[1], option)
    lines = [f"    {option}: {kind}" for option, kind in sorted(found.items())]
    return "\n".join([f"class {name.capitalize()}(TypedDict, total=False):", *lines, ""])


def _type(kind: Any, told: Any, option: Any) -> str:
    if isinstance(told, Setting) and told.choices and "," not in (option.metavar or ""):
        none = " | None" if NoneType in get_args(kind) else ""
        return f"Literal[{', '.join(repr(choice).replace(chr(39), chr(34)) for choice in told.choices)}]{none}"
    return "Text" + (" | None" if NoneType in get_args(kind) else "") if option.parser else _name(kind)


def _name(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(_name(part) for part in get_args(kind))
    if get_origin(kind) is list:
        return f"Sequence[{_name(get_args(kind)[0])}]"
    if kind is NoneType:
        return "None"
    return kind.__name__ if kind in (bool, int, float) else "Text"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
