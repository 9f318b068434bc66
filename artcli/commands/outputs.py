"""What the verbs that make pictures share: the kinds of files, and batches that go on after a failure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from artcli.console import Console
from artcli.errors import ArtgenError, Interrupted

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
FILMS = (".mp4", ".webm", ".gif")
FILM_INPUTS = (".mp4", ".webm", ".mov", ".mkv", ".m4v", ".avi")
HOLD = 1.0  # seconds that a finished film rests on its last frame

Item = TypeVar("Item")


def one_by_one(jobs: Sequence[Item], do: Callable[[Item], None], name: Callable[[Item], object], console: Console):
    """Do every job; a failing one of a batch does not stop the others: raises ArtgenError at the end.

    name: what an error line calls a job.  Raises Interrupted at once.
    """
    failed = 0
    for job in jobs:
        try:
            do(job)
        except Interrupted:
            raise
        except ArtgenError as error:
            if len(jobs) == 1:
                raise
            console.error(f"{name(job)}: {error}")
            failed += 1
    if failed:
        raise ArtgenError(f"{failed} of {len(jobs)} pictures failed; the others are done")
