"""What a call asks for, as far as the verbs have it in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import typer

from artcli.commands.shared import verb
from artcli.commands.shared.common import Making
from artcli.commands.shared.enlarge import AS_IS, Enlargement
from artcli.commands.shared.finish import Wanted

Asked = TypeVar("Asked", bound=Making)


@dataclass(frozen=True, kw_only=True)
class Request(Generic[Asked]):
    """The checked options of a call.

    recipe: the record's fixed part, None for no record.  recorded_weights: fingerprints in the file of --from, by name.
    enlargement: of finished pictures.
    """

    command: ClassVar[str]
    kind: ClassVar[type[Making]]  # of the options

    options: Asked
    recipe: Mapping[str, Any] | None
    recorded_weights: Mapping[str, str]
    enlargement: Enlargement = AS_IS

    @classmethod
    def from_values(cls, values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Self:
        """As the command line would have it, by the names of the options: {"seed": 3}.  Raises UsageError.

        defaults: as `verb.read` has them.
        """
        return cls.of(*verb.read(cls.command, cls.kind, values, defaults))

    @classmethod
    def draws_a_seed(cls, values: Mapping[str, Any]) -> bool:
        """Whether a call with these values, without one, draws a seed."""
        return False

    @classmethod
    def usual(cls, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of the parameters that calls settle themselves: what a record with these others has if nothing was said."""
        return {}

    @property
    def finishing(self) -> Wanted:
        """What finished pictures pass through."""
        return Wanted(self.enlargement)

    @property
    def known_outputs(self) -> list[Path]:
        """What will be written, as far as that can be told before the work."""
        jobs: Sequence[Any] = getattr(self, "jobs", ())
        return [path for job in jobs for path in job.outputs]

    @property
    def waits(self) -> bool:
        """Whether an interrupted run of one of its jobs can go on."""
        jobs: Sequence[Any] = getattr(self, "jobs", ())
        return any(job.resumable and job.unfinished.is_dir() for job in jobs)

    def beside(self, job: Any) -> list[Path]:
        """What a job may write beside its outputs."""
        return []

    @classmethod
    def of(cls, ctx: typer.Context, asked: Any) -> Self:
        """Raises UsageError for what cannot work."""
        raise NotImplementedError

    @classmethod
    def made(cls, ctx: typer.Context, asked: Asked, *, settled: Mapping[str, Any] | None = None, **own: Any) -> Self:
        """settled: for the record, in place of what was asked.  own: the fields that the verb adds."""
        recipe = asked.record(ctx, cls.command, **(settled or {}))
        return cls(options=asked, recipe=recipe, recorded_weights=asked.recorded_weights(), **own)
