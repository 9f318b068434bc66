"""The Typer app: registers the verbs and owns the error boundary."""

import re
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from artcli import __version__, config
from artcli.commands import doctor, models, weights
from artcli.commands.batch import command as batch
from artcli.commands.cyclegan import command as cyclegan
from artcli.commands.dream import command as dream
from artcli.commands.gallery import command as gallery
from artcli.commands.paint import command as paint
from artcli.commands.sample import command as sample
from artcli.commands.sample import lists
from artcli.commands.shared.verb import Command
from artcli.commands.stylize import command as stylize
from artcli.commands.train import command as train
from artcli.errors import ArtgenError
from artcli.media import claims

# Typer carries its own Click; this is the base of its usage errors, reached through what Typer exports.
_UsageProblem: type[Any] = typer.BadParameter.__mro__[2]


class Group(TyperGroup):
    """Turns expected errors into one line on stderr and an exit code; anything else keeps its traceback."""

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
            ctx.default_map = config.load(_settings(self))
            return super().invoke(ctx)
        except ArtgenError as error:
            _fail(str(error), error.exit_code)
        except _UsageProblem as error:
            command = error.ctx.command_path if getattr(error, "ctx", None) else "artgen"
            _fail(_unquoted(error) or f"{error.format_message()} (see {command} --help)", 2)
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


def _settings(group: Any) -> dict[str, dict[str, str]]:
    """What a settings file may set, by command: {option without dashes: parameter}."""
    return {
        name: {max(p.opts, key=len)[2:]: p.name for p in command.params if max(p.opts, key=len).startswith("--")}
        for name, command in group.commands.items()
    }


app = typer.Typer(
    cls=Group,
    name="artgen",
    help="Neural art from the command line.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
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


app.command("dream", cls=Command)(dream.dream)
app.command("paint", cls=Command)(paint.paint)
app.command("stylize", cls=Command)(stylize.stylize)
app.command("cyclegan", cls=Command)(cyclegan.cyclegan)
app.command("train", cls=Command)(train.train)
app.command("sample", cls=lists.Command)(sample.sample)
app.command("gallery", cls=Command)(gallery.gallery)
app.command("batch", cls=Command)(batch.batch)
app.command("models")(models.models)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)
