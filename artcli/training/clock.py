"""The time limit of one start of a run: loading, steps and saving together."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from artcli.errors import ArtgenError

_GRACE = 1.0  # seconds that work begun in time may overrun
_WRITTEN = 2e8  # bytes a second, for a first guess


class Clock:
    """limit: seconds since `started`, as time.monotonic() has it; None for any.  bytes: of the model's weights: a
    checkpoint holds four times as many."""

    def __init__(self, limit: float | None, started: float, bytes: int = 0):
        self.limit, self.started = limit, started
        self.saving = 1.0 + 4 * bytes / _WRITTEN  # seconds that the longest save took
        self.saved = False
        self.looking = 0.0  # seconds that the longest look at held-out pictures and samples took

    @property
    def spent(self) -> float:
        return time.monotonic() - self.started

    def last_step(self, step: float, looks: bool = False) -> bool:
        """Whether one more step of so many seconds, the look after it if there is one, and the saving end too late."""
        return self.limit is not None and self.spent + step + looks * self.looking + self.saving > self.limit

    def overdue(self) -> bool:
        """Whether unfinished work has to be abandoned."""
        return self.limit is not None and self.spent > self.limit + _GRACE

    @contextmanager
    def save(self) -> Iterator[None]:
        """Measure a save; the longest one counts, as the last save also writes the report."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.saving, self.saved = max(took, self.saving) if self.saved else took, True

    @contextmanager
    def look(self) -> Iterator[None]:
        """Remember how long it takes."""
        began = time.monotonic()
        yield
        self.looking = max(self.looking, time.monotonic() - began)

    def check_reading(self, done: int, total: int) -> None:
        """Raises ArtgenError when the pictures are not read in time: nothing can be kept of that."""
        if self.overdue():
            raise ArtgenError(
                f"--time-limit was over when {done} of {total} pictures were read; start once without it: later starts "
                "find them prepared"
            )
