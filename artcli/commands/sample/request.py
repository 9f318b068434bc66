"""What one call of `artgen sample` asks for, in plain values; imports neither torch nor numpy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Self

import typer

from artcli import device, weights
from artcli.commands.sample import keeping, modes, steer
from artcli.commands.sample.options import ALL, DRAWING, LATENTS, Options
from artcli.commands.shared import naming, options, recipe, request
from artcli.commands.shared.enlarge import AS_IS
from artcli.commands.shared.jobs import tell_refusal
from artcli.commands.shared.outputs import FILMS
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import claims, files

_GIVEN = ("complete", "project")  # ways whose option names pictures


class SampleJob(NamedTuple):
    """One file with one picture.  class_name: None where the model chooses."""

    seed: int
    class_name: str | None
    path: Path


@dataclass(frozen=True, kw_only=True)
class Request(request.Request[Options]):
    """Everything that shapes the result of a call.

    mode: a key of `modes.MODES`.  runs: the model's, and those it is compared with.  out: the file to write.
    seeds: consecutive; none where they decide nothing.
    separate: a file per picture, named after `out`.  size: (width, height) of every picture, None for the model's.
    keep: what a completion starts from, None elsewhere.  wanted: of columns and colours, see steer.read.
    directions: files, and by how many deviations to move along each.
    pictures: to reconstruct, to complete or to project.  between: to interpolate.
    options: as asked for, but for those that mean nothing in this mode.
    """

    command, kind = "sample", Options

    mode: str
    runs: tuple[Path, ...]
    out: Path
    seeds: tuple[int, ...]
    separate: bool
    film: bool
    size: tuple[int, int] | None
    pictures: tuple[Path | files.Stdio, ...]
    between: tuple[Path, ...]
    keep: keeping.Keep | None
    wanted: dict[str, tuple[str, ...]]
    directions: tuple[tuple[Path, float], ...]

    @classmethod
    def of(cls, ctx: typer.Context, given: Options) -> Self:
        """Raises UsageError for what cannot work."""
        if given.run is None:
            raise UsageError("name the run to sample from first: artgen sample RUN ... (artgen train makes runs)")
        mode = modes.chosen(given)
        way = "between" if mode == "interpolate" and given.between else mode
        asked = modes.only_meant(ctx, given, way)
        _check_count(ctx, asked)
        out, separate = _place(mode, given.run, given)
        film = out.suffix.lower() in FILMS
        if not film and options.on_the_line(ctx, "duration"):
            raise UsageError(f"--duration is the length of a film, and {out} is none: use {', '.join(FILMS)}.")
        enlargement = options.enlargement(ctx, given.upscale, given.upscaler, out if film else None)
        made = cls(
            mode=mode,
            runs=(given.run, *given.compare),
            out=out,
            seeds=() if way in modes.NOT_RANDOM else modes.seeds(mode, asked),
            separate=separate,
            film=film,
            size=None if given.size is None else options.size(given.size),
            pictures=tuple(files.expand_inputs(getattr(given, mode if mode in _GIVEN else "reconstruct"))),
            between=_between(mode, given.between),
            keep=keeping.read(given.keep or keeping.USUAL) if mode == "complete" else None,
            wanted=steer.read(asked.where, asked.color),
            directions=tuple(map(_direction, asked.direction)),
            options=asked,
            enlargement=AS_IS if film or asked.upscale is None else enlargement,
            recipe=None if given.no_metadata else _recorded(ctx),
            recorded_weights=given.recorded_weights(),
        )
        _check_runs(made.runs)
        if made.varied and (made.classes or made.prompts):
            raise UsageError("several values of --where or --color do not go with --class and --prompt: name one")
        if mode == "score":
            _check_score(asked)
        return made

    @property
    def ability(self) -> str:
        """What the model has to be able to do: a key of `generator.ABILITIES`."""
        return "--between" if self.mode == "interpolate" and self.between else self.mode

    @property
    def classes(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(self.options.classes))

    @property
    def prompts(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(self.options.prompts))

    @property
    def named(self) -> tuple[str, ...]:
        """What the pictures are of: classes, prompts, or values of a column."""
        return self.classes or self.prompts or self.varied

    @property
    def varied(self) -> tuple[str, ...]:
        """The values of the column, or the colours, where there are several."""
        return steer.varied(self.wanted)

    @property
    def seeds_text(self) -> str:
        """As `--seed` takes them; always a range, because a single number stands for the first of several."""
        return f"{self.seeds[0]}-{self.seeds[-1]}" if self.seeds else "0"

    @property
    def known_outputs(self) -> list[Path]:
        return self.outputs(self.named) if self.outputs_known else []

    waits = False

    @property
    def outputs_known(self) -> bool:
        """Whether the names of the files can be told before the model, which knows its classes, is loaded."""
        return not self.separate or ALL not in self.classes

    def jobs(self, classes: Sequence[str]) -> list[SampleJob]:
        """One per picture, class by class.  classes: the names behind `self.classes`."""
        names: list[str | None] = [*classes] or [None]
        alone = len(names) * len(self.seeds) == 1
        return [
            SampleJob(seed, name, self.out if alone else _numbered(self.out, seed, name))
            for name in names
            for seed in self.seeds
        ]

    def outputs(self, classes: Sequence[str]) -> list[Path]:
        if self.separate:
            return [job.path for job in self.jobs(classes)]
        beside = self.options.direction_out if self.mode == "sweep" else None
        if self.mode == "project" and str(self.out) != "-":
            beside = self.out.with_suffix(LATENTS)
        return [self.out] if beside is None else [self.out, beside]

    def check_outputs(self, classes: Sequence[str], console: Console) -> None:
        """Raises UsageError for what could not be written; a dry run only tells it.

        Of several processes each looks at its own share only: the others may have begun to write theirs.
        """
        mine = device.my_share(self.outputs(classes))
        if self.options.dry_run:
            return tell_refusal(mine, self.options, console)
        claims.take(mine, force=self.options.force, skip_existing=self.options.skip_existing)

    def look_at_pictures(self, console: Console) -> None:
        """For a dry run: tell which cannot be read, by their headers.  Raises UsageError: none of them can."""
        from artcli.media import decode

        failed = 0
        for source in self.pictures:
            try:
                decode.size_of(source)
            except UsageError as error:
                if len(self.pictures) == 1:
                    raise
                console.error(str(error))
                failed += 1
        if failed and failed == len(self.pictures):
            raise UsageError(f"none of the {failed} pictures can be read")


def _check_count(ctx: typer.Context, asked: Options) -> None:
    """Raises UsageError: seeds are named, and another number of them is asked for."""
    named = options.seeds(asked.seed) if "-" in (asked.seed or "") else ()
    if named and asked.count != len(named) and options.on_the_line(ctx, "count"):
        counts = f"--seed {asked.seed} is {len(named)} seeds, and --count asks for {asked.count}"
        raise UsageError(f"{counts}: leave one out")


def _numbered(path: Path, seed: int, class_name: str | None) -> Path:
    named = path if class_name is None else path.with_name(f"{path.stem}-{files.slug(class_name)}{path.suffix}")
    return files.numbered(named, seed)


def _place(mode: str, run: Path, asked: Options) -> tuple[Path, bool]:
    """The file to write, and whether it stands for one per picture."""
    out = asked.out
    if out is not None and naming.STEM in out.name:
        raise UsageError(f"--out {out}: * stands for an input of a batch, and sample writes no file for each; name one")
    into_folder = naming.is_folder(out, 2 if asked.separate else 1)
    target = modes.target(mode, run, files.Folder(out) if out is not None and into_folder else out)
    separate = mode == "samples" and (asked.separate or into_folder)
    if separate and str(target) == "-":
        raise UsageError("--out - takes one picture; --separate needs a folder or a name to number")
    return target, separate


def _direction(text: str) -> tuple[Path, float]:
    """`smile.safetensors:2.5`; without an amount, one deviation.  Raises UsageError: no such file."""
    name, _, number = text.rpartition(":")
    try:
        path, amount = (Path(name), float(number)) if name else (Path(text), 1.0)
    except ValueError:  # the colon is part of the name
        path, amount = Path(text), 1.0
    if not math.isfinite(amount):
        raise UsageError(f"--direction {text}: the amount has to be a number of deviations, such as 2.5")
    if files.kind(path) == "missing":
        raise files.missing(path)
    return path, amount


def _between(mode: str, between: Sequence[str]) -> tuple[Path, ...]:
    found = [path for name in between for path in files.expand_inputs([name])]  # one may be a stop twice
    if between and "-" in found:
        raise UsageError("--between takes files, not -")
    if between and len(found) < 2:
        raise UsageError(f"--between needs two pictures or more; {' '.join(between)} is one")
    if mode == "compare" and len(found) > 2:
        raise UsageError(f"--compare interpolates between two pictures; --between has {len(found)}")
    return tuple(Path(path) for path in found)


def _recorded(ctx: typer.Context) -> dict[str, Any]:
    """The record's fixed part.  A count is not in it: the seeds are, all of them."""
    given = {k: v for k, v in options.given(ctx).items() if k != "count" and v is not False and v not in ([], ())}
    return recipe.make("sample", given)


