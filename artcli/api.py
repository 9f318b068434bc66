"""artgen from Python: a function for each verb, with the options of its command line.

    import artcli

    for made in artcli.dream("red car", seed="0-3", out="car.png"):
        print(made.paths, made.facts["similarity"])
    for frame in artcli.dream("red car", out="car.png", frames=True):
        frame.picture.show()

Options have the names that `--from` and settings files know: those of the command line, with underscores.
`artgen VERB --help` describes them.
"""

import threading
import weakref
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, Unpack, overload

from artcli.commands.shared import call
from artcli.console import Console, ProgressBar
from artcli.media import claims

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from artcli import api_options as of
    from artcli.commands.shared.loop import Stop


@dataclass(frozen=True)
class Made:
    """What one job wrote.  facts: as `--json` prints them, such as the seed and the seconds that it took."""

    paths: tuple[Path, ...]
    facts: dict[str, Any]


class Frame(NamedTuple):
    """A picture on its way, in RGB.  step: of total, from 1 on."""

    step: int
    total: int
    picture: "Image"


class Frames(Iterator[Frame]):
    """The pictures of a call with `frames=True` as they come about; the work goes on when the next one is asked for.

    made: what is written by now.  Who asks for no more, by leaving the loop or by `close`, stops the work as Ctrl-C
    does: what there is of the picture is written, and `resume=True` goes on from there.
    """

    def __init__(self, verb: str, values: dict[str, Any]):
        self.made: list[Made] = []
        frames = _frames(verb, values, self.made)
        self._frames, self.close = frames, weakref.finalize(self, frames.close)

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@overload
def dream(
    prompt: str | None = None, *, frames: Literal[False] = False, **options: "Unpack[of.Dream]"
) -> list[Made]: ...
@overload
def dream(prompt: str | None = None, *, frames: Literal[True], **options: "Unpack[of.Dream]") -> Frames: ...
def dream(prompt: str | None = None, *, frames: bool = False, **options: "Unpack[of.Dream]") -> list[Made] | Frames:
    """Draw what the words say.  All functions here write files as the command does, and overwrite none without force.

    frames: give the pictures on their way; nothing is done before the first is asked for.

    Raises UsageError: the options are wrong.  WeightsError: weights are missing or damaged.  ArtgenError: it failed.
    """
    return _call("dream", frames, prompt=prompt, **options)


@overload
def paint(*inputs: str | Path, frames: Literal[False] = False, **options: "Unpack[of.Paint]") -> list[Made]: ...
@overload
def paint(*inputs: str | Path, frames: Literal[True], **options: "Unpack[of.Paint]") -> Frames: ...
def paint(*inputs: str | Path, frames: bool = False, **options: "Unpack[of.Paint]") -> list[Made] | Frames:
    """Paint photos and films with brush strokes.  frames, errors: see `dream`."""
    return _call("paint", frames, inputs=_texts(inputs), **options)


@overload
def stylize(*inputs: str | Path, frames: Literal[False] = False, **options: "Unpack[of.Stylize]") -> list[Made]: ...
@overload
def stylize(*inputs: str | Path, frames: Literal[True], **options: "Unpack[of.Stylize]") -> Frames: ...
def stylize(*inputs: str | Path, frames: bool = False, **options: "Unpack[of.Stylize]") -> list[Made] | Frames:
    """Paint photos, the first inputs, in the style of a picture, the last one.  frames, errors: see `dream`."""
    return _call("stylize", frames, inputs=_texts(inputs), **options)


@overload
def cyclegan(*inputs: str | Path, frames: Literal[False] = False, **options: "Unpack[of.Cyclegan]") -> list[Made]: ...
@overload
def cyclegan(*inputs: str | Path, frames: Literal[True], **options: "Unpack[of.Cyclegan]") -> Frames: ...
def cyclegan(*inputs: str | Path, frames: bool = False, **options: "Unpack[of.Cyclegan]") -> list[Made] | Frames:
    """Carry photos over to the world of paintings, and back.  frames, errors: see `dream`."""
    return _call("cyclegan", frames, inputs=_texts(inputs), **options)


