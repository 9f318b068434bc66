"""A job is one result of a call: where it goes, and the names that lie beside it while it is in work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from artcli.commands.shared.common import Making
from artcli.commands.shared.outputs import FILMS, MOVING
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import claims, files

WITHOUT_DRY_RUN = "without --dry-run this is refused"


class Job:
    """The names around `out`, a picture or a film; "-" for standard output."""

    out: Path
    moving = False  # whether what is worked on moves; then WebP is a film as well

    @property
    def name(self) -> object:
        """What an error line of a batch calls it."""
        return self.out

    @property
    def resumable(self) -> bool:
        """Whether it can go on after it was interrupted."""
        return True

    @property
    def film(self) -> Path | None:
        return self.out if self.out.suffix.lower() in (MOVING if self.moving else FILMS) else None

    @property
    def picture(self) -> Path:
        return self.out.with_suffix(".png") if self.film else self.out

    @property
    def outputs(self) -> list[Path]:
        return [self.film, self.picture] if self.film else [self.picture]

    @property
    def streamed(self) -> bool:
        """Whether the picture goes to standard output."""
        return str(self.out) == "-"

    @property
    def unfinished(self) -> Path:
        """The folder that an interrupted run leaves, to go on from."""
        return self.out.with_name(f"{self.out.name}.resume")

    @property
    def preview(self) -> Path:
        return self.out.with_name(f"{self.out.stem}.preview.png")

    def at_step(self, step: int) -> Path:
        """What --save-every writes at a step."""
        return self.picture.with_name(f"{self.picture.stem}-step{step:05d}{self.picture.suffix}")

    def snapshots(self, every: int, total: int) -> list[Path]:
        """The pictures that --save-every leaves beside the last one of `total` steps."""
        return [self.at_step(step) for step in range(every, total, every)] if every else []


@dataclass(frozen=True)
class InputJob(Job):
    """What is made of an input.  moving: every frame of it is worked on, and nothing but a film comes of it."""

    source: Path | files.Stdio
    out: Path
    moving: bool = False

    @property
    def name(self) -> object:
        return self.source

    @property
    def outputs(self) -> list[Path]:
        return [self.out] if self.moving else super().outputs

    @property
    def path(self) -> Path:
        """The source of one that moves, which is never standard input."""
        assert isinstance(self.source, Path)
        return self.source


AnyJob = TypeVar("AnyJob", bound=Job)


def left(
    jobs: Sequence[AnyJob], asked: Making, label: str, console: Console, beside: Callable[[AnyJob], list[Path]]
) -> tuple[list[AnyJob], int]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do, and how many failed here.

    Of several, one whose interrupted run waits fails alone.
    beside: what a job may write beside its outputs, which has to be free as well.
    """
    force, skip = asked.force, asked.skip_existing
    waiting = [job for job in jobs if job.resumable and job.unfinished.exists()]
    going_on = [job for job in waiting if asked.resume and job.unfinished.is_dir()]
    refused = [] if force else [job for job in waiting if job not in going_on]
    fresh = [job for job in jobs if job not in going_on and job not in refused]
    if any(job.streamed and beside(job) for job in jobs):
        raise UsageError("--save-every needs files to write to, but --out is -")
    outputs = [path for job in fresh for path in job.outputs]
    also = [path for job in fresh for path in beside(job)]
    files.check_outputs([*outputs, *also], force=force, skip_existing=skip)
    for job in refused:
        if len(refused) == len(jobs):
            raise UsageError(_waits(job))
        console.error(_waits(job))
    claims.take([path for job in going_on for path in job.outputs], force=True)
    claims.take(outputs, force=force, skip_existing=skip)
    able = [job for job in jobs if job not in refused]
    if not skip:
        return able, len(refused)
    kept = [job for job in able if job in going_on or job.streamed or not all(path.exists() for path in job.outputs)]
    tell_existing(label, able, kept, console)
    return kept, len(refused)


def would_be_left(
    jobs: Sequence[AnyJob], asked: Making, label: str, console: Console, beside: Callable[[AnyJob], list[Path]]
) -> list[AnyJob]:
    """For a dry run: the jobs that `left` would leave; what it would refuse is only told."""
    waiting = [job for job in jobs if job.resumable and not asked.force and job.unfinished.exists()]
    for job in waiting:
        if not (asked.resume and job.unfinished.is_dir()):
            console.warn(f"{WITHOUT_DRY_RUN}: {_waits(job)}")
    tell_refusal([path for job in jobs if job not in waiting for path in (*job.outputs, *beside(job))], asked, console)
    if not asked.skip_existing:
        return [*jobs]
    kept = [job for job in jobs if job in waiting or job.streamed or not all(path.exists() for path in job.outputs)]
    tell_existing(label, jobs, kept, console)
    return kept


def tell_refusal(outputs: Sequence[Path], asked: Making, console: Console) -> None:
    """For a dry run: why outputs could not be written, if they could not."""
    try:
        files.check_outputs(outputs, force=asked.force, skip_existing=asked.skip_existing, make=False)
    except UsageError as error:
        console.warn(f"{WITHOUT_DRY_RUN}: {error}")


def _waits(job: Job) -> str:
    return (
        f"an interrupted run of {job.out} waits in {job.unfinished}: add --resume to go on with it, or --force to "
        "start over"
    )


def tell_existing(label: str, jobs: Sequence[object], kept: Sequence[object], console: Console) -> None:
    """Say how many jobs are done already, if any are."""
    if len(kept) < len(jobs):
        console.info(f"{label}: {len(jobs) - len(kept)} of {len(jobs)} exist already")
