"""A verb's options are the fields of a dataclass, and are written nowhere else."""

import inspect
import json
import re
import shutil
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo, OptionInfo

from artcli.commands.shared import complete
from artcli.commands.shared import options as checks
from artcli.errors import UsageError, did_you_mean
from artcli.setting import Setting

Options = TypeVar("Options")


class Command(TyperCommand):
    """Shows options in sections, those without one first; as wide as the terminal, up to 80 columns."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.width = min(formatter.width, max(30, shutil.get_terminal_size().columns - 2))  # Click: at least 50
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                said = _fitted(record[0], formatter.width - 2), record[1]
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(said)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=max(4, min(30, formatter.width - 30)))


def _fitted(option: str, width: int) -> str:
    """An option and its choices, a|b|c, on as many lines as they need."""
    lines = [""]
    for part in re.split(r"(?<=[| ])", option):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("    ")
        lines[-1] += part
    return "\n  ".join(line.rstrip() for line in lines)


def verb(kind: type[Options]) -> Callable[[Callable[[typer.Context, Options], None]], Callable[..., None]]:
    """Make a command of a function of a context and the options, a dataclass whose fields are all annotated.

    A field is annotated with a Setting, with one of Typer's own, or is itself a dataclass of such fields.  What the
    class itself has comes first in the help, and what it inherits behind that.
    """

    def make(work: Callable[[typer.Context, Options], None]) -> Callable[..., None]:
        def command(ctx: typer.Context, **values: Any) -> None:
            work(ctx, build(kind, values))

        parameters = sorted((_parameter(*found) for found in _flat(kind)), key=_place)
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        command.__name__, command.__doc__, command.__module__ = work.__name__, work.__doc__, work.__module__
        command.__annotations__ = {"ctx": typer.Context, **{p.name: p.annotation for p in parameters}}
        command.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        return command

    return make


def build(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """The dataclass of these values, by the names of the fields, those of inner dataclasses among them."""
    made: dict[str, Any] = {}
    for field, hint in _own_first(kind):
        if is_dataclass(hint):
            made[field.name] = build(hint, values)  # type: ignore[arg-type]
        elif get_origin(hint) is Annotated and (key := _key(field, hint)) in values:
            made[field.name] = _value(hint, values[key])
    return kind(**made)


@cache
def command(name: str, kind: Hashable) -> Any:
    """The verb as Typer has it; when it is invoked it appends its options to the context's object, a list."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command)(verb(cast(type, kind))(lambda ctx, options: ctx.obj.append(options)))
    return typer.main.get_command(app)