def sample(run: str | Path, **options: "Unpack[of.Sample]") -> list[Made]:
    """Show what a trained model can do.  Raises as `dream` does."""
    return _made("sample", run=str(run), **options)


def train(model: str, data: str | Path, other: str | Path | None = None, **options: "Unpack[of.Train]") -> list[Made]:
    """Train a model on a folder of pictures.  Raises as `dream` does."""
    return _made("train", model=model, data=str(data), other=None if other is None else str(other), **options)


class _Collector(Console):
    """Keeps what was written instead of printing it; warnings and errors of a batch go to stderr."""

    def __init__(self, made: list[Made]) -> None:
        super().__init__(quiet=True, notes=False)
        self.made = made

    def result(self, paths: Any, **facts: Any) -> None:
        self.made.append(Made(tuple(Path(path) for path in paths), facts))


def _call(verb: str, frames: bool, **values: Any) -> list[Made] | Frames:
    return Frames(verb, values) if frames else _made(verb, **values)


def _made(verb: str, **values: Any) -> list[Made]:
    console = _Collector([])
    _carry_out(verb, values, console)
    return console.made


def _carry_out(verb: str, values: dict[str, Any], console: Console) -> None:
    said = {name: _text(value) for name, value in values.items() if value is not None}
    with claims.released():
        call.carry_out(call.request_of(verb).from_values(said), console)


# --- pictures on their way --------------------------------------------------------------------------------------------


def _frames(verb: str, values: dict[str, Any], made: list[Made]) -> Generator[Frame, None, None]:
    """The work is done in a thread, which waits while the caller looks at a frame."""
    from artcli.commands.shared.loop import OF_THREAD, Stop

    stop = Stop()
    console = _Showing(made, stop)

    def work() -> None:
        OF_THREAD.set(stop)
        error: BaseException | None = None
        try:
            _carry_out(verb, values, console)
        except BaseException as raised:
            error = raised
        console.given.put(error)

    worker = threading.Thread(target=work, daemon=True)  # a frame that nobody asks for must not keep the process alive
    worker.start()
    try:
        while isinstance(found := console.given.get(), Frame):
            yield found
            console.wanted.release()
    finally:
        stop.requested = True
        console.wanted.release()
        worker.join()
    if found is not None:
        raise found


class _Showing(_Collector):
    """given: frames, and at the end None or an error.  wanted: how many more are asked for."""

    def __init__(self, made: list[Made], stop: "Stop") -> None:
        super().__init__(made)
        self.stop, self.given = stop, SimpleQueue[Frame | BaseException | None]()
        self.wanted = threading.Semaphore(0)

    def progress(self, label: str, total: int, *, picture: bool = False) -> ProgressBar:
        return _Pictures(self, total) if picture else ProgressBar()


class _Pictures(ProgressBar):
    """Gives the picture of every step.  Drafts have none of their own: the next picture takes their place."""

    def __init__(self, console: _Showing, total: int):
        self.console, self.total = console, total
        self.pixels: np.ndarray | None = None

    def wants_picture(self, now: float, last: bool) -> bool:
        return not self.console.stop.requested

    def picture(self, pixels: "np.ndarray", started: float) -> None:
        self.pixels = pixels

    def update(self, step: int, note: str = "") -> None:
        from PIL import Image

        if self.pixels is None or self.console.stop.requested:
            return
        self.console.given.put(Frame(step, self.total, Image.fromarray(self.pixels)))
        self.pixels = None
        self.console.wanted.acquire()


def _texts(inputs: tuple[str | Path, ...]) -> list[str]:
    return [str(each) for each in inputs]


def _text(value: Any) -> Any:
    """As the command line has it: paths are text."""
    if isinstance(value, list | tuple):
        return [_text(each) for each in value]
    return str(value) if isinstance(value, Path) else value
