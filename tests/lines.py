"""What a command line asks for, without doing it."""

import functools
import importlib

import typer

from artcli.cli import app
from artcli.commands.shared import verb


def request_of(name, *words):
    """The Request that `artgen NAME WORDS` makes."""
    module = importlib.import_module(f"artcli.commands.{name}.request")
    context = _command().commands[name].make_context(name, list(map(str, words)))
    return module.Request.of(context, verb.build(module.Options, context.params))


@functools.cache
def _command():
    """Which takes as long to build as a small call."""
    return typer.main.get_command(app)
