"""What a run folder holds, read so that a missing, half-written or damaged file never stops the report."""

import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from artcli.training import renamed

TOO_LARGE = 1e30  # a loss beyond has diverged; as a point it would only flatten the curve


@dataclass
class Metric:
    """One curve: points (step, value), ascending, and the steps where the value was not finite."""

    points: list[tuple[float, float]] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)


@dataclass
class Run:
    """A run folder.

    path: as the user named it.  about: run.toml.  environment: environment.json.  rows: the lines of metrics.jsonl that
    can be read, steps ascending.  grids: (step, file) by folder name.  problems: what could not be read, one line each.
    """

    path: Path
    about: dict[str, Any]
    environment: dict[str, Any]
    rows: list[dict[str, Any]]
    grids: dict[str, list[tuple[int, Path]]]
    problems: list[str]

    @property
    def step(self) -> int:
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def total(self) -> int | None:
        """Steps of the whole run where run.toml says so."""
        steps = self.about.get("steps", table(self.about, "trainer").get("steps"))
        return steps if isinstance(steps, int) and steps > 0 else None

    @property
    def seconds(self) -> float:
        """Time of all starts together: a run that goes on counts from zero again."""
        total = last = 0.0
        for time in (row.get("time") for row in self.rows):
            if is_number(time) and math.isfinite(time):
                total += time - last if time >= last else time
                last = time
        return total

    def curve(self, part: str, name: str) -> Metric:
        """One metric over time; `part` is "train", "val", "rate", or "" for numbers of the row itself."""
        metric = Metric()
        for row in self.rows:
            value = (table(row, part) if part else row).get(name)
            if not is_number(value):
                continue
            if math.isfinite(value) and abs(value) < TOO_LARGE:
                metric.points.append((float(row["step"]), float(value)))
            else:
                metric.lost.append(float(row["step"]))
        return metric

    def names(self, part: str) -> list[str]:
        """The metrics of a part in the order in which they first came."""
        return list(dict.fromkeys(name for row in self.rows for name in table(row, part)))


def read(path: Path) -> Run:
    """Everything that the report shows, except the pixels."""
    problems: list[str] = []
    about = _parsed(path / "run.toml", tomllib.loads, problems)
    environment = _parsed(path / "environment.json", json.loads, problems)
    rows = [renamed.row(about.get("model"), row) for row in _rows(path / "metrics.jsonl", problems)]
    grids = {name: _grids(path / name) for name in ("samples", "reconstructions")}
    return Run(path, about, environment, rows, grids, problems)


def table(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The table under a name; an empty one when it is missing or something else."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parsed(path: Path, parse: Any, problems: list[str]) -> dict[str, Any]:
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"There is no {path.name}.")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read ({' '.join(str(error).split())[:200]}).")
        return {}
    return found if isinstance(found, dict) else {}


def _rows(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl.

    A run that goes on from a checkpoint repeats the steps after it: the later word counts.  A last line without its
    end is one that is being written.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({error.strerror}).")
        return []
    rows: list[dict[str, Any]] = []
    bad = 0
    for line in filter(str.strip, lines[:-1]):
        row = _row(line)
        bad += row is None
        while row and rows and rows[-1]["step"] >= row["step"]:
            rows.pop()
        rows += [row] if row else []
    last = _row(lines[-1])
    if last is not None and (not rows or last["step"] > rows[-1]["step"]):
        rows.append(last)
    if bad:
        problems.append(f"{bad} line{'s' if bad > 1 else ''} of {path.name} cannot be read.")
    return rows


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = row.get("step") if isinstance(row, dict) else None
    if not is_number(step) or not math.isfinite(step) or not 0 <= step < 1e15:
        return None
    return row


def _grids(folder: Path) -> list[tuple[int, Path]]:
    """The pictures `step-000100.png` by step."""
    found = []
    try:
        for path in folder.iterdir():
            number = path.stem.rpartition("-")[2]
            if (
                path.suffix.lower() in (".png", ".jpg", ".webp")
                and path.stem.startswith("step-")
                and number.isdecimal()
            ):
                found.append((int(number), path))
    except OSError:
        return []
    return sorted(found)