def read(
    name: str, kind: type[Options], values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> tuple[typer.Context, Options]:
    """The options of a verb from a mapping, checked and converted as those of a command line are.

    defaults: instead of artgen's own; they count as a settings file's do.  Raises UsageError for a name that the verb
    does not have, and for a value that does not fit.
    """
    made = command(name, cast(Hashable, kind))
    known = {parameter.name: parameter for parameter in made.params if parameter.name}
    for given in values:
        if given not in known:
            raise UsageError(f"{name} has no option '{given}'.{did_you_mean(given, list(known))}")
    types = _types(cast(Hashable, kind))
    said, usual = (
        {given: _fitting(known[given], types[given], value) for given, value in each.items()}
        for each in (values, defaults or {})
    )
    found: list[Options] = []
    context = typer.Context(made, info_name=name, obj=found, default_map=usual)
    try:
        with context.scope(cleanup=False):  # values count as said on the line: what --from records comes behind them
            for parameter in sorted(made.params, key=lambda each: not each.is_eager):
                parameter.handle_parse_result(context, said, [])
            made.invoke(context)
    except typer.BadParameter as error:
        raise UsageError(error.format_message()) from error
    finally:
        context.close()  # what holds for one call of the executable, --offline for all of Python
    return context, found[0]


def takes_several(parameter: Any) -> bool:
    """Whether an option or argument of a command can be given more than once."""
    return bool(getattr(parameter, "multiple", False)) or parameter.nargs != 1


@cache
def _types(kind: Hashable) -> dict[str, set[Any]]:
    """What each parameter takes, by name: {int, NoneType}."""
    made = [_parameter(*found) for found in _flat(kind)]
    return {each.name: {get_args(each.annotation)[0], *get_args(get_args(each.annotation)[0])} for each in made}


def _fitting(parameter: Any, types: set[Any], value: Any) -> Any:
    """The value; a single one of several as a list.  Raises UsageError for a kind that a line would never hold.

    Text of any kind is left to Typer, which reads it as it reads a command line.
    """
    listed, several = isinstance(value, list | tuple), takes_several(parameter)
    if listed and not several:
        raise UsageError(f"{parameter.name} takes one value, not a list")
    for one in value if listed else [value]:
        wanted = _wanted(types, one)
        if wanted:
            raise UsageError(f"{parameter.name} = {json.dumps(one, default=str)} has to be {wanted}")
    return [value] if several and not listed and value is not None else value


def _wanted(types: set[Any], value: Any) -> str:
    """What a value of another kind has to be; "" for one that fits."""
    if value is None or isinstance(value, str):
        return ""
    if bool in types:
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(value, bool | list | tuple | dict):
        return "a text or a number"  # many a number can also be written as text, 5m
    return "a whole number" if int in types and isinstance(value, float) and not value.is_integer() else ""


def _place(parameter: inspect.Parameter) -> tuple[bool, bool]:
    """Arguments, where the output goes, and the rest as it stands."""
    found = get_args(parameter.annotation)[1]
    return not isinstance(found, ArgumentInfo), parameter.name != "out"


def _own_first(kind: Any) -> Iterator[tuple["Field[Any]", Any]]:
    """Every field with its type, those of the class itself before those of its bases."""
    hints = get_type_hints(kind, include_extras=True)
    by_name = {field.name: field for field in fields(kind)}
    for part in kind.__mro__:
        for name in inspect.get_annotations(part):
            if name in by_name:
                yield by_name.pop(name), hints[name]


def _flat(kind: Any) -> Iterator[tuple["Field[Any]", Any]]:
    for field, hint in _own_first(kind):
        if is_dataclass(hint):
            yield from _flat(hint)
        elif get_origin(hint) is Annotated:
            yield field, hint


def _key(field: "Field[Any]", hint: Any) -> str:
    """The name of a field's parameter."""
    found = get_args(hint)[1]
    return (isinstance(found, Setting) and found.key) or field.name


def _value(hint: Any, value: Any) -> Any:
    """As the dataclass has it: a tuple of what was given several times, or with commas between."""
    kind, found = get_args(hint)[:2]
    if get_origin(kind) is not tuple:
        return value
    return _words(value) if isinstance(found, Setting) and found.choices else tuple(value or ())


def _words(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names == ("none",) else names


def _parameter(field: "Field[Any]", hint: Any) -> inspect.Parameter:
    kind, found = get_args(hint)[:2]
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    if get_origin(kind) is tuple and not (isinstance(found, Setting) and found.choices):
        kind, default = list[get_args(kind)[0]] | None, None  # type: ignore[misc]
    if isinstance(found, Setting):
        kind, default, found = _option(_key(field, hint), kind, default, found)
    return inspect.Parameter(
        _key(field, hint), inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, found]
    )


def _option(name: str, kind: Any, default: Any, told: Setting) -> tuple[Any, Any, OptionInfo]:
    """How Typer says it: the type, the default and the option."""
    flag = told.name or f"--{name.replace('_', '-')}"
    how: dict[str, Any] = {"metavar": told.metavar, "rich_help_panel": told.panel, "min": told.min, "max": told.max}
    if told.choices:
        several = isinstance(default, tuple)
        default = (",".join(default) or "none") if several else default
        kind = str | None if default is None else str
        how |= _chosen(flag, told.choices, several)
    elif told.parse is not None:
        parse = told.parse
        how["parser"] = lambda value: parse(str(value))  # a settings file may hold a number
    if told.offered:
        how["autocompletion"] = complete.words(*told.offered)
    text = f"{told.help}  [default: {told.default}]" if told.default else told.help
    shown = not told.default
    return kind, default, typer.Option(flag, *told.flags, help=text, show_default=shown, **how)


def _chosen(flag: str, choices: tuple[str, ...], several: bool) -> dict[str, Any]:
    """Checks one of some words, or several with commas between; help shows them, and completion offers them."""

    def check(value: object) -> str:
        text = str(value)  # a settings file may hold a number
        for word in _words(text) if several else (text,):
            checks.one_of(flag, word, choices)
        return text

    return {
        "parser": check,
        "metavar": "A,B,..." if several else "|".join(choices),
        "autocompletion": complete.words(*choices),
    }
