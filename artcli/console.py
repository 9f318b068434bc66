"""What the user sees: results on stdout, everything else on stderr, progress fit for a terminal or for cron."""

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from artcli.durations import duration

if TYPE_CHECKING:
    import numpy as np

PLAIN_LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal


class Console:
    """stdout carries the written paths, or one JSON object a line with `json_lines`; stderr carries the rest.

    notes: show what the reading of pictures and films has to say of them, each line once.  show: the picture in work
    above the progress, where the terminal can, also when quiet.
    """

    def __init__(self, *, quiet: bool = False, json_lines: bool = False, notes: bool = True, show: bool = False):
        self.quiet, self.json_lines, self.show = quiet, json_lines, show
        self._told_to_need_a_terminal = False
        log = logging.getLogger("artcli.media")
        log.handlers[:] = [_Notes(self)] if notes else []
        log.propagate = False
        log.setLevel(logging.INFO)

    def info(self, message: str) -> None:
        if not self.quiet:
            print(message, file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)

    def error(self, message: str) -> None:
        print(f"error: {message}", file=sys.stderr, flush=True)

    def result(self, paths: Sequence[Path | str], **facts: Any) -> None:
        """Announce finished outputs: a line per path, or one JSON object with the paths and the facts."""
        if self.json_lines:
            print(json.dumps({"paths": [str(p) for p in paths], **facts}, ensure_ascii=False), flush=True)
        else:
            for path in paths:
                print(path, flush=True)

    def progress(self, label: str, total: int, *, picture: bool = False) -> "ProgressBar":
        """For `total` steps.  picture: of this work can be shown, if that is wanted at all."""
        show = self.show and picture
        if show and self._has_colours():
            return _PictureBar(label, total)
        if show and not self._told_to_need_a_terminal:
            self._told_to_need_a_terminal = True
            self.info(f"{label}: --show needs a terminal with colours behind standard error; going on without it")
        if self.quiet:
            return ProgressBar()
        return _Bar(label, total) if self._is_terminal() else _Lines(label, total)

    def _is_terminal(self) -> bool:
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def _has_colours(self) -> bool:
        return self._is_terminal() and not os.environ.get("NO_COLOR")


class _Notes(logging.Handler):
    def __init__(self, console: Console):
        super().__init__()
        self.console, self.told = console, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.told:
            self.told.add(message)
            self.console.info(message)


class ProgressBar:
    """Does nothing: the quiet form, and the base of the others."""

    def update(self, step: int, note: str = "") -> None:
        pass

    def wants_picture(self, now: float, last: bool) -> bool:
        """Whether to be given one at this moment, of `time.monotonic`.  last: it is the finished one."""
        return False

    def picture(self, pixels: "np.ndarray", started: float) -> None:
        """Show it, (H, W, 3) uint8.  started: when its making began, of `time.monotonic`."""

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        pass


class _Bar(ProgressBar):
    """A rich progress bar; rich honours NO_COLOR itself."""

    def __init__(self, label: str, total: int):
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.bar = RichProgress(*columns, console=RichConsole(stderr=True), transient=True)
        self.task = self.bar.add_task(label, total=total, note="")

    def update(self, step: int, note: str = "") -> None:
        self.bar.update(self.task, completed=step, note=note)

    def __enter__(self) -> ProgressBar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


class _PictureBar(_Bar):
    """The picture in work above the bar; drawn only where something happens, as rarely as its cost demands."""

    def __init__(self, label: str, total: int):
        from artcli import show

        super().__init__(label, total)
        self.bar.live.auto_refresh = False
        self.pictures, self.refreshes = show.Share(0.02, least=0.4), show.Share(0.01, least=0.2)
        self.screen = show.Screen(self.bar.console)
        bar = self.bar.get_renderables
        self.bar.get_renderables = lambda: (self.screen.text, *bar())  # type: ignore[method-assign]

    def update(self, step: int, note: str = "") -> None:
        super().update(step, note)
        now = time.monotonic()
        if self.refreshes.due(now):
            self._refresh()
            self.refreshes.spent(now, time.monotonic())

    def wants_picture(self, now: float, last: bool) -> bool:
        return last or self.pictures.due(now)

    def picture(self, pixels: "np.ndarray", started: float) -> None:
        self.screen.take(pixels)
        self._refresh()
        self.pictures.spent(started, time.monotonic())

    def _refresh(self) -> None:
        self.bar.refresh()
        self.screen.draw_above(1)

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.screen.leave()


class _Lines(ProgressBar):
    """One plain line every few seconds, and one at the end."""

    def __init__(self, label: str, total: int):
        self.label, self.total = label, total
        self.started = self.last = time.monotonic()
        self.first: int | None = None

    def update(self, step: int, note: str = "") -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.started = step, now
        if now - self.last < PLAIN_LINE_EVERY and step != self.total:
            return
        self.last = now
        print(f"{self.label}: {step}/{self.total} {note}{self._left(step, now)}".rstrip(), file=sys.stderr, flush=True)

    def _left(self, step: int, now: float) -> str:
        done = step - (self.first or 0)
        if done <= 0 or step >= self.total:
            return ""
        return f" {duration((now - self.started) / done * (self.total - step))} left"


def columns(cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {what}{'s' * (number != 1)}"
