"""What `artgen paint` was asked for: its inputs, what is written for each, and whether it can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artcli.backends.paint.settings import Settings
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import claims, files

MOST_LAYERS = 20  # that names are kept free for


@dataclass(frozen=True)
class Job:
    """One input and what is written for it.  picture: "-" for standard output.  moves: whether the input is a film."""

    source: Path | files.Stdio
    picture: Path
    films: tuple[Path, ...] = ()
    strokes: Path | None = None
    svg: Path | None = None
    each_layer: bool = False
    moves: bool = False

    @property
    def replays(self) -> bool:
        """Whether the strokes are there already."""
        return str(self.source).lower().endswith(".json")

    @property
    def streamed(self) -> bool:
        return str(self.picture) == "-"

    def layer(self, number: int) -> Path:
        return self.picture.with_name(f"{self.picture.stem}-layer-{number}.png")

    @property
    def unfinished(self) -> Path:
        """The folder that an interrupted film leaves, to go on from."""
        return self.films[0].with_name(f"{self.films[0].name}.resume")

    @property
    def outputs(self) -> list[Path]:
        """All but the layers, whose number the photo decides."""
        if self.moves:
            return list(self.films)
        return [*self.films, self.picture, *(path for path in (self.strokes, self.svg) if path is not None)]


@dataclass(frozen=True)
class Request:
    """Everything that all jobs of a call share."""

    settings: Settings
    size: int | None
    brush: str | None
    palette: str | None
    background: str | None
    detail_mask: Path | None
    model: str
    device: str
    weights_dirs: tuple[Path, ...]
    offline: bool
    duration: float
    fps: float
    pace: str
    recipe: dict[str, Any] | None
    metadata: bool
    resume: bool
    recorded_weights: Mapping[str, str]


def check(jobs: list[Job], *, force: bool, skip_existing: bool, resume: bool, console: Console) -> list[Job]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do."""
    going_on = [job for job in jobs if resume and _waits(job)]
    fresh = [job for job in jobs if job not in going_on]
    layers = [job.layer(n) for job in fresh if job.each_layer for n in range(1, MOST_LAYERS + 1)]
    outputs = [path for job in fresh for path in job.outputs]
    files.check_outputs([*outputs, *layers], force=force, skip_existing=skip_existing)
    claims.take([path for job in going_on for path in job.outputs], force=True)
    for job in fresh:
        if _waits(job) and not force:
            raise UsageError(f"an interrupted film waits in {job.unfinished}: add --resume to go on, or --force")
    claims.take(outputs, force=force, skip_existing=skip_existing)
    if not skip_existing:
        return jobs
    left = [job for job in jobs if job in going_on or job.streamed or not all(path.exists() for path in job.outputs)]
    console.info(f"paint: {len(jobs) - len(left)} of {len(jobs)} exist already") if len(left) < len(jobs) else None
    return left


def _waits(job: Job) -> bool:
    """Whether there is an interrupted film to go on with."""
    return job.moves and job.unfinished.is_dir()
