"""What the Tab key offers where files are not all: names of models, presets, weights and runs.  No torch here."""

import ast
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

from artcli import weights as table
from artcli.training.registry import MODELS

RUNS = Path("runs")


def words(*known: str) -> Callable[[str], list[str]]:
    """A completion of these words."""
    return lambda incomplete: _beginning(incomplete, known)


def models(incomplete: str) -> list[str]:
    """What `artgen train` trains."""
    return _beginning(incomplete, MODELS)


def presets(model: str, incomplete: str) -> list[str]:
    """Those of a model, read from its source: importing it would load torch, and a user waits for the Tab key."""
    found = importlib.util.find_spec(MODELS[model]) if model in MODELS else None
    if found is None or found.origin is None:
        return []
    return _beginning(incomplete, _keys(Path(found.origin).read_text(encoding="utf-8"), "PRESETS"))


def _keys(source: str, name: str) -> list[str]:
    """Of the dictionary that a module's source assigns to this name."""
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name and isinstance(line.value, ast.Dict):
            return [str(key.value) for key in line.value.keys if isinstance(key, ast.Constant)]
    return []


def weights(incomplete: str, *kinds: str) -> list[str]:
    """Names that `artgen weights list` shows, of these kinds or all."""
    return _beginning(incomplete, [row.name for row in table.table().values() if not kinds or row.kind in kinds])


def runs(incomplete: str) -> list[str]:
    """Run folders in the folder that was typed, or in runs/."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    folders = {folder, RUNS} if folder == Path() else {folder}
    found = [path.parent for each in folders for path in each.glob("*/run.toml")]
    return _beginning(incomplete, sorted(map(str, found)))


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
