"""Options of `artgen sample` that take several values: `--reconstruct a.jpg b.jpg`, as shells expand `*.jpg`."""

from collections.abc import Sequence
from typing import Any

from artcli.commands.shared import verb

LISTS = ("--reconstruct", "--complete", "--project", "--between", "--compare")


class Command(verb.Command):
    """Lets each of LISTS take all that follows it up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args))


def spread(args: Sequence[str]) -> list[str]:
    """`--between a b` as `--between a --between b`, for each of LISTS."""
    found: list[str] = []
    option, fresh = "", False
    for place, arg in enumerate(args):
        if arg == "--":
            return [*found, *args[place:]]
        if arg.startswith("-") and arg != "-":
            name = arg.partition("=")[0]
            option, fresh = name if name in LISTS else "", "=" not in arg
            found.append(arg)
        elif option and not fresh:
            found += [option, arg]
        else:
            found.append(arg)
            fresh = False
    return found
