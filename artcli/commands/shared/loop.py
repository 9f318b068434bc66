"""THE loop: takes a backend's frames; progress, previews, film, time limit and Ctrl-C live here."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from artcli.console import Console, ProgressBar
from artcli.media.spool import Spool
from artcli.media.video import VideoWriter
from artcli.show import Share

if TYPE_CHECKING:
    from artcli.backends.frame import Frame

PREVIEW_EVERY = 3.0  # seconds, or as many more as keep it a small part of the run; so also
STATE_EVERY = 30.0
_PART = 0.04  # of the time, that previews may take, and that states may take


class Stop:
    """Set by the first Ctrl-C or SIGTERM; the second stops at once."""

    requested = False
    _awaited = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self._awaited:
            raise KeyboardInterrupt
        self.requested = True

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block, where nobody looks at `requested` and nothing can be lost, the first signal stops too.

        Raises KeyboardInterrupt.
        """
        before, self._awaited = self._awaited, False
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._awaited = before


# Of a thread, which signals do not reach: with what the one that started it stops it.
OF_THREAD: ContextVar[Stop | None] = ContextVar("OF_THREAD", default=None)


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Within the block, signals ask for an orderly stop instead of raising."""
    stop = OF_THREAD.get() or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Film:
    """A progress video: spreads the steps over its length and keeps every frame for a later resume.

    spool: where frames are kept, None for nowhere.  hidden: steps at the beginning that it does not show.
    """

    def __init__(self, writer: VideoWriter, total: int, length: int, spool: Spool | None = None, hidden: int = 0):
        self.writer, self.total, self.length, self.spool, self.hidden = writer, total, length, spool, hidden
        self.last = np.zeros((0, 0, 3), np.uint8)

    def copies(self, step: int) -> int:
        """How many frames step 1..total gets; 0 when the film is shorter than the run."""
        return self.frames_until(step) - self.frames_until(step - 1)

    def frames_until(self, step: int) -> int:
        return max(0, step - self.hidden) * self.length // (self.total - self.hidden)

    def add(self, step: int, pixels: np.ndarray) -> None:
        for _ in range(self.copies(step)):
            self.push(pixels)

    def push(self, pixels: np.ndarray) -> None:
        self.last = pixels.copy()
        self.writer.write(pixels)
        if self.spool is not None:
            self.spool.write(pixels)

    def close_spool(self) -> None:
        if self.spool is not None:
            self.spool.close()


@dataclass
class Hooks:
    """What happens while frames come in.

    to_pixels: (3, H, W) in 0..1 to uint8 (H, W, 3).  preview: called with the pixels every few seconds.
    snapshot: called with step and pixels every `save_every` steps.  save_state: called with a backend's state now
    and then, and when the run stops early.  time_limit: seconds.  show: on the screen, where that is wanted.
    """

    console: Console
    label: str
    total: int
    to_pixels: Callable[[Any], np.ndarray]
    film: Film | None = None
    preview: Callable[[np.ndarray], None] | None = None
    snapshot: Callable[[int, np.ndarray], None] | None = None
    save_every: int = 0
    save_state: Callable[[dict[str, Any]], None] | None = None
    time_limit: float | None = None
    show: bool = True
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Outcome:
    """The last picture, (H, W, 3) uint8, its step and metrics; stopped: None, "interrupted" or "time limit"."""

    pixels: np.ndarray
    step: int
    metrics: dict[str, float]
    stopped: str | None


def follow(frames: "Iterator[Frame]", hooks: Hooks, stop: Stop) -> Outcome:
    """Run a backend to its end, or until the user or the clock stops it; the frame in work is always finished."""
    previews, states = Share(_PART, PREVIEW_EVERY), Share(_PART, STATE_EVERY)  # a preview comes with the first frame
    states.spent(now := time.monotonic(), now)
    with hooks.console.progress(hooks.label, hooks.total, picture=hooks.show) as progress:
        for frame in frames:
            now = time.monotonic()
            if frame.draft:
                _look(frame, hooks, progress, previews, now)
                continue
            stopped = _why_stop(frame, hooks, stop, now)
            last = stopped is not None or frame.step == frame.total
            pixels = _look(frame, hooks, progress, previews, now, last)
            progress.update(frame.step, " ".join(f"{k} {v:.3f}" for k, v in frame.metrics.items()))
            if hooks.save_state and frame.step < frame.total and (stopped or states.due(now)):
                begun = time.monotonic()
                hooks.save_state(frame.state())
                states.spent(begun, time.monotonic())
            if last and pixels is not None:
                return Outcome(pixels, frame.step, dict(frame.metrics), stopped)
    raise RuntimeError("the backend yielded no last frame")


def _look(
    frame: "Frame", hooks: Hooks, progress: ProgressBar, previews: Share, now: float, last: bool = False
) -> np.ndarray | None:
    """Hand a frame to all who want it now: its pixels, None if nobody does."""
    preview_due = hooks.preview is not None and previews.due(now)
    on_screen = progress.wants_picture(now, last)
    if not (last or preview_due or on_screen or (not frame.draft and _wanted(frame, hooks))):
        return None
    begun = time.monotonic()
    pixels = hooks.to_pixels(frame.image())
    if on_screen:
        progress.picture(pixels, now)
    _show(frame, pixels, hooks, preview_due)
    if preview_due:
        previews.spent(begun, time.monotonic())
    return pixels


def _why_stop(frame: "Frame", hooks: Hooks, stop: Stop, now: float) -> str | None:
    if frame.step == frame.total:
        return None
    if stop.requested:
        return "interrupted"
    if hooks.time_limit is not None and now - hooks.started >= hooks.time_limit:
        return "time limit"
    return None


def _wanted(frame: "Frame", hooks: Hooks) -> bool:
    in_film = hooks.film is not None and hooks.film.copies(frame.step) > 0
    return in_film or _snapshot_due(frame, hooks)


def _snapshot_due(frame: "Frame", hooks: Hooks) -> bool:
    return hooks.save_every > 0 and frame.step % hooks.save_every == 0 and frame.step < frame.total


def _show(frame: "Frame", pixels: np.ndarray, hooks: Hooks, preview_due: bool) -> None:
    if hooks.film is not None and not frame.draft:
        hooks.film.add(frame.step, pixels)
    if hooks.preview is not None and preview_due:
        hooks.preview(pixels)
    if hooks.snapshot is not None and not frame.draft and _snapshot_due(frame, hooks):
        hooks.snapshot(frame.step, pixels)
