"""Where the picture or film of an iterative verb goes, and the names that lie beside it while it is in work."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from artcli.commands.shared.outputs import FILMS, MOVING, tell_existing
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import claims, files


class Target:
    """The names around `out`, a picture or a film; "-" for standard output."""

    out: Path
    moving = False  # whether what is worked on moves; then WebP is a film as well

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


Job = TypeVar("Job", bound=Target)


def check(
    jobs: Sequence[Job],
    snapshots: Callable[[Job], list[Path]],
    *,
    label: str,
    resume: bool,
    force: bool,
    skip_existing: bool,
    console: Console,
) -> list[Job]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do."""
    going_on = [job for job in jobs if resume and job.unfinished.is_dir()]
    fresh = [job for job in jobs if job not in going_on]
    if any(job.streamed and snapshots(job) for job in jobs):
        raise UsageError("--save-every needs files to write to, but --out is -")
    outputs = [path for job in fresh for path in (*job.outputs, *snapshots(job))]
    files.check_outputs(outputs, force=force, skip_existing=skip_existing)
    claims.take([p for job in going_on for p in job.outputs], force=True)
    for job in fresh:
        if job.unfinished.exists() and not force:
            raise UsageError(
                f"an interrupted run of {job.out} waits in {job.unfinished}: add --resume to go on with it, or --force "
                "to start over"
            )
    claims.take([p for job in fresh for p in job.outputs], force=force, skip_existing=skip_existing)
    if not skip_existing:
        return list(jobs)
    left = [job for job in jobs if job in going_on or not all(path.exists() for path in job.outputs)]
    tell_existing(label, jobs, left, console)
    return left
