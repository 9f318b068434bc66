"""The man page, docs/artgen.1, made of the help of the commands; it is installed with artgen.

`python tests/readme_help.py` writes it.
"""

from collections.abc import Iterator
from pathlib import Path

import typer

from artcli.cli import app

PAGE = Path(__file__).parent.parent / "docs/artgen.1"
HEAD = r""".\" Written by `python tests/readme_help.py`; change the help in artcli/commands/ instead.
.TH ARTGEN 1
.SH NAME
artgen \- neural art from the command line
.SH SYNOPSIS
.B artgen
.I COMMAND
[\fIOPTIONS\fR] [\fIARGUMENTS\fR]
.SH DESCRIPTION
"""


def text() -> str:
    """The whole page, in ASCII."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="artgen", **group.context_settings)
    about = [line for name, command in group.commands.items() for line in _command(name, command, context)]
    return HEAD + "\n".join([*_prose(group.callback.__doc__), ".SH COMMANDS", *about]) + "\n"


def _command(name: str, command: typer.core.TyperCommand, parent: typer.Context) -> Iterator[str]:
    """A command, then those inside it."""
    context = typer.Context(command, info_name=name, parent=parent)
    yield f".SS {_plain(context.command_path)}"
    yield from _prose(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f"\\fB{_plain(' '.join(record[0].split()))}\\fR", _plain(record[1]) or "\\&")
    for inner in getattr(command, "commands", {}).items():
        yield from _command(*inner, context)


def _prose(told: str) -> Iterator[str]:
    """Paragraphs; those that are a command line stand as they are."""
    for paragraph in told.strip().split("\n\n"):
        line = _plain(" ".join(paragraph.split()))
        yield from (".PP", ".EX", line, ".EE") if line.startswith("artgen ") else (".PP", line)


def _plain(words: str) -> str:
    """Text that man shows as it is: no escapes, no requests, hyphens that can be copied."""
    shown = words.replace("\\", "\\e").replace("-", "\\-")
    shown = "".join(sign if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in shown)
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown
