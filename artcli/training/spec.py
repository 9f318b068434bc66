"""What a run is: its model, its data and every setting, as run.toml and the description of exported weights say it."""

from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Self

from artcli.errors import UsageError
from artcli.setting import RUN, Setting
from artcli.training import renamed
from artcli.training.columns import Column

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # torch's names for them


@dataclass(frozen=True)
class DataSpec:
    """path: of the pictures, or source.NO_DATA.  other: of a second folder.  val_fraction: the part that is held out.
    held_out: the part that data of a model's own kind hold out, whatever val_fraction says; None where they decide.

    table: of what is known of each picture.  by_color: so are its colours.
    preparation, augmentation: what data.Preparation and data.Augmentation are given.  sides: paired or unpaired, for
    models that learn from two kinds of pictures.  found: what the data said of themselves when they were opened
    (classes, counts, fingerprint, ...); empty before.
    """

    path: str = ""
    name: str = ""
    other: str | None = None
    val_fraction: float = 0.1
    held_out: float | None = None
    balanced: bool = False
    table: str | None = None
    by_color: bool | None = None  # like what there is not, False is not written down
    preparation: dict[str, Any] = field(default_factory=dict)
    augmentation: dict[str, Any] = field(default_factory=dict)
    sides: str | None = None
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Names by label."""
        return list(self.found.get("classes", []))

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is known of pictures."""
        return tuple(map(Column.from_dict, self.found.get("columns", [])))

    def as_dict(self) -> dict[str, Any]:
        """One table: what was found stands beside what was asked for, and what there is not is left out."""
        asked = {name: value for name, value in asdict(self).items() if name != "found" and value is not None}
        return asked | self.found

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What `as_dict` gave; what is missing is as it is by default."""
        known = {f.name for f in fields(cls)} - {"found"}
        found = {name: value for name, value in values.items() if name not in known}
        return cls(**{name: values[name] for name in known & values.keys()}, found=found)


@dataclass(frozen=True)
class TrainerSpec:
    """precision: one of PRECISIONS.  accumulate: parts of a batch.  save_every: steps.  keep: checkpoints."""

    precision: Annotated[str, Setting("Numbers that the net computes with.", choices=tuple(PRECISIONS), panel=RUN)] = (
        "fp32"
    )
    accumulate: Annotated[int, Setting("Compute a batch in N parts.", min=1, panel=RUN)] = 1
    save_every: Annotated[int, Setting("Steps between checkpoints.", min=1, metavar="N", panel=RUN)] = 500
    keep: Annotated[int, Setting("Checkpoints to keep.", min=1, panel=RUN)] = 2


@dataclass(frozen=True)
class RunSpec:
    """model: a name of the registry.  steps, epochs: what was asked for, None for the model's own length.
    init_from: the run whose layers it begins with.

    version, command: of the artgen that wrote it.  config: the model's settings by name; see runs.make_config.
    """

    model: str
    preset: str | None = None
    seed: int = 0
    steps: int | None = None
    epochs: int | None = None
    init_from: str | None = None
    version: str = ""
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    data: DataSpec = field(default_factory=DataSpec)
    trainer: TrainerSpec = field(default_factory=TrainerSpec)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"data": self.data.as_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What `as_dict` gave, also with None left out, as TOML has it, and what other versions of artgen wrote: what
        is missing is as it is by default, and what this one does not know is passed over.

        Raises UsageError: it names no model, or what has to be a table of settings is none.
        """
        values = renamed.config(values)
        tables = {name: values.get(name, {}) for name in ("config", "data", "trainer")}
        if wrong := [name for name, table in tables.items() if not isinstance(table, dict)]:
            raise UsageError(f"its {wrong[0]} is no table of settings")
        if not isinstance(values.get("model"), str):
            raise UsageError("it names no model")
        made = {
            "data": DataSpec.from_dict(tables["data"]),
            "trainer": TrainerSpec(**_known(tables["trainer"], TrainerSpec)),
        }
        return cls(**_known(values, cls) | made)


def _known(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Those that the dataclass has."""
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}