def _check_runs(runs: Sequence[Path]) -> None:
    """Raises UsageError for a run that is not there; what is in it is for the loader to judge."""
    for run in runs:
        if files.kind(run) == "missing" and not _draws(str(run)):
            hint = str(files.missing(run)).removeprefix(f"no file {run}")
            raise UsageError(f"there is no run {run}{hint}{'' if hint.endswith(('.', '?')) else '.'}")


def _check_score(asked: Options) -> None:
    """Raises UsageError: there are no such pictures, or no such net, or torch-fidelity is not installed."""
    for path in (asked.score, asked.inception):
        if path is not None and files.kind(path) == "missing":
            raise files.missing(path)
    if find_spec("torch_fidelity") is None:
        raise UsageError("--score needs torch-fidelity: pip install 'artgen[metrics]'")


def _draws(name: str) -> bool:
    """Whether this is the name of weights that draw.  Raises UsageError: of weights that do something else."""
    weight = weights.table().get(name)
    if weight is None or weight.kind in DRAWING:
        return weight is not None or name == "diffusion-mini"  # which not every artgen comes with
    verb = f"; it translates pictures: artgen cyclegan PICTURES --model {name}" if weight.kind == "cyclegan" else ""
    raise UsageError(f"{name} is no model that draws, but one of the kind '{weight.kind}'{verb}.")
