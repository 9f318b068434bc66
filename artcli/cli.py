"""The Typer app: registers the verbs and owns the error boundary."""

import errno
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from artcli import __version__, config
from artcli.errors import ArtgenError
from artcli.media import claims, files

# Typer carries its own Click; this is the base of its usage errors, reached through what Typer exports.
_UsageProblem: type[Any] = typer.BadParameter.__mro__[2]
_ROOM = "artcli.commands."
_HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
_WHERE = {  # in the order of the help
    "dream": "dream.command",
    "paint": "paint.command",
    "stylize": "stylize.command",
    "cyclegan": "cyclegan.command",
    "train": "train.command",
    "sample": "sample.command",
    "gallery": "gallery.command",
    "batch": "batch.command",
    "models": "models",
    "doctor": "doctor",
    "weights": "weights",
}


class Commands(Mapping[str, Any]):
    """The commands by name.  Each is imported and built when it is asked for: a call waits for its own only."""

    def __getitem__(self, name: str) -> Any:
        return _command(name, _WHERE[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_WHERE)

    def __len__(self) -> int:
        return len(_WHERE)


@cache
def _command(name: str, where: str) -> Any:
    """As Typer has it; of a verb, or of a group such as `artgen weights`."""
    module = import_module(_ROOM + where)
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, rich_markup_mode=None)
        group.command(name, cls=_class(name, where))(getattr(module, name))
    made = typer.main.get_command(group)
    made.name = name
    # Also where no `artgen` is around it: a command keeps the help option that it was first asked for.
    made.context_settings = {**made.context_settings, **_HELP}
    return made


def _class(name: str, where: str) -> Any:
    """How a command reads its line and shows its help."""
    if "." not in where:  # Typer's own
        return None
    return import_module(_ROOM + ("sample.lists" if name == "sample" else "shared.verb")).Command


class Settings(Mapping[str, Mapping[str, str]]):
    """What a settings file may set, by command: {option without dashes: parameter}."""

    def __init__(self, commands: Mapping[str, Any]):
        self.commands = commands

    def __getitem__(self, name: str) -> dict[str, str]:
        options = [(max(p.opts, key=len), p.name) for p in self.commands[name].params]
        return {option[2:]: parameter for option, parameter in options if option.startswith("--")}

    def __iter__(self) -> Iterator[str]:
        return iter(self.commands)

    def __len__(self) -> int:
        return len(self.commands)


class Group(TyperGroup):
    """Turns expected errors into one line on stderr and an exit code; anything else keeps its traceback."""

    def __init__(self, **how: Any):
        super().__init__(**how)
        self.commands = Commands()  # type: ignore[assignment]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options in front of the verb; without any arguments typer shows the help."""
        given = list(args)  # the parser empties its list
        try:
            return super().parse_args(ctx, args)
        except _UsageProblem as error:
            if not given:
                raise
            _fail(f"{error.format_message()} (see artgen --help)", 2)

    def invoke(self, ctx: Any) -> Any:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")  # a file's name may hold bytes that are no text
        try:
            called = getattr(ctx, "_protected_args", ["batch"])  # which has defaults for jobs of all verbs
            ctx.default_map = config.load(Settings(self.commands), None if "batch" in called else called)
            return super().invoke(ctx)
        except ArtgenError as error:
            _fail(str(error), error.exit_code)
        except _UsageProblem as error:
            command = error.ctx.command_path if getattr(error, "ctx", None) else "artgen"
            _fail(_unquoted(error) or f"{error.format_message()} (see {command} --help)", 2)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # which any look at a path that was given may find out
                raise
            _fail(f"cannot use {files.short(str(error.filename))}: {files.reason(error)}.", 2)
        except KeyboardInterrupt:
            _fail("interrupted", 130)
        finally:
            claims.release()


def _unquoted(error: Any) -> str:
    """What to do where a prompt came as several words: `artgen dream red car`; "" for all other errors."""
    found = re.search(r"unexpected extra argument.*? \((.*)\)$", error.format_message())
    prompt = error.ctx.params.get("prompt") if getattr(error, "ctx", None) else None
    if not found or not prompt:
        return ""
    return f'put quotes round a prompt of several words: artgen dream "{prompt} {found[1]}"'


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)


app = typer.Typer(
    cls=Group,
    name="artgen",
    help="Neural art from the command line.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"artgen {__version__}")
        raise typer.Exit()


@app.callback()
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Neural art from the command line.

    Exit codes: 0 done; 1 failed, or any item of a batch failed; 2 usage; 3 weights missing or corrupt; 130 interrupted.
    """
