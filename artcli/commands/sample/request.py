"""What one call of `artgen sample` asks for, in plain values; imports neither torch nor numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from artcli import device, weights
from artcli.commands.shared.enlarge import AS_IS, Enlargement
from artcli.errors import UsageError
from artcli.media import claims, files

ALL = "all"  # as a class: each of them
DRAWING = ("vqgan", "diffusion")  # kinds of weights that need no run to be sampled from


class Job(NamedTuple):
    """One file with one picture.  class_name: None where the model chooses."""

    seed: int
    class_name: str | None
    path: Path


@dataclass(frozen=True)
class Request:
    """Everything that shapes the result of a call.

    mode: a key of `session.MODES`.  runs: the model's, and those it is compared with.  out: the file to write.
    seeds: consecutive; none where they decide nothing.
    separate: a file per picture, named after `out`.  size: (width, height) of every picture, None for the model's.
    enlargement: what becomes of a picture of that size.
    columns, truncation, duration: None for what suits the mode.  dimension: of the latents, for a sweep.
    prompts, negative, guidance: for models that are told in words.
    pictures: to reconstruct.  between: to interpolate.  recipe: the record's fixed part, None for no record.
    """

    mode: str
    runs: tuple[Path, ...]
    out: Path
    seeds: tuple[int, ...]
    separate: bool = False
    columns: int | None = None
    size: tuple[int, int] | None = None
    classes: tuple[str, ...] = ()
    truncation: float | None = None
    prompts: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    guidance: float | None = None
    pictures: tuple[Path | files.Stdio, ...] = ()
    between: tuple[Path, ...] = ()
    enlargement: Enlargement = AS_IS
    film: bool = False
    loop: bool = False
    dimension: int = 0
    fps: float = 30.0
    duration: float | None = None
    checkpoint: str | None = None
    device: str = "auto"
    force: bool = False
    skip_existing: bool = False
    recipe: Mapping[str, Any] | None = None
    recorded_weights: Mapping[str, str] | None = None

    @property
    def ability(self) -> str:
        """What the model has to be able to do: a key of `generator.ABILITIES`."""
        return "--between" if self.mode == "interpolate" and self.between else self.mode

    @property
    def named(self) -> tuple[str, ...]:
        """What the pictures are of: classes, or prompts."""
        return self.classes or self.prompts

    @property
    def seeds_text(self) -> str:
        """As `--seed` takes them; always a range, because a single number stands for the first of several."""
        return f"{self.seeds[0]}-{self.seeds[-1]}" if self.seeds else "0"

    @property
    def outputs_known(self) -> bool:
        """Whether the names of the files can be told before the model, which knows its classes, is loaded."""
        return not self.separate or ALL not in self.classes

    def jobs(self, classes: Sequence[str]) -> list[Job]:
        """One per picture, class by class.  classes: the names behind `self.classes`."""
        names: list[str | None] = [*classes] or [None]
        alone = len(names) * len(self.seeds) == 1
        return [
            Job(seed, name, self.out if alone else _numbered(self.out, seed, name))
            for name in names
            for seed in self.seeds
        ]

    def outputs(self, classes: Sequence[str]) -> list[Path]:
        return [job.path for job in self.jobs(classes)] if self.separate else [self.out]

    def check_outputs(self, classes: Sequence[str]) -> None:
        """Raises UsageError for what could not be written.

        Of several processes each looks at its own share only: the others may have begun to write theirs.
        """
        mine = device.my_share(self.outputs(classes))
        claims.take(mine, force=self.force, skip_existing=self.skip_existing)


def _numbered(path: Path, seed: int, class_name: str | None) -> Path:
    named = path if class_name is None else path.with_name(f"{path.stem}-{files.slug(class_name)}{path.suffix}")
    return files.numbered(named, seed)


def check_runs(runs: Sequence[Path]) -> None:
    """Raises UsageError for a run that is not there; what is in it is for the loader to judge."""
    for run in runs:
        if files.kind(run) == "missing" and not _draws(str(run)):
            hint = str(files.missing(run)).removeprefix(f"no file {run}")
            raise UsageError(f"there is no run {run}{hint}{'' if hint.endswith(('.', '?')) else '.'}")


def _draws(name: str) -> bool:
    """Whether this is the name of weights that draw.  Raises UsageError: of weights that do something else."""
    weight = weights.table().get(name)
    if weight is None or weight.kind in DRAWING:
        return weight is not None or name == "diffusion-mini"  # which not every artgen comes with
    verb = f"; it translates pictures: artgen cyclegan PICTURES --model {name}" if weight.kind == "cyclegan" else ""
    raise UsageError(f"{name} is no model that draws, but one of the kind '{weight.kind}'{verb}.")
