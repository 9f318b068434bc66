"""Calls of the verbs by their names: from Python, and as the jobs of a batch."""

import importlib
from typing import Any

from artcli import network
from artcli.console import Console

VERBS = ("cyclegan", "dream", "paint", "sample", "stylize", "train")


def request_of(verb: str) -> Any:
    """The class of a verb's requests."""
    return importlib.import_module(f"artcli.commands.{verb}.request").Request


def carry_out(request: Any, console: Console) -> None:
    """Do what a request asks for.  Raises as the command does."""
    asked = request.options
    console.show = asked.show
    if getattr(asked, "check", False):  # train looks at the data only, without torch
        return importlib.import_module(f"artcli.commands.{request.command}.check").check(request, console)  # type: ignore[no-any-return]
    way = getattr(asked, "way", "run")
    with network.forbidden(asked.offline):
        importlib.import_module(f"artcli.commands.{request.command}.{way}").run(request, console)
