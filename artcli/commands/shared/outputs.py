"""What the verbs that make pictures share: the kinds of files, batches that go on after a failure, and stops."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from artcli.console import Console, counted
from artcli.errors import ArtgenError, Interrupted
from artcli.media import files

if TYPE_CHECKING:
    from artcli.commands.shared.loop import Outcome, Stop

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")
FILMS = (".mp4", ".webm", ".gif")
MOVING = (*FILMS, ".webp")  # what an animation or a film can become
HOLD = 1.0  # seconds that a finished film rests on its last frame

Item = TypeVar("Item")
Task = TypeVar("Task", contravariant=True)


class Studio(Protocol[Task]):
    """What is loaded once for all jobs of a call."""

    def estimate(self, job: Task) -> None:
        """Say what the job would cost."""

    def work(self, job: Task) -> None:
        """Do the job, and write what comes of it."""


def is_film(source: object, out: Path | None = None) -> bool:
    """Whether every frame of an input is worked on: of a film, and of an animation whose output can move, too.

    out: None for a name that follows the input's.
    """
    path = Path(str(source))
    if path.suffix.lower() in files.FILM_SUFFIXES:
        return True
    if str(source) == "-" or (path if out is None else out).suffix.lower() not in MOVING:
        return False
    from artcli.media import animation

    return animation.moves(path)


def film_suffix(source: object) -> str:
    """The ending of what a film becomes where it is not said: its own, or .mp4 where that cannot be written."""
    suffix = Path(str(source)).suffix.lower()
    return suffix if suffix in MOVING else ".mp4"


def load_and_work(
    jobs: Sequence[Item],
    load: "Callable[[Stop], Studio[Item]]",
    name: Callable[[Item], object],
    console: Console,
    *,
    dry_run: bool,
    batch: bool,
) -> None:
    """Load what the jobs need, then do one after another, or only estimate them in a dry run.

    A signal while loading or estimating stops at once.  name, batch, errors: as `one_by_one` has them.
    """
    from artcli.commands.shared.loop import interruptible

    with interruptible() as stop:
        with stop.at_once():
            studio = load(stop)
            if dry_run:
                return one_by_one(jobs, studio.estimate, name, console, batch=batch)
        one_by_one(jobs, studio.work, name, console, batch=batch)


def one_by_one(
    jobs: Sequence[Item],
    do: Callable[[Item], None],
    name: Callable[[Item], object],
    console: Console,
    *,
    batch: bool = False,
) -> None:
    """Do every job; a failing one of a batch does not stop the others: raises ArtgenError at the end.

    name: what an error line calls a job.  batch: also a single job is what is left of several; it fails alike.
    Raises Interrupted at once.
    """
    failed = 0
    for job in jobs:
        try:
            do(job)
        except Interrupted:
            raise
        except ArtgenError as error:
            if len(jobs) == 1 and not batch:
                raise
            console.error(f"{name(job)}: {error}")
            failed += 1
    if failed:
        raise ArtgenError(f"{failed} of {counted(len(jobs), 'picture')} failed; the others are done")


def tell_existing(label: str, jobs: Sequence[object], left: Sequence[object], console: Console) -> None:
    """Say how many jobs are done already, if any are."""
    if len(left) < len(jobs):
        console.info(f"{label}: {len(jobs) - len(left)} of {len(jobs)} exist already")


def tell_stop(verb: str, outcome: "Outcome", total: int, *, streamed: bool, console: Console) -> None:
    """Say where a run stopped before its end, if it did.  Raises Interrupted when the user stopped it."""
    if outcome.stopped is None:
        return
    later = "" if streamed else "; saved, --resume goes on from here"
    note = f"{outcome.stopped} at step {outcome.step} of {total}{later}"
    if outcome.stopped == "interrupted":
        raise Interrupted(note)
    console.info(f"{verb}: {note}")
