"""A film painted frame by frame: its sound kept, and interrupted films gone on with."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artcli import state as state_file
from artcli.backends.paint.moving import Moving
from artcli.commands.shared import film as films
from artcli.commands.shared.loop import STATE_EVERY, Film
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import video

if TYPE_CHECKING:
    from artcli.commands.shared.loop import Stop


def paint(
    source: Path,
    path: Path,
    moving: Moving,
    recipe: dict[str, Any] | None,
    folder: Path,
    key: str,
    stop: "Stop",
    console: Console,
) -> tuple[int, bool]:
    """Write the painted film; how many frames it has, and whether these are all.

    folder: where an interrupted film waits; there, it is gone on with.  key: what has to be the same for that.
    """
    info = video.probe(source)
    start = _restore(folder, key, moving)
    total = sum(1 for _ in video.read_frames(source))
    film = films.open_film(path, moving.size or info.size, info.fps, total, total, recipe, folder, sound=source)
    if start:
        console.info(f"paint: going on from frame {start}")
        films.replay(film, folder, start, console)
    done = start
    with films.filming(film, folder):
        for done in _frames(source, moving, film, start, folder, key, console):
            if stop.requested and done < total:
                _save(folder, key, done, moving)
                break
    if done == total:
        shutil.rmtree(folder, ignore_errors=True)
    return done, done == total


def _frames(
    source: Path, moving: Moving, film: Film, start: int, folder: Path, key: str, console: Console
) -> Iterator[int]:
    """Paint the frames behind the first `start`, and yield how many there are after each."""
    saved = time.monotonic()
    with console.progress("paint", film.total) as bar:
        before = None
        for number, frame in enumerate(video.read_frames(source), 1):
            again, before = before is not None and np.array_equal(frame, before), frame
            if number <= start:
                continue
            film.again() if again else film.push(moving.paint(frame))
            bar.update(number)
            if time.monotonic() - saved > STATE_EVERY:
                _save(folder, key, number, moving)
                saved = time.monotonic()
            yield number


def _save(folder: Path, key: str, done: int, moving: Moving) -> None:
    import torch

    planes = {name: torch.from_numpy(getattr(moving, name)) for name in ("painting", "model")}
    state_file.save(folder / state_file.NAME, {"key": key, "done": done, **planes})


def _restore(folder: Path, key: str, moving: Moving) -> int:
    """Take over the state that was left; how many frames were done.  Raises UsageError for another command's."""
    path = folder / state_file.NAME
    if not path.is_file():
        return 0
    saved = state_file.load(path)
    if saved["key"] != key:
        raise UsageError(f"{folder} is of another film or other settings; run the same command again, or --force")
    moving.painting, moving.model = (np.array(saved[name]) for name in ("painting", "model"))
    return int(saved["done"])
