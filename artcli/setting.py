"""What users are told of a setting, kept beside its default; no command line and no torch here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FILM, RUN = "Film", "Run"  # panels that engines and commands both fill


@dataclass(frozen=True)
class Setting:
    """Stands in a settings dataclass: `cutouts: Annotated[int, Setting("Crops per step.", min=1)] = 24`.

    A field that is a tuple may be given several times.  help: one short line.  min, max: both allowed themselves.
    choices: all that a text may be; several of them, with commas between, where the field is a tuple.
    offered: by the Tab key, where other texts are allowed too.  metavar: stands for the value in the help.  panel: the
    help's section, the first one without.  default: shown instead of the field's own.  key: the name in recipes,
    settings files and options, where it is not the field's; name: of the option, where it is not the key's; flags:
    further ones.  parse: text to value, raises UsageError.
    """

    help: str
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    metavar: str | None = None
    panel: str | None = None
    default: str = ""
    key: str = ""
    name: str = ""
    flags: tuple[str, ...] = ()
    parse: Callable[[str], Any] | None = None
