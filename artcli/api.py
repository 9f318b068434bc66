"""artgen from Python: a function for each verb, with the options of its command line.

    import artcli

    for made in artcli.dream("red car", seed="0-3", out="car.png"):
        print(made.paths, made.facts["similarity"])

Options have the names that `--from` and settings files know: those of the command line, with underscores.
`artgen VERB --help` describes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from artcli.commands.shared import call
from artcli.console import Console

if TYPE_CHECKING:
    from artcli import api_options as of


@dataclass(frozen=True)
class Made:
    """What one job wrote.  facts: as `--json` prints them, such as the seed and the seconds that it took."""

    paths: tuple[Path, ...]
    facts: dict[str, Any]


def dream(prompt: str | None = None, **options: "Unpack[of.Dream]") -> list[Made]:
    """Draw what the words say.  All functions here write files as the command does, and overwrite none without force.

    Raises UsageError: the options are wrong.  WeightsError: weights are missing or damaged.  ArtgenError: it failed.
    """
    return _call("dream", prompt=prompt, **options)


def paint(*inputs: str | Path, **options: "Unpack[of.Paint]") -> list[Made]:
    """Paint photos and films with brush strokes.  Raises as `dream` does."""
    return _call("paint", inputs=_texts(inputs), **options)


def stylize(*inputs: str | Path, **options: "Unpack[of.Stylize]") -> list[Made]:
    """Paint photos, the first inputs, in the style of a picture, the last one.  Raises as `dream` does."""
    return _call("stylize", inputs=_texts(inputs), **options)


def cyclegan(*inputs: str | Path, **options: "Unpack[of.Cyclegan]") -> list[Made]:
    """Carry photos over to the world of paintings, and back.  Raises as `dream` does."""
    return _call("cyclegan", inputs=_texts(inputs), **options)


def sample(run: str | Path, **options: "Unpack[of.Sample]") -> list[Made]:
    """Show what a trained model can do.  Raises as `dream` does."""
    return _call("sample", run=str(run), **options)


def train(model: str, data: str | Path, other: str | Path | None = None, **options: "Unpack[of.Train]") -> list[Made]:
    """Train a model on a folder of pictures.  Raises as `dream` does."""
    return _call("train", model=model, data=str(data), other=None if other is None else str(other), **options)


class _Collector(Console):
    """Keeps what was written instead of printing it; warnings and errors of a batch go to stderr."""

    def __init__(self) -> None:
        super().__init__(quiet=True, notes=False)
        self.made: list[Made] = []

    def result(self, paths: Any, **facts: Any) -> None:
        self.made.append(Made(tuple(Path(path) for path in paths), facts))


def _call(verb: str, **values: Any) -> list[Made]:
    console = _Collector()
    said = {name: _text(value) for name, value in values.items() if value is not None}
    call.carry_out(call.request_of(verb).from_values(said), console)
    return console.made


def _texts(inputs: tuple[str | Path, ...]) -> list[str]:
    return [str(each) for each in inputs]


def _text(value: Any) -> Any:
    """As the command line has it: paths are text."""
    if isinstance(value, list | tuple):
        return [_text(each) for each in value]
    return str(value) if isinstance(value, Path) else value
