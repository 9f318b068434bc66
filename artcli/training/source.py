"""Opens the data that a run's description names."""

import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from artcli.errors import UsageError
from artcli.training.spec import DataSpec, RunSpec

Tell = Callable[[str], None]


def _go_on(done: int, total: int) -> None:
    pass


NO_DATA = "none"  # in the place of a folder, for models that make their own data


def open(
    backend: Any, config: Any, spec: RunSpec, tell: Tell, warn: Tell, check: Callable[[int, int], None] = _go_on
) -> tuple[Any, RunSpec]:
    """The pictures of a run, and the run's description with what was found (classes, number, fingerprint).

    tell, warn: take one line each.  check: called now and then with the pictures read so far and in all, and may raise.
    A backend with data of its own kind opens it itself (`open_data`); all others
    learn from pictures.  One that is `DATA_FREE` may be given None.  Raises UsageError where data are missing.
    """
    _refuse_facts(backend, spec)
    if spec.data.path == NO_DATA and not getattr(backend, "DATA_FREE", False):
        raise UsageError(f"{spec.model} learns from pictures: give a folder of them instead of {NO_DATA}")
    if spec.data.other is not None and not hasattr(backend, "SIDES"):
        raise UsageError(f"{spec.model} learns from one folder: leave out {spec.data.other}")
    pictures = _own(backend, config, spec)
    if pictures is not None:
        if opened := getattr(pictures, "opened", None):
            _tell_odd(opened, tell, warn, "--check")
        return pictures, replace(spec, data=replace(spec.data, preparation={}, augmentation={}, found={"classes": []}))
    preparation = spec.data.preparation | {"size": config.size}
    if preparation["color"] == "rgb" and config.channels == 1:
        preparation["color"] = "grey"
    sides = getattr(backend, "SIDES", None)
    data = replace(spec.data, preparation=preparation, sides=sides, held_out=None)  # they take val_fraction
    pictures = _dataset(data, spec.seed, tell, check, words=hasattr(backend, "needs_words"))
    if hasattr(backend, "needs_words"):
        backend.needs_words(config, pictures)
    if spec.data.held_out and pictures.divided:
        tell("data: they have a part of their own for validation, which is held out instead of --val-fraction")
    _tell_odd(pictures, tell, warn, "run.toml in the run's folder" if hasattr(backend, "SIDES") else "--check")
    return pictures, replace(spec, data=replace(data, found=pictures.describe()))


def _refuse_facts(backend: Any, spec: RunSpec) -> None:
    """A table and colours are for models that can be told of them."""
    asked = [option for option, given in (("--table", spec.data.table), ("--by-color", spec.data.by_color)) if given]
    if asked and not takes_facts(backend):
        raise UsageError(f"{spec.model} cannot be told what is known of pictures: leave {', '.join(asked)} out")


def takes_facts(backend: Any) -> bool:
    """Whether its model can be told what columns say of pictures."""
    return "facts" in inspect.signature(backend.Model).parameters


def _tell_odd(pictures: Any, tell: Tell, warn: Tell, everything: str) -> None:
    """What a person should know of a folder of pictures.  everything: what lists all that is left out."""
    for skipped in pictures.skipped[:5]:
        warn(f"left out {skipped.name}: {skipped.reason}")
    if len(pictures.skipped) > 5:
        warn(f"left out {len(pictures.skipped) - 5} more; {everything} lists all")
    for note in pictures.notes:
        tell(f"data: {note}")
    if pictures.first_of_several:
        from artcli.training.data import items

        tell(f"data: of {items.pictures(pictures.first_of_several)} with several frames or pages, the first is taken")


def _own(backend: Any, config: Any, spec: RunSpec) -> Any:
    """Data of the backend's own kind; None where it learns from pictures like all others."""
    if not hasattr(backend, "open_data"):
        return None
    path = None if spec.data.path == NO_DATA else Path(spec.data.path)
    own = backend.open_data(path, config, spec.seed, spec.data.held_out)
    if own is not None:
        _refuse_preparation(spec)
    return own


def _refuse_preparation(spec: RunSpec) -> None:
    """Data of a model's own kind are prepared already."""
    asked = spec.data.augmentation | spec.data.preparation | {"balanced": spec.data.balanced}
    plain = {"color": "rgb", "filter": "lanczos", "crop": "center", "cutout": "none"}
    changed = [name for name, value in asked.items() if value and value != plain.get(name)]
    if changed:
        raise UsageError(f"the data of {spec.model} are prepared already: leave out {', '.join(changed)}")


def reopen(backend: Any, config: Any, spec: RunSpec) -> Any:
    """The pictures that a finished model was trained on, of two kinds the first.  Raises UsageError: they are gone.

    Without a table: what the model was told of them it knows itself.
    """
    data = replace(spec.data, table=None, by_color=None)
    if not Path(data.path).exists():
        raise UsageError(f"the pictures it was trained on are gone: there is no {data.path}")
    own = _own(backend, config, spec)
    if own is not None:
        return own
    found = _dataset(data, spec.seed, lambda line: None)
    return found if data.sides is None else found.a


def _dataset(
    data: DataSpec,
    seed: int,
    tell: Tell,
    check: Callable[[int, int], None] = _go_on,
    words: bool = False,
) -> Any:
    from artcli.training.data import Augmentation, Preparation, open_dataset

    path, preparation = Path(data.path), Preparation(**_with_paths(data.preparation))
    how: dict[str, Any] = {
        "val_fraction": data.val_fraction,
        "balanced": data.balanced,
        "augment": Augmentation(**data.augmentation),
        "seed": seed,
        "words": words,
        "progress": _Reading(tell, check),
    }
    if data.sides is None:
        table = None if data.table is None else Path(data.table)
        return open_dataset(path, preparation, table=table, by_color=bool(data.by_color), **how)
    from artcli.training.data.sides import open_sides

    other = None if data.other is None else Path(data.other)
    return open_sides(path, other, preparation, data.sides, **how)


def _with_paths(preparation: dict[str, Any]) -> dict[str, Any]:
    """As TOML and JSON hold it, to what a Preparation takes."""
    given = {name: value for name, value in preparation.items() if value is not None}
    return given | {name: Path(given[name]) for name in ("masks", "maskrcnn") if name in given}


class _Reading:
    """Says how far the decoding of a large folder is, every few seconds."""

    def __init__(self, tell: Tell, check: Callable[[int, int], None]):
        self.tell, self.check, self.last = tell, check, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last > 5:
            self.tell(f"data: {done} of {total} pictures read")
            self.check(done, total)
            self.last = now


def steps_per_epoch(pictures: Any, batch: int) -> float:
    """Batches that make one round through the training pictures; infinite where there are no rounds."""
    return pictures.steps_per_epoch(batch) if hasattr(pictures, "steps_per_epoch") else float("inf")


def steps(config: Any, spec: RunSpec, pictures: Any) -> int:
    """Length of the run: --steps, or --epochs, or the model's own."""
    if spec.steps and spec.epochs:
        raise UsageError("give --steps or --epochs, not both")
    if hasattr(config, "steps"):
        if spec.steps or spec.epochs:
            names = ", ".join(f"{name}=N" for name in vars(config) if name.endswith("_steps"))
            raise UsageError(f"the length of {spec.model} is in its settings: --set {names}")
        return config.steps
    return spec.steps or round((spec.epochs or config.epochs) * steps_per_epoch(pictures, config.batch))
